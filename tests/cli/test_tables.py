"""Tables: every format gives the same rows, ids are never features, and errors say where."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main
from unitdot._cli import files, tables
from unitdot._cli.sources import find

from ..helpers import assert_same_bits, normal
from .test_files import fails, read

pa = pytest.importorskip("pyarrow")

X = normal((40, 4)).round(6)
X[7], X[11] = X[3], 2 * X[3]
IDS = [f"doc{i}" for i in range(len(X))]
NAMES = [f"f{i}" for i in range(4)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def columns(ids=IDS, name="id"):
    """A table with a column for each feature, and one of ids."""
    return pa.table({name: ids} | {n: X[:, j] for j, n in enumerate(NAMES)})


def lists(kind=None):
    kind = kind or pa.list_(pa.float64())
    return pa.table({"id": IDS, "text": ["a\nb"] * len(X), "v": pa.array(X.tolist(), kind)})


def pack(path, content):
    if path.endswith(".gz"):
        content = gzip.compress(content)
    if path.endswith(".zst"):
        content = pa.compress(content, "zstd", asbytes=True)
    Path(path).write_bytes(content)


def write_csv(path, table):
    separator = "\t" if ".tsv" in path else ","
    rows = [
        table.column_names,
        *zip(*(column.to_pylist() for column in table.columns), strict=True),
    ]
    fields = [[json.dumps(v) if isinstance(v, list) else str(v) for v in row] for row in rows]
    quoted = [[f'"{f}"' if "\n" in f or "[" in f else f for f in row] for row in fields]
    pack(path, "".join(separator.join(row) + "\n" for row in quoted).encode())


def write_jsonl(path, table):
    pack(path, "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())


def write_parquet(path, table):
    import pyarrow.parquet as pq

    pq.write_table(table, path, row_group_size=15)


def write_feather(path, table, **packed):
    import pyarrow.feather as feather

    feather.write_feather(table, path, chunksize=15, **packed)


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=15)


WRITERS = {
    "X.csv": write_csv, "X.csv.gz": write_csv, "X.tsv": write_csv, "X.tsv.zst": write_csv,
    "X.jsonl": write_jsonl, "X.ndjson.gz": write_jsonl, "X.jsonl.zst": write_jsonl,
    "X.parquet": write_parquet, "X.feather": write_feather, "X.arrow": write_stream,
}  # fmt: skip


@pytest.mark.parametrize("path", WRITERS)
def test_every_format(path):
    """Columns with numeric ids, with strings, and a column of lists beside text."""
    WRITERS[path](path, columns(list(range(len(X)))))
    fails(path, "column 'id' holds integers among columns of floats", "--id id, --drop id", "'f*'")
    for wanted in ({"drop": ["id"]}, {"columns": ["f*"]}, {"columns": ["f0,f1", "f[23]"]}):
        assert_same_bits(read(path, **wanted).X, X)
    rows = read(path, id="id")
    assert_same_bits(rows.X, X)
    assert_same_bits(rows.ids, np.arange(len(X)))
    WRITERS[path](path, columns())
    fails(path, "'id' holds strings: row 0 is 'doc0'", "--id id, --drop id")
    WRITERS[path](path, lists())
    for wanted in ({}, {"column": "v"}, {"columns": ["v"]}):
        assert_same_bits(read(path, **wanted).X, X)
    rows = read(path, id="id")
    assert_same_bits(rows.X, X)
    assert rows.ids.tolist() == IDS
    fails(path, "no column 'vv'; the nearest: 'v'", column="vv")
    fails(path, "no column 'ids'; the nearest: 'id'", id="ids")


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float64(), 4), pa.large_list(pa.float64()), pa.list_(pa.decimal128(12, 6)),
     pa.fixed_shape_tensor(pa.float64(), [4])],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["X.parquet", "X.feather", "X.arrow"])
def test_kinds_of_lists(path, kind):
    values = pa.array(X.reshape(-1))
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.FixedSizeListArray.from_arrays(values, 4)
        table = pa.table({"v": pa.ExtensionArray.from_storage(kind, storage)})
    elif pa.types.is_decimal(kind.value_type):
        table = pa.table({"v": lists()["v"].cast(kind)})
    else:
        table = lists(kind)
    WRITERS[path](path, table)
    assert_same_bits(read(path).X, X)


@pytest.mark.parametrize(
    "name",
    ["id", "ID", "doc_id", "docId", "user-ids", "Unnamed: 0", "", "index", "uuid", "row_number"],
)
def test_names_of_ids(name):
    """Refused whatever they hold, if it is numbers."""
    write_parquet("X.parquet", columns(normal(40, seed=5), name))
    fails("X.parquet", f"column {name!r} has the name of ids", "--id ")


@pytest.mark.parametrize("name", ["grid", "width", "keys0", "pyramid", "period", "f_3", "idf"])
def test_names_of_no_ids(name):
    write_parquet("X.parquet", columns(normal(40, seed=5), name))
    assert read("X.parquet").X.shape == (40, 5)


def test_integers_alone():
    """Counts and 8-bit embeddings are taken, unless a column counts or dwarfs the others."""
    counts = np.abs(X * 9).astype(np.int8)
    table = {f"f{j}": counts[:, j] for j in range(4)}
    write_parquet("X.parquet", pa.table(table))
    assert_same_bits(read("X.parquet").X, counts)
    huge = np.random.default_rng(0).permutation(len(X)) * 7 + 1000
    steps = np.cumsum(np.random.default_rng(1).integers(1, 9, len(X)))
    for ids in (np.arange(5, 45), np.arange(40)[::-1], steps, huge):
        write_parquet("X.parquet", pa.table({"a": ids} | table))
        fails("X.parquet", "column 'a'", "as ids do", "--drop a", "'f*'")
        assert_same_bits(read("X.parquet", drop=["a"]).X, counts)
    write_csv("X.csv", pa.table({"a": [4, 5, 6]} | {n: v[:3] for n, v in table.items()}))
    fails("X.csv", "column 'a' counts")
    write_csv("X.csv", pa.table({"a": [4, 6, 6]} | {n: v[:3] for n, v in table.items()}))
    assert read("X.csv").X.shape == (3, 5)


def test_the_index_of_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=range(4))
    frame.to_csv("X.csv")
    fails("X.csv", "column '' holds integers", "--drop '' or --columns '[0-9]*'")
    assert_same_bits(read("X.csv", columns=["[0-9]*"]).X, X)
    assert_same_bits(read("X.csv", drop=[""]).X, X)
    frame.columns = NAMES
    frame.set_index(pd.Index([*range(39), 99], name="doc")).to_parquet("X.parquet")
    assert_same_bits(read("X.parquet").X, X)
    assert read("X.parquet", id="doc").ids.tolist() == [*range(39), 99]


def test_ids():
    write_csv("X.csv", columns(["a", "b", "a", *IDS[3:]]))
    fails("X.csv", "row 0 and row 2 share the id 'a'", id="id")
    write_csv("X.csv", columns([f"{i:03}" for i in range(40)]))
    assert read("X.csv", id="id").ids[7] == "007"
    write_csv("X.csv", columns(["a", "", *IDS[2:]]))
    assert read("X.csv", id="id").ids[1] == ""
    write_parquet("X.parquet", columns(["a", None, *IDS[2:]]))
    fails("X.parquet", "row 1 of column 'id' is null; expected an id", id="id")
    fails("X.parquet", "'f0' holds double; expected ids", id="f0", drop=["id"])
    np.savez("X.npz", v=X, names=np.array(IDS), short=np.arange(3), floats=X[:, 0])
    assert read("X.npz", column="v", id="names").ids.tolist() == IDS
    fails("X.npz", "no array 'name'; the nearest: 'names'", id="name")
    fails("X.npz", "'short' has the shape (3,)", id="short")
    fails("X.npz", "'floats' holds float64", id="floats")


def test_features_come_in_the_corpus_s_order():
    table = columns()
    write_csv("X.csv", table)
    write_parquet("Q.parquet", table.select(["f2", "id", "f0", "f3", "f1"]))
    with ExitStack() as cleanup:
        corpus = read("X.csv", drop=["id"])
        wanted = files.Wanted(drop=["id"])
        assert_same_bits(files.read(find("Q.parquet", cleanup), wanted, corpus).X, X)


class TestShards:
    @pytest.mark.parametrize("path", WRITERS)
    def test_rows_of_all(self, path, capsys):
        os.mkdir("shards")
        Path("shards/_SUCCESS").touch()
        Path("shards/README").touch()
        whole = columns()
        for i, part in enumerate((whole[:9], whole[9:20].select([3, 0, 1, 2, 4]), whole[20:])):
            WRITERS[path](f"shards/{i}{path[1:]}", part)
        for name in ("shards", f"shards/*{path[1:]}"):
            rows = read(name, id="id")
            assert_same_bits(rows.X, X)
            assert rows.ids.tolist() == IDS
            assert rows.starts == [0, 9, 20]

    def test_that_do_not_fit_together(self):
        write_csv("0.csv", columns())
        write_csv("1.csv", columns().rename_columns(["id", "f0", "f1", "f2", "g3"]))
        fails(
            "1.csv",
            "has the features 'f0', 'f1', 'f2', 'g3' where 0.csv has",
            name="*.csv",
            id="id",
        )
        fails("1.csv", "has no column 'f3'; it has", name="?.c*", id="id", columns=NAMES)
        write_parquet("2.parquet", columns())
        fails("[12].*", "1.csv and 2.parquet; expected files of one format")
        fails("no*.csv", "holds no file of vectors")
        write_parquet("3.parquet", lists(pa.list_(pa.float32())))
        write_parquet("4.parquet", lists())
        fails("4.parquet", "holds float64 where the rows before hold float32", name="[34].parquet")

    def test_arrays(self):
        for i, part in enumerate(np.split(X, 4)):
            np.save(f"{i}.npy", part)
        assert_same_bits(read("*.npy").X, X)
        np.save("9.npy", X.astype(np.float32))
        fails("9.npy", "float32", "0.npy", name="*.npy")


def test_place_of_an_error(capsys):
    """In the file, with its column and id."""
    Z = X.copy()
    Z[25, 2] = np.nan
    table = pa.table({"id": IDS} | {n: Z[:, j] for j, n in enumerate(NAMES)})
    write_parquet("0.parquet", table[:20])
    write_parquet("1.parquet", table[20:])
    assert main(["pairs", "*.parquet", "--id", "id"]) == 2
    place = "row 5 of 1.parquet (id doc25), column 2 ('f2')"
    assert place in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['{"v":[1,2]}', '{"v":[3]}'], ["row 1 has 1 number where row 0 has 2"]),
        (['{"v":[1,2]}', '{"v":null}'], ["row 1 is null"]),
        (['{"v":[1,2]}', '{"w":1}'], ["row 1 is null"]),
        (['{"v":[1,2]}', '{"v":[1,null]}'], ["holds a null in row 1"]),
        (['{"v":[1,2]}', "", "hello"], ["line 3 is 'hello'", "braces"]),
        (['{"v":[1,2]}', "", '{"v":[1,"x"]}'], ["line 3", "number to string"]),
        (['{"v":[1,2]}', "", '{"v":[1,2}'], ["line 3"]),
        (['[{"v":[1,2]}]'], ["line 1 is", "braces"]),
        (['{"a":0.5,"b":"x"}'], ["'b' holds strings: row 0 is 'x'"]),
        (['{"a":{"v":[1]}}'], ["'a' holds struct"]),
        ([""], ["no columns"]),
    ],
)
def test_bad_json(lines, words):
    Path("X.jsonl").write_text("".join(line + "\n" for line in lines))
    fails("X.jsonl", *words)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["[1, 2]", "[1]"], ["row 1 has 1 number where row 0 has 2"]),
        (["[1, 2]", "[1, x]"], ["row 1 of column 'v' holds 'x'"]),
        (["[1, 2]", "1, 2"], ["row 1 of column 'v' is '1, 2'", "[0.5, 1]"]),
        (["[1 2]", "[3 4]"], ["row 0 of column 'v' holds '1 2'"]),
        (["[[1, 2]]"], ["row 0 of column 'v'"]),
        (["[]", "[]"], ["row 0"]),
    ],
)
def test_bad_lists_in_text(cells, words):
    Path("X.csv").write_text("v\n" + "".join(f'"{cell}"\n' for cell in cells))
    fails("X.csv", *words)


@pytest.mark.parametrize(
    ("text", "shape", "names"),
    [
        ("doc1,.5,.25\ndoc2,.5,.75\n", (2, 2), "f1,f2"),
        ("id,0,1,2\n7,.5,.5,.5\n", (1, 3), "0,1,2"),
        ("id,1,2,3\n7,.5,.5,.5\n", (1, 3), "1,2,3"),
        ('"[1, 2]"\n"[3, 4]"\n', (2, 2), "f0"),
        ('1,"[1, 2]"\n2,"[3, 4]"\n', (2, 2), "f1"),
        ("id,1,2\n7,.5,.5\n", (2, 2), "f1,f2"),
    ],
)
def test_whether_the_first_line_names_columns(text, shape, names):
    """No row is ever taken for names: where it is in doubt, it is a row."""
    Path("X.csv").write_text(text)
    assert read("X.csv", columns=names.split(",")).X.shape == shape


def test_rows_from_elsewhere(monkeypatch):
    """Standard input and pipes, whose first bytes tell what they are."""
    monkeypatch.setattr(tempfile, "tempdir", os.getcwd())
    monkeypatch.setenv("TMPDIR", os.getcwd())
    commands = ["top-k", "-", "-k1", "--id", "id", "--column", "v", "-o", "out.csv", "--force"]
    for path, writer in WRITERS.items():
        writer(path, lists())
        with open(path) as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            assert main(commands) == 0
        assert Path("out.csv").read_text().splitlines()[4].startswith("doc3,doc7,1.0")
    Path("out.csv").unlink()
    process = [sys.executable, "-m", "unitdot", *commands]
    content = Path(path).read_bytes()
    result = subprocess.run(process, input=content, capture_output=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, b"")
    assert Path("out.csv").read_text().splitlines()[4].startswith("doc3,doc7,1.0")
    assert not list(Path().glob(".unitdot-*"))


def test_ids_in_results(capsys):
    write_parquet("X.parquet", columns())
    expected = unitdot.cosine_pairs(X, threshold=0.999)
    rows, others = ([IDS[i] for i in numbers] for numbers in expected[:2])
    arguments = ["pairs", "X.parquet", "--id", "id", "--threshold", "0.999"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert [line.split("\t")[:2] for line in printed.splitlines()] == [
        *map(list, zip(rows, others, strict=True))
    ]
    for suffix in (".npz", ".parquet"):
        assert main([*arguments, "-o", f"out{suffix}"]) == 0
    with np.load("out.npz") as archive:
        assert (archive["rows"].tolist(), archive["columns"].tolist()) == (rows, others)
    import pyarrow.parquet as pq

    assert pq.read_table("out.parquet")["rows"].to_pylist() == rows
    np.save("q.npy", X[5])  # one row
    assert main(["top-k", "X.parquet", "q.npy", "--id", "id", "-k", "1"]) == 0
    assert capsys.readouterr().out.startswith("0\tdoc5\t")


def test_ids_that_would_break_lines(capsys):
    write_parquet("X.parquet", columns(['a"b,c', "\x1b[2J\t\n", *IDS[2:]]))
    arguments = ["top-k", "X.parquet", "--id", "id", "-k", "1"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[:2]] == ['a"b,c', r"\x1b[2J\t\n"]
    assert main([*arguments, "-o", "out.csv"]) == 0
    import csv

    with open("out.csv", newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:3] == ['a"b,c', "\x1b[2J\t\n"]


def test_pairs_of_two_files(capsys):
    write_jsonl("X.jsonl", lists())
    write_csv("Y.csv", columns().rename_columns(["name", *NAMES]))
    arguments = ["pairs", "X.jsonl", "Y.csv", "--threshold", "0.999", "--id", "id", "--id", "name"]
    assert main(arguments) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    found = unitdot.cosine_pairs(X, X, threshold=0.999)
    assert [line[:2] for line in lines] == [
        [IDS[i], IDS[j]] for i, j in zip(found.rows, found.columns, strict=True)
    ]
    write_csv("Z.csv", columns().drop(["f3"]))
    assert main(["pairs", "X.jsonl", "Z.csv", "--drop", "id"]) == 2
    assert "Z.csv: has 3 features where X.jsonl has 4" in capsys.readouterr().err


def test_top_k_above_a_threshold(capsys):
    """Places that are left over: -1 or no id, and NaN; a k beyond the corpus is no mistake."""
    write_jsonl("X.jsonl", lists())
    arguments = ["top-k", "X.jsonl", "--threshold", "0.97", "-k", "50"]
    found = unitdot.cosine_top_k(X, k=50, threshold=0.97)
    none = found.indices < 0
    assert 0 < np.count_nonzero(~none[:, 0]) < len(X)
    assert main([*arguments, "-o", "out.npz"]) == 0
    with np.load("out.npz") as archive:
        assert_same_bits(archive["indices"], found.indices)
        assert_same_bits(archive["similarities"], found.similarities)
    assert main([*arguments, "--id", "id"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    ids = [["" if i < 0 else IDS[i] for i in row] for row in found.indices]
    assert [line[1::2] for line in lines] == ids
    assert {text for line in lines for text in line[2::2] if text.isalpha()} == {"nan"}


def test_one_batch_is_not_copied():
    """The rows of an Arrow file stay in it, and outlive its being closed."""
    table = pa.table({"v": pa.FixedSizeListArray.from_arrays(pa.array(normal(300_000)), 30)})
    with pa.ipc.new_file("X.arrow", table.schema) as writer:
        writer.write_table(table)
    before = pa.total_allocated_bytes()
    rows = read("X.arrow")
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert not rows.X.flags.writeable
    os.remove("X.arrow")
    assert_same_bits(rows.X, normal(300_000).reshape(-1, 30))


@pytest.mark.parametrize(
    ("suffix", "mapped"), [(".parquet", {}), (".feather", {"compression": "uncompressed"})]
)
def test_room_is_made_once(suffix, mapped, monkeypatch):
    """For as many rows as the files say, for all of them by their sizes."""
    asked = []
    expect = tables._Rows.expect
    monkeypatch.setattr(
        tables._Rows, "expect", lambda rows, n, part: asked.append(n) or expect(rows, n, part)
    )
    monkeypatch.setattr(tables, "BATCH", 40)
    for i in range(3):
        WRITERS[f"X{suffix}"](f"{i}{suffix}", columns().drop(["id"]), **mapped)
    assert_same_bits(read(f"0{suffix}").X, X)
    assert asked == [40]
    assert_same_bits(read(f"*{suffix}").X, np.concatenate([X] * 3))
    assert asked[1:] == [120]
