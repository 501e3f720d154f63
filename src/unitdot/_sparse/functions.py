"""The same functions where either side is sparse: prepare, allocate, call the sparse kernels."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unitdot import _inputs, _options
from unitdot._inputs import Array, Axes
from unitdot._kernels import sparse as kernels
from unitdot._kernels.sparse import Found
from unitdot._machine import dispatch, memory
from unitdot._machine.threads import threads_for
from unitdot._options import Options
from unitdot._selection import (
    LEAST_CUT,
    Selection,
    empty_neighbours,
    keep_most,
    put_in_order,
    without_itself,
)
from unitdot._sparse import inputs as sparse_inputs
from unitdot._sparse.blocks import Report, blocks_and_chunks, vectors_of_isa
from unitdot._sparse.few import Few, few_of
from unitdot._sparse.images import Find, are_worth, pairs_by_images
from unitdot._sparse.inputs import Csr, entries_of, is_sparse, is_vector, is_wide
from unitdot._sparse.joins import Triplet, cut_off, no_pairs, pairs_above, pairs_by_bounds
from unitdot._sparse.prepared import Prepared
from unitdot._sparse.problem import Problem
from unitdot._sparse.search import search

# thresholds that a zero similarity reaches, or all but reaches, have every pair computed
BRUTE_FORCE = 1e-5
# results with more entries, rows or columns have indices of 64 bits
MOST_FOR_INT32 = np.iinfo(np.int32).max
# what a product of two entries costs, in multiply-adds
PRODUCT = 8


def full(
    X: Any, Y: Any, dense_output: bool, distance: bool, out: Array | None, options: Options
) -> Any:
    """Every row against every row: an ndarray, or CSR where both are sparse and it is wanted."""
    if not dense_output and is_sparse(X) and (Y is None or is_sparse(Y)):
        if out is not None:
            raise ValueError("out is given with dense_output=False; expected None")
        return _csr(X, Y, options)
    few = few_of(X, Y, options)
    if few is not None and out is not None and not few.is_plain():
        few = None
    problem: Few | Problem = few or _prepare(X, Y, options)
    _check_out_apart(out, X, Y)
    (n_X, n_Y), (drop_X, drop_Y) = problem.shape, problem.vectors
    shape = (() if drop_X else (n_X,)) + (() if drop_Y else (n_Y,))
    result = _inputs.result_array(shape, problem.dtype, out, *problem.buffers)
    matrix = np.expand_dims(result, tuple(np.flatnonzero(problem.vectors)))
    if few is not None:
        to = matrix if matrix.flags.aligned else np.empty(matrix.shape, problem.dtype)
        if few.fill(distance, to):
            if to is not matrix:
                matrix[...] = to
            return result if out is not None or result.ndim else result[()]
    if isinstance(problem, Few):
        problem = _prepare(X, Y, options)  # raises
    own = problem.same and problem.shares_much and _is_direct(matrix)
    for block, chunk in blocks_and_chunks(problem, None, weights=False):
        rows, columns = slice(chunk.start, chunk.stop), slice(block.first, block.stop)
        mirror = None
        if own:
            rows = slice(chunk.start, min(chunk.stop, block.stop))
            mirror = matrix[columns, rows]
        part = matrix[rows, columns]
        to = part if _is_direct(part) else np.empty(part.shape, problem.dtype)
        kernels.fill_dense(
            problem.X, problem.Y, block, chunk.start, problem.same, distance, to, mirror,
            problem.threads,
        )  # fmt: skip
        if to is not part:
            part[...] = to
    return result if out is not None or result.ndim else result[()]


def _is_direct(matrix: Array) -> bool:
    """Whether the kernels can write its rows where they are."""
    direct = matrix.strides[1] == matrix.itemsize or matrix.shape[1] == 1
    return direct and matrix.flags.aligned and not matrix.strides[0] % matrix.itemsize


def paired(X: Any, Y: Any, axis: int, distance: bool, options: Options) -> Array:
    """Row i against row i; one row broadcasts."""
    _check_axis(axis, 0 if is_vector(X) and is_vector(Y) else 1)
    problem = _prepare(X, Y, options, self_join=False)
    n_X, n_Y = problem.shape
    if n_X != n_Y and 1 not in (n_X, n_Y):
        raise ValueError(
            f"Y has {_inputs.counted(n_Y, 'row', 'rows')} (shape {np.shape(Y)}) where X has {n_X} "
            f"(shape {np.shape(X)}); expected as many, or one"
        )
    similarity = memory.empty((max(n_X, n_Y) if min(n_X, n_Y) else 0,), np.dtype(np.float64))
    kernels.paired(problem.X, problem.Y, similarity, problem.wide, problem.threads)
    computed = similarity.astype(np.float64 if problem.wide else np.float32, copy=False)
    result = (1 - computed if distance else computed).astype(problem.dtype, copy=False)
    return result[0] if all(problem.vectors) else result


def top_k(
    X: Any,
    Y: Any,
    k: int,
    threshold: float | None,
    include_self: bool,
    report: Report,
    options: Options,
    where: Any = None,
    groups: Any = None,
    any_k: bool = False,
    prepared: Prepared | None = None,
) -> tuple[Array, Array, tuple[int, int]]:
    """(similarities, indices) of the k rows of Y most similar to each row of X; and both's rows.

    `prepared`: what is known of Y.
    """
    if not where is groups is None:
        return _top_k_of_some(X, Y, k, threshold, include_self, options, where, groups)
    if (Y is None or Y is X) and is_vector(X):
        raise ValueError("X is one vector without Y; expected a matrix")
    if Y is not None and np.ndim(Y) != 2:
        raise _inputs.axes_error("Y", np.shape(Y), "a matrix")
    few = None if prepared is not None else few_of(X, Y, options)
    if few is not None and not few.by_few:
        few = None
    problem: Few | Problem = few or _prepare(X, Y, options, prepared=prepared)
    n_X, n_Y = problem.shape
    without_itself = problem.same and not include_self
    free = any_k or threshold is not None  # places may be left over
    k = _options.check_k(k, None if free else max(0, n_Y - without_itself))
    # -2: all count, NaN too
    least = -2.0 if threshold is None else float(problem.dtype.type(max(threshold, -1)))
    similarities, indices = empty_neighbours(n_X, k, np.dtype(np.float64), False)
    copy = indices.size * problem.dtype.itemsize if problem.dtype != similarities.dtype else 0
    memory.check(similarities.nbytes + indices.nbytes + copy, f"top-k with k = {k}")
    how = without_itself, least, similarities, indices
    if few is None or not few.search(*how, report):
        if isinstance(problem, Few):
            problem = _prepare(X, Y, options)  # raises
        search(problem, how, report)
    result = similarities.astype(problem.dtype, copy=False)
    if problem.vectors[0]:
        return result[0], indices[0], problem.shape
    return result, indices, problem.shape


def _top_k_of_some(
    X: Any,
    Y: Any,
    k: int,
    threshold: float | None,
    include_self: bool,
    options: Options,
    where: Any,
    groups: Any,
) -> tuple[Array, Array, tuple[int, int]]:
    """The same where a filter or groups say who meets whom."""
    problem = _prepare(X, Y, options)
    k, (n, m), alone = _options.check_k(k, None), problem.shape, Y is None
    selection = Selection(where, groups, (n, m), alone, alone and not include_self)
    if threshold is not None and where is None:
        apart = _apart(X, Y, threshold, selection, problem)
        if apart is not None:
            return top_k(*apart, k, threshold, include_self, None, options, any_k=True)
    take_x, take_y = _taking(X, "X"), _taking(X if alone else Y, "Y")
    similarities, indices = empty_neighbours(n, k, problem.dtype, selection.itself)
    similarities[:], indices[:] = np.nan, -1
    for rows, columns in selection.blocks():
        own = None if selection.rows_are_columns else take_y(columns)
        how = threshold, include_self or own is not None, None, options
        found = top_k(take_x(rows), own, indices.shape[1], *how, any_k=True)
        similarities[rows] = found[0]
        indices[rows] = np.where(found[1] < 0, -1, columns[found[1]])
    if selection.itself:
        similarities, indices = without_itself(similarities, indices)
    if problem.vectors[0]:
        return similarities[0], indices[0], problem.shape
    return similarities, indices, problem.shape


def pairs(
    X: Any,
    Y: Any,
    threshold: float,
    most: int,
    report: Report,
    options: Options,
    groups: Any = None,
    find: Find | None = None,
) -> Triplet:
    """(rows, columns, similarities) of all pairs with similarity >= threshold, sorted.

    Where `most` is not 0, of the most similar so many. `find`: how pairs of dense rows are found.
    """
    if groups is not None:
        return _pairs_in_groups(X, Y, threshold, most, options, groups)
    same = Y is None or Y is X
    few = few_of(X, Y, options)
    found = few.reaching(threshold, same, report) if few is not None else None
    if found is not None:
        if 0 < most < len(found[0]):
            keep_most(found, len(found[0]), most)
            cut_off(found, most)
        return found
    if not same and is_sparse(X) and not is_sparse(Y) and threshold > BRUTE_FORCE:
        # the kernels index the sparse side; rows and columns change places
        if np.shape(X)[-1] != np.shape(Y)[-1]:
            _prepare(X, Y, options)  # raises, with the names in their places
        problem = _prepare(Y, X, options, names=("Y", "X"))
        if report is not None:
            report = _scaled(report, X.shape[0])
        whole = _by_images(problem, threshold, report, most, find)
        if whole is None:
            whole = pairs_by_bounds(problem, threshold, report, most, swapped=True)
        columns, rows, similarities = whole
        kernels.sort_pairs(rows, columns, similarities, X.shape[0])
        return rows, columns, similarities
    problem = _prepare(X, Y, options)
    # as NumPy compares an array with a number
    threshold = float(problem.dtype.type(threshold))
    all_at_once = kernels.is_full(problem.Y, vectors_of_isa()) or problem.scores_are_few
    if threshold > BRUTE_FORCE and not all_at_once:
        return pairs_by_bounds(problem, threshold, report, most)
    if not most:
        _check_room_for_all(problem, threshold, options.zero == "nan")
    by_scores = threshold > BRUTE_FORCE
    whole = _by_images(problem, threshold, report, most, find)
    if whole is not None:
        return whole
    return pairs_above(problem, threshold, report, no_pairs(problem), 0, most, by_scores)


def _by_images(
    problem: Problem, threshold: float, report: Report, most: int, find: Find | None
) -> Triplet | None:
    """The pairs of rows that are full enough for dense kernels; None: they are not."""
    threshold = float(problem.dtype.type(threshold))
    if find is None or most or threshold <= BRUTE_FORCE or not vectors_of_isa():
        return None
    return pairs_by_images(problem, threshold, find, report) if are_worth(problem) else None


def _pairs_in_groups(
    X: Any, Y: Any, threshold: float, most: int, options: Options, groups: Any
) -> Triplet:
    """The same of rows with equal labels."""
    problem = _prepare(X, Y, options)
    alone = Y is None
    selection = Selection(None, groups, problem.shape, alone, False)
    apart = _apart(X, Y, threshold, selection, problem)
    if apart is not None:
        return pairs(*apart, threshold, most, None, options)
    take_x, take_y = _taking(X, "X"), _taking(X if alone else Y, "Y")
    parts, length = [no_pairs(problem)], 0
    for rows, columns in selection.blocks():
        own = None if alone else take_y(columns)
        found = pairs(take_x(rows), own, threshold, most, None, options)
        parts.append((rows[found[0]], columns[found[1]], found[2]))
        length += len(found[0])
        if most and length > most + most // 2 + LEAST_CUT:
            whole = _joined(parts)
            threshold, length = keep_most(whole, length, most), most
            parts = [(whole[0][:most], whole[1][:most], whole[2][:most])]
    return put_in_order(*_joined(parts), problem.shape[0], most)


def _apart(
    X: Any, Y: Any, threshold: float, selection: Selection, problem: Problem
) -> tuple[Any, Any] | None:
    """Both sides with features of each group's own, so that rows of different ones share none.

    They are less similar than any threshold above 0, then, and one search finds what is in groups.
    None where zeros may count, and for dense rows.
    """
    groups, n_features = selection.groups, problem.X.shape[1]
    sides = [X] if Y is None else [X, Y]
    if groups is None or threshold <= BRUTE_FORCE or any(problem.vectors):
        return None
    n_groups = len(groups.starts_x) - 1
    if not n_groups or not all(map(is_sparse, sides)):  # without rows there are no groups
        return None
    if n_features * n_groups > np.iinfo(np.int64).max:
        return None
    from scipy.sparse import csr_array

    parts = (groups.starts_x, groups.order_x), (groups.starts_y, groups.order_y)
    apart: list[Any] = []
    for side, name, (starts, order) in zip(sides, "XY", parts, strict=False):
        csr = sparse_inputs.read_csr(side, name)
        stored, rows = int(csr.starts[-1]), np.empty_like(order)
        rows[order] = np.repeat(np.arange(n_groups), starts[1:] - starts[:-1])
        own = np.repeat(rows, csr.starts[1:] - csr.starts[:-1]) * csr.n_features
        entries = csr.values[:stored], csr.indices[:stored] + own, csr.starts
        apart.append(csr_array(entries, shape=(len(order), n_groups * csr.n_features)))
    return apart[0], None if Y is None else apart[1]


def _joined(parts: list[Triplet]) -> Triplet:
    rows, columns, similarities = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return rows, columns, similarities


def _taking(side: Any, name: str) -> Callable[[Array], Any]:
    """A function that takes rows of a checked matrix, by number."""
    if not is_sparse(side):
        matrix = np.atleast_2d(_inputs.as_array(side, name))
        return lambda rows: matrix[rows]
    from scipy.sparse import csr_array

    csr = sparse_inputs.read_csr(side, name)
    stored = csr.starts[-1]
    parts = csr.values[:stored], csr.indices[:stored], csr.starts
    own = csr_array(parts, shape=csr.shape)
    return lambda rows: own[rows]


def _scaled(report: Callable[[int, int], object], n: int) -> Callable[[int, int], object]:
    """Progress in `n` rows of X, where those of Y are counted."""
    return lambda done, total: report(done * n // total, n)


def _check_room_for_all(problem: Problem, threshold: float, nan_for_zero: bool) -> None:
    """Where every pair is certain to reach the threshold, refuse too many before they are counted.

    Not certain: a similarity that may be NaN, or below a threshold above -1.
    """
    found = problem.X.found | problem.Y.found
    perhaps_nan = found & Found.NOT_FINITE or (nan_for_zero and found & Found.ZERO_ROW)
    if threshold <= (-1 if found & Found.NEGATIVE else 0) and not perhaps_nan:
        n_X, n_Y = problem.shape
        length = n_X * (n_X - 1) // 2 if problem.same else n_X * n_Y
        size = length * (16 + problem.dtype.itemsize)
        memory.check(size, f"the result of {length} pairs")


def _csr(X: Any, Y: Any, options: Options) -> Any:
    """The full matrix as CSR."""
    from scipy import sparse

    few = few_of(X, Y, options)
    pairs = few.reaching(np.nan, same=False) if few is not None else None
    if few is not None and pairs is not None:
        rows, indices, values = pairs
        shape, integer = few.shape, _integer(len(rows), few.shape)
        indices = indices.astype(integer, copy=False)
        starts = np.zeros(shape[0] + 1, integer)
        np.cumsum(np.bincount(rows, minlength=shape[0]), out=starts[1:])
    else:
        problem = _prepare(X, Y, options)
        shape, (values, indices, starts) = problem.shape, _every_entry(problem)
    arrays = (isinstance(side, sparse.sparray) for side in (X, Y) if side is not None)
    kind = sparse.csr_array if any(arrays) else sparse.csr_matrix
    result = kind((values, indices, starts), shape=shape)
    result.has_canonical_format = True
    return result


def _integer(total: int, shape: tuple[int, int]) -> np.dtype[Any]:
    """The dtype of the indices of so many entries."""
    return np.dtype(np.int32 if max(total, *shape) <= MOST_FOR_INT32 else np.int64)


def _every_entry(problem: Problem) -> Triplet:
    """(values, indices, starts) of the full matrix: counted, then filled."""
    vectors = vectors_of_isa()
    counts = np.zeros(problem.shape[0], np.int64)
    last = None
    for block, rows in blocks_and_chunks(problem, None, weights=False):
        kernels.count_entries(
            problem.X, block, rows.start, rows.stop, counts, problem.threads, vectors
        )
        last = block
    total = int(counts.sum())
    integer = _integer(total, problem.shape)
    memory.check(
        total * (problem.dtype.itemsize + integer.itemsize),
        f"the result of shape {problem.shape} with {total} entries in {problem.dtype}",
    )
    values, indices = np.empty(total, problem.dtype), np.empty(total, integer)
    starts = np.zeros(len(counts) + 1, integer)
    np.cumsum(counts, out=starts[1:])
    position = starts[:-1].astype(np.int64)
    for block, rows in blocks_and_chunks(problem, None, weights=False, reuse=last):
        kernels.fill_entries(
            problem.X, problem.Y, block, rows.start, rows.stop, position, starts, values, indices,
            problem.threads, vectors,
        )  # fmt: skip
    if (position != starts[1:]).any():
        left = kernels.close_gaps(values, indices, starts, position)
        values.resize(left, refcheck=False)
        indices.resize(left, refcheck=False)
    return values, indices, starts


def _prepare(
    X: Any,
    Y: Any,
    options: Options,
    self_join: bool = True,
    names: tuple[str, str] = ("X", "Y"),
    prepared: Prepared | None = None,
) -> Problem:
    """Both sides checked, in the form that the kernels read; `prepared`: the second is."""
    same = self_join and (Y is None or Y is X)
    sides = [X] if same else [X, Y]
    fresh = sides if prepared is None else sides[:-1]
    checked = [
        sparse_inputs.read_side(side, name) for side, name in zip(fresh, names, strict=False)
    ]
    if prepared is not None:
        checked.append(prepared.csr)
    given = [g if is_sparse(g) else array for g, array in zip(sides, checked, strict=True)]
    _inputs.check_features(given[0], given[-1])
    checked = [np.atleast_2d(s) if isinstance(s, np.ndarray) else s for s in checked]
    ndims = {name: 2 - is_vector(side) for name, side in zip(names, (X, sides[-1]), strict=True)}
    axes = -1, ndims["X"], ndims["Y"]
    mixed = not all(isinstance(side, Csr) for side in checked)
    if mixed and checked[0].shape[1] >= 1 << 31:
        raise ValueError(
            f"{names[0]} has {checked[0].shape[1]} features beside dense input; "
            f"expected fewer than 2**31"
        )
    wide = any(is_wide(side) for side in checked)
    work = PRODUCT * entries_of(checked[0]) * (entries_of(checked[-1]) // checked[0].shape[1] + 4)
    threads = threads_for(options.n_threads, work)
    matrices = [side for side in checked if isinstance(side, Csr)]
    numbered: Sequence[Csr | Array] = checked
    if len(matrices) == len(checked):
        numbered = sparse_inputs.renumbered(matrices)
    nan_for_zero = options.zero == "nan"
    rows, buffers = [], []
    for side in numbered:
        if prepared is not None and side is prepared.csr:
            row, buffer = prepared.rows(nan_for_zero), side.values
        else:
            row, buffer = sparse_inputs.rows_of(side, nan_for_zero, threads)
        rows.append(row)
        buffers.append(buffer)
    # features may be far from equally frequent
    if prepared is not None and threads == 1 and options.n_threads != 1:
        threads = threads_for(options.n_threads, PRODUCT * prepared.products(rows[0]))
    if options.check_finite:
        for side, name, row in zip(checked, names, rows, strict=False):
            if row.found & Found.NOT_FINITE:
                _raise_not_finite(side, name, axes)
    if options.zero == "raise":
        for name, row in zip(names, rows, strict=False):
            first = row.first_zero() if row.found & Found.ZERO_ROW else None
            if first is not None:
                raise _inputs.zero_row_error(name, first, axes=axes)
    dtype = _options.result_dtype(wide, options)
    vectors = is_vector(X), is_vector(X if same else Y)
    return Problem(
        rows[0], rows[-1], same, wide, dtype, threads, (buffers[0], buffers[-1]), vectors, prepared
    )


def _check_axis(axis: Any, last: int) -> None:
    try:
        if operator.index(axis) in (-1, last):
            return
    except TypeError as error:
        raise TypeError(f"axis is {axis!r}; expected an integer") from error
    raise ValueError(
        f"axis is {axis}; expected -1 or {last}, that of the features, for sparse input"
    )


def _check_out_apart(out: Any, X: Any, Y: Any) -> None:
    """Raise where `out` lies in an array of a sparse argument."""
    if isinstance(out, np.ndarray):
        for name, side in (("X", X), ("Y", Y)):
            for attribute in ("data", "indices", "indptr", "row", "col"):
                array = getattr(side, attribute, None) if is_sparse(side) else None
                if isinstance(array, np.ndarray) and np.may_share_memory(out, array):
                    raise ValueError(
                        f"out shares memory with {name}.{attribute}; expected memory of its own"
                    )


def _raise_not_finite(side: Csr | Array, name: str, axes: Axes) -> None:
    if isinstance(side, Csr):
        sparse_inputs.check_is_finite(side, name, axes)
    else:
        dense = dispatch.kernels(is_wide(side))
        _inputs.check_is_finite(dense, [(name, *_inputs.kernel_view(side))], (), axes)
    raise ValueError(
        f"{name} holds duplicate entries whose sum is not finite; expected finite numbers "
        f"(or check_finite=False)"
    )
