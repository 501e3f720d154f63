"""``unitdot top-k`` and ``unitdot pairs``: in this process, and where it matters in their own."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main
from unitdot._cli import commands

from ..helpers import assert_same_bits, normal, run_python

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and devices")
SUFFIXES = [
    ".npz",
    ".csv",
    pytest.param(
        ".parquet", marks=pytest.mark.skipif(not find_spec("pyarrow"), reason="needs pyarrow")
    ),
]
# Ctrl-C as a terminal's, even where the tests' own parent ignores it
START = """\
import signal, sys
import unitdot
from unitdot.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

X = normal((30, 5), np.float32)
X[7], X[11] = X[3], 2 * X[3]
Q = normal((4, 5), np.float32, seed=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", X)
    np.save("Q.npy", Q)
    return tmp_path


@pytest.fixture
def fails(capsys, folder):
    """Call with arguments: one line on stderr with these words, the status, nothing written."""

    def call(arguments, *words, status=2):
        before = sorted(os.listdir(folder))
        try:
            returned = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            returned = exit_.code
        out, err = capsys.readouterr()
        assert (returned, out) == (status, "")
        assert re.fullmatch(r"unitdot: error: .+\n", err)
        for word in words:
            assert word in err
        assert sorted(os.listdir(folder)) == before

    return call


def table(text):
    return [line.split("\t") for line in text.splitlines()]


class TestTopK:
    def test_prints_a_line_for_each_row(self, capsys):
        assert main(["top-k", "X.npy", "-k", "3"]) == 0
        similarities, indices = unitdot.cosine_top_k(X, k=3)
        lines = table(capsys.readouterr().out)
        assert [int(fields[0]) for fields in lines] == list(range(len(X)))
        assert_same_bits(np.array([fields[1::2] for fields in lines]).astype(np.int64), indices)
        assert_same_bits(np.array([fields[2::2] for fields in lines], np.float32), similarities)

    def test_queries(self, capsys):
        assert main(["top-k", "X.npy", "Q.npy", "-k1"]) == 0
        _, indices = unitdot.cosine_top_k(Q, X, k=1)
        lines = table(capsys.readouterr().out)
        assert [int(fields[1]) for fields in lines] == indices[:, 0].tolist()

    def test_include_self(self, capsys):
        assert main(["top-k", "X.npy", "-k1", "--include-self"]) == 0
        expected = np.arange(len(X))
        expected[[7, 11]] = 3  # their equals: ties go to the smaller index
        assert [int(fields[1]) for fields in table(capsys.readouterr().out)] == expected.tolist()

    def test_k_is_10(self, capsys):
        assert main(["top-k", "X.npy", "Q.npy"]) == 0
        assert {len(fields) for fields in table(capsys.readouterr().out)} == {21}

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_writes(self, suffix, capsys):
        assert main(["top-k", "X.npy", "Q.npy", "-k", "2", "-o", f"out{suffix}"]) == 0
        assert capsys.readouterr() == ("", "")
        similarities, indices = unitdot.cosine_top_k(Q, X, k=2)
        if suffix == ".csv":
            header, *lines = Path("out.csv").read_text().splitlines()
            assert header == "row,index_1,similarity_1,index_2,similarity_2"
            fields = np.array([line.split(",") for line in lines])
            read = {
                "indices": fields[:, 1::2].astype(np.int64),
                "similarities": fields[:, 2::2].astype(np.float32),
            }
        elif suffix == ".npz":
            read = np.load("out.npz", allow_pickle=False)
        else:
            columns = __import__("pyarrow.parquet").parquet.read_table("out.parquet").to_pandas()
            read = {name: np.stack(columns[name]) for name in ("indices", "similarities")}
        assert_same_bits(read["indices"], indices)
        assert_same_bits(read["similarities"], similarities)


class TestPairs:
    def test_prints_them(self, capsys):
        assert main(["pairs", "X.npy", "--threshold", "0.999"]) == 0
        assert capsys.readouterr().out == "3\t7\t1.0\n3\t11\t1.0\n7\t11\t1.0\n"

    def test_threshold_is_0_9(self, capsys):
        assert main(["pairs", "X.npy"]) == 0
        assert len(table(capsys.readouterr().out)) == len(unitdot.cosine_pairs(X).rows)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("threshold", ["-1", "0.5", "1"])
    def test_writes(self, suffix, threshold, capsys):
        path = f"out{suffix}"
        assert main(["pairs", "X.npy", f"--threshold={threshold}", "--output", path]) == 0
        assert capsys.readouterr() == ("", "")
        expected = unitdot.cosine_pairs(X, threshold=float(threshold))
        if suffix == ".csv":
            header, *lines = Path(path).read_text().splitlines()
            assert header == "row,column,similarity"
            row, column, similarity = zip(*(line.split(",") for line in lines), strict=True)
            read = {
                "rows": np.array(row, np.int64),
                "columns": np.array(column, np.int64),
                "similarities": np.array(similarity, np.float32),
            }
        elif suffix == ".npz":
            read = np.load(path, allow_pickle=False)
        else:
            columns = __import__("pyarrow.parquet").parquet.read_table(path).to_pandas()
            read = {name: columns[name].to_numpy() for name in columns}
        for name in ("rows", "columns", "similarities"):
            assert_same_bits(read[name], getattr(expected, name))

    def test_max_pairs(self, capsys):
        assert main(["pairs", "X.npy", "--max-pairs", "2"]) == 0
        assert capsys.readouterr().out == "3\t7\t1.0\n3\t11\t1.0\n"

    def test_no_pairs(self, capsys):
        np.save("E.npy", np.eye(3))
        assert main(["pairs", "E.npy"]) == 0
        assert main(["pairs", "E.npy", "-o", "out.csv"]) == 0
        assert main(["pairs", "E.npy", "-o", "out.npz"]) == 0
        assert capsys.readouterr() == ("", "")
        assert Path("out.csv").read_text() == "row,column,similarity\n"
        with np.load("out.npz") as archive:
            assert [len(array) for array in archive.values()] == [0, 0, 0]

    def test_zero(self, capsys, fails):
        np.save("Z.npy", np.array([[1.0, 0], [0, 0], [2, 0]]))
        assert main(["pairs", "Z.npy", "--threshold", "0"]) == 0
        assert [line[:2] for line in table(capsys.readouterr().out)] == [
            ["0", "1"], ["0", "2"], ["1", "2"],
        ]  # fmt: skip
        fails(
            ["pairs", "Z.npy", "--zero", "raise"], "Z.npy has a zero row", "row 1", "--zero raise"
        )

    def test_column(self, capsys):
        np.savez("X.npz", a=X, b=Q)
        assert main(["top-k", "X.npz", "--column", "b", "-k1"]) == 0
        assert len(table(capsys.readouterr().out)) == len(Q)


def test_force_replaces(capsys):
    Path("out.csv").write_text("before")
    assert main(["pairs", "X.npy", "-o", "out.csv", "--force"]) == 0
    assert Path("out.csv").read_text().startswith("row,")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["top-k", "pairs"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["CORPUS", "--help"]),
        (["no.npy"], ["no.npy: No such file"]),
        (["X.npy/no.npy"], ["X.npy/no.npy: "]),
        (["folder.npy"], ["folder.npy: holds no file"]),
        (["X"], ["X: has no suffix", ".parquet, .arrow or .unitdot"]),
        (["X.bin"], ["X.bin: ends in .bin", ".parquet, .arrow or .unitdot"]),
        (["bad.npy"], ["bad.npy: cannot be read as a NumPy array"]),
        (["bad.npz"], ["bad.npz: cannot be read"]),
        (["bad.csv"], ["bad.csv: row 1 has 3 fields; expected 2"]),
        (["short.npy"], ["short.npy: cannot be read"]),
        (["vector.npy"], ["vector.npy: holds an array of shape (5,)", "(rows, features)"]),
        (["nan.npy"], ["nan.npy holds a NaN", "row 2, column 1"]),
        (["X.npy", "--column", "a"], ["X.npy", "--column"]),
        (["X.npy", "-o", "out"], ["out: has no suffix", ".npz, .parquet or .csv"]),
        (["X.npy", "-o", "out.npy"], ["out.npy: ends in .npy", ".npz, .parquet or .csv"]),
        (["X.npy", "-o", "no/out.csv"], ["no/out.csv", "folder no does not exist"]),
        (["X.npy", "-o", "bad.csv"], ["bad.csv: exists", "--force"]),
        (["bad.csv", "-o", "bad.csv", "--force"], ["bad.csv: is an input"]),
        (["X.npy", "--force"], ["--force", "-o"]),
        (["X.npy", "-o"], ["-o", "expected one argument"]),
        (["X.npy", "--threads", "0"], ["--threads", "'0'", "at least 1"]),
        (["X.npy", "--threads", "two"], ["--threads", "'two'"]),
        (["X.npy", "--zero", "none"], ["--zero", "'none'", "raise"]),
        (["X.npy", "--nonsense"], ["--nonsense"]),
        (["X.npy", "Q.npy", "Q.npy"], ["Q.npy"]),
    ],
)
def test_errors(command, arguments, words, fails):
    os.mkdir("folder.npy")
    for name in ("X", "X.bin"):
        Path(name).touch()
    for name in ("bad.npy", "bad.npz"):
        Path(name).write_bytes(b"hello, world")
    Path("bad.csv").write_text("1,2\n1,2,3\n")
    Path("short.npy").write_bytes(Path("X.npy").read_bytes()[:-1])
    np.save("vector.npy", X[0])
    bad = X.copy()
    bad[2, 1] = np.nan
    np.save("nan.npy", bad)
    fails([command, *arguments], *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["X.npy", "-k", "0"], ["-k", "'0'", "at least 1"]),
        (["X.npy", "-k", "2.5"], ["-k", "'2.5'"]),
        (["X.npy", "-k", "9" * 5000], ["-k"]),
        (["X.npy", "-k", "30"], ["X.npy: has 30 rows", "29 candidates", "-k"]),
        (["X.npy", "-k", "31", "--include-self"], ["30 candidates"]),
        (["X.npy", "Q.npy", "-k", "31"], ["X.npy: has 30 rows", "30 candidates"]),
        (["X.npy", "Q.npy", "--include-self"], ["--include-self", "QUERIES"]),
        (["X.npy", "no.npy"], ["no.npy: No such file"]),
        (["X.npy", "wide.npy"], ["wide.npy: has 6 features", "X.npy has 5"]),
        (["X.npy", "nan.npy"], ["nan.npy holds a NaN", "row 0, column 0"]),
        (["nan5.npy", "Q.npy", "-k1"], ["nan5.npy holds a NaN", "row 1, column 4"]),
        (["X.npy", "Q.npy", "-o", "Q.npz", "--force"], ["Q.npz: is an input"]),
    ],
)
def test_errors_of_top_k(arguments, words, fails):
    np.save("wide.npy", np.ones((3, 6)))
    np.save("nan.npy", np.full((1, 5), np.nan))
    bad = np.ones((3, 5))
    bad[1, 4] = np.inf
    np.save("nan5.npy", bad)
    os.link("Q.npy", "Q.npz")
    fails(["top-k", *arguments], *words)


