"""``-o FOLDER/``: parts that together are the file of the whole, whatever stopped the work."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main
from unitdot._cli import parts

from ..helpers import normal

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
sparse = pytest.importorskip("scipy.sparse")

ROWS = 7  # a part
X = normal((60, 5), np.float32)
X[[7, 11, 58]] = X[3]
X[[5, 30]] = 0
Q = normal((16, 5), np.float32, seed=1)

RULE = parts.rows_a_part

# a process of its own, whose parts are small, and which may do something before it writes
START = f"""\
import os, signal, sys, time
from unitdot.__main__ import main
from unitdot._cli import output, parts
parts.rows_a_part = lambda *arguments: {ROWS}
write = output.write
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "rows_a_part", lambda *arguments: ROWS)
    np.save("X.npy", X)
    np.save("Q.npy", Q)
    np.save("one.npy", Q[0])
    unitdot.CosineIndex(X, ids=[*range(60, 120)]).save("X.unitdot")
    sparse.save_npz("S.npz", sparse.csr_array(np.where(X > 0.5, X, 0)))
    for name, ids in (("numbers", range(100, 160)), ("names", (f"n{i}" for i in range(60)))):
        parquet.write_table(pa.table({"id": list(ids), "v": X.tolist()}), f"{name}.parquet")
    return tmp_path


def files(folder):
    """The names and bytes of a folder's files."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def whole(folder):
    return pa.concat_tables(
        [parquet.read_table(file) for file in sorted(Path(folder).glob("*.p*"))]
    )


COMMANDS = {
    "pairs": "pairs X.npy --threshold 0.3",
    "pairs with zero rows": "pairs X.npy --threshold 0 --zero nan",
    "all pairs": "pairs X.npy --threshold -1",
    "no pairs": "pairs Q.npy --threshold 1",
    "pairs of two": "pairs X.npy Q.npy --threshold 0.3",
    "pairs of ids": "pairs names.parquet --id id --threshold 0.9",
    "pairs of sparse rows": "pairs S.npz --threshold 0.3",
    "top-k": "top-k X.npy",
    "top-k of all": "top-k X.npy -k 59 --zero nan",
    "top-k with itself": "top-k X.npy -k 3 --include-self",
    "top-k above": "top-k X.npy -k 80 --threshold 0.5",
    "queries": "top-k X.npy Q.npy -k 60",
    "one query": "top-k X.npy one.npy -k 2",
    "top-k of ids": "top-k numbers.parquet --id id -k 4",
    "top-k of sparse rows": "top-k S.npz -k 5",
    "top-k of an index": "top-k X.unitdot -k 5",
    "pairs of an index": "pairs X.unitdot --threshold 0.3",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_parts_are_the_whole(name):
    command = COMMANDS[name]
    assert main([*command.split(), "-o", "whole.parquet"]) == 0
    assert main([*command.split(), "-o", "parts/"]) == 0
    expected, found = parquet.read_table("whole.parquet"), whole("parts")
    assert found.schema == expected.schema
    for column in expected.column_names:  # NaN are equal, by their bytes
        one, other = (table[column].combine_chunks() for table in (found, expected))
        one, other = (
            a.flatten() if pa.types.is_fixed_size_list(a.type) else a for a in (one, other)
        )
        one, other = (np.asarray(a) for a in (one, other))
        if one.dtype == object:
            assert one.tolist() == other.tolist()
        else:
            assert one.tobytes() == other.tobytes()
    rows = {"no pairs": 16, "queries": 16, "one query": 1}.get(name, 60)
    assert len(files("parts")) == 1 + -(-rows // ROWS)


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", ["pairs", "top-k"])
@pytest.mark.parametrize("moment", ["between parts", "while a part is written"])
def test_killed_and_resumed(command, moment):
    assert main([command, "X.npy", "-o", "undisturbed/"]) == 0
    expected = files("undisturbed")
    process = start(f"""
def waiting(call):
    def called(*a):
        if len(os.listdir("parts")) > {4 if moment == "while a part is written" else 3}:
            print("waiting", flush=True)
            time.sleep(600)
        call(*a)
    return called
if {moment == "while a part is written"}:  # its file is there, but has no name yet
    os.fsync = waiting(os.fsync)
else:
    output.write = waiting(output.write)
