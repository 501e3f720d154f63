"""Files of vectors, read for the command line. Nothing is ever unpickled."""

import io
import math
import zipfile
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from unitdot import CosineIndex, _inputs
from unitdot._cli import tables
from unitdot._cli.choose import Array, InputError, Wanted, choose, errors_name, missing
from unitdot._cli.sources import Source
from unitdot._frames.tensors import BFLOAT16
from unitdot._machine import memory

Header = tuple[tuple[int, ...], np.dtype[Any]]

LONGEST_HEADER = 1 << 14  # bytes of an .npy header and what stands before it
WRITTEN_BFLOAT16 = np.dtype("V2")  # what NumPy writes of a type that it does not know


class Rows(NamedTuple):
    """The vectors of one side.

    Attributes
    ----------
    name : str
        What the user calls them.
    X : ndarray or csr_array of shape (n_rows, n_features)
        Real numbers, at least one row and one column. Of one ``.npy`` file a read-only memmap:
        nothing has been read but its header.
    ids : ndarray of shape (n_rows,), or None
        Integers, or strings as objects; all different.
    features : list of str
        Of a table: the column that the rows are in, or those that the features are in.
    sources : sequence of Source
        The files, of one format.
    starts : list of int
        The number of the first row of each file.
    opened : CosineIndex or None
        Of one ``.unitdot`` file: what holds the rows.
    """

    name: str
    X: Any
    ids: Array | None
    features: list[str]
    sources: Sequence[Source]
    starts: list[int]
    opened: CosineIndex | None = None

    def place(self, row: int) -> str:
        """The row for an error: in the file that it is in, and its id."""
        file = next(i for i in reversed(range(len(self.starts))) if self.starts[i] <= row)
        place = f"row {row - self.starts[file]}"
        if len(self.sources) > 1:
            place += f" of {self.sources[file].name}"
        return place if self.ids is None else f"{place} (id {self.ids[row]!s})"


def read(
    found: Sequence[Source],
    wanted: Wanted | None = None,
    like: Rows | None = None,
    vector: bool = False,
    name: str | None = None,
) -> Rows:
    """Read vectors, one a row.

    Parameters
    ----------
    found : sequence of Source
        Files of one format.
    wanted : Wanted, optional
        Which columns. Default: the only ones that can hold the vectors.
    like : Rows, optional
        The other side, whose features come in the same order if they are the same.
    vector : bool
        Whether an array may have one axis: a row.
    name : str, optional
        What the user calls them. Default: the name of the first.

    Raises
    ------
    InputError
        The message names the file, and what was expected.
    OSError, MemoryError
        As the system has it.
    """
    wanted = wanted or Wanted()
    for source in found:
        if not source.path.stat().st_size:
            raise InputError(f"{source.name}: is empty; expected {source.what}")
    if found[0].suffix == ".unitdot" and not found[1:]:
        opened = _open(found[0])
        return Rows(name or found[0].name, *_of_index(opened, found[0]), [], found, [0], opened)
    if found[0].suffix not in (".npy", ".npz", ".unitdot"):
        X, ids, features, starts = tables.read(found, wanted, like.features if like else ())
        _check(X, found[0])
    else:
        parts = [_read_arrays(source, wanted, vector) for source in found]
        X = _below(found, [part[0] for part in parts])
        ids = None if parts[0][1] is None else [i for part in parts for i in part[1]]
        lengths = [part[0].shape[0] for part in parts]
        features, starts = [], [sum(lengths[:i]) for i in range(len(found))]
    rows = Rows(name or found[0].name, X, None, features, found, starts)
    return rows if ids is None else rows._replace(ids=_checked(ids, rows))


def _checked(ids: Sequence[Any], rows: Rows) -> Array:
    """Ids as an array: of integers, if all are numerals of some, as in a file of text."""
    first: dict[Any, int] = {}
    for row, value in enumerate(ids):
        other = first.setdefault(value, row)
        if other != row:
            raise InputError(
                f"{rows.name}: {rows.place(other)} and {rows.place(row)} share the id {value!r}; "
                f"expected ids that differ"
            )
    try:
        numbers: Array = np.array([int(value) for value in ids], np.int64)
    except (ValueError, OverflowError):
        numbers = np.empty(0)
    if list(map(str, numbers.tolist())) == list(map(str, ids)):
        return numbers
    texts = np.empty(len(ids), object)
    texts[:] = [*map(str, ids)]
    return texts


