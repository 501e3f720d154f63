"""Input checking: the only place that raises. Arrays leave it as the kernels read them."""

import numbers
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from unitdot._frames.common import UnreadableError
from unitdot._frames.read import read
from unitdot._frames.rows import not_numbers, of_objects
from unitdot._frames.tensors import BFLOAT16
from unitdot._machine import memory
from unitdot._machine.dispatch import Bytes, Kernels

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
View = tuple[Bytes, int]


class Sparse(Protocol):
    """A SciPy sparse matrix or array, as type checkers know it."""

    def tocsr(self) -> Any: ...


Input = npt.ArrayLike | Sparse

# numbers are those of `Kind` in cython_kernels/dense/source.pxi
_NUMBERS = {
    "bool": 0, "uint8": 0, "uint16": 1, "uint32": 2, "uint64": 3,
    "int8": 4, "int16": 5, "int32": 6, "int64": 7,
    "float16": 8, "bfloat16": 9, "float32": 10, "float64": 11,
}  # fmt: skip
_SWAPPED = 16
_SINGLE = {"float16", "bfloat16", "float32"}
_BYTE = np.dtype("u1")

#: dtype -> (kind, computed in float64)
KINDS: dict[np.dtype[Any], tuple[int, bool]] = {}
for _name, _number in _NUMBERS.items():
    if _name != "bfloat16":
        _dtype: np.dtype[Any] = np.dtype(_name)
        KINDS[_dtype] = (_number, _name not in _SINGLE)
        if _dtype.itemsize > 1:
            KINDS[_dtype.newbyteorder()] = (_number + _SWAPPED, _name not in _SINGLE)
KINDS[BFLOAT16] = (_NUMBERS["bfloat16"], False)

_RESULT_DTYPES = (np.dtype("f4"), np.dtype("f8"))  # computed in float32, in float64
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
        if dtype not in _RESULT_DTYPES:
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


def check_row_numbers(Y: Array) -> None:
    """Raise for more rows of `Y` than the kernels can number."""
    if Y.shape[0] >= 1 << 32:
        raise ValueError(f"Y has {Y.shape[0]} rows; expected fewer than 2**32: search it in parts")


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


def check_pairs(
    rows: Any, columns: Any, similarities: Any, shape: Any
) -> tuple[Array, Array, Array, tuple[int, int]]:
    """Three vectors of one length, whose numbers of rows and columns `shape` has, and the shape."""
    names = "rows", "columns"
    places = as_integers(rows, names[0]), as_integers(columns, names[1])
    values = _plain(similarities, "similarities")
    if values.dtype.kind not in "buif":
        raise TypeError(f"similarities has dtype {values.dtype}; expected real numbers")
    if values.dtype not in _RESULT_DTYPES:
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
    similarities = np.atleast_2d(_plain(similarities, f"{name}.similarities"))
    indices = np.atleast_2d(_plain(indices, f"{name}.indices"))
    if similarities.shape != indices.shape or indices.ndim != 2:
        raise ValueError(
            f"{name} has similarities of shape {similarities.shape} and indices of shape "
            f"{indices.shape}; expected matrices of one shape"
        )
    if similarities.dtype not in _RESULT_DTYPES or indices.dtype.kind not in "iu":
        raise TypeError(
            f"{name} has similarities in {similarities.dtype} and indices in {indices.dtype}; "
            f"expected float32 or float64, and integers"
        )
    return similarities, indices.astype(np.int64, copy=False)


def _plain(argument: Any, name: str) -> Array:
    check_unmasked(argument, name, "values in their places")
    try:
        return np.asarray(argument)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from error


def check_unmasked(argument: Any, name: str, expected: str, remedy: str = "") -> None:
    """Raise for a vector with masked elements: what lies under a mask is nothing."""
    if np.ma.is_masked(argument):
        place = int(np.argmax(np.ma.getmaskarray(argument)))
        tried = f"; try {remedy}" if remedy else ""
        raise TypeError(
            f"{name} is an array with masked elements, the first in place {place}; "
            f"expected {expected}{tried}"
        )


