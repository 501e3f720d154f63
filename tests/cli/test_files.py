"""Files of vectors as the command line reads them, and results as it writes them."""

import io
import os
import pickle
import zipfile
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from unitdot._cli import files, output
from unitdot._cli.choose import InputError, Wanted
from unitdot._cli.output import Table
from unitdot._cli.sources import find

from ..helpers import assert_same_bits, normal

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow")
needs_scipy = pytest.mark.skipif(find_spec("scipy") is None, reason="needs SciPy")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")

X = normal((7, 3), np.float32)


class Exploding:
    """Whose unpickling is noticed."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "unpickled").exists()


def parquet(table, path="X.parquet", **keywords):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(table), path, **keywords)
    return Path(path)


def fixed_size_lists(array):
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def csv(text, encoding="utf-8"):
    Path("X.csv").write_bytes(text.encode(encoding))
    return Path("X.csv")


def read(path, **wanted):
    with ExitStack() as cleanup:
        return files.read(find(str(path), cleanup), Wanted(**wanted))


def matrix(path, column=None):
    return read(path, column=column).X


def fails(path, *words, name=None, **wanted):
    """Reading it (or `name`) is an error of one line that names the file and has these words."""
    with pytest.raises(InputError) as info:
        read(name or path, **wanted)
    message = str(info.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


class TestNpy:
    @pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "f8", ">f4"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_stays_on_the_disk(self, dtype, order):
        expected = np.asarray(np.abs(X) * 3, dtype=dtype, order=order)
        np.save("X.npy", expected)
        vectors = matrix("X.npy")
        assert isinstance(vectors, np.memmap)
        assert not vectors.flags.writeable
        assert vectors.dtype == expected.dtype
        np.testing.assert_array_equal(vectors, expected)

    def test_suffix_in_capitals(self):
        with open("X.NPY", "wb") as file:
            np.save(file, X)
        assert_same_bits(matrix("X.NPY"), X)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", ["NumPy array"]),
            (b"hello, world", ["magic"]),
            (b"\x93NUMPY\x01\x00", ["NumPy array"]),
            (b"\x93NUMPY\x09\x00" + bytes(200), ["NumPy array"]),
            (b"\x93NUMPY\x01\x00\x10\x00{'descr': __import", ["NumPy array"]),
            (pickle.dumps(Exploding()), ["magic"]),
        ],
    )
    def test_damaged(self, content, words):
        Path("X.npy").write_bytes(content)
        fails("X.npy", *words)

    @pytest.mark.parametrize(
        "shape",
        ["(7, 4)", "(10**9, 3)", "(1 << 62, 1 << 62)", "(4611686018427387904, 4)",
         "(18446744073709551617, 3)", "(-1, 3)", "(7, -3)", "(7.0, 3)", "'ab'"],
    )  # fmt: skip
    def test_header_that_lies(self, shape):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + X.tobytes()
        Path("X.npy").write_bytes(data)
        fails("X.npy")

    def test_every_truncation(self):
        np.save("whole.npy", X)
        whole = Path("whole.npy").read_bytes()
        for length in range(0, len(whole), 7):
            Path("X.npy").write_bytes(whole[:length])
            fails("X.npy")

    def test_objects_are_not_unpickled(self):
        np.save("X.npy", np.array([[Exploding()]], dtype=object))
        fails("X.npy", "objects")

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (X[0], ["shape (3,)", "rows"]),
            (X[None], ["shape (1, 7, 3)"]),
            (np.float64(1), ["shape ()"]),
            (X[:0], ["shape (0, 3)"]),
            (X[:, :0], ["shape (7, 0)"]),
            (X + 1j, ["complex64"]),
            (np.array([["a"]]), ["<U1"]),
            (np.zeros((2, 2), "f4,f4"), ["dtype"]),
            (np.zeros((2, 2), "M8[s]"), ["datetime64"]),
        ],
    )
    def test_not_a_matrix_of_numbers(self, array, words):
        np.save("X.npy", array)
        fails("X.npy", *words)


class TestNpz:
    def test_the_only_matrix(self):
        np.savez("X.npz", names=np.array(list("abcdefg")), vectors=X, scale=np.float32(1))
        assert_same_bits(matrix("X.npz"), X)

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_a_named_matrix(self, save):
        save("X.npz", a=X + 1, b=X)
        assert_same_bits(matrix("X.npz", "b"), X)
        fails("X.npz", "several", "'a', 'b'", "--column")
        fails("X.npz", "'c'", "'a', 'b'", column="c")

    def test_no_matrix(self):
        np.savez("X.npz", a=X[0])
        fails("X.npz", "no array", "'a'")
        fails("X.npz", "shape (3,)", column="a")
        np.savez("X.npz")
        fails("X.npz", "none")

    def test_objects_are_not_unpickled(self):
        np.savez("X.npz", a=np.array([[Exploding()]], dtype=object))
        fails("X.npz", "no array")
        fails("X.npz", "objects", column="a")

    def test_other_content(self):
        np.save("X.npy", X)
        for content in (b"", b"hello", Path("X.npy").read_bytes(), pickle.dumps(Exploding())):
            Path("X.npz").write_bytes(content)
            fails("X.npz", "NumPy arrays")
        with zipfile.ZipFile("X.npz", "w") as archive:
            archive.writestr("a.npy", b"hello")
        fails("X.npz", "magic")

    def test_truncated(self):
        np.savez("whole.npz", X)
        whole = Path("whole.npz").read_bytes()
        for length in range(0, len(whole), 37):
            Path("X.npz").write_bytes(whole[:length])
            fails("X.npz")

    def test_damaged_at_the_end(self):
        np.savez("X.npz", X)
        whole = Path("X.npz").read_bytes()
        for place in range(whole.index(b"PK\1\2"), len(whole)):
            for change in (1, 128):
                content = bytearray(whole)
                content[place] ^= change
                Path("X.npz").write_bytes(content)
                with suppress(InputError):  # some of it has no meaning
                    assert_same_bits(matrix("X.npz"), X)

    def test_damaged_in_the_middle(self):
        np.savez("X.npz", X)
        content = bytearray(Path("X.npz").read_bytes())
        content[content.index(X.tobytes()) + 5] ^= 1
        Path("X.npz").write_bytes(content)
        fails("X.npz", "CRC")

    def test_too_large(self, monkeypatch):
        np.savez_compressed("X.npz", np.zeros((1 << 14, 1 << 10)))
        assert os.path.getsize("X.npz") < 1 << 20
        monkeypatch.setattr(files.memory, "available_bytes", lambda: 1 << 26)
        with pytest.raises(MemoryError, match=r"^X.npz: .* 0\.1 GiB"):
            matrix("X.npz")

    def test_header_that_lies(self):
        member = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 10)}
        np.lib.format.write_array_header_1_0(member, header)
        with zipfile.ZipFile("X.npz", "w") as archive:
            archive.writestr("a.npy", member.getvalue() + X.tobytes())
        fails("X.npz", "1099511627776", "more than")


@needs_scipy
class TestSparse:
    @pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
    @pytest.mark.parametrize("kind", ["array", "matrix"])
    def test_becomes_csr(self, form, kind):
        import scipy.sparse as sp

        S = np.where(X > 0, X, 0)
        sp.save_npz("X.npz", getattr(sp, f"{form}_{kind}")(S))
        vectors = matrix("X.npz")
        assert isinstance(vectors, sp.csr_array)
        assert_same_bits(vectors.toarray(), S)

    @pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
    @pytest.mark.parametrize(
        "change",
        [
            {"indices": np.array([0, 1, 1 << 30])},
            {"indices": np.array([0, 1, -5])},
            {"indptr": np.array([0, 1, 2])},
            {"indptr": np.array([0, 3, 1, 3])},
            {"indptr": np.array([0, 1, 2, 1 << 40])},
            {"data": np.array([Exploding()] * 3, dtype=object)},
            {"format": np.array("zzz")},
            {"shape": np.array([2, 2])},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_hostile(self, form, change):
        import scipy.sparse as sp

        sp.save_npz("X.npz", sp.eye_array(3).asformat(form))
        with np.load("X.npz") as archive:
            members = dict(archive)
        np.savez("X.npz", **members | change)
        fails("X.npz", "sparse")

    def test_too_large(self):
        np.savez("X.npz", format="coo", row=[0], col=[0], data=[1.0], shape=(1 << 50, 1))
        with pytest.raises(MemoryError, match=r"^X.npz: "):
            matrix("X.npz")

    def test_strings(self):
        np.savez("X.npz", format="coo", row=[0], col=[0], data=["a"], shape=(1, 1))
        fails("X.npz")


@needs_pyarrow
class TestParquet:
    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i8"])
    @pytest.mark.parametrize("row_group_size", [2, 100])
    def test_lists(self, dtype, row_group_size):
        import pyarrow as pa

        expected = (X * 9).astype(dtype) if dtype[0] != "u" else np.abs(X * 9).astype(dtype)
        element = pa.from_numpy_dtype(expected.dtype)
        for kind in (pa.list_(element), pa.large_list(element)):
            columns = {"id": range(7), "v": pa.array(list(expected), kind)}
            path = parquet(columns, row_group_size=row_group_size)
            assert_same_bits(matrix(path), expected)
        path = parquet({"v": fixed_size_lists(expected)}, row_group_size=row_group_size)
        assert_same_bits(matrix(path), expected)

    def test_columns_of_numbers(self):
        path = parquet({"a": X[:, 0], "b": X[:, 1].astype(float), "c": X[:, 2]}, row_group_size=3)
        assert_same_bits(matrix(path), X.astype(float))

    def test_pandas(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(X, columns=list("abc"), index=[3, 1, 4, 1, 5, 9, 2])
        frame.to_parquet("X.parquet")
        assert_same_bits(matrix("X.parquet"), X)
        pd.DataFrame({"v": list(X)}).to_parquet("X.parquet")
        assert_same_bits(matrix("X.parquet"), X)

    def test_many_batches(self):
        many = normal((200_000, 2), np.float32)
        assert_same_bits(matrix(parquet({"v": fixed_size_lists(many)})), many)

    def test_choice(self):
        path = parquet({"a": list(X), "b": list(X + 1), "c": range(7)})
        assert_same_bits(matrix(path, "b"), X + 1)
        fails(path, "several", "'a', 'b'", "--column")
        fails(path, "'d'", "'a', 'b', 'c'", column="d")
        fails(path, "'c'", "int64", column="c")

    def test_a_column_that_is_no_number(self):
        fails(parquet({"a": X[:, 0], "name": list("abcdefg")}), "'name'", "string")

    @pytest.mark.parametrize("row_group_size", [1, 100])
    @pytest.mark.parametrize(
        ("column", "words"),
        [
            ([[1.0, 2.0], [3.0], [4.0]], ["row 1 has 1 number where row 0 has 2"]),
            ([[1.0, 2.0], None], ["row 1", "null"]),
            ([[1.0, 2.0], [3.0, None]], ["row 1", "null"]),
            ([1.0, None], ["row 1", "'v'", "null"]),
            ([[], []], ["shape (2, 0)"]),
        ],
    )
    def test_ragged_and_null(self, column, words, row_group_size):
        import pyarrow as pa

        dtype = pa.float32() if column[0] == 1.0 else pa.list_(pa.float32())
        path = parquet({"v": pa.array(column, dtype)}, row_group_size=row_group_size)
        fails(path, *words)

    def test_empty(self):
        fails(parquet({"v": fixed_size_lists(X)[:0]}), "has no rows")
        fails(parquet({}))

    def test_damaged(self):
        whole = parquet({"v": list(X)}, "whole.parquet").read_bytes()
        for length in range(0, len(whole), 41):
            Path("X.parquet").write_bytes(whole[:length])
            fails("X.parquet", "Parquet")
        for place in range(4, len(whole), 29):
            content = bytearray(whole)
            content[place] ^= 255
            Path("X.parquet").write_bytes(content)
            # readable where only a number or a name has changed
            with suppress(InputError):
                matrix("X.parquet")


def test_parquet_without_pyarrow(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    Path("X.parquet").write_bytes(b"PAR1")
    fails("X.parquet", "needs pyarrow", "pip install 'unitdot[files]'")
    with pytest.raises(InputError, match=r"^out.parquet: needs pyarrow"):
        output.check(Path("out.parquet"), False, [])


class TestCsv:
    @pytest.mark.parametrize(
        "text",
        [
            "1.0,2\n3,4.5\n",
            "a,b\n1.0,2.0\n3,4.5",
            '"a","b"\r\n"1.0","2."\r\n3,4.5\r\n',
            "\ufeffx,y\n1.,2.0\n\n3,+45e-1\n",
            "1. , 2.\n 3,4.5\n",
        ],
    )
    def test_numbers(self, text):
        assert_same_bits(matrix(csv(text)), np.array([[1, 2], [3, 4.5]]))

    def test_a_first_vector_that_counts_from_zero(self):
        assert_same_bits(matrix(csv("0.0,1.0,2.0\n")), np.array([[0.0, 1, 2]]))

    def test_bits_come_back(self):
        np.savetxt("X.csv", X, delimiter=",", fmt="%.9g")
        assert_same_bits(matrix("X.csv").astype(np.float32), X)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("1,2\n3\n", ["row 1 has 1 field;", "expected 2"]),
            ("a,b\n1,2\n\n3,4,5\n", ["row 1 has 3 fields", "expected 2"]),
            ("1,2\n3,x\n", ["'f1' holds strings: row 1 is 'x'"]),
            ("name,a\nfoo,1\n", ["'name' holds strings: row 0 is 'foo'"]),
            ("id,1\n3,4\n", ["'f0' holds strings: row 0 is 'id'"]),
            ("1.5,\n", ["row 0 of column 'f1' is null"]),
            ("1 2\n3 4\n", ["'1 2' holds strings: row 0 is '3 4'; expected numbers"]),
            ("0,1,2\n.5,.5,.5\n", ["line 1 counts", "header=False", "0.0"]),
            (",a,b\n0,.5,.5\n", ["column ''", "--drop ''", "--columns a,b"]),
            ("Unnamed: 0,a,b\n0,.5,.5\n", ["--drop 'Unnamed: 0'"]),
            ("0;1\n2;3\n", ["line 1 has ';'", "commas"]),
            ("0,5;1,5\n2,5;3\n", ["line 1 has '5;1'", "decimal points"]),
            ("a\tb\n0.5\t1\n", ["line 1 has '\\t'", "commas"]),
            ("", ["is empty"]),
            ("\n", ["has no rows"]),
            ("a,b\n", ["has no rows"]),
            ("a,a\n1.5,2.5\n", ["two columns 'a'"]),
            ("1.5,2\n\0,3\n", ["\\x00"]),
            ("1.5,2\n" + "x" * 1000 + ",3\n", ["row 1 is 'xxx"]),
            ("1.5,2.5\n" * 2000000 + "1.5,y\n", ["row 2000000 of column 'f1' is 'y'"]),
            ("1.5,2.5\n" * 2000000 + "1.5\n", ["row 2000000 has 1 field;"]),
        ],
    )
    def test_not_numbers(self, text, words):
        fails(csv(text), *words)

    def test_other_encodings(self):
        fails(csv("é,b\n1.5,2.5\n", "latin-1"), "utf-8")
        fails(csv("1.5,2.5\n", "utf-16"))


def test_suffixes():
    for name in ("X", "X.txt", "X.npy.gz", "X.gz", "X.json"):
        Path(name).touch()
        fails(
            name, ".npy, .npz, .csv, .tsv, .jsonl, .parquet, .arrow or .unitdot", "with .gz or .zst"
        )
    for name in ("X", "X.npy", "X.tsv", "X.csv.gz"):
        with pytest.raises(InputError, match=rf"^{name}: .*\.npz, \.parquet(,| or) \.csv"):
            output.check(Path(name), False, [])


@posix
def test_what_cannot_be_opened():
    for name in ("no.npy", "no.csv", "no.parquet"):
        with pytest.raises(FileNotFoundError):
            matrix(Path(name))
    os.mkdir("X.npz")
    fails("X.npz", "holds no file of vectors")


def table(n=5, dtype=np.float32):
    similarities = normal((n, 2), dtype)
    indices = np.arange(2 * n, dtype=np.int64).reshape(n, 2)
    columns = [np.arange(n), indices[:, 0], similarities[:, 0]]
    return Table({"similarities": similarities, "indices": indices}, ["row", "i", "s"], columns)


class TestWrite:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("n", [0, 1, 5, output.LINES + 1])
    def test_round_trips(self, n, dtype):
        written = table(n, dtype)
        for suffix in output.FORMATS:
            if suffix != ".parquet" or find_spec("pyarrow"):
                output.write(Path(f"out{suffix}"), written, False)
        with np.load("out.npz", allow_pickle=False) as archive:
            assert list(archive) == list(written.arrays)
            for name, array in written.arrays.items():
                assert_same_bits(archive[name], array)
        lines = Path("out.csv").read_text().splitlines()
        assert lines[0] == "row,i,s"
        assert len(lines) == n + 1
        for column, values in zip(
            written.columns,
            zip(*(line.split(",") for line in lines[1:]), strict=True),
            strict=False,
        ):
            assert_same_bits(np.array(values).astype(column.dtype), column)
        if find_spec("pyarrow"):
            import pyarrow.parquet as pq

            read = pq.read_table("out.parquet", memory_map=False)
            assert read.column_names == list(written.arrays)
            for name, array in written.arrays.items():
                values = read[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                assert_same_bits(values.reshape(array.shape), array)

    @posix
    def test_mode_is_the_umask_s(self):
        before = os.umask(0o027)
        try:
            output.write(Path("out.csv"), table(), False)
        finally:
            os.umask(before)
        assert os.stat("out.csv").st_mode & 0o777 == 0o640

    @pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
    @pytest.mark.parametrize("stage", ["fsync", "replace"])
    def test_failure_leaves_what_was_there(self, folder, monkeypatch, suffix, error, stage):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        path = folder / f"out{suffix}"
        path.write_text("before")

        def fail(*arguments):
            assert len(os.listdir(folder)) == 2
            raise error

        monkeypatch.setattr(os, stage, fail)
        with pytest.raises(error):
            output.write(path, table(), True)
        assert os.listdir(folder) == [path.name]
        assert path.read_text() == "before"

    def test_a_file_that_appears_during_the_work_stays(self, folder):
        path = folder / "out.csv"
        output.check(path, False, [])
        path.write_text("another's")
        with pytest.raises(InputError, match="--force"):
            output.write(path, table(), False)
        assert path.read_text() == "another's"
        assert os.listdir(folder) == ["out.csv"]

    def test_longest_name(self):
        path = Path("o" * 251 + ".csv")
        output.write(path, table(), False)
        assert path.exists()


class TestCheck:
    def test_existing(self):
        path = Path("out.csv")
        path.touch()
        with pytest.raises(InputError, match=r"^out.csv: exists; --force"):
            output.check(path, False, [])
        output.check(path, True, [])

    def test_folders(self):
        with pytest.raises(InputError, match=r"folder no does not exist"):
            output.check(Path("no/out.csv"), False, [])
        os.mkdir("out.csv")
        with pytest.raises(InputError, match="is a folder"):
            output.check(Path("out.csv"), True, [])

    def test_inputs_are_not_replaced(self):
        np.savez("X.npz", X)
        for path in (Path("X.npz"), Path("X.npz").absolute()):
            with pytest.raises(InputError, match="is an input"):
                output.check(path, True, [Path("X.npz")])

    @posix
    def test_symbolic_links_are_not_followed(self):
        Path("target.csv").write_text("target")
        link, dangling = Path("link.csv"), Path("dangling.csv")
        link.symlink_to("target.csv")
        dangling.symlink_to("no.csv")
        for path in (link, dangling):
            with pytest.raises(InputError, match="exists"):
                output.check(path, False, [])
            output.check(path, True, [])
            output.write(path, table(), True)
            assert not path.is_symlink()
        assert Path("target.csv").read_text() == "target"
        assert not Path("no.csv").exists()

    @posix
    def test_read_only_folder(self, monkeypatch):
        os.mkdir("closed", 0o500)
        # the superuser may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")
        with pytest.raises(InputError, match="closed cannot be written"):
            output.check(Path("closed/out.csv"), False, [])
