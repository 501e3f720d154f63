"""Vectors beside the data: numbers of rows, masks of them, and results made by hand."""

from typing import Any

import numpy as np

from unitdot._inputs import Array
from unitdot._options import RESULT_DTYPES, check_shape


def check_pairs(
    rows: Any, columns: Any, similarities: Any, shape: Any
) -> tuple[Array, Array, Array, tuple[int, int]]:
    """Three vectors of one length, whose numbers of rows and columns `shape` has, and the shape."""
    names = "rows", "columns"
    places = as_integers(rows, names[0]), as_integers(columns, names[1])
    values = plain_array(similarities, "similarities")
    if values.dtype.kind not in "buif":
        raise TypeError(f"similarities has dtype {values.dtype}; expected real numbers")
    if values.dtype not in RESULT_DTYPES:
        values = values.astype(np.float64)
    lengths = [array.shape for array in (*places, values)]
    if len({*lengths}) > 1 or values.ndim != 1:
        raise ValueError(
            f"rows, columns and similarities have shapes {lengths[0]}, {lengths[1]} and "
            f"{lengths[2]}; expected vectors of one length"
        )
    if shape is None:
        shape = (max(int(array.max(initial=-1)) for array in places) + 1,) * 2
    shape = check_shape(shape)
    for array, length, name in zip(places, shape, names, strict=True):
        check_within(array, length, name)
    return *places, values, shape


def check_neighbours(found: Any, name: str) -> tuple[Array, Array]:
    """(similarities, indices) of a top-k search as matrices of one shape, the latter int64."""
    try:
        similarities, indices = found
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is a {type(found).__name__}; expected a TopK") from error
    similarities = np.atleast_2d(plain_array(similarities, f"{name}.similarities"))
    indices = np.atleast_2d(plain_array(indices, f"{name}.indices"))
    if similarities.shape != indices.shape or indices.ndim != 2:
        raise ValueError(
            f"{name} has similarities of shape {similarities.shape} and indices of shape "
            f"{indices.shape}; expected matrices of one shape"
        )
    if similarities.dtype not in RESULT_DTYPES or indices.dtype.kind not in "iu":
        raise TypeError(
            f"{name} has similarities in {similarities.dtype} and indices in {indices.dtype}; "
            f"expected float32 or float64, and integers"
        )
    return similarities, indices.astype(np.int64, copy=False)


def check_where(where: Any, n: int, name: str = "where") -> Array:
    """The rows of Y that `where` chooses, ascending, each once."""
    if isinstance(where, np.ma.MaskedArray) and where.ndim == 1:
        remedy = "filled(False)" if where.dtype == bool else "compressed()"
        check_unmasked(where, name, "values in their places", f"{name}.{remedy}")
    if isinstance(where, slice):
        start, stop, step = where.indices(n)
        chosen = range(start, stop, step)[:: 1 if step > 0 else -1]
        return np.arange(chosen.start, chosen.stop, chosen.step, dtype=np.int64)
    array = plain_array(where, name)
    if array.dtype == bool:
        if array.shape != (n,):
            raise ValueError(
                f"{name} is a mask of shape {array.shape}; expected ({n},), as many as rows of Y"
            )
        return np.flatnonzero(array)
    rows = as_integers(array, name)
    check_within(rows, n, name)
    # in order already, as most are: sorting takes as long as a search
    return rows.copy() if (rows[1:] > rows[:-1]).all() else np.unique(rows)


def check_rows(rows: Any, n: int, name: str) -> Array:
    """The rows that `rows` means to NumPy: a number, numbers from either end, a mask, a slice."""
    if isinstance(rows, slice):
        return np.arange(n)[rows]
    array = np.atleast_1d(plain_array(rows, name))
    if array.dtype == bool:
        return check_where(array, n, name)
    chosen = as_integers(array, name)
    if chosen.size and not -n <= chosen.min() <= chosen.max() < n:
        place = int(np.argmax((chosen < -n) | (chosen >= n)))
        raise ValueError(f"{name} holds {chosen[place]} in place {place}; expected -{n} to {n - 1}")
    return np.arange(n)[chosen]


def as_integers(argument: Any, name: str) -> Array:
    """`argument` as a vector of int64, contiguous."""
    array = plain_array(argument, name)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise TypeError(
            f"{name} has dtype {array.dtype} and shape {array.shape}; expected a vector of integers"
        )
    return np.ascontiguousarray(array, np.int64)


def check_within(numbers: Array, length: int, name: str) -> None:
    """Raise for the first of the numbers that is not one of `length` rows."""
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < length:
        place = int(np.argmax((numbers < 0) | (numbers >= length)))
        raise ValueError(
            f"{name} holds {numbers[place]} in place {place}; expected 0 to {length - 1}"
        )


def check_unmasked(argument: Any, name: str, expected: str, remedy: str = "") -> None:
    """Raise for a vector with masked elements: what lies under a mask is nothing."""
    if np.ma.is_masked(argument):
        place = int(np.argmax(np.ma.getmaskarray(argument)))
        tried = f"; try {remedy}" if remedy else ""
        raise TypeError(
            f"{name} is an array with masked elements, the first in place {place}; "
            f"expected {expected}{tried}"
        )


def plain_array(argument: Any, name: str) -> Array:
    """`argument` as an ndarray of any dtype, without masked elements."""
    check_unmasked(argument, name, "values in their places")
    try:
        return np.asarray(argument)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from error
