"""Files of vectors, read for the command line. Nothing is ever unpickled."""

import csv
import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from unitdot._cli import parquet
from unitdot._cli.choose import FORMATS, Array, InputError, choose, errors_name, known_suffix
from unitdot._machine import memory

Header = tuple[tuple[int, ...], np.dtype[Any]]

LONGEST_HEADER = 1 << 14  # bytes of an .npy header and what stands before it


def read(path: Path, column: str | None = None) -> Any:
    """Read a file of vectors, one a row.

    Parameters
    ----------
    path : Path
        Its suffix, a key of `FORMATS`, says how it is read.
    column : str, optional
        The array of an ``.npz`` or the column of a ``.parquet`` file that holds the vectors.
        Default: the only one that can.

    Returns
    -------
    ndarray or csr_array of shape (n_samples, n_features)
        Real numbers, at least one row and one column. Of an ``.npy`` file a read-only memmap:
        nothing has been read but its header.

    Raises
    ------
    InputError
        For any other file; the message names the file, and what was expected.
    OSError, MemoryError
        As the system has it.
    """
    suffix = known_suffix(path, FORMATS)
    vectors: Any
    with path.open("rb"), errors_name(path):  # opened for the system's own words, if it cannot be
        if not path.stat().st_size:
            raise InputError(f"is empty; expected {FORMATS[suffix]}")
        if suffix == ".npy":
            vectors = _read_npy(path)
        elif suffix == ".npz":
            vectors = _read_npz(path, column)
        elif suffix == ".parquet":
            vectors = parquet.read(path, column)
        else:
            vectors = _read_csv(path)
        if vectors.dtype.kind not in "biuf":
            raise InputError(f"holds dtype {vectors.dtype}; expected real numbers")
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise InputError(
                f"holds an array of shape {vectors.shape}; expected (rows, features), "
                f"at least one of each"
            )
    return vectors


def _read_npy(path: Path) -> Any:
    with path.open("rb") as file:
        _read_header(file)
    return np.lib.format.open_memmap(path, mode="r")


def _read_header(file: IO[bytes]) -> Header:
    """The header of an array; of no more bytes than NumPy's own headers have."""
    start = io.BytesIO(file.read(LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    reader = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if reader is None:
        raise InputError(f"is a NumPy array of format version {version}; expected 1.0 or 2.0")
    shape, _, dtype = reader(start)
    if any(length < 0 for length in shape):
        raise InputError(f"holds an array of shape {shape}; expected no negative length")
    return shape, dtype


def _read_npz(path: Path, column: str | None) -> Any:
    headers = _npz_headers(path)
    if {"format", "data", "shape"} <= headers.keys():  # as scipy.sparse.save_npz writes
        return _read_sparse(path, headers)
    matrices = [
        n for n, (shape, dtype) in headers.items() if len(shape) == 2 and dtype.kind in "biuf"
    ]
    name = choose(matrices, column, list(headers), "array")
    shape, dtype = headers[name]
    if dtype.hasobject:
        raise InputError(f"array {name!r} holds Python objects; expected real numbers")
    memory.empty(shape, dtype)  # an archive can be far smaller than what it unpacks to
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _npz_headers(path: Path) -> dict[str, Header]:
    """Shape and dtype of every array, which must be as large as that says."""
    headers: dict[str, Header] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                shape, dtype = _read_header(member)
            name = info.filename.removesuffix(".npy")
            size = math.prod(shape) * dtype.itemsize
            if size > info.file_size and not dtype.hasobject:
                raise InputError(
                    f"array {name!r} of shape {shape} in {dtype} has {size:,} bytes, "
                    f"more than the {info.file_size:,} that the file holds of it"
                )
            if name in headers:
                raise InputError(f"has two arrays {name!r}; expected one of each name")
            headers[name] = shape, dtype
    return headers


def _read_sparse(path: Path, headers: dict[str, Header]) -> Any:
    """What `scipy.sparse.save_npz` wrote, by its own reader: it does not unpickle either."""
    import scipy.sparse

    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
    memory.check(size, "the sparse matrix")
    matrix = scipy.sparse.load_npz(path)
    if hasattr(matrix, "check_format"):
        # SciPy's own routines trust the indices: bad ones would be written out of bounds
        matrix.check_format(full_check=True)
    memory.check(8 * matrix.shape[0], f"the sparse matrix of {matrix.shape[0]} rows")
    return scipy.sparse.csr_array(matrix)


def _read_csv(path: Path) -> Array:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    header = bool(first) and not any(map(_is_numeral, first))
    if len(first) == 1 and (mark := next((mark for mark in ";\t" if mark in first[0]), "")):
        raise InputError(f"line 1 has {mark!r} and no comma; expected commas between numbers")
    if len(first) > 1 and first == [str(i) for i in range(len(first))]:
        raise InputError(
            f"line 1 counts from 0 to {len(first) - 1}, as pandas numbers columns; expected "
            f"names of columns, or vectors only (DataFrame.to_csv: header=False, index=False); "
            f"if it is a vector, write its zero as 0.0"
        )
    if header and not first[0]:
        raise InputError(
            "line 1 has no name for column 1, as pandas writes its index; expected columns of "
            "vectors only (DataFrame.to_csv: index=False)"
        )
    try:
        return np.loadtxt(
            path, delimiter=",", comments=None, quotechar='"', skiprows=int(header),
            ndmin=2, encoding="utf-8-sig",
        )  # fmt: skip
    except ValueError as error:
        raise _bad_line(path, header) or error from error


def _bad_line(path: Path, header: bool) -> InputError | None:
    """The error for the first line that is not as many numbers as the first has."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        if header:
            next(lines)
        n_features = None
        for fields in filter(None, lines):
            n_features = n_features or len(fields)
            if len(fields) != n_features:
                return InputError(
                    f"line {lines.line_num} has {len(fields)} fields; expected {n_features}, "
                    f"as in the lines before"
                )
            for place, field in enumerate(fields, 1):
                if not _is_numeral(field):
                    hint = ", with a decimal point, and commas between numbers" * (";" in field)
                    return InputError(
                        f"line {lines.line_num}, field {place} is {field[:40]!r}; "
                        f"expected a number{hint}"
                    )
    return None


def _is_numeral(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
