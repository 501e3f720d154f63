"""What the readers share: the refusal, rows of one length, columns side by side."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unitdot._machine import memory

Array = npt.NDArray[Any]
DType = np.dtype[Any]

NULL = -1  # the length of a row that is not there
# by the names that Arrow and polars have for them, in lower case
NUMBERS: dict[str, DType] = {
    name: np.dtype(name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64"),
    )
}
NUMBERS |= {"boolean": NUMBERS["bool"], "halffloat": NUMBERS["float16"]}
NUMBERS |= {"float": NUMBERS["float32"], "double": NUMBERS["float64"]}
_SINGLE = {NUMBERS["float16"], NUMBERS["float32"]}
# as many names are listed in an error
_MOST = 8


class UnreadableError(Exception):
    """What is wrong, to follow the argument's name, and expressions to try in its place.

    _inputs.py makes an error of it, and so does who reads files.
    """

    def __init__(self, error: type[Exception], what: str, *remedies: str) -> None:
        super().__init__(what)
        self.error, self.what, self.remedies = error, what, remedies


def check_lengths(lengths: Array, without_nulls: Iterable[str] = (), start: int = 0) -> None:
    """Refuse the first row, counted from `start`, that is not as long as the first there is."""
    if not len(lengths):
        return
    first = int(np.argmax(lengths != NULL))
    expected = int(lengths[first])
    bad = np.flatnonzero((lengths != expected) | (lengths == NULL))
    if len(bad):
        length = int(lengths[bad[0]])
        where = f" where row {start + first} has {expected}" if expected != NULL else ""
        if length == NULL:
            what = f"lacks a vector: row {start + bad[0]} is null{where}"
            raise UnreadableError(ValueError, what, *without_nulls)
        has = f"has {length} number{'s' * (length != 1)}"
        what = f"holds vectors of different length: row {start + bad[0]} {has}{where}"
        raise UnreadableError(ValueError, what)


def check_no_null(nulls: Array, n_features: int, start: int = 0) -> None:
    """Refuse vectors, one after the other, with a null among their numbers."""
    if nulls.any():
        row = start + int(np.argmax(nulls)) // n_features
        raise UnreadableError(ValueError, f"holds a null in row {row}; expected numbers")


class Words(NamedTuple):
    """How a library says it; {} stands for the argument, and for columns."""

    drop: str
    keep: str
    without_nulls: str
    # by number, where labels do not tell columns apart, or are too many
    keep_places: str
    one_place: str
    filled: str | None = None


class Column(NamedTuple):
    """A column of a frame."""

    place: int
    label: Any
    kind: str  # as its library calls it
    numbers: DType | None  # NumPy's dtype for them; None where it holds something else
    missing: int
    vectors: bool
    values: Callable[[DType], Array]


def matrix(columns: Sequence[Column], n_rows: int, name: str, words: Words) -> Array:
    """Columns of numbers as a matrix of the dtype they have in common."""
    if any(column.numbers is None for column in columns):
        raise _no_numbers(columns, name, words)
    check_missing(columns, name, words)
    dtypes = {column.numbers for column in columns if column.numbers is not None}
    common = dtypes.pop() if len(dtypes) == 1 else np.dtype("f4" if dtypes <= _SINGLE else "f8")
    result = memory.empty((len(columns), n_rows), common).T
    for i, column in enumerate(columns):
        result[:, i] = column.values(common)
    return result


def _no_numbers(columns: Sequence[Column], name: str, words: Words) -> UnreadableError:
    """The refusal of columns that hold something else, and how to have those that are wanted."""
    bad = [column for column in columns if column.numbers is None]
    good = [column for column in columns if column.numbers is not None]
    wanted = [column for column in bad if column.vectors][:_MOST]
    by_label = _tell_apart(columns)
    if by_label:
        remedies = [f"{name}[{column.label!r}]" for column in wanted]
    else:
        remedies = [words.one_place.format(name, column.place) for column in wanted]
    numbers = None
    if by_label and good and len(bad) <= _MOST:
        numbers = words.drop.format(name, [column.label for column in bad])
    elif by_label and 0 < len(good) <= _MOST:
        numbers = words.keep.format(name, [column.label for column in good])
    elif good:
        numbers = words.keep_places.format(name, _places(good, bad))
    if numbers and any(column.missing for column in good):
        numbers = words.without_nulls.format(numbers)
    remedies += [numbers] if numbers else []
    listed = _listed([f"{column.label!r} ({column.kind})" for column in bad])
    what = f"has columns that do not hold numbers: {listed}; expected numbers and bools"
    return UnreadableError(TypeError, what, *remedies)


def _places(good: list[Column], bad: list[Column]) -> str:
    """The places of `good` as an expression."""
    places, others = ([column.place for column in columns] for columns in (good, bad))
    if len(places) <= _MOST or len(places) <= len(others):
        return str(places)
    return f"[i for i in range({places[-1] + 1}) if i not in {others}]"


def _tell_apart(columns: Sequence[Column]) -> bool:
    """Whether no label is there twice, and each is what its repr makes in any program."""
    labels = [column.label for column in columns]
    return all(map(_is_literal, labels)) and len({*labels}) == len(labels)


def _is_literal(label: Any) -> bool:
    if type(label) is tuple:
        return all(map(_is_literal, label))
    return type(label) in (str, int, bool, bytes, type(None))


def check_missing(columns: Iterable[Column], name: str, words: Words) -> None:
    """Refuse columns with missing values."""
    bad = [column for column in columns if column.missing]
    if bad:
        remedies = [words.without_nulls.format(name)]
        if words.filled and all(column.numbers != NUMBERS["bool"] for column in bad):
            remedies.append(words.filled.format(name))
        listed = _listed([f"{column.missing} in {column.label!r}" for column in bad])
        raise UnreadableError(ValueError, f"has missing values: {listed}; expected none", *remedies)


def check_complete(missing: int, without_nulls: str) -> None:
    """Refuse one column of numbers with missing values."""
    if missing:
        values = f"{missing} missing value{'s' * (missing != 1)}"
        raise UnreadableError(ValueError, f"has {values}; expected none", without_nulls)


def to_numpy(column: Any) -> Array:
    """What a column of any library's makes of itself, of NumPy's dtypes or of objects."""
    try:
        try:
            return np.asarray(column.to_numpy(zero_copy_only=False))  # Arrow's needs to be told
        except TypeError:
            return np.asarray(column.to_numpy())
    except MemoryError:
        raise
    except Exception as error:  # each has its own
        what = f"cannot be read as an array: {error}; expected a vector, or a list, of labels"
        raise UnreadableError(TypeError, what) from error


def check_microseconds(nanoseconds: Any, *numbers: str) -> None:
    """Refuse times of the day that are lost as Python's; `numbers` is how to write what has them.

    Where there are some, each library makes Python's times of them, and most in silence.
    """
    if (nanoseconds % 1000 != 0).any():
        what = (
            "holds times of the day with nanoseconds, which Python's times do not have; "
            "expected whole microseconds"
        )
        raise UnreadableError(ValueError, what, *numbers)


def no_vectors(kind: Any, *remedies: str) -> UnreadableError:
    """The refusal of a column of something else."""
    what = f"is a column of {kind}; expected numbers, or vectors of numbers"
    return UnreadableError(TypeError, what, *remedies)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return ", ".join(items[:_MOST]) + more