def test_errors_where_the_files_have_the_arguments_names(fails):
    bad = np.full((2, 5), np.nan)
    np.save("Y.npy", bad)
    fails(["top-k", "X.npy", "Y.npy"], "error: Y.npy holds a NaN")
    fails(["top-k", "Y.npy", "X.npy", "-k1"], "error: Y.npy holds a NaN")


@pytest.mark.parametrize("threshold", ["1.1", "-2", "nan", "high", ""])
def test_errors_of_pairs(threshold, fails):
    fails(
        ["pairs", "X.npy", f"--threshold={threshold}"], "--threshold", f"'{threshold}'", "-1 to 1"
    )


@pytest.mark.parametrize(
    ("error", "words", "status"),
    [
        (MemoryError("the result needs 9.0 GiB"), ["memory", "9.0 GiB"], 1),
        (MemoryError(), ["not enough memory"], 1),
        (OSError(5, "Input/output error", "X.npy"), ["X.npy: Input/output error"], 1),
        (PermissionError(13, "Permission denied", "X.npy"), ["X.npy: Permission denied"], 1),
        (ValueError("X has\nlines"), ["X.npy has lines"], 2),
    ],
)
def test_errors_of_the_work(error, words, status, fails, monkeypatch):
    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr(unitdot, "cosine_pairs", fail)
    fails(["pairs", "X.npy", "-o", "out.csv"], *words, status=status)


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setattr(commands, "_deliver", lambda *arguments: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["pairs", "X.npy"])


