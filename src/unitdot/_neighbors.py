"""The public reductions, in which the full matrix is never made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unitdot import _inputs, _options
from unitdot._calls import examine, react, threads_of, views
from unitdot._inputs import OF_MATRICES, Array, Axes, Input, View
from unitdot._machine import dispatch, memory, system
from unitdot._machine.threads import threads_for
from unitdot._options import Options
from unitdot._prepared import Prepared
from unitdot._progress import Report, check_progress, reporting
from unitdot._results import Integers, Pairs, TopK
from unitdot._selection import (
    LEAST_CUT,
    Selection,
    empty_neighbours,
    keep_most,
    put_in_order,
    without_itself,
)
from unitdot._similarity import Zero

if TYPE_CHECKING:
    from unitdot._sparse.prepared import Prepared as SparsePrepared

# pairs between two looks at the memory that is left
LOOK = 1 << 20
# bytes of a list for each of its best k, computed in float32 or in float64
LIST_BYTES = 12, 24
Heads = tuple[Prepared, Prepared] | None
# bytes of lists, a thread, where both sides have some
OF_BOTH = 12 << 20


def cosine_top_k(
    X: Input,
    Y: Input | None = None,
    k: int = 10,
    *,
    threshold: float | None = None,
    where: npt.ArrayLike | slice | None = None,
    groups: Any = None,
    include_self: bool = False,
    progress: bool | Report = False,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> TopK:
    """The `k` rows of `Y` that are most similar to each row of `X`.

    What a stable descending sort of ``cosine_similarity(X, Y)`` puts first, bit for bit, without
    that matrix. Memory beyond the result is at most 16 MiB a thread while `k` is below some hundred
    thousand, and then 24 `k` bytes (float32: 12 `k`) a thread and once more. Large work keeps 90 to
    260 bytes a row besides, to be faster, where a quarter of the available memory holds them.

    Parameters
    ----------
    X : array-like or sparse, of shape (n_samples_X, n_features) or (n_features,)
        The queries; one vector is a query whose axis is dropped from the result.
    Y : array-like or sparse, of shape (n_samples_Y, n_features), optional
        The corpus. A memory map is read block by block. Default: `X` itself, where no row is its
        own neighbour (but it is in ``cosine_top_k(X, X)``, as in any other corpus).
    k : int, default=10
        Neighbours of each row, 1 to the number of candidates; any number beside a `threshold`,
        `where` or `groups`, which may leave places over: these hold index -1 and similarity NaN.
    threshold : float, optional
        Only neighbours at least so similar, rounded to the dtype of the similarities: the search
        is faster for it. Places that are left over hold index -1 and similarity NaN.
    where : array-like of bool or int, or slice, optional
        Which rows of `Y` may be found: a mask, row numbers in any order, or a slice. The work is
        in proportion to them.
    groups : array-like of shape (n_samples_X,), or a pair of such, optional
        Labels; only rows with equal ones meet. Beside a `Y`: (labels of `X`, labels of `Y`). A
        call costs what its groups cost, however many there are.
    include_self : bool, default=False
        Let a row be its own neighbour; for `X` without `Y`.
    progress : bool or callable, default=False
        True shows a tqdm bar on long work (extra ``progress``); a callable is called with
        (done, total), in pairs of rows (of sparse input: in rows of `X`).
    dtype : {float32, float64}, optional
        Dtype of the result, in which neighbours are ordered: what it cannot tell apart are ties.
        It and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give. NaN similarities come last.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        Default: as many as are useful.

    Returns
    -------
    TopK
        ``similarities`` of shape (n_samples_X, k), float32 or float64, descending, and
        ``indices`` of the same shape, int64; equal similarities in ascending order of index.
        Places that a `threshold` leaves over come last.

    Raises
    ------
    ValueError
        For `k` larger than the number of candidates, `include_self` beside a `Y`, and as
        :func:`cosine_similarity`.
    TypeError, MemoryError
        As :func:`cosine_similarity`.

    Notes
    -----
    Each row keeps a list with room for half as many again; a list that is full is cut down to its
    best `k` by introselect (Musser, *Software: Practice and Experience* 27, 1997), and what is
    less than the worst of these is passed over from then on, a vector of outputs at a time.
    Without `Y` half of the products is enough: where the lists of all rows need too much memory,
    two blocks of rows have lists at a time, unless `k` is in the hundreds.
    Sparse rows are searched from their rarest feature on, and left when the norm of the rest cannot
    change the answer (as Turtle and Flood, *Inf. Process. Manag.* 31, 1995, with other bounds).
    That takes a block of `Y` by feature beside, and a copy of what is not sorted CSR of float32 or
    float64; 32 rows of `X` and fewer meet those of `Y` where they lie, with neither. Where rows
    share so many features that all are scored, 12 `k` + 136 bytes a row of `X` are kept, too,
    where memory holds them beside the result.

    Examples
    --------
    >>> import unitdot
    >>> corpus = [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [-1.0, 0.0]]
    >>> unitdot.cosine_top_k([[5.0, 0.0]], corpus, k=2)
    TopK(similarities=array([[1. , 0.6]]), indices=array([[0, 2]]))
    >>> unitdot.cosine_top_k(corpus, k=1).indices.ravel()
    array([2, 2, 1, 1])
    >>> unitdot.cosine_top_k(corpus, k=1, threshold=0.7).indices.ravel()
    array([-1,  2,  1, -1])
    """
    how = _options.check_options((dtype, zero, check_finite, n_threads))
    return top_k_of(X, Y, k, threshold, where, groups, include_self, progress, how)


def top_k_of(
    X: Input, Y: Input | None, k: int, threshold: float | None, where: Any, groups: Any,
    include_self: bool, progress: bool | Report, options: Options,
    prepared: Prepared | SparsePrepared | None = None, floors: Array | None = None,
    heads: Heads = None,
) -> TopK:  # fmt: skip
    """:func:`cosine_top_k` of what is known already.

    `prepared`: of the rows of Y; `floors`: of each row of X what is less does not count, where that
    is a number (float64; for dense rows); `heads`: of the rows of X and of Y.
    """
    check_progress(progress)
    least = None if threshold is None else _options.check_threshold(threshold)
    include_self = _options.check_flag(include_self, "include_self")
    if include_self and Y is not None:
        raise ValueError("include_self is True beside a Y; expected False, or X without Y")
    if hasattr(X, "tocsr") or hasattr(Y, "tocsr"):
        from unitdot._sparse import functions as sparse_functions

        X, Y = _inputs.dense_sides(X, Y, options.check_finite)
        with reporting(progress, "neighbours") as report:
            include_self = include_self or Y is not None
            how = least, include_self, report, options
            known: Any = prepared if hasattr(X if Y is None else Y, "tocsr") else None
            return TopK(*sparse_functions.top_k(X, Y, k, *how, where, groups, prepared=known))
    alone, exclude_self = Y is None, Y is None and not include_self
    X, Y, same = _matrices(X, Y, options, vector=True)
    candidates = max(0, Y.shape[0] - exclude_self)
    free = not (least is where is groups is None)  # places may be left over
    k = _options.check_k(k, None if free else candidates)
    queries = X[None] if X.ndim == 1 else X
    full = queries.shape[0], Y.shape[0]
    selection = Selection(where, groups, full, alone, exclude_self)
    axes = -1, X.ndim, Y.ndim
    wide = _inputs.compute_wide(X, Y)
    similarities, indices = empty_neighbours(
        queries.shape[0], k, _options.result_dtype(wide, options), selection.itself
    )
    _inputs.check_row_numbers(Y)
    size, held = similarities.nbytes + indices.nbytes, 0  # bytes, and those that were written to
    none = not candidates or not selection.outputs
    if none or selection.leaves_rows_out:
        examine(queries, Y, same, wide, options, axes=axes)
        similarities[:], indices[:], held = np.nan, -1, size
    searched = (
        isinstance(prepared, Prepared)
        and not (none or alone or selection.groups)
        and _search(queries, Y, least, selection, prepared, progress, options, axes,
                    (similarities, indices))
    )  # fmt: skip
    if not (none or searched):
        kernels = dispatch.kernels(wide)
        columns = selection.rows_that_meet(Y)
        joined = same and columns is Y and (selection.groups is None or selection.rows_are_columns)
        threads = threads_of(queries, columns, selection.outputs, options)
        # at least one row's list, and each thread's room to cut one down (top_k.pxi)
        lists = LIST_BYTES[wide] * k * (1 + threads)
        memory.check(size + lists, f"top-k with k = {k}", held)
        with reporting(progress, "neighbours") as report:
            whole = views(queries, Y, same)
            parts = whole if columns is Y else views(queries, columns, False)
            watch = _Watch(kernels, *whole, options, report, axes=axes)
            # no threshold: NaN counts too
            limit = -2 if least is None else _limit(max(least, -1), wide, similarities.dtype)
            kernels.top_k(
                *parts[0], *parts[1], _inputs.byte_view(similarities), indices, joined,
                selection.excludes_itself, limit, options.zero == "nan", threads, watch,
                *(selection.groups or ()), floors=floors,
                known=_known(heads, X, Y, wide, options),
            )  # fmt: skip
    if not searched:
        indices = selection.numbered(indices)
    if selection.itself:
        similarities, indices = without_itself(similarities, indices)
    if X.ndim == 1:
        return TopK(similarities[0], indices[0], full)
    return TopK(similarities, indices, full)


def top_k_of_both(
    X: Array, Y: Array, k: int, least: float | None, options: Options,
    floors: Array | None = None, heads: Heads = None,
) -> tuple[TopK, TopK] | None:  # fmt: skip
    """For each row of X the best of Y, and for each of Y the best of X, from the same products.

    Dense rows; `floors` as above, of X and then of Y; `heads` too. None where that takes too much
    memory.
    """
    X, Y = (
        _inputs.as_matrix(A, name, False, options.check_finite) for A, name in ((X, "X"), (Y, "Y"))
    )
    n, m = len(X), len(Y)
    wide = _inputs.compute_wide(X, Y)
    kernels, threads = dispatch.kernels(wide), threads_of(X, Y, n * m, options)
    if k > min(n, m) or (n + m) * kernels.list_bytes(k) > OF_BOTH * threads:
        return None
    dtype = _options.result_dtype(wide, options)
    similarities, indices = empty_neighbours(n + m, k, dtype, False)
    both = views(X, Y, False)
    limit = -2 if least is None else _limit(max(least, -1), wide, similarities.dtype)
    kernels.top_k(
        *both[0], *both[1], _inputs.byte_view(similarities), indices, False, False, limit,
        options.zero == "nan", threads, _Watch(kernels, *both, options, None), floors=floors,
        both=True, known=_known(heads, X, Y, wide, options),
    )  # fmt: skip
    of_X = TopK(similarities[:n], indices[:n], (n, m))
    return of_X, TopK(similarities[n:], indices[n:], (m, n))


def _known(
    heads: Heads, X: Array, Y: Array, wide: bool, options: Options
) -> tuple[dict[str, Array], dict[str, Array]] | None:
    """Heads as the kernels take them, where they are good for this."""
    if heads is None or not all(
        own.has_heads(wide, options, len(rows)) for own, rows in zip(heads, (X, Y), strict=True)
    ):
        return None
    return heads[0].whole(), heads[1].whole()


def _search(
    X: Array, Y: Array, least: float | None, selection: Selection, prepared: Prepared,
    progress: bool | Report, options: Options, axes: Axes, results: tuple[Array, Array],
) -> bool:  # fmt: skip
    """Top-k by what is known of Y; False where that is of no use, and nothing is done."""
    similarities, indices = results
    wide, found = _inputs.compute_wide(X, Y), selection.outputs // len(X)
    if not prepared.serves(wide, options, len(Y), found, indices.shape[1], len(X)):
        return False
    kernels = dispatch.kernels(wide)
    threads = threads_for(options.n_threads, len(X) * found * prepared.read)
    with reporting(progress, "neighbours") as report:
        x, y = views(X, Y, X is Y)
        watch = _Watch(kernels, x, y, options, report, axes=axes)
        limit = -2 if least is None else _limit(max(least, -1), wide, similarities.dtype)
        status = kernels.top_k(
            *x, *y, _inputs.byte_view(similarities), indices, False, False, limit,
            options.zero == "nan", threads, watch, kept=prepared.whole(),
            numbers=selection.numbers,
        )  # fmt: skip
    return not status & kernels.NEEDS_CARE


def cosine_pairs(
    X: Input,
    Y: Input | None = None,
    *,
    threshold: float = 0.9,
    max_pairs: int | None = None,
    groups: Any = None,
    progress: bool | Report = False,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Pairs:
    """Every pair of a row of `X` and a row of `Y` with similarity at least `threshold`.

    The entries of ``cosine_similarity(X, Y)`` that are ``>= threshold``, bit for bit, without that
    matrix: memory is the pairs, those found last a second time, and at most 16 MiB a thread. Large
    work keeps 90 to 260 bytes a row besides, as in :func:`cosine_top_k`.

    Parameters
    ----------
    X : array-like or sparse, of shape (n_samples_X, n_features)
        Rows of numbers.
    Y : array-like or sparse, of shape (n_samples_Y, n_features), optional
        Default: `X` with itself, each unordered pair once, ``row < column``, with half the work.
        ``cosine_pairs(X, X)`` has every entry, the diagonal too.
    threshold : float, default=0.9
        The least similarity, itself included, -1 to 1; it is rounded to the dtype of the
        similarities.
    max_pairs : int, optional
        Only the most similar so many of them; of equal ones those with the smaller (row, column).
        No more are kept while the work goes on than some 100 bytes each a thread.
    groups : array-like of shape (n_samples_X,), or a pair of such, optional
        Labels; only rows with equal ones meet, as in :func:`cosine_top_k`.
    progress : bool or callable, default=False
        True shows a tqdm bar on long work (extra ``progress``); a callable is called with
        (done, total), in pairs of rows (of sparse input: in rows of `X`).
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give. No NaN reaches any threshold.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        Default: as many as are useful.

    Returns
    -------
    Pairs
        ``rows`` and ``columns``, int64, and ``similarities``, float32 or float64, each of shape
        (n_pairs,), sorted by (row, column). ``to_csr()`` makes a sparse array of them.

    Raises
    ------
    ValueError, TypeError
        As :func:`cosine_similarity`.
    MemoryError
        Where the pairs cannot be held; it says how many were found so far.

    Notes
    -----
    Products are those of :func:`cosine_similarity`, compared with the threshold in registers. Most
    are ruled out before, by distances along the rows' leading directions and by integers of 8 bits:
    docs/architecture.md has the proof.
    Sparse pairs are found by way of bounds, from the rarest feature on (Bayardo, Ma and Srikant,
    *WWW* 2007; L2AP: Anastasiu and Karypis, *ICDE* 2014), and compared exactly. That takes up to
    16 bytes an entry of `Y` and 64 a row beside, and a copy of what is not sorted CSR of float32 or
    float64; where one side has 32 rows or fewer, neither. Those of rows a fifth full and more, of
    64 to 1024 features, are found as dense rows', of which 8 MiB of either side are made at a time.

    Examples
    --------
    >>> import unitdot
    >>> X = [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [2.0, 0.0]]
    >>> rows, columns, similarities = unitdot.cosine_pairs(X, threshold=0.6)
    >>> rows, columns, similarities
    (array([0, 0, 1, 2]), array([2, 3, 2, 3]), array([0.6, 1. , 0.8, 0.6]))
    >>> unitdot.cosine_pairs(X, threshold=0.6, max_pairs=2).similarities
    array([1. , 0.8])
    """
    how = _options.check_options((dtype, zero, check_finite, n_threads))
    return pairs_of(X, Y, threshold, max_pairs, groups, progress, how)


def pairs_of(
    X: Input, Y: Input | None, threshold: float, max_pairs: int | None, groups: Any,
    progress: bool | Report, options: Options, prepared: Prepared | None = None,
    heads: Heads = None,
) -> Pairs:  # fmt: skip
    """:func:`cosine_pairs` of what is known already.

    `prepared`: of the rows of Y, or of X without one; `heads`: of those of X and of Y.
    """
    check_progress(progress)
    limit = _options.check_threshold(threshold)
    most = 0 if max_pairs is None else _options.check_positive(max_pairs, "max_pairs")
    if hasattr(X, "tocsr") or hasattr(Y, "tocsr"):
        X, Y = _inputs.dense_sides(X, Y, options.check_finite)
        return _sparse_pairs(X, Y, limit, most, groups, progress, options)
    same = Y is None  # a set with itself: row < column
    X, Y, _ = _matrices(X, Y, options, vector=False)
    n, m = X.shape[0], Y.shape[0]
    wide = _inputs.compute_wide(X, Y)
    result_dtype = _options.result_dtype(wide, options)
    empty = np.empty(0, result_dtype)
    selection = Selection(None, groups, (n, m), same, False)
    if selection.leaves_rows_out:
        examine(X, Y, same, wide, options)
    if not selection.outputs:
        none = np.empty(0, np.int64), np.empty(0, np.int64), empty
        return Pairs._of(*none, shape=(n, m), self_join=same)
    kernels = dispatch.kernels(wide)
    whole = views(X, Y, same)
    outputs = selection.outputs if selection.groups else n * m // (1 + same)
    threads = threads_of(X, Y, outputs, options)
    reached = _limit(limit, wide, result_dtype)
    kept = None
    if prepared is not None and not (same or most or selection.groups) and reached > 0:
        kept = prepared.whole() if prepared.serves(wide, options, m, m) else None
    with reporting(progress, "pairs") as report:
        for known in (None,) if kept is None else (kept, None):
            watch = _Watch(kernels, *whole, options, report, result_dtype)
            watch.most, watch.selection = most, selection
            status = kernels.pairs(
                *whole[0], *whole[1], same, reached, min(most, n * m),
                wide and result_dtype.itemsize == 4, options.zero == "nan", threads, watch,
                *(selection.groups or ()), kept=known,
                known=_known(heads, X, Y, wide, options),
            )  # fmt: skip
            if known is None or not status & kernels.NEEDS_CARE:
                break
    found = watch.rows, watch.columns, watch.similarities
    if selection.groups:
        found = put_in_order(*found, n, most)
    return Pairs._of(*found, shape=(n, m), self_join=same)


def _sparse_pairs(
    X: Any, Y: Any, limit: float, most: int, groups: Any, progress: bool | Report, options: Options
) -> Pairs:
    from unitdot._sparse import functions as sparse_functions

    sides = [X, X if Y is None else Y]
    if Y is X:
        Y = X.__class__(X)  # another matrix of the same arrays: two sets of rows, not one
    for name, side in zip("XY", sides, strict=True):
        if np.ndim(side) != 2:
            raise _inputs.axes_error(name, np.shape(side), "a matrix")
    with reporting(progress, "pairs") as report:
        find = partial(_dense_pairs, options._replace(dtype=None, zero="zero", check_finite=False))
        found = sparse_functions.pairs(X, Y, limit, most, report, options, groups, find)
    n, m = (int(np.shape(side)[0]) for side in sides)
    return Pairs._of(*found, shape=(n, m), self_join=Y is None)


def _dense_pairs(
    options: Options, X: Array, Y: Array | None, limit: float
) -> tuple[Array, Array, Array]:
    rows, columns, similarities = pairs_of(X, Y, limit, None, None, False, options)
    return rows, columns, similarities


def _matrices(X: Any, Y: Any, options: Options, vector: bool) -> tuple[Array, Array, bool]:
    """Both as matrices; X may be a vector where `vector`."""
    same = Y is None or Y is X
    X = _inputs.as_matrix(X, "X", vector, options.check_finite)
    Y = X if same else _inputs.as_matrix(Y, "Y", False, options.check_finite)
    if same and X.ndim == 1:
        raise ValueError("X is one vector without Y; expected a matrix")
    _inputs.check_features(X, Y)
    return X, Y, same


def _limit(threshold: float, wide: bool, dtype: np.dtype[Any]) -> float:
    """The least number of the kernel's precision that reaches the threshold, in `dtype`."""
    limit = float(dtype.type(threshold))
    if not wide:
        # as Python's floats: NumPy compares these with its own in float32
        nearest = np.float32(limit)
        above = float(np.nextafter(nearest, np.float32(3)))
        limit = float(nearest) if float(nearest) >= limit else above
    return limit


