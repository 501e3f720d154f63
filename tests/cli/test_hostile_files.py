"""Files made to do harm: one line that names them, status 2, and little memory."""

import errno
import gzip
import io
import os
import re
import resource
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main
from unitdot._cli import files, output, tables
from unitdot._cli.choose import InputError

from ..helpers import normal, run_python
from .test_files import matrix

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow")
needs_scipy = pytest.mark.skipif(find_spec("scipy") is None, reason="needs SciPy")

MEMORY = 1 << 25  # bytes that refusing a file may take
X = normal((7, 3), np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = X.tobytes()


def npy(header, data=DATA, version=1, length=None):
    """The bytes of an .npy file with this header."""
    if isinstance(header, dict):
        header = repr({"descr": "<f4", "fortran_order": False, "shape": (7, 3)} | header).encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def npz(*members, compression=zipfile.ZIP_STORED):
    """The bytes of an archive of (name, content)s."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


GOOD = npy({})
SHAPES = [
    (1 << 40, 3), (1 << 62, 1 << 62), (1 << 64, 1), (-7, 3), (7, -3), (-7, -3), (-(1 << 70), 1),
    (0, 3), (7, 0), (7,), (7, 3, 1), (), (True, False),
]  # fmt: skip
HOSTILE = {
    **{f"shape {shape}.npy": npy({"shape": shape}) for shape in SHAPES},
    **{f"shape {shape}.npz": npz(("a.npy", npy({"shape": shape}))) for shape in SHAPES},
    "header longer than the file.npy": npy({}, version=2, length=0xFFFFFFFF),
    "header of 60 KB.npy": npy(b"{'descr': '<f4'," + b" " * 60000 + b"}"),
    "header of brackets.npy": npy(b"[" * 9000),
    "header that is a call.npy": npy(b"__import__('os').mkdir('called')"),
    "header not UTF-8.npy": npy(b"\xff\xfe{}", version=2),
    "version 3.npy": npy({}, version=3),
    "objects.npy": npy({"descr": "|O"}),
    "structured.npy": npy({"descr": [("a", "<f4"), ("b", "|O")]}),
    "text.npy": npy({"descr": "<U3"}),
    "voids.npy": npy({"descr": "|V99999999999"}),
    "unknown keys.npy": npy({"more": 1}),
    "header that unpacks to 64 MB.npz": npz(
        ("a.npy", npy(bytes(1 << 26), version=2)), compression=zipfile.ZIP_DEFLATED
    ),
    "the same name twice.npz": npz(("a.npy", GOOD), ("a", GOOD)),
    "no array.npz": npz(("a.npy", b"hello")),
    "name that leads outside.npz": npz(("../a.npy", npy({"descr": "|O"}))),
    "name of control characters.npz": npz(("\x1b[2J\n\r.npy", GOOD), ("b.npy", GOOD)),
    "folder.npz": npz(("a/", b"")),
    "not UTF-8.csv": b"1,2\n3,\xff\n",
    "UTF-16.csv": "1,2\n3,4\n".encode("utf-16"),
    "zero bytes.csv": b"1,2\n\0,\0\n",
    "a field of 1 MB.csv": b'"' + b"1" * (1 << 20) + b'",2\n',
    "open quotes.csv": b'1,2\n"3,4\n' * 3,
    "ragged.csv": b"1,2\n3\n",
    "a million columns.csv": b"1," * (1 << 20) + b"1\n",
    "a quote never closed.csv": b'1.5,2.5\n"' + b"x" * (1 << 24),
    "brackets in brackets.jsonl": b'{"v":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "brackets of many lines.jsonl": (b'{"v":' + b"[" * 90 + b"\n") * 1000,
    "a line without end.jsonl": b'{"v":[' + b"1," * (1 << 22),
    "not UTF-8.jsonl": b'{"v":[1,2]}\n{"\xff":1}\n{"\xff',
    "cut short.csv.gz": gzip.compress(b"1.5,2.5\n" * 1000)[:-9],
    "not packed.csv.zst": b"1.5,2.5\n",
    "not arrow.arrow": b"ARROW1" + b"\xff" * 100 + b"ARROW1",
    "schema of 2 GB.arrow": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(100),
    "not an archive.npz": b"PK\5\6" + bytes(18) + b"PK",
    "not parquet.parquet": b"PAR1" + b"\xff" * 100 + b"\x60\0\0\0PAR1",
    "footer longer than the file.parquet": b"PAR1" + bytes(50) + b"\xff\xff\xff\x7fPAR1",
}


def refuses(capsys, path, *words, status=2):
    """Both commands refuse it in one printable line that names it."""
    for command in ("top-k", "pairs"):
        assert main([command, str(path), "-o", "out.npz"]) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(rf"unitdot: error: .*{re.escape(str(path))}: .+\n", err)
        assert err[:-1].isprintable()
        for word in words:
            assert word in err
    assert not Path("out.npz").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(name, capsys):
    if not name.endswith((".npy", ".npz")):
        pytest.importorskip("pyarrow")
    path = Path(name)
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        refuses(capsys, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    assert os.listdir() == [name]


def test_header_as_long_as_a_huge_file(capsys):
    """Four GiB of header, all there, in a file that takes no room on the disk."""
    with open("X.npy", "wb") as file:
        file.write(npy(b"{", b"", version=2, length=0xFFFFFF00))
        file.truncate(5 << 30)
    tracemalloc.start()
    try:
        refuses(capsys, Path("X.npy"))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("claimed", [X.nbytes, 1 << 30])
def test_archive_that_lies_about_its_sizes(claimed, capsys):
    """The directory says as many bytes as the header promises; the member has far fewer."""
    header = npy({"shape": (claimed // 12, 3)}, b"")
    content = bytearray(npz(("a.npy", header)))
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = content.index(signature) + at
        content[place : place + 4] = struct.pack("<I", len(header) + claimed)
    Path("X.npz").write_bytes(content)
    refuses(capsys, Path("X.npz"))


@needs_scipy
@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 33, 3]},
        {"shape": [-7, 3]},
        {"shape": [7, 3, 1]},
        {"shape": [7.5, 3]},
        {"format": "lil"},
        {"format": "../csr"},
        {"format": [b"csr", b"csr"]},
        {"indices": [[0, 1]]},
        {"indptr": [0.0, 1.0]},
        {"_is_array": "maybe"},
        {"data": ["a", "b"]},
    ],
    ids=str,
)
def test_sparse(change, capsys):
    import scipy.sparse as sp

    sp.save_npz("X.npz", sp.csr_array(X))
    with np.load("X.npz") as archive:
        members = dict(archive)
    np.savez("X.npz", **members | {key: np.array(value) for key, value in change.items()})
    refuses(capsys, Path("X.npz"), "sparse") if "_is_array" not in change else main(
        ["top-k", "X.npz", "-k1"]
    )


def without_memory(monkeypatch):
    monkeypatch.setattr(files.memory, "available_bytes", lambda: 1 << 26)


@needs_scipy
def test_sparse_that_unpacks_to_more_than_there_is(capsys, monkeypatch):
    import scipy.sparse as sp

    n = 6_000_000
    with zipfile.ZipFile("X.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in {
            "format": np.array(b"csr"), "shape": np.array([1, n]), "indptr": np.array([0, n]),
            "data": np.zeros(n), "indices": np.arange(n),
        }.items():  # fmt: skip
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    assert sp.load_npz("X.npz").nnz == n
    without_memory(monkeypatch)
    refuses(capsys, Path("X.npz"), "memory", "0.1 GiB", status=1)


@needs_scipy
def test_sparse_with_more_rows_than_there_is_memory(capsys, monkeypatch):
    np.savez("X.npz", format="coo", row=[0], col=[0], data=[1.0], shape=(1 << 24, 1))
    without_memory(monkeypatch)
    refuses(capsys, Path("X.npz"), "memory", "16777216 rows", status=1)


@needs_pyarrow
def test_parquet_that_unpacks_to_more_than_there_is(capsys, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1 << 25, np.float32)), 1 << 24)
    pq.write_table(pa.table({"v": lists}), "X.parquet", compression="zstd")
    assert os.path.getsize("X.parquet") < 1 << 20
    without_memory(monkeypatch)
    before = pa.total_allocated_bytes()
    refuses(capsys, Path("X.parquet"), "memory", "0.1 GiB", status=1)
    assert pa.total_allocated_bytes() == before


@needs_pyarrow
def test_arrow_that_unpacks_to_more_than_there_is(capsys, monkeypatch):
    """pyarrow asks nobody before it unpacks: the process is kept from having more memory."""
    written = run_python("""
        import numpy as np
        import pyarrow as pa

        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1 << 28, np.float32)), 1 << 27)
        packed = pa.ipc.IpcWriteOptions(compression="zstd")
        batch = pa.record_batch({"v": lists})
        with pa.ipc.new_file("X.arrow", batch.schema, options=packed) as writer:
            writer.write_batch(batch)
    """)
    assert written.returncode == 0
    assert os.path.getsize("X.arrow") < 1 << 20
    monkeypatch.setattr(tables, "available_bytes", lambda: 1 << 26)
    before = resource.getrlimit(resource.RLIMIT_AS)
    refuses(capsys, Path("X.arrow"), "memory", status=1)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@needs_pyarrow
def test_arrow_whose_offsets_point_elsewhere(capsys):
    """Lists of one length, all of them beyond the numbers."""
    write_arrow("X.arrow")
    content = Path("X.arrow").read_bytes()
    offsets = np.array([0, 3, 6, 9], np.int32)
    assert offsets.tobytes() in content
    elsewhere = (offsets + (1 << 28)).tobytes()
    Path("X.arrow").write_bytes(content.replace(offsets.tobytes(), elsewhere))
    refuses(capsys, Path("X.arrow"), "offset")


@needs_pyarrow
@pytest.mark.parametrize("packed", [False, True])
def test_text_with_more_rows_than_there_is_memory(packed, capsys, monkeypatch):
    """What is not packed tells by its size, before it is read."""
    text = (b"0.5," * 999 + b"0.5\n") * 25_000
    path = Path("X.csv.gz" if packed else "X.csv")
    path.write_bytes(gzip.compress(text, 1) if packed else text)
    monkeypatch.setattr(files.memory, "available_bytes", lambda: 1 << 24)
    monkeypatch.setattr(files.memory, "UNCHECKED", 1 << 20)
    seen = []
    add = tables._Rows.add
    monkeypatch.setattr(tables._Rows, "add", lambda rows, *part: seen.append(add(rows, *part)))
    refuses(capsys, path, "memory", "rows of 1,000 numbers in float64", status=1)
    assert bool(seen) == packed


@needs_pyarrow
def test_a_pyarrow_that_unpickles_is_refused(capsys, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1.0]}), "X.parquet")
    monkeypatch.setattr(pa, "__version__", "14.0.0")
    refuses(capsys, Path("X.parquet"), "pyarrow 15", "14.0.0")


def write_sparse(path):
    import scipy.sparse as sp

    sp.save_npz(path, sp.csr_array(np.where(X > 0, X, 0)), compressed=False)


def write_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"v": list(X)}), path)


def write_arrow(path):
    import pyarrow as pa

    table = pa.table({"id": [str(i) for i in range(len(X))], "v": list(X)})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


WRITERS = {
    "X.arrow": write_arrow,
    "X.jsonl": lambda path: path.write_text(
        "".join(f'{{"id": {i}, "v": {row.tolist()}}}\n' for i, row in enumerate(X))
    ),
    "X.npy": lambda path: np.save(path, X),
    "X.npz": lambda path: np.savez(path, X),
    "S.npz": write_sparse,
    "X.parquet": write_parquet,
    "X.csv": lambda path: np.savetxt(path, X, delimiter=","),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", WRITERS)
def test_damaged_at_random(name, seed):
    """Bytes changed, cut out, doubled: refused by name, or numbers that can be computed with."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("scipy")
    path = Path(name)
    WRITERS[name](path)
    whole = path.read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            start = int(rng.integers(len(content)))
            stop = start + int(rng.integers(1, 9))
            new = [rng.bytes(stop - start), b"", b"\xff" * 8, content[start:stop] * 2]
            content[start:stop] = new[rng.integers(4)]
        path.write_bytes(content)
        vectors = None
        with refusing(name):
            vectors = matrix(path)
        if vectors is not None:
            with refusing("X"):
                unitdot.cosine_similarity(vectors, check_finite=False)


@contextmanager
def refusing(name):
    """Whatever happens inside, or an error that begins with the name."""
    try:
        yield
    except (ValueError, MemoryError) as error:
        if not str(error).startswith(name):
            raise


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_an_output_that_appears_at_the_last_moment_stays(links, monkeypatch):
    path = Path("out.csv")
    synchronise = os.fsync

    def another_writes(descriptor):
        path.write_text("another's")
        synchronise(descriptor)

    def no_links(*arguments):
        raise OSError(errno.EPERM, "no hard links")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    table = output.Table({}, ["a"], [np.arange(3)])
    output.write(path, table, False)
    assert path.read_text() == "a\n0\n1\n2\n"
    path.unlink()
    monkeypatch.setattr(os, "fsync", another_writes)
    with pytest.raises(InputError, match=r"^out.csv: exists; --force"):
        output.write(path, table, False)
    assert path.read_text() == "another's"
    assert os.listdir() == ["out.csv"]