def check_where(where: Any, n: int, name: str = "where") -> Array:
    """The rows of Y that `where` chooses, ascending, each once."""
    if isinstance(where, np.ma.MaskedArray) and where.ndim == 1:
        remedy = "filled(False)" if where.dtype == bool else "compressed()"
        check_unmasked(where, name, "values in their places", f"{name}.{remedy}")
    if isinstance(where, slice):
        start, stop, step = where.indices(n)
        chosen = range(start, stop, step)[:: 1 if step > 0 else -1]
        return np.arange(chosen.start, chosen.stop, chosen.step, dtype=np.int64)
    array = _plain(where, name)
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
    array = np.atleast_1d(_plain(rows, name))
    if array.dtype == bool:
        return check_where(array, n, name)
    chosen = as_integers(array, name)
    if chosen.size and not -n <= chosen.min() <= chosen.max() < n:
        place = int(np.argmax((chosen < -n) | (chosen >= n)))
        raise ValueError(f"{name} holds {chosen[place]} in place {place}; expected -{n} to {n - 1}")
    return np.arange(n)[chosen]


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
    values = [ids] if isinstance(ids, (str, numbers.Integral)) else ids
    check_unmasked(values, name, "ids in their places")
    expected = f"expected {'strings' if strings else 'integers'}, as the index has"
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "mM":  # whose list may be of plain numbers
            raise TypeError(f"{name} has dtype {values.dtype}; {expected}")
        values = values.tolist()
    if isinstance(values, (bytes, numbers.Number)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} is {ids!r}; {expected}")
    values = list(values)
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


def check_added(Z: Any, dtype: np.dtype[Any], n_features: int, is_sparse: bool) -> None:
    """Raise for rows that an index of others cannot take in with all their bits."""
    features = Z.shape[-1]
    if features != n_features:
        raise ValueError(
            f"Z has {counted(features)} (shape {Z.shape}) where the index has {n_features}; "
            f"expected the same number"
        )
    if is_sparse != hasattr(Z, "tocsr"):
        held, remedy = ("sparse", "scipy.sparse.csr_array(Z)") if is_sparse else (
            "dense", "Z.toarray()"
        )  # fmt: skip
        raise TypeError(f"Z is not {held} as the index's rows are; try {remedy}")
    if Z.dtype != dtype and not np.can_cast(Z.dtype, dtype):
        name = dtype.names[0] if dtype.names else dtype.name
        raise TypeError(
            f"Z has dtype {Z.dtype} where the index has {name}, which cannot hold it; "
            f"try np.asarray(Z).astype({name!r})"
        )


def as_labels(labels: Any, name: str, n: int, side: str, are_ids: bool = False) -> Array:
    """Labels of `n` rows as a vector, none of them missing."""
    if type(labels).__module__.partition(".")[0] == "narwhals":
        return as_labels(labels.to_native(), f"{name}.to_native()", n, side, are_ids)
    dtype = _dtype_of_frames(labels)
    if dtype in _NANOSECONDS:
        numbers_of, remedy = _NANOSECONDS[dtype]
        if (numbers_of(labels) % 1000 != 0).any():
            raise ValueError(
                f"{name} holds times of the day with nanoseconds, which Python's times do not "
                f"have; expected whole microseconds; try {name}.{remedy}"
                + (", and the same for the other side" if "[" in name else "")
            )
    if dtype in ("polars Int128", "polars UInt128"):  # NumPy has none
        array = np.array(labels.to_list(), object)
    elif hasattr(labels, "to_numpy"):
        array = _to_numpy(labels, name)
    elif isinstance(labels, (list, tuple)):
        # NumPy would make strings of numbers among strings
        array = np.empty(len(labels), object)
        array[:] = labels
    else:
        check_unmasked(
            labels,
            name,
            "labels in their places (a value of its own for each keeps its row apart)",
        )
        array = _plain(labels, name)
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


def _dtype_of_frames(labels: Any) -> str:
    """The dtype of a column, with the library whose it is in front: others have such names, too."""
    dtype = getattr(labels, "dtype", None) if hasattr(labels, "to_numpy") else None
    library = type(dtype).__module__.partition(".")[0]
    return f"{library} {dtype}" if library in ("polars", "pandas") else ""


