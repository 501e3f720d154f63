"""The keywords that say how: numbers, flags and names, checked."""

import numbers
import operator
from typing import Any, NamedTuple

import numpy as np

from unitdot._inputs import counted

RESULT_DTYPES = (np.dtype("f4"), np.dtype("f8"))  # computed in float32, in float64
_ZERO = ("zero", "nan", "raise")


class Options(NamedTuple):
    """The keywords that every function shares, checked."""

    dtype: np.dtype[Any] | None
    zero: str
    check_finite: bool
    n_threads: int | None


DEFAULTS = Options(None, "zero", True, None)


def check_options(keywords: tuple[Any, ...]) -> Options:
    """The keywords (dtype, zero, check_finite, n_threads), checked."""
    dtype, zero, check_finite, n_threads = keywords
    if dtype is None and n_threads is None and check_finite is True and zero is DEFAULTS.zero:
        return DEFAULTS
    if dtype is not None:
        try:
            dtype = np.dtype(dtype)
        except (TypeError, ValueError) as error:
            raise TypeError(f"dtype is {dtype!r}; expected float32 or float64") from error
        if dtype not in RESULT_DTYPES:
            raise ValueError(f"dtype is {dtype}; expected float32 or float64")
    if not isinstance(zero, str) or zero not in _ZERO:
        raise ValueError(f'zero is {zero!r}; expected "zero", "nan" or "raise"')
    check_finite = check_flag(check_finite, "check_finite")
    if n_threads is not None:
        n_threads = check_positive(n_threads, "n_threads")
    return Options(dtype, zero, check_finite, n_threads)


def check_positive(
    value: Any, name: str, expected: str = "None or an integer of at least 1"
) -> int:
    """`value` as an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; expected {expected}")
    if number < 1:
        raise ValueError(f"{name} is {number}; expected {expected}")
    return number


def check_flag(value: Any, name: str) -> bool:
    """`value`, if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def check_k(k: Any, candidates: int | None) -> int:
    """`k`, at least 1 and at most the number of candidates, if that is a limit."""
    number = check_positive(k, "k", "an integer of at least 1")
    if candidates is not None and number > candidates:
        raise ValueError(
            f"k is {number} where each row has {counted(candidates, 'candidate', 'candidates')}; "
            f"expected 1 to that many"
        )
    return number


def check_threshold(threshold: Any) -> float:
    """`threshold`, a number from -1 to 1."""
    return check_between(threshold, "threshold", -1, 1)


def check_between(number: Any, name: str, least: int, most: int) -> float:
    """`number` as a float, from `least` to `most`."""
    if not isinstance(number, numbers.Real) or isinstance(number, bool):
        raise TypeError(f"{name} is {number!r}; expected a real number")
    if not least <= number <= most:  # type: ignore[operator]
        raise ValueError(f"{name} is {number}; expected a number from {least} to {most}")
    return float(number)


def check_kind(kind: Any) -> bool:
    """Whether distances are wanted, and not similarities."""
    if not isinstance(kind, str) or kind not in ("similarity", "distance"):
        raise ValueError(f'kind is {kind!r}; expected "similarity" or "distance"')
    return kind == "distance"


def check_shape(shape: Any) -> tuple[int, int]:
    """`shape` as two integers of at least 0."""
    try:
        rows, columns = map(operator.index, shape)
    except (TypeError, ValueError) as error:
        raise TypeError(f"shape is {shape!r}; expected two integers") from error
    if rows < 0 or columns < 0:
        raise ValueError(f"shape is {shape}; expected two integers of at least 0")
    return rows, columns


def result_dtype(wide: bool, options: Options) -> np.dtype[Any]:
    """The dtype of the result."""
    return RESULT_DTYPES[wide] if options.dtype is None else options.dtype