def _read_arrays(source: Source, wanted: Wanted, vector: bool) -> tuple[Any, Any]:
    """The matrix of an array file, and ids of an archive."""
    with errors_name(source.name, source.what):
        if source.suffix == ".npy":
            X, ids = _read_npy(source), None
        elif source.suffix == ".unitdot":
            X, ids = _of_index(_open(source), source)
        else:
            X, ids = _read_npz(source, wanted)
        if X.dtype == WRITTEN_BFLOAT16:
            X = X.view(BFLOAT16)
        if vector and X.ndim == 1:
            X = X[None]
    _check(X, source)
    if ids is not None and ids.shape != X.shape[:1]:
        raise InputError(
            f"{source.name}: array {wanted.id!r} has the shape {ids.shape}; "
            f"expected {X.shape[:1]}, an id a row"
        )
    return X, None if ids is None else ids.tolist()


def _check(X: Any, source: Source) -> None:
    if X.dtype.kind not in "biuf" and X.dtype != BFLOAT16:
        raise InputError(f"{source.name}: holds dtype {X.dtype}; expected real numbers")
    if X.shape == (0, 0):
        raise InputError(f"{source.name}: has no rows; expected at least one")
    if X.ndim != 2 or 0 in X.shape:
        raise InputError(
            f"{source.name}: holds an array of shape {X.shape}; expected (rows, features), "
            f"at least one of each"
        )


def _below(found: Sequence[Source], parts: list[Any]) -> Any:
    """Matrices one below the other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for source, part in zip(found, parts, strict=True):
        if (part.shape[1], part.dtype, type(part)) != (first.shape[1], first.dtype, type(first)):
            raise InputError(
                f"{source.name}: has {_inputs.counted(part.shape[1])} in {part.dtype} where "
                f"{found[0].name} has {first.shape[1]} in {first.dtype}; expected the same"
            )
    if not isinstance(first, np.ndarray):
        import scipy.sparse

        return scipy.sparse.vstack(parts, format="csr")
    n_rows = sum(len(part) for part in parts)
    whole = memory.empty((n_rows, first.shape[1]), first.dtype)
    return np.concatenate(parts, out=whole)


def _read_npy(source: Source) -> Any:
    with source.path.open("rb") as file:
        _read_header(file)
    return np.lib.format.open_memmap(source.path, mode="r")


def _open(source: Source) -> CosineIndex:
    with errors_name(source.name, source.what):
        try:
            return CosineIndex.open(source.path)
        except ValueError as error:
            raise InputError(str(error).removeprefix(f"{source.path}: ")) from error


def _of_index(index: CosineIndex, source: Source) -> tuple[Any, Any]:
    """Its rows and ids."""
    with errors_name(source.name, source.what):
        X, ids = index[:], index.ids
    _check(X, source)
    return X, ids


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


def _read_npz(source: Source, wanted: Wanted) -> tuple[Any, Any]:
    """The matrix, and the array of ids if one is wanted."""
    headers = _npz_headers(source)
    ids = None
    if wanted.id in headers:
        ids = _load(source, headers, wanted.id)
        if ids.dtype.kind not in "iuU":
            raise InputError(f"array {wanted.id!r} holds {ids.dtype}; expected integers or strings")
    elif wanted.id is not None and wanted.strict:
        raise missing(wanted.id, list(headers), "array")
    if {"format", "data", "shape"} <= headers.keys():  # as scipy.sparse.save_npz writes
        return _read_sparse(source, headers), ids
    matrices = [
        name
        for name, (shape, dtype) in headers.items()
        if len(shape) == 2 and (dtype.kind in "biuf" or dtype == WRITTEN_BFLOAT16)
    ]
    name = choose(matrices, wanted.column, list(headers), "array")
    return _load(source, headers, name), ids


def _load(source: Source, headers: dict[str, Header], name: str) -> Array:
    shape, dtype = headers[name]
    if dtype.hasobject:
        raise InputError(f"array {name!r} holds Python objects; expected real numbers")
    memory.empty(shape, dtype)  # an archive can be far smaller than what it unpacks to
    with np.load(source.path, allow_pickle=False) as archive:
        array: Array = archive[name]
    return array


def _npz_headers(source: Source) -> dict[str, Header]:
    """Shape and dtype of every array, which must be as large as that says."""
    headers: dict[str, Header] = {}
    with zipfile.ZipFile(source.path) as archive:
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


def _read_sparse(source: Source, headers: dict[str, Header]) -> Any:
    """What `scipy.sparse.save_npz` wrote, by its own reader: it does not unpickle either."""
    import scipy.sparse

    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
    memory.check(size, "the sparse matrix")
    matrix = scipy.sparse.load_npz(source.path)
    if hasattr(matrix, "check_format"):
        # SciPy's own routines trust the indices: bad ones would be written out of bounds
        matrix.check_format(full_check=True)
    memory.check(8 * matrix.shape[0], f"the sparse matrix of {matrix.shape[0]} rows")
    return scipy.sparse.csr_array(matrix)
