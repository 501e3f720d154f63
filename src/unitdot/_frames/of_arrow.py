"""Arrays, tables and record batches of pyarrow."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from unitdot._frames import common
from unitdot._frames.common import Array, DType
from unitdot._machine import memory

WORDS = common.Words(
    "{}.drop_columns({})", "{}.select({})", "{}.drop_null()", "{}.select({})", "{}.column({})"
)
NANOSECONDS = "time64[ns]"


def of_table(table: Any, name: str) -> Array:
    """The matrix of a table or a batch, or of its one column of vectors; no index of pandas."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    columns = [
        (i, field.name, table.column(i)) for i, field in enumerate(table.schema)
        if field.name not in index
    ]  # fmt: skip
    if len(columns) == 1 and is_list(columns[0][2].type):
        return of_column(columns[0][2], name)
    return common.matrix([_column(*column) for column in columns], table.num_rows, name, WORDS)


def of_reader(reader: Any, name: str) -> Array:
    """A stream of batches, as DuckDB gives it."""
    with suppress(NotImplementedError):  # Arrow has no empty columns of tensors
        of_table(reader.schema.empty_table(), f"{name}.read_all()")  # refused before it is read
    table = reader.read_all()
    once = f"a {type(reader).__name__}, which is read only once"
    if not table.num_rows:
        raise common.UnreadableError(ValueError, f"has no rows: it is {once}; expected some")
    try:
        return of_table(table, name)
    except common.UnreadableError as found:
        what = f"{found.what} (it was {once}: of a new one, keep what read_all() gives)"
        raise common.UnreadableError(found.error, what) from found.__cause__


def _column(place: int, label: str, column: Any) -> common.Column:
    numbers, vectors = number_dtype(column.type), is_list(column.type)
    kind, missing = str(column.type), column.null_count
    return common.Column(place, label, kind, numbers, missing, vectors, lambda _: _values(column))


def number_dtype(dtype: Any) -> DType | None:
    """NumPy's dtype for numbers of Arrow's `dtype`; None for anything else."""
    return common.NUMBERS.get(str(dtype))


def _values(column: Any) -> Array:
    chunked = hasattr(column, "chunks")  # whose method takes no such argument
    return np.asarray(column.to_numpy() if chunked else column.to_numpy(zero_copy_only=False))


def is_list(dtype: Any) -> bool:
    """Whether Arrow's `dtype` is one of lists."""
    return "List" in type(getattr(dtype, "storage_type", dtype)).__name__


def of_column(column: Any, name: str) -> Array:
    """An array, chunked or not: of numbers, or of vectors."""
    if number_dtype(column.type) is not None:
        common.check_complete(column.null_count, f"{name}.drop_null()")
        return _values(column)
    return of_lists(column, (f"{name}.drop_null()",))


def of_lists(column: Any, without_nulls: Iterable[str] = (), start: int = 0) -> Array:
    """The matrix of lists of one length, in their memory if they are in one piece.

    Errors count rows from `start`.
    """
    chunks = [getattr(chunk, "storage", chunk) for chunk in getattr(column, "chunks", [column])]
    dtype = getattr(column.type, "storage_type", column.type)
    numbers = number_dtype(dtype.value_type) if is_list(dtype) else None
    if numbers is None or len(getattr(column.type, "shape", "1")) > 1:
        raise common.no_vectors(column.type)
    lengths = np.concatenate([np.empty(0, np.int64), *map(_lengths, chunks)])
    common.check_lengths(lengths, without_nulls, start)
    n_features = int(lengths[0]) if len(lengths) else max(0, getattr(dtype, "list_size", 0))
    row, parts = start, []
    for chunk in filter(len, chunks):
        values = chunk.flatten()
        if values.null_count:
            common.check_no_null(values.is_null().to_numpy(zero_copy_only=False), n_features, row)
        parts.append(values.to_numpy(zero_copy_only=False).reshape(len(chunk), n_features))
        row += len(chunk)
    if len(parts) == 1:
        return np.asarray(parts[0])
    result = memory.empty((len(lengths), n_features), numbers)
    return np.concatenate(parts, out=result) if parts else result


def _lengths(lists: Any) -> Array:
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return np.asarray(np.nan_to_num(lengths, nan=common.NULL), np.int64)


def of_labels(column: Any, name: str) -> Array:
    """An array of labels, chunked or not."""
    if sys.modules["pyarrow"].types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if str(column.type) == NANOSECONDS:
        numbers = _values(column.cast("int64").fill_null(0))
        # of times in other units, too, which the other side may have
        common.check_microseconds(numbers, f"{name}.cast({NANOSECONDS!r}).cast('int64')")
    return common.to_numpy(column)


def of_elements(labels: Array, name: str) -> Array:
    """Objects, of which an element of an array, as iterating gives it, equals nothing of Python's.

    Elements of one type are read as their array is, others one by one.
    """
    values = labels.tolist()
    found = [value for value in values if _is_element(value)]
    if not found:
        return labels
    dtype = found[0].type
    if (
        len(found) == len(values)
        and not _is_nested(dtype)
        and all(value.type == dtype for value in values)
    ):
        if sys.modules["pyarrow"].types.is_dictionary(dtype):  # of whose Arrow makes no array
            dtype, values = dtype.value_type, [value.value for value in values]
            name = f"[value.value for value in {name}]"
        with suppress(ValueError, TypeError, NotImplementedError):  # of run-end encoded ones
            return of_labels(sys.modules["pyarrow"].array(values, dtype), f"pyarrow.array({name})")
    array = np.empty(len(values), object)
    array[:] = [element(value) for value in values]
    return array


def element(value: Any) -> Any:
    """An element of an array as Python has it, or as it is: one of lists, or nobody's.

    Times of the day of no whole microseconds are refused.
    """
    if not _is_element(value):
        return value
    if not value.is_valid:
        return None
    if _is_nested(value.type):
        return value
    if hasattr(value, "value") and _is_element(value.value):  # of a dictionary
        return element(value.value)
    if str(value.type) == NANOSECONDS:
        common.check_microseconds(np.asarray(value.value))
    try:
        return value.as_py()
    except (ValueError, OverflowError, NotImplementedError):  # out of the range of Python's times
        return value


def _is_element(value: Any) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, pyarrow.Scalar)


def _is_nested(dtype: Any) -> bool:
    """Whether elements of the type are hashable only as they are."""
    types, dtype = sys.modules["pyarrow"].types, getattr(dtype, "storage_type", dtype)
    return bool(types.is_nested(dtype) and not types.is_run_end_encoded(dtype))
