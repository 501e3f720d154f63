"""Files of an index: whole or not there, read where they lie, and never trusted."""

import errno
import json
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib

import numpy as np
import pytest

import unitdot
from tests.helpers import LAYOUTS, assert_same_bits, normal, run_python
from tests.index import data
from unitdot import _index_file

PREAMBLE = struct.Struct("<8sI4sQQI24sI")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "corpus.unitdot"


def saved(path, kind="float32", n=4, ids=("a", "bb", "", "d\N{SNOWMAN}")):
    index = unitdot.CosineIndex(data.rows(n, kind=kind), ids=ids)
    index.save(path)
    return index


def table_of(path):
    content = path.read_bytes()
    length = PREAMBLE.unpack(content[:64])[3]
    return json.loads(content[64 : 64 + length])


def rewritten(path, header, size=None, preamble=None):
    """The file with another header, whose checksums are right."""
    content = path.read_bytes()
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    first = min((entry["offset"] for entry in table_of(path)["arrays"]), default=len(content))
    assert 64 + len(header) <= first
    fields = list(PREAMBLE.unpack(content[:64]))
    fields[3:6] = len(header), size or len(content), zlib.crc32(header)
    for place, value in (preamble or {}).items():
        fields[place] = value
    fields[7] = zlib.crc32(PREAMBLE.pack(*fields)[:-4])
    start = PREAMBLE.pack(*fields) + header
    path.write_bytes(start.ljust(first, b"\0") + content[first:])


def error_of(path, verify=False):
    """What is wrong with the file, in the words of the error, which names it."""
    with pytest.raises(ValueError, match=r".") as raised:
        unitdot.CosineIndex.open(path, verify=verify)
    words = str(raised.value)
    assert words.startswith(f"{path}: ")
    return words.removeprefix(f"{path}: ")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_any_layout_are_written_in_order(layout, path):
    Y = LAYOUTS[layout](normal((70, 24), np.float32))
    unitdot.CosineIndex(Y, copy=False).save(path)
    index = unitdot.CosineIndex.open(path, verify=True)
    data.assert_same_answers(index, Y, data.queries())


def test_what_is_documented(path):
    """As docs/search.md describes it, with nothing of the package."""
    Y = data.rows(5)
    unitdot.CosineIndex(Y, ids=[5, 4, 3, 2, 1]).save(path)
    content = path.read_bytes()
    magic, version, order, length, size, checksum, zeros, own = PREAMBLE.unpack(content[:64])
    assert (magic, version, order) == (b"\x89unitdot", 1, b"<   ")
    assert (size, zeros) == (len(content), bytes(24))
    assert own == zlib.crc32(content[:60])
    header = content[64 : 64 + length]
    assert checksum == zlib.crc32(header)
    facts = json.loads(header)
    arrays = {}
    for entry in facts.pop("arrays"):
        part = content[entry["offset"] :][: entry["bytes"]]
        assert entry["offset"] % 64 == 0
        assert entry["crc32"] == f"{zlib.crc32(part):08x}"
        arrays[entry["name"]] = np.frombuffer(part, entry["dtype"]).reshape(entry["shape"])
    assert facts == {"rows": "dense", "shape": [5, 24], "looked_at": 5, "ids": "int"}
    assert_same_bits(arrays["rows"], Y)
    assert arrays["ids"].tolist() == [5, 4, 3, 2, 1]


def test_large_arrays_begin_with_a_page(path):
    unitdot.CosineIndex(normal((4096, 16))).save(path)
    assert table_of(path)["arrays"][0]["offset"] % 4096 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="counts page faults")
