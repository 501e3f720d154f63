"""Checking of SciPy's sparse matrices and arrays: CSR leaves it as the sparse kernels read it."""

from copy import copy
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from unitdot import _inputs
from unitdot._inputs import Array, Axes
from unitdot._kernels import sparse as kernels
from unitdot._kernels.sparse import Found
from unitdot._machine import memory

# as many features are looked up by number; of more, only those that occur get one
NUMBERED = 1 << 20


@dataclass
class Csr:
    """A matrix; `found` is what is known of its structure, as in sparse/csr.pxi."""

    values: Array
    indices: Array
    starts: Array
    n_features: int
    found: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        return len(self.starts) - 1, self.n_features


def is_sparse(*arguments: Any) -> bool:
    """Whether any is a SciPy sparse matrix or array."""
    return any(hasattr(argument, "tocsr") for argument in arguments)


def read_side(argument: Any, name: str) -> Csr | Array:
    """A sparse argument as CSR whose structure is checked, another as an array."""
    if is_sparse(argument):
        return _checked(argument, name)
    array = _inputs.as_array(argument, name)
    if array.ndim > 2:
        raise _inputs.axes_error(name, array.shape, "a matrix or a vector beside a sparse matrix")
    return array


def _checked(argument: Any, name: str) -> Csr:
    csr = read_csr(argument, name)
    csr.found = _structure(csr.values, csr.indices, csr.starts, csr.n_features, name, 1)
    return csr


def is_vector(side: Any) -> bool:
    """Whether an argument has no axis of rows."""
    return bool(side.ndim == 1 if is_sparse(side) else np.ndim(side) == 1)


def is_wide(side: Csr | Array) -> bool:
    """Whether its results are computed in float64."""
    if isinstance(side, Csr):
        return side.values.dtype == np.float64
    return _inputs.compute_wide(side, side)


def entries_of(side: Csr | Array) -> int:
    """Stored ones."""
    return int(side.starts[-1]) if isinstance(side, Csr) else side.size


def rows_of(side: Csr | Array, nan_for_zero: bool, threads: int) -> tuple[Any, Array]:
    """What the kernels read, and the array that it holds."""
    if isinstance(side, Csr):
        csr = canonical(side, threads)
        arrays = csr.values, csr.indices, csr.starts, csr.n_features
        return kernels.Rows.of_csr(*arrays, is_wide(side), nan_for_zero, threads), csr.values
    rows = np.atleast_2d(side)
    norms = 24 * rows.shape[0]  # bytes
    memory.check(norms, f"working space for rows of shape {rows.shape} beside sparse ones")
    view = _inputs.kernel_view(rows)
    return kernels.Rows.of_dense(*view, is_wide(side), nan_for_zero, threads), side


def read_csr(argument: Any, name: str) -> Csr:
    """`argument` as CSR of float32 or float64, its structure not yet checked.

    What is CSR of these already is not copied.
    """
    if argument.ndim > 2:
        raise ValueError(f"{name} is a sparse {argument.ndim}-D array; expected 1-D or 2-D")
    if argument.dtype.kind not in "buif":
        what = "complex numbers" if argument.dtype.kind == "c" else "elements"
        raise TypeError(
            f"{name} holds {what} (dtype {argument.dtype}); expected real numbers: "
            f"bool, integers, float16, float32 or float64"
        )
    n_features = argument.shape[-1]
    rows = argument.shape[0] if argument.ndim == 2 else 1
    if argument.format == "coo":
        _check_coo(argument, name)
        values, indices, starts = _of_coo(argument, rows)
    else:
        if argument.format != "csr":
            _check_other_format(argument, name)
            if not argument.dtype.isnative:  # which SciPy lets in, but does not copy
                argument = copy(argument)
                argument.data = argument.data.astype(argument.dtype.newbyteorder("="))
            argument = argument.copy()  # SciPy reads what nobody can change after the check
            _check_other_format(argument, name)
            # converted first: SciPy may add duplicates up
            argument = argument.astype(_values_dtype(argument.dtype), copy=False)
            argument = (argument.reshape(1, -1) if argument.ndim == 1 else argument).tocsr()
        values, indices, starts = _arrays(argument, name, rows)
    return Csr(values, indices, starts, n_features, 0)


def _arrays(matrix: Any, name: str, major: int) -> tuple[Array, Array, Array]:
    """(values, indices, starts), of dtypes that the kernels know, contiguous and aligned.

    The starts are a copy: where rows are follows from them, so nobody may change them between the
    check and the end of the call. Values and indices may change: results will be wrong.
    """
    values, indices, starts = (
        np.asarray(array) for array in (matrix.data, matrix.indices, matrix.indptr)
    )
    for part, array in (("indices", indices), ("indptr", starts)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{name}.{part} has dtype {array.dtype} and {array.ndim} axes; "
                f"expected a vector of integers"
            )
    if len(starts) != major + 1:
        raise ValueError(f"{name}.indptr has {len(starts)} elements; expected {major + 1}")
    if len(values) != len(indices):
        raise ValueError(
            f"{name}.data has {len(values)} elements and {name}.indices {len(indices)}; "
            f"expected as many"
        )
    if values.ndim == 1:
        values = np.require(values, _values_dtype(values.dtype), ["C", "A"])
    narrow = indices.dtype == starts.dtype == np.int32
    integer = np.int32 if narrow else np.int64
    indices = np.require(indices, integer, ["C", "A"])
    return values, indices, np.array(starts, integer, order="C")