@pytest.mark.parametrize("command", ["top-k", "pairs"])
def test_output_is_checked_before_the_work(command, monkeypatch, fails):
    monkeypatch.setattr(commands.files, "read", lambda *arguments: pytest.fail("read"))
    Path("out.csv").touch()
    fails([command, "X.npy", "-o", "out.csv"], "exists")


@pytest.mark.parametrize(
    ("terminal", "tqdm", "arguments", "expected"),
    [
        (True, True, [], True),
        (False, True, [], False),
        (True, False, [], False),
        (True, True, ["--no-progress"], False),
    ],
)
def test_progress_only_on_a_terminal(terminal, tqdm, arguments, expected, monkeypatch, capsys):
    seen = []

    def record(X, Y, **keywords):
        seen.append(keywords)
        return unitdot._neighbors.cosine_pairs(X)

    monkeypatch.setattr(unitdot, "cosine_pairs", record)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(commands, "find_spec", lambda name: tqdm or None)
    assert main(["pairs", "X.npy", "--threads", "2", *arguments]) == 0
    threshold, zero, threads = 0.9, "zero", 2
    assert seen == [
        {"threshold": threshold, "zero": zero, "n_threads": threads, "progress": expected}
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["top-k", "pairs"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    for word in ("CORPUS", ".npy", ".npz", ".parquet", ".csv", "-o OUT", "tab-separated"):
        assert word in " ".join(out.split())


def test_nothing_heavy_is_imported():
    result = run_python("""
        import sys
        import unitdot
        heavy = {"scipy", "pyarrow", "tqdm", "pandas", "sklearn"}
        assert not (heavy | {"argparse"}) & {name.partition(".")[0] for name in sys.modules}
        from unitdot.__main__ import main
        main(["pairs", "X.npy", "-o", "out.csv"])
        assert not heavy & {name.partition(".")[0] for name in sys.modules}
    """)
    assert (result.returncode, result.stderr) == (0, "")


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@posix
class TestProcess:
    @pytest.mark.parametrize("program", [["-m", "unitdot"], ["-c", START + "sys.exit(main())"]])
    def test_pairs(self, program):
        result = subprocess.run(
            [sys.executable, *program, "pairs", "X.npy", "--threshold", "0.999"],
            capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("3\t7\t1.0\n")

    def test_error(self):
        result = subprocess.run(
            [sys.executable, "-m", "unitdot", "top-k", "no.npy"],
            capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "unitdot: error: no.npy: No such file or directory\n"

    @pytest.mark.parametrize(
        ("arguments", "closed", "status", "words"),
        [
            ("pairs X.npy --threshold 0.999", "2>&-", 0, ""),
            ("pairs X.npy --threshold 0.999 -o out.csv", ">&- 2>&-", 0, ""),
            ("pairs no.npy", "2>&-", 2, ""),
            ("pairs X.npy", ">&-", 1, "unitdot: error: standard output: is closed"),
            ("pairs -", "<&-", 2, "unitdot: error: standard input: is closed"),
        ],
    )
    def test_closed_streams(self, arguments, closed, status, words):
        result = subprocess.run(
            f"{sys.executable} -m unitdot {arguments} {closed}",
            shell=True, capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip
        assert result.returncode == status
        assert result.stderr.startswith(words)
        assert result.stderr.count("\n") == bool(words)
        printed = "3\t7\t1.0\n3\t11\t1.0\n7\t11\t1.0\n"
        assert result.stdout == (printed if not status and "-o" not in arguments else "")
        if "-o" in arguments:
            assert Path("out.csv").read_text() == "row,column,similarity\n" + printed.replace(
                "\t", ","
            )

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_ended_by_a_signal(self, number, folder):
        np.save("big.npy", normal((3000, 3), np.float32))
        before = sorted(os.listdir(folder))
        process = start(f"""
import os
import signal
from pathlib import Path
signal.signal({int(number)}, signal.SIG_DFL)  # nohup has it ignored
unlink = Path.unlink
def impatient(path):
    os.kill(os.getpid(), {int(number)})  # which must not disturb the leaving
    unlink(path)
Path.unlink = impatient
sys.exit(main(["pairs", "big.npy", "--threshold=-1", "-o", "out.csv"]))
""")
        while not (found := list(folder.glob(".unitdot-*"))) or not found[0].stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 128 + number
        assert sorted(os.listdir(folder)) == before

    def test_no_file_takes_the_number_of_a_closed_stream(self):
        """Where what a C library writes to standard error would become part of it."""
        process = start("""
import os
os.close(2)
main(["pairs", "X.npy", "-o", "out.npz"])
print(os.path.samestat(os.fstat(2), os.stat(os.devnull)), flush=True)
""")
        assert process.communicate(timeout=120)[0] == "True\n"

    def test_what_is_ignored_stays_so(self):
        process = start("""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
main(["pairs", "X.npy", "-o", "out.npz"])
print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, flush=True)
""")
        assert process.communicate(timeout=120) == ("True\n", "")

    def test_full_device(self):
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full")
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [sys.executable, "-m", "unitdot", "top-k", "X.npy"],
                stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=120,
            )  # fmt: skip
        assert result.returncode == 1
        assert re.fullmatch(r"unitdot: error: No space left on device\n", result.stderr)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_full_disk(self, suffix, folder):
        np.save("big.npy", normal((100, 5)))
        before = sorted(os.listdir(folder))
        process = start(f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.exit(main(["pairs", "big.npy", "--threshold", "-1", "-o", "out{suffix}"]))
""")
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (1, "")
        assert re.fullmatch(rf"unitdot: error: out\{suffix}: File too large\n", err)
        assert sorted(os.listdir(folder)) == before

    @pytest.mark.parametrize("existing", [False, True])
    def test_interrupted_while_writing(self, folder, existing):
        np.save("big.npy", normal((3000, 3), np.float32))
        if existing:
            Path("out.csv").write_text("before")
        before = sorted(os.listdir(folder))
        process = start(
            'sys.exit(main(["pairs", "big.npy", "--threshold=-1", "-o", "out.csv", "--force"]))'
        )
        while not (found := list(folder.glob(".unitdot-*"))) or not found[0].stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 128 + signal.SIGINT
        assert sorted(os.listdir(folder)) == before
        assert not existing or Path("out.csv").read_text() == "before"

    def test_interrupted_at_work(self, folder):
        np.save("big.npy", normal((3000, 64), np.float32))
        before = sorted(os.listdir(folder))
        process = start("""
work = unitdot.cosine_top_k
def cosine_top_k(*arguments, **keywords):
    print("working", flush=True)
    while True:
        work(*arguments, **keywords)
unitdot.cosine_top_k = cosine_top_k
sys.exit(main(["top-k", "big.npy", "-k", "5", "-o", "out.npz"]))
""")
        assert process.stdout.readline() == "working\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 128 + signal.SIGINT
        assert sorted(os.listdir(folder)) == before

    def test_reader_goes_away(self):
        np.save("big.npy", normal((1000, 3), np.float32))
        process = start('sys.exit(main(["pairs", "big.npy", "--threshold=-1"]))')
        assert process.stdout.readline().startswith("0\t1\t")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 128 + signal.SIGPIPE
        process.stderr.close()
