"""Sparse matrices of every format, in order and in disorder, valid and hostile."""

import numpy as np
from scipy import sparse

from .dense import Side, special_rows

DTYPES = tuple(map(np.dtype, "dfilB?"))
BAD_NUMBERS = (-1, 1, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 62, -(1 << 62), 7)


def side(c, shape):
    """An argument of this shape; it says with what it must be refused, if it must."""
    dtype = c.pick(DTYPES)
    rng = np.random.default_rng(c.below(1 << 16))
    value = rng.integers(0 if dtype.kind in "ub" else -2, 3, shape).astype(dtype)
    value[rng.random(shape) >= c.pick((0.2, 0.5, 0.05, 1))] = 0
    if dtype.kind == "f" and c.byte() % 3 == 1:
        value *= (2.0 ** rng.integers(-120, 100, (shape[0], 1))).astype(dtype)
    if dtype.kind == "f":
        special_rows(c, value)
    make = c.pick((_compressed, _compressed, _coordinates, _other))
    held = value.astype("f" if dtype.char == "f" else "d")  # where duplicates add up
    matrix, error = make(c, rng, value, held)
    buffers = tuple(
        array
        for name in ("data", "indices", "indptr", "row", "col")
        if isinstance(array := getattr(matrix, name, None), np.ndarray) and array.dtype != object
    )
    return Side(matrix, held, buffers, error, sparse=True)


def plain(value):
    """Canonical CSR of an array, in the precision that it is computed in."""
    single = value.dtype.kind not in "biu" and value.dtype.itemsize <= 4
    return sparse.csr_array(value.astype(np.float32 if single else np.float64))


def _triplets(c, rng, value):
    """(rows, columns, data) in any order, with explicit zeros, and duplicates where they add."""
    rows, columns = np.nonzero(value)
    data = value[rows, columns]
    if c.byte() % 2 and value.dtype.kind in "if" and np.isin(data, (-2, -1, 1, 2)).all():
        twice = rng.random(len(data)) < 0.3
        rows, columns = np.append(rows, rows[twice]), np.append(columns, columns[twice])
        data = np.append(np.where(twice, data - 3, data), np.full(twice.sum(), 3))
    if c.byte() % 2 and value.size:
        extra = rng.integers(0, value.size, 3)
        rows = np.append(rows, extra // value.shape[1])
        columns, data = np.append(columns, extra % value.shape[1]), np.append(data, [0, 0, 0])
    data = data.astype(value.dtype)
    order = rng.permutation(len(rows)) if c.byte() % 2 else np.lexsort((columns, rows))
    return rows[order], columns[order], data[order]


def _compressed(c, rng, value, held):
    """CSR or CSC, whose arrays are set one by one, past SciPy's checks."""
    by_column = c.byte() % 3 == 1
    rows, columns, data = _triplets(c, rng, value)
    major, minor = (columns, rows) if by_column else (rows, columns)
    n_major, n_minor = value.shape[::-1] if by_column else value.shape
    order = np.argsort(major, kind="stable")
    integer = c.pick((np.int32, np.int64))
    indptr = np.append(0, np.cumsum(np.bincount(major, minlength=n_major))).astype(integer)
    indices, data = minor[order].astype(integer), data[order]
    error = None
    if c.byte() % 4 == 1:
        indptr, indices, data = (_spoiled(c, a) for a in (indptr, indices, data))
        good = (
            len(indptr) == n_major + 1
            and len(data) == len(indices)
            and indptr[0] == 0
            and (indptr[1:] >= indptr[:-1]).all()
            and indptr[-1] <= len(indices)
            and ((indices[: indptr[-1]] >= 0) & (indices[: indptr[-1]] < n_minor)).all()
        )
        error = None if good else ValueError
        if good:
            at = np.repeat(np.arange(n_major), np.diff(indptr)), indices[: indptr[-1]]
            held[...] = 0
            np.add.at(held, at[::-1] if by_column else at, data[: indptr[-1]])
    kinds = ("csc_array", "csc_matrix") if by_column else ("csr_array", "csr_matrix")
    matrix = getattr(sparse, c.pick(kinds))(value.shape, dtype=value.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix, error


def _spoiled(c, array):
    """The array, or one that is wrong in a place or in its length, or lies differently."""
    what = c.below(8)
    array = array.copy()
    if what == 1 and len(array):
        with np.errstate(all="ignore"):
            array[c.below(min(len(array), 65536))] = np.int64(c.pick(BAD_NUMBERS)).astype(
                array.dtype
            )
    elif what == 2:
        array = array[: c.below(min(len(array) + 1, 65536))].copy()
    elif what == 3:
        array = np.append(array, array[-1:])
    elif what == 4:
        array = array.repeat(2)[::2]
    elif what == 5:
        array.flags.writeable = False
    elif what == 6 and array.dtype.itemsize > 1:
        array = array.astype(array.dtype.newbyteorder())
    return array


def _coordinates(c, rng, value, held):
    rows, columns, data = _triplets(c, rng, value)
    matrix = getattr(sparse, c.pick(("coo_array", "coo_matrix")))(
        (data, (rows, columns)), shape=value.shape
    )
    if c.byte() % 8 != 1 or not len(rows):
        return matrix, None
    axis, at = c.below(2), c.below(min(len(rows), 65536))
    wrong = np.int64(c.pick(BAD_NUMBERS))
    coords = [coord.astype(np.int64) for coord in matrix.coords]
    coords[axis][at] = wrong if wrong < 0 else wrong + value.shape[axis]
    matrix.coords = tuple(coords)
    return matrix, ValueError


def _other(c, rng, value, held):
    few_diagonals = sum(value.shape) < 100  # SciPy warns of many
    kind = c.pick(("bsr", "lil", "dok", "dia" if few_diagonals else "csc"))
    matrix = getattr(sparse, c.pick(("coo_array", "coo_matrix")))(value)
    if kind == "bsr":
        block = tuple(c.pick([b for b in (1, 2, 3) if n % b == 0]) for n in value.shape)
        return matrix.tobsr(blocksize=block), None
    return matrix.asformat(kind), None
