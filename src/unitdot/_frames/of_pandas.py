"""Frames, Series and Indexes of pandas, and the arrays of these."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from unitdot._frames import common
from unitdot._frames.common import Array, DType
from unitdot._frames.of_arrow import is_list, of_lists
from unitdot._frames.rows import is_missing, is_vector, of_rows

_PLACES = "{}.iloc[:, {}]"
WORDS = common.Words(
    "{}.drop(columns={})", "{}[{}]", "{}.dropna()", _PLACES, _PLACES, "{}.fillna(0)"
)


def of_frame(frame: Any, name: str, check_finite: bool) -> Array:
    """The matrix of a frame, or of its one column of vectors."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    dtypes = [*{column.dtype for column in columns}]
    if len(columns) == 1 and _holds_vectors(columns[0]):
        return of_column(columns[0], name)
    if len(dtypes) == 1 and isinstance(dtypes[0], np.dtype) and _numbers(dtypes[0]):
        result = np.asarray(frame)  # as it lies there
        if check_finite and result.dtype.kind == "f":
            _check_no_nan(result, columns, name)
        return result
    read = [_column(i, column, check_finite) for i, column in enumerate(columns)]
    return common.matrix(read, len(frame), name, WORDS)


def _check_no_nan(result: Array, columns: list[Any], name: str) -> None:
    """Refuse NaN, by which pandas marks what is missing in columns of NumPy's dtypes."""
    with np.errstate(all="ignore"):
        suspects = np.flatnonzero(np.isnan(result.sum(axis=0)))
    common.check_missing([_column(i, columns[i], True) for i in suspects.tolist()], name, WORDS)


def _numbers(dtype: Any) -> DType | None:
    if dtype.kind not in "biuf":
        return None
    numbers: DType = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
    return numbers


def _column(place: int, column: Any, nan_is_missing: bool) -> common.Column:
    numbers, vectors = _numbers(column.dtype), _holds_vectors(column)
    missing = _missing(column, nan_is_missing)
    label, kind = column.name, str(column.dtype)
    return common.Column(place, label, kind, numbers, missing, vectors, column.to_numpy)


def _missing(column: Any, nan_is_missing: bool) -> int:
    # what is missing where NumPy has the dtype is a NaN, and may be allowed
    if isinstance(column.dtype, np.dtype) and not (nan_is_missing and column.dtype.kind == "f"):
        return 0
    return int(column.isna().sum())


def _holds_vectors(column: Any) -> bool:
    if column.dtype.kind != "O":
        return False
    return is_vector(next((value for value in column if not is_missing(value)), None))


def of_column(column: Any, name: str) -> Array:
    """A Series, an Index or one of pandas' own arrays: of numbers, or of vectors."""
    numbers, without_nulls = _numbers(column.dtype), f"{name}.dropna()"
    if numbers is not None:
        common.check_complete(_missing(column, False), without_nulls)
        return np.asarray(column.to_numpy(numbers))
    if is_list(getattr(column.dtype, "pyarrow_dtype", None)):
        stored = getattr(column, "array", column)
        return of_lists(stored.__arrow_array__(), (without_nulls,))
    values = column.to_numpy(object)
    if _holds_vectors(column):
        rows = [None if is_missing(value) else value for value in values]
        return of_rows(rows, name, without_nulls)
    if any(hasattr(value, "tocsr") for value in values[:1]):
        return of_rows(values, name)
    raise common.no_vectors(column.dtype, *_conversions(values, name))


def _conversions(values: Array, name: str) -> Iterator[str]:
    """What makes numbers of a column of objects or texts, if it does so of these."""
    try:
        if np.isfinite(values.astype(np.float64)).all():
            yield f'{name}.astype("float64")'
    except (TypeError, ValueError, OverflowError):
        try:
            if all(isinstance(json.loads(value), list) for value in values):
                yield f"{name}.map(json.loads)"
        except (TypeError, ValueError):
            pass


def of_labels(column: Any, name: str) -> Array:
    """A Series, an Index or one of pandas' own arrays of labels."""
    if str(getattr(column, "dtype", "")) == "time64[ns][pyarrow]":  # a frame has none
        numbers = column.astype("int64[pyarrow]").to_numpy("int64", na_value=0)
        in_nanoseconds = f"{name}.astype('time64[ns][pyarrow]').astype('int64[pyarrow]')"
        common.check_microseconds(numbers, in_nanoseconds)  # of other units, too, as Arrow's
    return common.to_numpy(column)