def _values_dtype(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    return np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64


def _of_coo(matrix: Any, rows: int) -> tuple[Array, Array, Array]:
    """(values, indices, starts); SciPy's `tocsr` would add duplicates in the matrix's own dtype."""
    row = matrix.coords[0] if matrix.ndim == 2 else np.zeros(len(matrix.data), np.int32)
    order = np.argsort(row, kind="stable")
    integer = np.int64 if max(len(row), matrix.shape[-1]) > np.iinfo(np.int32).max else np.int32
    starts = np.zeros(rows + 1, integer)
    np.cumsum(np.bincount(row, minlength=rows), out=starts[1:])
    values = matrix.data[order].astype(_values_dtype(matrix.dtype))
    return values, matrix.coords[-1][order].astype(integer), starts


def _structure(
    values: Array, indices: Array, starts: Array, minor: int, name: str, threads: int
) -> int:
    """What `inspect` finds; raises where a kernel must not read."""
    found = int(kernels.inspect(values, indices, starts, minor, threads))
    if found & Found.BAD_STRUCTURE:
        _raise_structure(indices, starts, minor, name)
    return found


def _raise_structure(indices: Array, starts: Array, minor: int, name: str) -> NoReturn:
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if starts[0] != 0:
        what = f"{name}.indptr begins with {starts[0]}; expected 0"
    elif len(falls):
        i = int(falls[0])
        what = f"{name}.indptr falls from {starts[i]} to {starts[i + 1]} after row {i}; "
        what += "expected it to ascend"
    elif starts[-1] > len(indices):
        what = f"{name}.indptr ends with {starts[-1]} where {len(indices)} entries are stored"
    else:
        used = indices[: starts[-1]]
        bad = np.flatnonzero((used < 0) | (used >= minor))
        what = f"{name}.indices is written to by another thread; expected 0 to {minor - 1}"
        if len(bad):
            row = int(np.searchsorted(starts, bad[0], side="right")) - 1
            what = f"{name}.indices holds {used[bad[0]]} in row {row}; expected 0 to {minor - 1}"
    raise ValueError(f"{what} ({name} is not a valid sparse matrix)")


def _check_other_format(matrix: Any, name: str) -> None:
    """What SciPy's own conversion to CSR reads without checking."""
    if matrix.format in ("csc", "bsr"):
        block = matrix.blocksize if matrix.format == "bsr" else (1, 1)
        major, minor = matrix.shape if matrix.format == "bsr" else matrix.shape[::-1]
        _, indices, starts = _arrays(matrix, name, major // block[0])
        dummy = np.ones(len(indices), np.float32)
        _structure(dummy, indices, starts, minor // block[1], name, 1)


def _check_coo(matrix: Any, name: str) -> None:
    for axis, (at, length) in enumerate(zip(matrix.coords, matrix.shape, strict=True)):
        if len(at) != len(matrix.data):
            raise ValueError(f"{name} has {len(at)} coordinates of {len(matrix.data)} entries")
        if len(at) and not 0 <= at.min() <= at.max() < length:
            raise ValueError(
                f"{name} has coordinates {at.min()} to {at.max()} on axis {axis}; "
                f"expected 0 to {length - 1}"
            )


def canonical(csr: Csr, threads: int) -> Csr:
    """Sorted rows without duplicates or zeros: `csr` itself or a copy that is put in order."""
    stored = int(csr.starts[-1])
    if not csr.found & (Found.UNSORTED | Found.EXPLICIT_ZERO):
        return csr
    values, indices, starts = csr.values[:stored].copy(), csr.indices[:stored].copy(), csr.starts
    starts = starts.copy()
    left = kernels.canonicalise(values, indices, starts, threads)
    return Csr(values[:left], indices[:left], starts, csr.n_features, 0)


def in_order(argument: Any, name: str) -> Csr:
    """A sparse argument as canonical CSR, its structure checked; not copied where it is that."""
    return canonical(_checked(argument, name), 1)


def check_structure(parts: tuple[Array, ...], n_features: int, name: str) -> None:
    """Raise where (values, indices, starts) are not CSR."""
    values, indices, starts = parts
    _structure(values, indices, starts, n_features, name, 1)


def as_scipy(parts: tuple[Array, ...], shape: tuple[int, int]) -> Any:
    """(values, indices, starts), whose structure is known, as an array of SciPy's: no copy."""
    from scipy.sparse import csr_array

    # what SciPy makes of arrays of a file, which are small parts of it, would be copies
    matrix = csr_array(shape, dtype=parts[0].dtype)
    matrix.data, matrix.indices, matrix.indptr = parts
    return matrix


def renumbered(matrices: list[Csr]) -> list[Csr]:
    """Where there are many features, numbers in the same order for those that occur."""
    n_features = matrices[0].n_features
    if n_features <= NUMBERED or n_features <= sum(int(m.starts[-1]) for m in matrices):
        return matrices
    occurring = occurring_in(matrices)
    return [numbered(m, occurring) for m in matrices]


def occurring_in(matrices: list[Csr]) -> Array:
    """The features that any of them has, ascending."""
    own = [np.unique(m.indices[: m.starts[-1]]) for m in matrices]
    return own[0] if len(own) == 1 else np.unique(np.concatenate(own))


def numbered(m: Csr, occurring: Array) -> Csr:
    """The matrix with numbers for the features that occur."""
    indices = np.searchsorted(occurring, m.indices[: m.starts[-1]]).astype(m.indices.dtype)
    return Csr(m.values, indices, m.starts, max(1, len(occurring)), m.found)


def check_is_finite(csr: Csr, name: str, axes: Axes) -> None:
    """Raise for the first NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(csr.values[: csr.starts[-1]]))
    if len(bad):
        row = int(np.searchsorted(csr.starts, bad[0], side="right")) - 1
        column = int(csr.indices[bad[bad < csr.starts[row + 1]]].min())
        raise _inputs.not_finite_error(name, row, column, axes=axes)
