"""The data, checked: arrays leave it as the kernels read them, or an error says what is wrong."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

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


def as_array(argument: Any, name: str, check_finite: bool = False) -> Array:
    """`argument` as an ndarray of a dtype in KINDS, not copied where its memory allows it.

    `check_finite`: NaN in a frame is told by its columns; elsewhere it is found later.
    """
    array: Array = argument
    if type(argument) is not np.ndarray or argument.dtype not in KINDS:
        with naming(name):
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
def naming(name: str, beside: str = "") -> Iterator[None]:
    """What cannot be read becomes an error that names the argument.

    `beside`: what there is to do, too, where there is a remedy.
    """
    try:
        yield
    except UnreadableError as found:
        remedies = f"; try {' or '.join(found.remedies)}{beside}" if found.remedies else ""
        raise found.error(f"{name} {found.what}{remedies}") from found.__cause__


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


def check_row_numbers(Y: Array) -> None:
    """Raise for more rows of `Y` than the kernels can number."""
    if Y.shape[0] >= 1 << 32:
        raise ValueError(f"Y has {Y.shape[0]} rows; expected fewer than 2**32: search it in parts")


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
