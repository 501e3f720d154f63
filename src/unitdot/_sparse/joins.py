"""Pairs of a checked problem: by bounds, by scores of all rows, or by products."""

from time import perf_counter

import numpy as np

from unitdot._inputs import Array
from unitdot._kernels import sparse as kernels
from unitdot._selection import LEAST_CUT, keep_most
from unitdot._sparse import blocks
from unitdot._sparse.blocks import MOST_AT_ONCE, TIMED_ROWS, Report, chunks_of, vectors_of_isa
from unitdot._sparse.few import grow
from unitdot._sparse.problem import Problem

Triplet = tuple[Array, Array, Array]

# where many pairs pass the bounds, a row of a join costs far more than its products: so it begins
# with few, and now and then as many rows of products are timed
FIRST_JOINED = 16
# products by vectors in the time of one that is computed alone
PRODUCTS_TO_ONE = 16


def pairs_by_bounds(
    problem: Problem, threshold: float, report: Report, most: int, swapped: bool = False
) -> Triplet:
    threshold = float(problem.dtype.type(threshold))
    n_X = problem.shape[0]
    if 0 in problem.shape:
        return no_pairs(problem)
    index = kernels.PairIndex(
        problem.X, problem.Y, threshold, problem.same, problem.wide, problem.narrow, problem.threads
    )
    found = no_pairs(problem)
    length, row, size = 0, 0, min(FIRST_JOINED, problem.first_rows)
    began, asked = perf_counter(), 0
    while row < n_X:
        start = perf_counter()
        done, new = index.run(row, min(size, n_X - row), problem.threads)
        if length + new > len(found[0]):
            room = max(length + new, min(2 * length, 2 * length * n_X // (row + done)))
            grow(found, room)
        index.fetch(done, *(array[length : length + new] for array in found))
        length, row = length + new, row + done
        if most and length >= most + most // 2 + LEAST_CUT:
            threshold = keep_most(found, length, most, swapped)
            index.raise_threshold(threshold)
            length = most
        seconds = perf_counter() - start
        size = blocks.next_size(size, seconds)
        if report is not None:
            report(row, n_X)
        early = problem.shares_much and not asked
        if 2 * asked <= row < n_X and (early or perf_counter() - began > blocks.LONG):
            asked = row
            by_scores = _faster_than_joins(problem, threshold, row, seconds / done)
            if by_scores is not None:
                del index
                whole = problem, threshold, report, found, length
                return pairs_above(*whole, most, by_scores, swapped, row)
    if most and length > most:
        keep_most(found, length, most, swapped)
        length = most
    cut_off(found, length)
    return found


def _faster_than_joins(problem: Problem, threshold: float, row: int, joined: float) -> bool | None:
    """What takes less time than to join the rows from `row` on: scores, True, or products, False.

    Joining a row takes `joined` seconds; half as long on average where later rows meet fewer.
    """
    try:
        scores, products = (_seconds_above(problem, threshold, row, w) for w in (True, False))
    except MemoryError:  # joins go on with what they have
        return None
    if min(scores, products) < (joined / 2 if problem.same else joined):
        return scores < products
    return None


def _seconds_above(problem: Problem, threshold: float, row: int, weights: bool) -> float:
    """What a row takes by scores, or by every product, of some rows from `row` on."""
    vectors = vectors_of_isa()
    (first, rows), *_ = kernels.blocks_of(problem.Y, vectors, weights)
    index = kernels.Index(problem.Y, first, rows, weights, problem.wide, vectors)
    stop = min(row + TIMED_ROWS, problem.shape[0])
    counts = np.zeros(stop - row, np.int64)
    room = np.empty((stop - row, rows), np.int32), np.empty((stop - row, rows), problem.dtype)
    how = problem.narrow, problem.same, threshold
    start = perf_counter()
    kernels.find_above(problem.X, problem.Y, index, row, *how, counts, *room, problem.threads)
    return (perf_counter() - start) / (stop - row) * problem.shape[1] / rows


def cut_off(found: Triplet, length: int) -> None:
    for array in found:
        array.resize(length, refcheck=False)


def no_pairs(problem: Problem) -> Triplet:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, problem.dtype)


def pairs_above(
    problem: Problem,
    threshold: float,
    report: Report,
    found: Triplet,
    length: int,
    most: int,
    by_scores: bool = False,
    swapped: bool = False,
    first: int = 0,
) -> Triplet:
    """`length` pairs that are `found`, and those of rows from `first` on.

    Where `most` is not 0, the most similar so many. `by_scores` is how it begins, if that was not
    timed: where many pairs are compared exactly, products take less time.
    """
    X, Y, n_X, vectors = problem.X, problem.Y, problem.shape[0], vectors_of_isa()
    blocks, may_change = kernels.blocks_of(Y, vectors, by_scores), by_scores and not first
    size = TIMED_ROWS if may_change else problem.first_rows
    for number, (column, n_columns) in enumerate(blocks):
        index = None
        end = min(n_X, max(first + 1, column + n_columns - 1)) if problem.same else n_X
        for chunk in chunks_of(end, size, first):
            step = max(1, MOST_AT_ONCE // n_columns)
            for row in range(chunk.start, chunk.stop, step):
                rows = range(row, min(row + step, chunk.stop))
                if index is None:
                    index = kernels.Index(Y, column, n_columns, by_scores, problem.wide, vectors)
                    shape = min(step, n_X), n_columns
                    columns = np.empty(shape, np.int32)
                    similarities = np.empty(shape, problem.dtype)
                counts = np.zeros(len(rows), np.int64)
                compared = kernels.find_above(
                    X, Y, index, row, problem.narrow, problem.same, threshold, counts, columns,
                    similarities, problem.threads,
                )  # fmt: skip
                if may_change and compared * PRODUCTS_TO_ONE > len(rows) * n_columns:
                    by_scores = may_change = False
                    index = None
                ends = length + np.cumsum(counts)
                if ends[-1] == length:
                    continue
                if ends[-1] > len(found[0]):  # new places are zeros: no more than are filled
                    grow(found, int(ends[-1]))
                kernels.take_above(
                    row, column, counts, columns, similarities, ends, *found, problem.threads
                )
                length = int(ends[-1])
                if most and length >= most + most // 2 + LEAST_CUT:
                    threshold, length = keep_most(found, length, most, swapped), most
            if report is not None:
                done = (n_X if chunk.stop == end else chunk.stop) - first
                report(first + (number * (n_X - first) + done) // len(blocks), n_X)
    if most and length > most:
        keep_most(found, length, most, swapped)
        length = most
    cut_off(found, length)
    if most or len(blocks) > 1:
        kernels.sort_pairs(*found, n_X)
    return found
