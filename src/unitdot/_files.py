"""Files of vectors, read for the command line. Nothing is ever unpickled."""

import csv
import errno
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unitdot import _memory

Array = npt.NDArray[Any]
Header = tuple[tuple[int, ...], np.dtype[Any]]

FORMATS = {
    ".npy": "a NumPy array",
    ".npz": "NumPy arrays, or a SciPy sparse matrix",
    ".parquet": "a Parquet table",
    ".csv": "comma-separated numbers",
}


class InputError(ValueError):
    """What the user gave cannot be used; the message is fit for the user."""


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
        if suffix == ".npy":
            vectors = np.lib.format.open_memmap(path, mode="r")
        elif suffix == ".npz":
            vectors = _read_npz(path, column)
        elif suffix == ".parquet":
            vectors = _read_parquet(path, column)
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


def known_suffix(path: Path, formats: dict[str, str]) -> str:
    """The suffix of `path` in lower case, or an InputError that lists those that there are."""
    suffix = path.suffix.lower()
    if suffix not in formats:
        *most, last = formats
        raise InputError(
            f"{path}: {f'ends in {path.suffix}' if suffix else 'has no suffix'}; "
            f"expected {', '.join(most)} or {last}"
        )
    return suffix


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Whatever a library makes of a damaged or hostile file, one error that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: does not fit in memory: {error}") from error
    except ImportError as error:
        raise InputError(f"{path}: {_install(error)}") from error
    except Exception as error:
        # a damaged archive sends its reader to places before its start
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, str(path)) from error
        what = FORMATS[path.suffix.lower()]
        raise InputError(
            f"{path}: cannot be read as {what}: {' '.join(str(error).split())}"
        ) from error


def _install(error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError):  # such as a pyarrow that needs another NumPy
        return str(error)
    package = (error.name or "").partition(".")[0]
    extra = {"pyarrow": "'unitdot[parquet]'"}.get(package, package)
    return f"needs {package}, which is not installed: pip install {extra}"


def import_parquet() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet, or an InputError that says how to install them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(_install(error)) from error
    return pyarrow, pyarrow.parquet


def _choose(candidates: list[str], column: str | None, names: list[str], what: str) -> str:
    """The one that holds the vectors."""
    if column is not None:
        if column not in names:
            raise InputError(f"has no {what} {column!r}; it has {_listed(names)}")
        return column
    if not candidates:
        raise InputError(f"has no {what} of vectors; it has {_listed(names)}")
    if len(candidates) > 1:
        raise InputError(
            f"has several {what}s of vectors: {_listed(candidates)}; choose one with --column"
        )
    return candidates[0]


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "none") + more


def _read_npz(path: Path, column: str | None) -> Any:
    headers = _npz_headers(path)
    if {"format", "data", "shape"} <= headers.keys():  # as scipy.sparse.save_npz writes
        import scipy.sparse

        matrix = scipy.sparse.load_npz(path)
        if hasattr(matrix, "check_format"):
            # SciPy's own routines trust the indices: bad ones would be written out of bounds
            matrix.check_format(full_check=True)
        return scipy.sparse.csr_array(matrix)
    matrices = [
        n for n, (shape, dtype) in headers.items() if len(shape) == 2 and dtype.kind in "biuf"
    ]
    name = _choose(matrices, column, list(headers), "array")
    shape, dtype = headers[name]
    if dtype.hasobject:
        raise InputError(f"array {name!r} holds Python objects; expected real numbers")
    _memory.empty(shape, dtype)  # an archive can be far smaller than what it unpacks to
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _npz_headers(path: Path) -> dict[str, Header]:
    """Shape and dtype of every array, which must be as large as that says."""
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_header(member)
            name = info.filename.removesuffix(".npy")
            size = math.prod(shape) * dtype.itemsize
            if size > info.file_size and not dtype.hasobject:
                raise InputError(
                    f"array {name!r} of shape {shape} in {dtype} has {size:,} bytes, "
                    f"more than the {info.file_size:,} that the file holds of it"
                )
            headers[name] = shape, dtype
    return headers


def _read_parquet(path: Path, column: str | None) -> Array:
    pa, parquet = import_parquet()
    with parquet.ParquetFile(path, memory_map=True) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        lists = [
            f.name for f in schema if _is_list(pa, f.type) and _is_number(pa, f.type.value_type)
        ]
        if lists or column is not None:
            name = _choose(lists, column, schema.names, "column")
            if name not in lists:
                raise InputError(
                    f"column {name!r} holds {schema.field(name).type}; expected lists of numbers"
                )
            columns = [name]
        else:
            columns = _number_columns(pa, schema)
        # filled batch by batch, so that no second copy of the file is ever held
        vectors, start = np.empty((0, 0)), 0
        for batch in filter(len, file.iter_batches(columns=columns)):
            part = _list_rows(batch[name], start) if lists else _number_rows(batch, start)
            if not start:
                vectors = _memory.empty((n_rows, part.shape[1]), part.dtype)
            if part.shape[1] != vectors.shape[1]:
                raise _ragged(start, part.shape[1], vectors.shape[1])
            vectors[start : start + len(part)] = part
            start += len(part)
    if start != n_rows:
        raise InputError(f"has {start} rows where its metadata say {n_rows}")
    return vectors


def _is_list(pa: Any, dtype: Any) -> bool:
    types = pa.types
    return bool(
        types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype)
    )


def _is_number(pa: Any, dtype: Any) -> bool:
    types = pa.types
    return bool(types.is_floating(dtype) or types.is_integer(dtype) or types.is_boolean(dtype))


def _number_columns(pa: Any, schema: Any) -> list[str]:
    """Every column but those of a pandas index; all must hold numbers."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    fields = [field for field in schema if field.name not in index]
    for field in fields:
        if not _is_number(pa, field.type):
            raise InputError(
                f"column {field.name!r} holds {field.type}; expected one column of lists of "
                f"numbers, or columns of numbers only"
            )
    return [field.name for field in fields]


def _list_rows(lists: Any, start: int) -> Array:
    """A batch of lists as a matrix, without a copy where Arrow has none to make."""
    if lists.null_count:
        row = int(np.flatnonzero(lists.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"row {start + row} is null; expected a list of numbers")
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    other = np.flatnonzero(lengths != lengths[0])
    if len(other):
        raise _ragged(start + int(other[0]), int(lengths[other[0]]), int(lengths[0]))
    values = lists.flatten()
    if values.null_count:
        place = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"row {start + place // int(lengths[0])} holds a null; expected numbers")
    matrix: Array = values.to_numpy(zero_copy_only=False).reshape(len(lists), int(lengths[0]))
    return matrix


def _number_rows(batch: Any, start: int) -> Array:
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if values.null_count:
            row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            raise InputError(f"row {start + row} of column {name!r} is null; expected a number")
    return np.column_stack([values.to_numpy(zero_copy_only=False) for values in batch.columns])


def _ragged(row: int, length: int, expected: int) -> InputError:
    return InputError(f"row {row} has {length} numbers where row 0 has {expected}")


def _read_csv(path: Path) -> Array:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    header = bool(first) and not any(map(_is_numeral, first))
    if len(first) > 1 and first == [str(i) for i in range(len(first))]:
        raise InputError(
            f"line 1 counts from 0 to {len(first) - 1}, as pandas numbers columns; expected "
            f"names of columns, or vectors only (DataFrame.to_csv: header=False, index=False)"
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
                    return InputError(
                        f"line {lines.line_num}, field {place} is {field[:40]!r}; expected a number"
                    )
    return None


def _is_numeral(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