# dtypes of times whose nanoseconds `to_numpy` loses in silence -> numbers that have them, and how
# to write that
_NANOSECONDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "polars Time": (lambda labels: labels.to_physical(), "to_physical()"),
    "pandas time64[ns][pyarrow]": (
        lambda labels: labels.astype("int64[pyarrow]").to_numpy("int64", na_value=0),
        "astype('int64[pyarrow]')",
    ),
}


def _to_numpy(labels: Any, name: str) -> Array:
    """Of pandas, polars or Arrow."""
    try:
        try:
            return np.asarray(labels.to_numpy(zero_copy_only=False))  # Arrow's needs to be told
        except TypeError:
            return np.asarray(labels.to_numpy())
    except MemoryError:
        raise
    except Exception as error:  # each has its own
        raise TypeError(
            f"{name} cannot be read as an array: {error}; expected a vector, or a list, of labels"
        ) from error


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
    return type(label).__module__ == "pyarrow.lib" and not label.is_valid  # a scalar


def as_integers(argument: Any, name: str) -> Array:
    """`argument` as a vector of int64, contiguous."""
    array = _plain(argument, name)
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


def as_array(argument: Any, name: str, check_finite: bool = False) -> Array:
    """`argument` as an ndarray of a dtype in KINDS, not copied where its memory allows it.

    `check_finite`: NaN in a frame is told by its columns; elsewhere it is found later.
    """
    array: Array = argument
    if type(argument) is not np.ndarray or argument.dtype not in KINDS:
        with _naming(name):
            array = _with_known_dtype(_read(argument, name, check_finite), name)
    if array.ndim == 0:
        raise ValueError(f"{name} is a scalar; expected a vector, a matrix or a stack of matrices")
    return array


def dense_sides(X: Any, Y: Any, check_finite: bool) -> tuple[Any, Any]:
    """Both, those that are not sparse as ndarrays."""
    same = Y is X
    if not hasattr(X, "tocsr"):
        X = as_array(X, "X", check_finite)
    if Y is not None and not hasattr(Y, "tocsr"):
        Y = X if same else as_array(Y, "Y", check_finite)
    return X, Y


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """What cannot be read becomes an error that names the argument."""
    try:
        yield
    except UnreadableError as found:
        remedies = f"; try {' or '.join(found.remedies)}" if found.remedies else ""
        raise found.error(f"{name} {found.what}{remedies}") from found.__cause__


def _convert(argument: Any, name: str) -> Array:
    """`argument` as an ndarray of any dtype."""
    with _naming(name):
        return _read(argument, name, False)


def _read(argument: Any, name: str, check_finite: bool) -> Array:
    if not isinstance(argument, np.ndarray):
        return read(argument, name, check_finite)
    if isinstance(argument, np.ma.MaskedArray) and np.ma.is_masked(argument):
        what = "is an array with masked elements; expected numbers in their places"
        raise UnreadableError(TypeError, what, f"{name}.filled(0)")
    return np.asarray(argument)


def _with_known_dtype(array: Array, name: str) -> Array:
    if array.dtype.kind == "O":
        array = of_objects(array, name)
    dtype = array.dtype
    if dtype in KINDS:
        return array
    if dtype.name == "bfloat16":
        return array.view(BFLOAT16)
    if dtype.kind == "f":  # extended precision: as scikit-learn, by way of a copy
        memory.check(array.size * 8, f"{name} in float64, a copy,")
        with np.errstate(over="ignore", under="ignore"):
            return array.astype(np.float64)
    what = {"c": "complex numbers", "U": "strings", "S": "byte strings"}
    raise not_numbers(array, name, what.get(dtype.kind, "elements"))


def as_matrix(argument: Any, name: str, vector: bool, check_finite: bool) -> Array:
    """`argument` as an ndarray of two axes, or of one where it may be a vector."""
    array = as_array(argument, name, check_finite)
    if array.ndim != 2 and not (vector and array.ndim == 1):
        expected = "a vector or a matrix" if vector else "a matrix"
        raise axes_error(name, array.shape, expected)
    return array


