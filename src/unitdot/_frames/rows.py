"""Rows that are objects of Python, one each: lists, arrays, tensors."""

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unitdot._frames.common import NULL, Array, UnreadableError, check_lengths
from unitdot._frames.tensors import is_tensor, of_tensor


def array(argument: Any) -> Array:
    """What NumPy makes of it."""
    try:
        return np.asarray(argument)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UnreadableError(
            ValueError if isinstance(error, ValueError) else TypeError,
            f"cannot be read as an array of numbers (a {type(argument).__name__}); "
            f"expected a rectangular array-like: {error}",
        ) from error


def is_vector(value: Any) -> bool:
    """Whether it is likely to be a row."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, or pandas' mark for what is not there."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


def of_rows(rows: Sequence[Any], name: str, *without_nulls: str) -> Array:
    """What is in a list: rows, or numbers, or matrices."""
    first = rows[0] if len(rows) else None
    if isinstance(first, numbers.Number):  # the rest of it, NumPy knows faster
        return array(rows)
    if hasattr(first, "tocsr"):
        what = "holds sparse rows; expected one sparse matrix"
        raise UnreadableError(TypeError, what, f"scipy.sparse.vstack(list({name}))")
    if _some_masked(rows):
        what = "holds arrays with masked elements; expected numbers in their places"
        raise UnreadableError(TypeError, what, f"np.ma.stack(list({name})).filled(0)")
    if is_tensor(first):
        rows = [of_tensor(row, f"torch.stack(list({name}))") for row in rows]
    lengths = [len(r) if is_vector(r) else NULL if is_missing(r) else None for r in rows]
    found = [length for length in lengths if length is not None]
    if len(found) == len(lengths) and found and max(found) != NULL:
        check_lengths(np.array(found), without_nulls)
    return array(rows)


def _some_masked(rows: Iterable[Any]) -> bool:
    for row in rows:
        if isinstance(row, np.ma.MaskedArray) and np.ma.is_masked(row):
            return True
        nested = isinstance(row, list | tuple) and row and not isinstance(row[0], float | int)
        if nested and _some_masked(row):
            return True
    return False


def of_objects(objects: Array, name: str) -> Array:
    """An array of objects, if they are vectors of one length."""
    if objects.ndim == 0:
        what = f"is a {type(objects.item()).__name__}; expected rows of numbers"
        raise UnreadableError(TypeError, what)
    values = objects.tolist() if objects.ndim == 1 else []
    present = [value for value in values if not is_missing(value)]
    if present and all(is_vector(value) or hasattr(value, "tocsr") for value in present):
        return of_rows(values, name)
    missing = [place for place in np.ndindex(objects.shape) if is_missing(objects[place])]
    if missing:
        place = ", ".join(map(str, missing[0]))
        what = (
            f"has {len(missing)} missing value{'s' * (len(missing) != 1)}, the first at [{place}]"
        )
        raise UnreadableError(ValueError, f"{what}; expected numbers")
    raise not_numbers(objects, name, "objects")


def not_numbers(elements: Array, name: str, what: str) -> UnreadableError:
    """The refusal of elements that are no numbers, with a conversion where one works."""
    remedies = []
    # V: ml_dtypes' kinds of float and integer, and what cannot be converted
    if elements.dtype.kind in "OUSV" and elements.dtype.names is None:
        try:
            if np.isfinite(np.asarray(elements, np.float64)).all():
                remedies.append(f'np.asarray({name}, dtype="float64")')
        except (ValueError, TypeError, OverflowError):
            pass
    return UnreadableError(
        TypeError,
        f"holds {what} (dtype {elements.dtype}); expected real numbers: "
        f"bool, integers, float16, bfloat16, float32 or float64",
        *remedies,
    )