class _Watch:
    """What the kernels tell while they work, and the arrays that pairs go to."""

    def __init__(
        self,
        kernels: dispatch.Kernels,
        x: View,
        y: View,
        options: Options,
        report: Report | None,
        dtype: np.dtype[Any] | None = None,
        axes: Axes = OF_MATRICES,
    ) -> None:
        self.kernels, self.x, self.y, self.options = kernels, x, y, options
        self.axes = axes
        self.report, self.done, self.told, self.total = report, 0, 0, 0
        self.rows = np.empty(0, np.int64)
        self.columns = np.empty(0, np.int64)
        self.similarities = np.empty(0, dtype)
        self.looked_at = 0
        # where there are groups: how many pairs of rows will be compared, which the kernel tells;
        # how many are wanted, and who meets
        self.whole, self.most = 0, 0
        self.selection: Selection | None = None
        self.numbered = 0

    def next_group(self, first_X: int, first_Y: int, threshold: float) -> float:
        """The group that begins there has been searched; the threshold of the next one."""
        start, self.numbered = self.numbered, len(self.rows)
        if start == self.numbered:
            return threshold
        assert self.selection is not None
        assert self.selection.groups is not None
        _, order_X, _, order_Y = self.selection.groups
        self.rows[start:] = order_X[self.rows[start:] + first_X]
        self.columns[start:] = order_Y[self.columns[start:] + first_Y]
        if self.most and self.numbered > self.most + self.most // 2 + LEAST_CUT:
            arrays = self.rows, self.columns, self.similarities
            threshold = keep_most(arrays, self.numbered, self.most)
            for array in arrays:
                array.resize(self.most, refcheck=False)
            self.numbered = self.most
        return threshold

    def found(self, status: int, waiting: int) -> None:
        """Bits of what was found, with so many pairs waiting to be passed on: raise, or go on."""
        if status & self.kernels.NO_MEMORY:
            self.no_memory(waiting)
        react(self.kernels, status, self.x, self.y, self.options, (), self.axes)

    def did(self, count: int, total: int, waiting: int) -> None:
        """So many more pairs of rows, of the total, have been compared."""
        self.done, self.total = self.done + count, self.whole or total
        pairs = len(self.rows) + waiting
        if pairs > self.looked_at + LOOK:
            self.looked_at = pairs
            held = system.available_bytes()
            if held is not None and waiting * self._pair_bytes() > held:
                self.no_memory(waiting)
        if self.report is not None and self.done > self.told:
            self.told = self.done
            self.report(self.done, self.total)

    def may_hold(self, size: int) -> bool:
        """Whether so many bytes may be used to be faster: a quarter of what there is, at most."""
        if size <= memory.UNCHECKED:
            return True
        room = system.available_bytes()
        return room is None or size <= room // 4

    def silent(self) -> _Watch:
        """One that does not report, for a sample of the work."""
        return _Watch(self.kernels, self.x, self.y, self.options, None, axes=self.axes)

    def again(self, count: int) -> None:
        """So many pairs of rows will be compared once more: none of them is told of twice."""
        self.done -= count

    def room(self, count: int) -> tuple[Integers, Integers, npt.NDArray[np.uint8]]:
        """Views of room for `count` more pairs: rows, columns, similarities as bytes."""
        start = len(self.rows)
        try:
            for array in (self.rows, self.columns, self.similarities):
                array.resize(start + count, refcheck=False)
        except MemoryError:
            self.no_memory(count, start)
        similarities = _inputs.byte_view(self.similarities[None, start:])
        return self.rows[start:], self.columns[start:], similarities

    def no_memory(self, waiting: int, before: int | None = None) -> None:
        """Raise: the pairs found so far are all that can be held."""
        found = waiting + (len(self.rows) if before is None else before)
        raise MemoryError(
            f"{found:,} pairs found so far, {self._pair_bytes()} bytes each, and no memory for "
            f"more; a higher threshold gives fewer pairs"
        )

    def _pair_bytes(self) -> int:
        return 16 + self.similarities.itemsize