main(["{command}", "X.npy", "-o", "parts/"])
""")
    assert process.stdout.readline() == "waiting\n"
    process.kill()
    process.communicate(timeout=60)
    left = files("parts")
    assert any(name.endswith(".tmp") for name in left) == (moment != "between parts")
    assert 3 <= len(left) < len(expected)
    before = os.stat("parts/part-00001.parquet")
    assert main([command, "X.npy", "-o", "parts/", "--resume"]) == 0
    assert files("parts") == expected
    after = os.stat("parts/part-00001.parquet")  # is not written again
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_full_disk_and_resumed():
    Y = X.copy()
    Y[30:] = Y[3] + X[30:] / 20  # later parts are larger
    np.save("Y.npy", Y)
    assert main(["pairs", "Y.npy", "-o", "undisturbed/"]) == 0
    sizes = [len(content) for name, content in files("undisturbed").items() if "part" in name]
    limit = max(sizes[:2])
    assert limit < max(sizes)
    process = start(f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main(["pairs", "Y.npy", "-o", "parts/"]))
""")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(r"unitdot: error: parts/part-0000\d\.parquet: File too large\n", err)
    assert 2 <= len(files("parts")) < len(files("undisturbed"))
    assert not list(Path("parts").glob(".*"))
    assert main(["pairs", "Y.npy", "-o", "parts/", "--resume"]) == 0
    assert files("parts") == files("undisturbed")


def test_resumed_where_nothing_was_begun_or_all_is_done():
    for _ in range(2):
        assert main(["top-k", "X.npy", "-o", "parts/", "--resume", "--threads", "1"]) == 0
        assert len(files("parts")) == 1 + 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["pairs", "X.npy", "--threshold", "0.5", "--resume"],
            "other threshold (0.9 where it is 0.5",
        ),
        (["top-k", "X.npy", "--resume"], "other command (pairs where it is top-k"),
        (["pairs", "Q.npy", "--resume"], "other inputs"),
        (["pairs", "X.npy"], "exists; --resume goes on with it, --force replaces"),
        (["pairs", "X.npy", "--resume", "--force"], "give one of them"),
        (["pairs", "X.npy", "--max-pairs", "3", "--resume"], "--max-pairs is of all pairs"),
    ],
)
def test_what_is_no_way_to_go_on(arguments, words, capsys):
    assert main(["pairs", "X.npy", "-o", "parts/"]) == 0
    before = files("parts")
    assert main([*arguments, "-o", "parts/"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert files("parts") == before


def test_an_input_that_changed(capsys):
    assert main(["pairs", "X.npy", "-o", "parts/"]) == 0
    np.save("X.npy", X * 2)
    assert main(["pairs", "X.npy", "-o", "parts/", "--resume"]) == 2
    assert "other inputs" in capsys.readouterr().err
    Path("parts/notes.txt").write_text("mine")
    assert main(["pairs", "X.npy", "-o", "parts/", "--force", "--threshold", "0.5"]) == 0
    assert Path("parts/notes.txt").exists()
    assert json.loads(Path("parts/_unitdot.json").read_text())["threshold"] == 0.5


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("no/parts/", "the folder no does not exist"),
        ("X.npy/", "is a file; expected the name of a folder"),
        ("other/", "has no _unitdot.json"),
        ("parts.parquet", "--resume is for a folder of parts; give one with -o FOLDER/"),
    ],
)
def test_bad_folders(output, words, capsys, folder):
    os.mkdir("other")
    Path("other/notes.txt").write_text("mine")
    before = sorted(os.listdir(folder))
    assert main(["pairs", "X.npy", "-o", output, "--resume"]) == 2
    assert words in capsys.readouterr().err
    assert sorted(os.listdir(folder)) == before
    assert os.listdir("other") == ["notes.txt"]


def test_errors_name_rows_of_the_whole(capsys):
    Y = X.copy()
    Y[40, 2] = np.nan
    np.save("Y.npy", Y)
    parquet.write_table(pa.table({"id": list(range(100, 160)), "v": Y.tolist()}), "Y.parquet")
    for command in ("pairs", "top-k"):
        assert main([command, "Y.npy", "-o", "parts/"]) == 2
        assert "Y.npy holds a NaN or an infinity at row 40, column 2" in capsys.readouterr().err
        assert main([command, "Y.parquet", "--id", "id", "-o", "more/", "--resume"]) == 2
        assert "row 40 (id 140)" in capsys.readouterr().err
        for folder in ("parts", "more"):
            assert [*files(folder)] == ["_unitdot.json"]  # told of by the first part
            os.unlink(f"{folder}/_unitdot.json")


def test_parts_are_of_a_fixed_size():
    rows_a_part = RULE
    assert rows_a_part(1000, 384, None) == (1 << 43) // 384_000
    assert rows_a_part(10**8, 384, 10) == 4096
    assert rows_a_part(10**6, 1 << 20, 10) == 4096
    assert rows_a_part(10**3, 384, 10**6) == 16