def test_opening_reads_the_header_alone(path):
    unitdot.CosineIndex(np.ones((1 << 14, 256)), ids=range(1 << 14)).save(path)
    done = run_python(
        f"""
        import resource, unitdot
        def faults():
            used = resource.getrusage(resource.RUSAGE_SELF)
            return used.ru_minflt + used.ru_majflt
        unitdot.CosineIndex.open({str(path)!r})
        before = faults()
        index = unitdot.CosineIndex.open({str(path)!r})
        index.ids, index.shape, repr(index)
        assert faults() - before < 100, faults() - before  # of 8192 pages
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_exists_is_kept_unless_it_may_be_replaced(path):
    index = saved(path)
    before = path.read_bytes()
    index.add(data.rows(1), "more")
    with pytest.raises(FileExistsError) as raised:
        index.save(path)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before
    opened = unitdot.CosineIndex.open(path)
    index.save(path, overwrite=True)
    assert len(unitdot.CosineIndex.open(path)) == 5
    data.assert_same_answers(opened, data.rows(4), data.queries())  # the old file, still
    opened.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")
def test_a_full_disk_leaves_what_was_there(path):
    saved(path)
    before = path.read_bytes()
    done = run_python(
        f"""
        import resource, signal, unitdot, numpy as np
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        index = unitdot.CosineIndex(np.ones((10_000, 8)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            index.save({str(path)!r}, overwrite=True)
        except OSError as error:
            print(error.errno, error.filename)
        """
    )
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} {path}\n", "")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.parametrize("overwrite", [True, False])
def test_killed_while_saving(path, overwrite):
    """The old file or the new one; without an old one none, or the new one."""
    code = f"""
        import numpy as np, unitdot
        from pathlib import Path
        index = unitdot.CosineIndex(np.ones((20_000, 64)))
        path = Path({str(path)!r})
        while True:
            print("saving", flush=True)
            index.save(path, overwrite={overwrite})
            if not {overwrite}:
                path.unlink()
        """
    old = saved(path) if overwrite else None
    lengths, rng = set(), random.Random(0)
    for _ in range(5):
        command = [sys.executable, "-c", textwrap.dedent(code)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            for _ in range(rng.randint(1, 2)):
                assert run.stdout.readline() == "saving\n"
            time.sleep(0.03 * rng.random())
            run.send_signal(signal.SIGKILL)
        try:
            lengths.add(len(unitdot.CosineIndex.open(path, verify=True)))
            path.unlink()
        except FileNotFoundError:
            assert not overwrite
        if overwrite:
            old.save(path, overwrite=True)
    assert lengths <= ({4, 20_000} if overwrite else {20_000})


ALTERED = """
    import faulthandler, sys, numpy as np, unitdot
    faulthandler.enable()
    path, kind, verify = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
    from pathlib import Path
    content = bytearray(Path(path).read_bytes())
    X = np.linspace(-1, 1, 48).astype("float32").reshape(2, 24)

    def answers():
        index = unitdot.CosineIndex.open(path, verify=verify)
        some = index[[0, 2]]
        some = some if isinstance(some, np.ndarray) else some.toarray()
        found = index.top_k(X, 3), index.pairs(threshold=0.1), index.pairs(X, threshold=0.1)
        arrays = [array for one in found for array in one]
        arrays += [index.similarity(X), some, np.array(index.ids, "U")]
        return [(array.dtype, array.shape, array.tobytes()) for array in arrays]

    def put(at, byte):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([byte]))

    right, refused = answers(), 0
    for at in range(len(content)):
        put(at, content[at] ^ (1 << at % 8) if at % 3 else 255 - content[at])
        try:
            found = answers()
            assert found == right or not verify, f"byte {at} changes the answer"
        except ValueError as error:
            refused += 1
            if verify:
                assert path in str(error), (at, error)
        put(at, content[at])
    print(refused, len(content))
"""


@pytest.mark.costly
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float64", "int8", "sparse32"])
def test_every_byte_altered_in_turn(kind, verify, path):
    """An error, or the same answer; without `verify` nothing worse than another answer."""
    saved(path, kind)
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(ALTERED)]
    environment = os.environ | {"UNITDOT_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(path), kind, str(verify)], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    refused, size = map(int, done.stdout.split())
    used = 64 + len(json.dumps(table_of(path)))
    used += sum(entry["bytes"] for entry in table_of(path)["arrays"])
    # what is none of these are the zeros between arrays
    assert used == refused <= size if verify else 0 < refused < used


def test_every_length_but_its_own_is_refused(path):
    saved(path)
    content = path.read_bytes()
    for length in {*range(80), *range(0, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        assert ("is cut" if length >= 8 else "expected an index") in error_of(path)
    path.write_bytes(content + b"\0")
    assert "has 1 bytes more than" in error_of(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; expected an index that CosineIndex.save wrote"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}".ljust(200), "does not begin as one"),
        (pickle.dumps(print), "does not begin as one"),
        (b"\x89UNITDOT".ljust(100, b"\0"), "does not begin as one"),
    ],
)
def test_foreign_files(content, words, path):
    path.write_bytes(content)
    assert words in error_of(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.unitdot"):
        unitdot.CosineIndex.open(tmp_path / "none.unitdot")
    with pytest.raises(IsADirectoryError):
        unitdot.CosineIndex.open(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (1, 2, r"is of version 2 of the format; expected 1; read it with a newer unitdot"),
        (1, 0, "is of version 0"),
        (2, b">   ", "was written on a machine of byte order big; expected little"),
        (2, b"!!!!", "byte order unknown"),
        (3, 1 << 63, "has a table of 9,223"),
        (3, (1 << 20) + 1, "has a table of 1,048,577 bytes"),
        (4, 1 << 62, "is cut: it has"),
        (5, 0, "is altered in its table of arrays"),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="what is another byte order")
def test_hostile_first_bytes(field, value, words, path):
    saved(path)
    rewritten(path, table_of(path), preamble={field: value})
    assert words in error_of(path)


def hostile(change):
    """A parameter: what is done to the table, and its text in the test's name."""
    return pytest.param(change, id=change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("first['offset'] += 1", "expected a multiple of 64"),
        ("first['offset'] = 0", "array 'rows' at bytes 0 to"),
        ("first['offset'] = 1 << 40", "array 'rows' at bytes 1099511627776"),
        ("first['offset'] = -64", "of shape [4, 24], 384 bytes at offset -64"),
        ("first['offset'] = (1 << 64) - 64", "of shape [4, 24]"),
        ("first['offset'] = 1e3", "at offset 1000.0"),
        ("first['offset'] = True", "at offset True"),
        ("second['offset'] = first['offset'] + 64", "that share bytes"),
        ("first['bytes'] = 383", "in float32 and 383 bytes"),
        ("first.update(shape=[1 << 47, 1 << 47], bytes=0)", "in float32 and 0 bytes"),
        ("first.update(shape=[1 << 32, 1 << 32], bytes=0)", "in float32 and 0 bytes"),
        ("first.update(shape=[0, 1 << 61], bytes=0)", "of shape [0, 2305843009213693952]"),
        ("first.update(shape=[4, 24, 1])", "in float32 and 384 bytes"),
        ("first.update(shape=[-4, -24])", "of shape [-4, -24]"),
        ("first.update(shape=384)", "of shape 384"),
        ("first.update(dtype='object')", "dtype 'object'"),
        ("first.update(dtype='>f4')", "dtype '>f4'"),
        ("first.update(dtype=['f4'])", "dtype ['f4']"),
        ("first.update(dtype='int32')", "array 'norm2' has shape (4,) in float32; expected"),
        ("first.update(name=second['name'])", "two arrays of one name"),
        ("first.update(name=5)", "an array with name 5"),
        ("first.update(name='other')", "has no array 'rows'"),
        ("first.clear()", "an array with name None"),
        ("arrays[0] = 5", "an array with name None"),
        ("del arrays[0]", "has no array 'rows'"),
        ("facts['arrays'] = {}", "it is no list"),
        ("del facts['arrays']", "cannot be read: 'arrays'"),
        ("facts['shape'] = [1_000_000, 24]", "array 'rows' is float32 of shape (4, 24)"),
        ("facts['shape'] = [4, 0]", "expected features"),
        ("facts['shape'] = [4.0, 24]", "expected two integers"),
        ("facts['shape'] = [4]", "expected two integers"),
        ("facts['shape'] = [-4, 24]", "holds rows of shape"),
        ("facts['looked_at'] = None", "holds rows of shape"),
        ("facts['rows'] = 'sparse'", "has no array 'values'"),
        ("facts['rows'] = ['dense']", "holds rows ['dense']"),
        ("facts['ids'] = 'int'", "has no array 'ids'"),
        ("facts['ids'] = 7", "with ids 7"),
    ],
)
def test_hostile_tables(change, words, path):
    saved(path)
    facts = table_of(path)
    arrays = facts["arrays"]
    exec(change, {"facts": facts, "arrays": arrays, "first": arrays[0], "second": arrays[1]})
    rewritten(path, facts)
    assert words in error_of(path)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"[" * 100_000, b'{"arrays": ' + b"9" * 10_000 + b"}", b"null", b"[]", b"\xff\xfe",
        b'{"arrays": [' + b"{}," * 10_000 + b"{}]}", b'{"arrays": NaN}',
    ],
)  # fmt: skip
def test_hostile_text_in_place_of_the_table(header, path):
    unitdot.CosineIndex(np.ones((70_000, 4))).save(path)
    content = path.read_bytes()
    start = struct.pack("<8sI4sQQI24s", b"\x89unitdot", 1, content[12:16], len(header),
                        len(content), zlib.crc32(header), b"")  # fmt: skip
    start += struct.pack("<I", zlib.crc32(start))
    path.write_bytes((start + header).ljust(len(content), b"\0")[: len(content)])
    assert "table of arrays that cannot be read" in error_of(path) or b"{}," in header