def renumbered(error: ValueError, rows: dict[str, Callable[[int], int]]) -> ValueError:
    """The error, of rows of a part, with the number that the row it names has in the whole.

    `rows`: what makes that of a row of X, and of one of Y.
    """
    found = re.match(r"([XY])\b(.*?\brow )(\d+)", str(error), re.DOTALL)
    if found is None or found[1] not in rows:
        return error
    side, words, row = found.groups()
    return ValueError(f"{side}{words}{rows[side](int(row))}{str(error)[found.end() :]}")


def axes_error(name: str, shape: Shape, expected: str) -> ValueError:
    """The error for an argument with too many axes, or too few."""
    axes = counted(len(shape), "axis", "axes")
    return ValueError(f"{name} has {axes} (shape {shape}); expected {expected}")


def counted(number: int, singular: str = "feature", plural: str = "features") -> str:
    """The number with its noun: "1 feature", "2 features"."""
    return f"{number} {singular if number == 1 else plural}"


class Shaped(Protocol):
    """An array or a sparse matrix."""

    @property
    def shape(self) -> Shape: ...


# the caller's own, for errors: where the features are, from the end, and the ndims of X and Y (a
# plain tuple: a single pair would feel the making of a named one)
Axes = tuple[int, int, int]
OF_MATRICES: Axes = (-1, 2, 2)


def check_features(X: Shaped, Y: Shaped, given: tuple[Shaped, Shaped] | None = None) -> None:
    """Raise unless both have the same number of features, at least one, on their last axis.

    The error tells the shapes of those that were `given`, if axes have been moved since.
    """
    features = X.shape[-1]  # a shape is a new tuple each time, which a single pair would feel
    other = Y.shape[-1]
    if features == other != 0:
        return
    X, Y = given or (X, Y)
    if other != features:
        raise ValueError(
            f"Y has {counted(other)} (shape {Y.shape}) where X has {features} "
            f"(shape {X.shape}); expected the same number"
        )
    raise no_features_error("X", X.shape)


def no_features_error(name: str, shape: Shape) -> ValueError:
    """What to raise for rows of no features."""
    return ValueError(f"{name} has 0 features (shape {shape}); expected at least 1")


def features_last(X: Array, Y: Array, axis: Any) -> tuple[Array, Array, int]:
    """Both with all axes of their broadcast, `axis` moved to the end; and `axis` below 0."""
    try:
        axis = operator.index(axis)
    except TypeError as error:
        raise TypeError(f"axis is {axis!r}; expected an integer") from error
    if axis == -1 and X.ndim == Y.ndim:
        return X, Y, -1
    ndim = max(X.ndim, Y.ndim)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis is {axis}; expected -{ndim} to {ndim - 1} for {ndim}-D input")
    X = X[(None,) * (ndim - X.ndim)]
    Y = Y[(None,) * (ndim - Y.ndim)]
    return np.moveaxis(X, axis, -1), np.moveaxis(Y, axis, -1), axis % ndim - ndim


def broadcast(X_shape: Shape, Y_shape: Shape, given: tuple[Shaped, Shaped], axes: str) -> Shape:
    """The common shape, as NumPy broadcasts; of the arrays that were `given` these are `axes`."""
    if X_shape == Y_shape:
        return X_shape
    # not NumPy's own function, which refuses shapes that would be too large for an array
    ndim = max(len(X_shape), len(Y_shape))
    longer = [(1,) * (ndim - len(shape)) + shape for shape in (X_shape, Y_shape)]
    if any(m != n and 1 not in (m, n) for m, n in zip(*longer, strict=True)):
        X, Y = given
        raise ValueError(
            f"Y has shape {Y.shape} where X has {X.shape}; expected {axes} that broadcast"
        )
    return tuple(n if m == 1 else m for m, n in zip(*longer, strict=True))


def stretched(array: Array, shape: Shape) -> Array:
    """A view of `array` in a shape that it broadcasts to."""
    if array.shape == shape:
        return array
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:  # more bytes than there are addresses
        raise MemoryError(f"rows of shape {shape} in {array.dtype} are too many") from error


