"""Frames and Series of polars."""

import sys
from typing import Any, NoReturn

import numpy as np

from unitdot._frames import common
from unitdot._frames.common import Array, DType
from unitdot._frames.rows import of_rows

WORDS = common.Words(
    "{}.drop({})", "{}.select({})", "{}.drop_nulls()", "{}[:, {}]", "{}[:, {}]", "{}.fill_null(0)"
)


def of_frame(frame: Any, name: str) -> Array:
    """The matrix of a frame, or of its one column of vectors."""
    columns = frame.get_columns()
    if len(columns) == 1 and _vectors(columns[0].dtype):
        return of_column(columns[0], name)
    return common.matrix([*map(_column, range(len(columns)), columns)], frame.height, name, WORDS)


def of_lazy(frame: Any, name: str) -> NoReturn:
    """A query is not run by itself."""
    raise common.UnreadableError(
        TypeError, "is a LazyFrame; expected its result", f"{name}.collect()"
    )


def _column(place: int, column: Any) -> common.Column:
    numbers, vectors = _numbers(column.dtype), _vectors(column.dtype)
    label, kind, missing = column.name, str(column.dtype), column.null_count()
    return common.Column(place, label, kind, numbers, missing, vectors, lambda _: column.to_numpy())


def _numbers(dtype: Any) -> DType | None:
    return common.NUMBERS.get(str(dtype).lower())


def _vectors(dtype: Any) -> bool:
    return type(dtype).__name__ in ("List", "Array")


def of_column(column: Any, name: str) -> Array:
    """A Series: of numbers, or of vectors."""
    dtype, without_nulls = column.dtype, f"{name}.drop_nulls()"
    if _numbers(dtype) is not None:
        common.check_complete(column.null_count(), without_nulls)
        return np.asarray(column.to_numpy())
    if str(dtype) == "Object":
        return of_rows(column.to_list(), name, without_nulls)
    if not _vectors(dtype) or _numbers(dtype.inner) is None:
        raise common.no_vectors(dtype)
    lists = column.arr if type(dtype).__name__ == "Array" else column.list
    lengths = lists.len().cast(sys.modules["polars"].Int64).fill_null(common.NULL).to_numpy()
    common.check_lengths(lengths, (without_nulls,))
    n_features = int(lengths[0]) if len(lengths) else getattr(dtype, "size", 0)
    if n_features < 1 or not len(lengths):
        return np.empty((len(lengths), max(0, n_features)), _numbers(dtype.inner))
    values = column.explode()
    if values.null_count():
        common.check_no_null(values.is_null().to_numpy(), n_features)
    return np.asarray(values.to_numpy().reshape(-1, n_features))


def of_labels(column: Any, name: str) -> Array:
    """A Series of labels."""
    kind = str(getattr(column, "dtype", ""))  # a frame has none
    if kind in ("Int128", "UInt128"):  # NumPy has none
        return np.array(column.to_list(), object)
    if kind == "Time":
        common.check_microseconds(column.to_physical(), f"{name}.to_physical()")
    return common.to_numpy(column)
