"""``unitdot dedup``: the rows that `Pairs.keep_first` keeps, with all columns as they were."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main
from unitdot._cli import kept

from ..helpers import assert_same_bits
from .test_tables import IDS, WRITERS, X, columns, lists, read, write_csv, write_parquet

pa = pytest.importorskip("pyarrow")

FOUND = unitdot.cosine_pairs(X, threshold=0.6)
KEPT, CLUSTERS = FOUND.keep_first(), FOUND.components()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    assert 2 < KEPT.sum() < len(X) - 2
    assert CLUSTERS.max() + 1 < KEPT.sum()  # rows that two steps connect
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dedup(*arguments, threshold="0.6"):
    return main(["dedup", *arguments, "--threshold", threshold])


def rows(path):
    """All columns of a table, as Python has them."""
    import pyarrow.csv as csv
    import pyarrow.feather as feather
    import pyarrow.json as reader
    import pyarrow.parquet as pq

    if path.endswith(".parquet"):
        return pq.read_table(path).to_pylist()
    if path.endswith(".feather"):
        return feather.read_table(path).to_pylist()
    if path.endswith(".arrow"):
        return pa.ipc.open_stream(path).read_all().to_pylist()
    with pa.input_stream(path) as file:
        if "json" in path:
            return reader.read_json(file).to_pylist()
        parse = csv.ParseOptions(delimiter="\t" if ".tsv" in path else ",", newlines_in_values=True)
        return csv.read_csv(file, parse_options=parse).to_pylist()


@pytest.mark.parametrize("path", WRITERS)
@pytest.mark.parametrize("make", [lists, columns])
def test_rows_of_every_format(path, make, capsys):
    WRITERS[path](path, make())
    before, out = rows(path), path.replace("X", "out")
    assert dedup(path, "--id", "id", "-o", out) == 0
    assert rows(out) == [row for row, keep in zip(before, KEPT, strict=True) if keep]
    assert re.fullmatch(
        rf"unitdot: kept {KEPT.sum()} of 40 rows .*0\.6.*\n", capsys.readouterr().err
    )
    assert dedup(path, "--id", "id", "--clusters", "-o", out, "--force") == 0
    assert rows(out) == [
        row | {"cluster": label} for row, label in zip(before, CLUSTERS.tolist(), strict=True)
    ]
    words = f"unitdot: {CLUSTERS.max() + 1} clusters of 40 rows"
    assert capsys.readouterr().err.startswith(words)


TEXTS = {
    "X.csv": 'name,f0,f1\r\n"a ""b""\r\nc",1.50,2\r\n\r\nd 5" e,3.0,4.100\r\né,0.3,-1',
    "X.jsonl": '{"t": "[{\\"", "v": [1.50, 2]}\r\n\n  {"v":[3.0, 4.100], "t": ""} \n{"v":[0.3,-1]}',
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_text_stays_as_it_is(suffix, capfdbinary):
    """Quotes, digits, line ends, bytes that are no text; printed where there is no -o."""
    text = TEXTS[f"X{suffix}"].encode("latin-1" if suffix == ".csv" else "utf-8")
    Path(f"X{suffix}").write_bytes(text)
    arguments = ["--columns", "f*"] if suffix == ".csv" else ["--column", "v"]
    assert dedup(f"X{suffix}", *arguments, threshold="1") == 0
    sys.stdout.flush()
    out = capfdbinary.readouterr().out
    blank = b"\r\n\r\n" if suffix == ".csv" else b"\r\n\n"
    assert out == text.replace(blank, b"\r\n") + b"\n"


def test_clusters_of_text():
    Path("X.jsonl").write_text('{"v":[1,0]} \r\n{"v":[0,1]}')
    assert dedup("X.jsonl", "--clusters", "-o", "out.jsonl") == 0
    assert (
        Path("out.jsonl").read_bytes()
        == b'{"v":[1,0], "cluster": 0}\r\n{"v":[0,1], "cluster": 1}\n'
    )
    Path("X.csv").write_text("1.5,0.0\r\n0.0,1.5")
    assert dedup("X.csv", "--clusters", "-o", "out.csv") == 0
    assert Path("out.csv").read_bytes() == b"1.5,0.0,0\r\n0.0,1.5,1\n"
    Path("X.csv").write_text("a,cluster\n1.5,0.5\n")
    assert dedup("X.csv", "--clusters", "-o", "new.csv") == 2


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "bfloat16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(dtype, order, monkeypatch):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    monkeypatch.setattr(kept, "PART", 100)
    stored = np.asarray(X, dtype=dtype, order=order)
    np.save("X.npy", stored)
    assert dedup("X.npy", "-o", "out.npy") == 0
    keep = unitdot.cosine_pairs(stored, threshold=0.6).keep_first()
    out = np.load("out.npy")
    assert out.dtype.itemsize == stored.dtype.itemsize
    assert_same_bits(out.view(stored.dtype), stored[keep])
    np.savez("X.npz", v=stored.astype("f4"), names=np.array(IDS), scale=np.float32(3))
    assert dedup("X.npz", "--id", "names", "-o", "out.npz") == 0
    with np.load("out.npz") as archive:
        assert archive["names"].tolist() == np.array(IDS)[keep].tolist()
        assert archive["scale"] == 3


def test_sparse():
    sp = pytest.importorskip("scipy.sparse")
    S = np.where(X > 0, X, 0)
    sp.save_npz("X.npz", sp.csr_array(S))
    assert dedup("X.npz", "-o", "out.npz", threshold="0.8") == 0
    keep = unitdot.cosine_pairs(sp.csr_array(S), threshold=0.8).keep_first()
    assert_same_bits(read("out.npz").X.toarray(), S[keep])


@pytest.mark.parametrize("path", ["X.csv", "X.ndjson.gz", "X.parquet", "X.arrow"])
def test_shards(path):
    os.mkdir("shards")
    for i, part in enumerate((lists()[:9], lists()[9:])):
        WRITERS[path](f"shards/{i}{path[1:]}", part)
    WRITERS[path](path, lists())
    out = path.replace("X", "out")
    assert dedup("shards", "-o", out) == 0
    assert rows(out) == [row for row, keep in zip(rows(path), KEPT, strict=True) if keep]


def test_refused(capsys):
    write_parquet("X.parquet", lists())
    write_csv("0.csv", columns())
    write_csv("1.csv", columns().select([1, 0, 2, 3, 4]))
    np.save("X.npy", X)
    for arguments, words in (
        (["X.parquet"], "cannot be printed; give -o OUT.parquet"),
        (["X.parquet", "-o", "out.csv"], "out.csv: ends in .csv; expected .parquet"),
        (["X.parquet", "-o", "X.parquet", "--force"], "is an input"),
        (["X.npy", "-o", "out.npy", "--clusters"], "no columns that --clusters"),
        (["?.csv", "--drop", "id"], "1.csv: has the columns 'f0', 'id'"),
    ):
        assert dedup(*arguments) == 2
        out, err = capsys.readouterr()
        assert words in err
        assert out == ""
    assert not list(Path().glob("out*"))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_meanwhile(change, monkeypatch, capsys):
    """Its records would no longer be those that were compared."""
    write_csv("X.csv", columns())
    lines = Path("X.csv").read_text().splitlines(keepends=True)
    write = kept.write

    def other(*arguments):
        Path("X.csv").write_text("".join(lines[:-1] if change < 0 else lines + lines[-1:]))
        write(*arguments)

    monkeypatch.setattr(kept, "write", other)
    assert dedup("X.csv", "--id", "id", "-o", "out.csv") == 2
    assert "X.csv: has" in capsys.readouterr().err
    assert os.listdir() == ["X.csv"]