def compute_wide(X: Array, Y: Array) -> bool:
    """Whether the pair is computed in float64."""
    return KINDS[X.dtype][1] or KINDS[Y.dtype][1]


def result_dtype(wide: bool, options: Options) -> np.dtype[Any]:
    """The dtype of the result."""
    return _RESULT_DTYPES[wide] if options.dtype is None else options.dtype


def kernel_view(array: Array) -> View:
    """What the kernels read: (rows, features, bytes) and the number of its kind."""
    return byte_view(array), KINDS[array.dtype][0]


def byte_view(array: Array) -> Bytes:
    """`array`, of no subclass, as the kernels see it: (rows, columns, bytes)."""
    return array[..., None].view(_BYTE)


def result_array(shape: Shape, dtype: np.dtype[Any], out: Any, *inputs: Array) -> Array:
    """`out`, checked, or a new array."""
    if out is None:
        return memory.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; expected an ndarray")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; expected {shape}")
    if out.dtype != dtype:
        raise ValueError(f"out has dtype {out.dtype}; expected {dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; expected a writeable array")
    for name, array in zip("XY", inputs, strict=False):
        if _overlap(out, array):
            raise ValueError(f"out shares memory with {name}; expected memory of its own")
    if out.size > 1 and _overlaps_itself(out):
        raise ValueError("out has elements that share memory; expected memory of their own")
    return out


def _overlap(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _overlaps_itself(out: Array) -> bool:
    # strides, smallest first, must each step over all that the smaller ones reach
    reach = out.itemsize
    for stride, length in sorted(
        (abs(s), n) for s, n in zip(out.strides, out.shape, strict=True) if n > 1
    ):
        if stride < reach:
            return True
        reach = stride * (length - 1) + reach
    return False


def check_is_finite(
    kernels: Kernels,
    matrices: Sequence[tuple[str, Bytes, int]],
    index: Shape,
    axes: Axes = OF_MATRICES,
) -> None:
    """Raise for the first NaN or infinity of (name, view, kind)s, the index-th of their stacks."""
    for name, view, kind in matrices:
        found = kernels.first_not_finite(view, kind)
        if found is not None:
            raise not_finite_error(name, *found, index, axes)


def not_finite_error(
    name: str, row: int, column: int, index: Shape = (), axes: Axes = OF_MATRICES
) -> ValueError:
    """The error for a NaN or an infinity in the index-th matrix of a stack."""
    return ValueError(
        f"{name} holds a NaN or an infinity at {_place(name, [*index, row], column, axes)}; "
        f"expected finite numbers (or check_finite=False)"
    )


def raise_zero_row(
    kernels: Kernels,
    matrices: Sequence[tuple[str, Bytes, int]],
    index: Shape,
    axes: Axes = OF_MATRICES,
) -> None:
    """Raise for the first zero row."""
    for name, view, kind in matrices:
        row = kernels.first_zero_row(view, kind)
        if row is not None:
            raise zero_row_error(name, row, index, axes)


def zero_row_error(name: str, row: int, index: Shape = (), axes: Axes = OF_MATRICES) -> ValueError:
    """The error for a zero row in the index-th matrix of a stack."""
    place = f", {_place(name, [*index, row], ':', axes)}".removesuffix(", column :")
    return ValueError(
        f"{name} has a zero row{place}, whose cosine is undefined; "
        f'expected nonzero rows with zero="raise"'
    )


def _place(name: str, index: list[int], feature: int | str, axes: Axes) -> str:
    """The place in the caller's own array, which may have fewer axes than the other."""
    place = list(map(str, index))
    features, *ndims = axes
    place.insert(len(index) + 1 + features, str(feature))
    place = place[len(place) - ndims["XY".index(name)] :]
    words = [f"matrix {', '.join(place[:-2])}"] if place[:-2] else []
    words += [f"row {row}" for row in place[-2:-1]]  # a vector has none
    return ", ".join([*words, f"column {place[-1]}"])