@pytest.mark.parametrize(
    ("name", "at", "value", "words"),
    [
        ("ids_ends", 0, 5, "array 'ids_ends' does not ascend"),
        ("ids_ends", 3, 1 << 40, "array 'ids_ends' does not ascend"),
        ("ids_ends", 0, -1, "array 'ids_ends' does not ascend"),
        ("ids_text", 0, 255, "array 'ids_text' is not UTF-8"),
        ("ids_text", 1, ord("a"), None),
    ],
)
def test_hostile_ids(name, at, value, words, path):
    """They are read when they are asked for, and `verify` asks."""
    saved(path, ids=["a", "b", "", "d"])
    facts = table_of(path)
    entry = next(entry for entry in facts["arrays"] if entry["name"] == name)
    content = bytearray(path.read_bytes())
    array = np.frombuffer(content, entry["dtype"], entry["shape"][0], entry["offset"])
    array[at] = value
    entry["crc32"] = f"{zlib.crc32(array.tobytes()):08x}"
    path.write_bytes(content)
    rewritten(path, facts)
    if words is None:
        assert "holds 'a' in rows 0 and 1" in error_of(path, verify=True)
        return
    assert words in error_of(path, verify=True)
    index = unitdot.CosineIndex.open(path)
    with pytest.raises(ValueError, match=words) as raised:
        index.ids  # noqa: B018
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("name", ["indices", "starts"])
def test_hostile_rows(name, path):
    """The kernels read where the indices say: not before these have been checked."""
    saved(path, "sparse32", ids=None)
    facts = table_of(path)
    entry = next(entry for entry in facts["arrays"] if entry["name"] == name)
    content = bytearray(path.read_bytes())
    np.frombuffer(content, np.int32, entry["shape"][0], entry["offset"])[2] = 1 << 30
    path.write_bytes(content)
    index = unitdot.CosineIndex.open(path)
    for search in (lambda: index[0], lambda: index.top_k(k=1), lambda: index.remove(0)):
        with pytest.raises(ValueError, match="not a valid sparse matrix") as raised:
            search()
        assert str(path) in str(raised.value)


