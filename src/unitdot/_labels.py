"""Labels and ids of rows, in arrays, lists and columns of frames."""

import numbers
from typing import Any

import numpy as np

from unitdot._frames.read import native, plain, read_elements, read_labels
from unitdot._inputs import Array, naming
from unitdot._vectors import check_unmasked, plain_array


def as_labels(labels: Any, name: str, n: int, side: str, are_ids: bool = False) -> Array:
    """Labels of `n` rows as a vector, none of them missing."""
    labels, name = native(labels, name)
    # numbers beside the other side's times would meet none
    with naming(name, ", and nanoseconds for the other side, too" if "[" in name else ""):
        array = read_labels(labels, name)
        if array is None:
            array = _as_array(labels, name)
        if array.dtype == object and array.ndim == 1:
            array = read_elements(array, name)
    if array.shape != (n,):
        raise ValueError(
            f"{name} has shape {array.shape}; expected ({n},), a label for each row of {side}"
        )
    if array.dtype.kind in "biuUS":
        return array
    values = array.tolist()
    for row, label in enumerate(values):
        if _is_missing(label):
            raise ValueError(
                f"{name} holds {label!r} in row {row}; expected labels (a value of its own for "
                f"each row without one keeps it apart)"
            )
        try:
            hash(label)
        except (TypeError, ValueError) as error:
            held = f"{name} holds {label!r} in row {row}"
            if isinstance(label, np.timedelta64) and label.dtype == "m8" and not are_ids:
                raise _no_unit_error(held, values, name) from error
            raise TypeError(f"{held}; expected hashables") from error
    return array


def _as_array(labels: Any, name: str) -> Array:
    """Labels in a list, or in what NumPy knows."""
    if isinstance(labels, (list, tuple)):
        # NumPy would make strings of numbers among strings
        array = np.empty(len(labels), object)
        array[:] = labels
        return array
    expected = "labels in their places (a value of its own for each keeps its row apart)"
    check_unmasked(labels, name, expected)
    return plain_array(labels, name)


def _no_unit_error(held: str, values: list[Any], name: str) -> TypeError:
    """A duration without a unit, which NumPy does not hash."""
    remedy = ""
    # of two units there may be no common one
    if all(isinstance(value, np.timedelta64) for value in values) and (
        len({value.dtype for value in values}) < 3
    ):
        remedy = f"; try numpy.asarray({name}, 'timedelta64')"
    return TypeError(f"{held}, which has no unit; expected one, or an array of durations{remedy}")


def labels_of_one_kind(given: list[Array]) -> list[Array]:
    """Times, or durations, in the finest of their units; other labels as they are."""
    kinds = {labels.dtype.kind for labels in given if labels.size}
    times = [i for i, labels in enumerate(given) if labels.dtype.kind in "Mm" and labels.size]
    if not times:
        return given
    if len(kinds) > 1:  # what they are as Python's numbers or times depends on the unit
        i, j = times[0], 1 - times[0]
        remedy = f"numpy.asarray(groups[{j}], {given[i].dtype.name!r})"
        raise TypeError(
            f"groups[{j}] has dtype {given[j].dtype} where groups[{i}] has {given[i].dtype}; "
            "expected labels of one kind" + (f"; try {remedy}" if len(times) == 1 else "")
        )
    try:
        common = np.result_type(*given)
    except TypeError:  # months beside days
        return given
    except OverflowError:
        both = " and ".join(str(labels.dtype) for labels in given)
        raise ValueError(
            f"groups are of {both}, which no unit holds; expected labels of one dtype"
        ) from None
    for i, labels in enumerate(given):
        row = _first_out_of_range(labels, common)
        if row is not None:
            raise ValueError(
                f"groups[{i}] holds {labels[row]} in row {row}, which is out of the range "
                f"of {common}, the other labels' dtype; expected labels of one dtype"
            )
    return [labels.astype(common) for labels in given]


def _first_out_of_range(labels: Array, dtype: np.dtype[Any]) -> int | None:
    """The first row whose time, or duration, the dtype cannot hold."""
    try:
        lost = np.flatnonzero(labels.astype(dtype).astype(labels.dtype) != labels)
        return int(lost[0]) if lost.size else None
    except OverflowError:  # NumPy 2.5 and later, where others go round
        for row, label in enumerate(labels):
            try:
                label.astype(dtype)
            except OverflowError:
                return row
        raise


def _is_missing(label: Any) -> bool:
    try:
        if label is None or label is np.ma.masked or bool(label != label):
            return True
    # pandas.NA is neither; an array has no truth value; a signalling NaN is compared with nothing
    except (TypeError, ValueError, ArithmeticError):
        return not isinstance(label, np.ndarray)
    return False


def as_ids(ids: Any, name: str, n: int, side: str) -> Array:
    """Ids of `n` rows, no two the same: integers as int64, or strings as objects."""
    array = as_labels(ids, name, n, side, are_ids=True)
    expected = "expected integers of 64 bits, or strings"
    if array.dtype.kind in "UT":
        array = array.astype(object)
    elif array.dtype.kind == "O":
        values = array.tolist()
        strings = bool(values) and isinstance(values[0], str)
        for row, value in enumerate(values):
            if not (isinstance(value, str) if strings else _is_integer(value)):
                raise TypeError(f"{name} holds {value!r} in row {row}; {expected}, not both")
        if not strings:
            try:
                array = np.array(values, np.int64)
            except OverflowError as error:
                raise ValueError(f"{name} holds too large an integer; {expected}") from error
    elif array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; {expected}")
    if array.dtype == np.uint64 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} holds {array.max()}; {expected}")
    if array.dtype.kind != "O":
        array = np.array(array, np.int64)
    check_unique(array, name)
    return array


def as_some_ids(ids: Any, name: str, strings: bool) -> list[Any]:
    """One id, or several, as a list: strings or integers, as those of the index are."""
    values = [ids] if isinstance(plain(ids), (str, numbers.Integral)) else ids
    check_unmasked(values, name, "ids in their places")
    expected = f"expected {'strings' if strings else 'integers'}, as the index has"
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "mM":  # whose list may be of plain numbers
            raise TypeError(f"{name} has dtype {values.dtype}; {expected}")
        values = values.tolist()
    if isinstance(values, (bytes, numbers.Number)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} is {ids!r}; {expected}")
    with naming(name):
        values = [plain(value) for value in values]
    for value in values:
        if not (isinstance(value, str) if strings else _is_integer(value)):
            raise TypeError(f"{name} holds {value!r}; {expected}")
    return values


def check_unique(ids: Array, name: str) -> None:
    """Raise for the first id that is there twice."""
    if ids.dtype.kind != "O" and len(np.unique(ids)) == len(ids):
        return
    first: dict[Any, int] = {}
    for row, value in enumerate(ids.tolist()):
        other = first.setdefault(value, row)
        if other != row:
            raise ValueError(
                f"{name} holds {value!r} in rows {other} and {row}; expected ids that differ"
            )


def _is_integer(value: Any) -> bool:
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return integer and hasattr(value, "__index__")  # which NumPy's durations have not