def test_an_opened_index_travels_as_its_path(path, monkeypatch):
    index = saved(path, n=400, ids=range(400))
    monkeypatch.chdir(path.parent)
    opened = unitdot.CosineIndex.open(path.name)
    assert repr(opened).endswith(f"path={str(path)!r})")
    assert len(pickle.dumps(opened)) < 1000 < len(pickle.dumps(index))
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(opened))
    assert repr(again) == repr(opened)
    kept = pickle.dumps(opened)
    opened.add(data.rows(1), [400])  # is that of the file no more
    more = pickle.loads(pickle.dumps(opened))
    assert (len(more), repr(more)) == (401, repr(opened))
    opened.save(path, overwrite=True)
    with pytest.raises(ValueError, match="is not the file any more"):
        pickle.loads(kept)


@pytest.mark.parametrize("kind", ["float32", "sparse64"])
def test_joblib(kind, tmp_path):
    joblib = pytest.importorskip("joblib")
    Y = data.rows(500, kind=kind)
    index = unitdot.CosineIndex(Y, ids=[f"id {i}" for i in range(500)])
    joblib.dump(index, tmp_path / "index.joblib")
    index = joblib.load(tmp_path / "index.joblib", mmap_mode="r")
    assert index.ids[499] == "id 499"
    data.assert_same_answers(index, Y, data.queries(kind=kind))


def test_tables_are_no_longer_than_is_read():
    """Room is left for the table before it is known."""
    name, dtype = "prepared." + "x" * 30, max(_index_file.DTYPES, key=len)
    entry = {"name": name, "dtype": dtype, "shape": [(1 << 48) - 1] * 2, "crc32": "0" * 8}
    entry |= {"offset": (1 << 48) - 1, "bytes": (1 << 48) - 1}
    assert len(json.dumps(entry)) + 2 <= _index_file.ENTRY
