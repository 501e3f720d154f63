"""Top-k of a checked problem: by bounds, by scores of all rows, or by products."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from unitdot._inputs import Array
from unitdot._kernels import sparse as kernels
from unitdot._machine import memory
from unitdot._sparse.blocks import (
    MOST_AT_ONCE,
    TIMED_ROWS,
    Report,
    blocks_and_chunks,
    chunks_of,
    vectors_of_isa,
)
from unitdot._sparse.problem import Problem

# without itself, least, similarities, indices
How = tuple[bool, float, Array, Array]

# rows to one that is wanted: few are compared exactly after scores of all
ROWS_TO_ONE = 32
# queries, up to which a corpus's own blocks take less time than smaller ones made for them
KEPT_QUERIES = 256


def search(problem: Problem, how: How, report: Report) -> None:
    """Fill the similarities and indices of `how`."""
    without_itself, least, similarities, indices = how
    counts = np.zeros(len(indices), np.int64)
    shared = problem.X, problem.Y
    full = kernels.is_full(problem.Y, vectors_of_isa())
    # few to list of each row, and room for that
    few = similarities.shape[1] * ROWS_TO_ONE <= problem.shape[1] and _has_room(how)
    every, index = (True, None) if full else _search_is_slower(problem, how, few)
    every = every and problem.shape[1] < 1 << 31  # as numbers of rows are listed
    missing = None  # rows that are left to bounds; None: all
    if every and few:
        missing = _search_by_scores(problem, how, counts, report)
    if every and missing is None and (full or not few):
        for block, others, row, part in _products(problem, report):
            here = slice(row, row + len(part))
            kernels.fill_dense(*shared, block, row, False, False, part, None, problem.threads)
            kernels.offer_best(
                part, row, others.start, others.stop, without_itself, least, problem.narrow,
                similarities[here], indices[here], counts[here], problem.threads,
            )  # fmt: skip
        kernels.sort_offered(similarities, indices, counts)
        return
    if missing != 0:
        told = report if missing is None else None
        for block, rows in blocks_and_chunks(problem, told, weights=True, reuse=index):
            kernels.search(
                *shared, block, rows.start, rows.stop, without_itself, least, similarities,
                indices, counts, problem.wide, problem.narrow, problem.threads,
            )  # fmt: skip
    for rows in chunks_of(len(indices), problem.first_rows):
        kernels.complete(
            *shared, rows.start, rows.stop, without_itself, least, similarities, indices, counts,
            problem.wide, problem.narrow, problem.threads,
        )  # fmt: skip


def _has_room(how: How) -> bool:
    """Whether memory holds lists of all rows, beside the results, which are still unwritten.

    A copy of these in float32 is made when the lists are gone, and takes less than they do.
    """
    _, _, similarities, indices = how
    lists = len(indices) * kernels.list_bytes(indices.shape[1])
    return memory.has_room(lists + similarities.nbytes + indices.nbytes)


def _search_by_scores(problem: Problem, how: How, counts: Array, report: Report) -> int | None:
    """Fill heaps by scores of all rows; of how many rows bounds have to find what there is.

    None: of all, as there is no memory for lists.
    """
    without_itself, least, *_ = how
    X, Y, n_X, vectors = problem.X, problem.Y, problem.shape[0], vectors_of_isa()
    try:
        nearest = kernels.Nearest(X, Y, least, *how[2:], counts, problem.wide, problem.narrow)
    except MemoryError:
        return None
    known = {}
    kept = problem.prepared if n_X <= KEPT_QUERIES else None
    if kept is not None and not kernels.is_full(Y, vectors):
        known = {(b.first, b.stop - b.first): b for b in kept.blocks()}
    blocks = list(known) or kernels.blocks_of(Y, vectors, True, True)
    for number, (first, rows) in enumerate(blocks):
        block = known.get((first, rows))
        if block is None:
            block = kernels.Index(Y, first, rows, True, problem.wide, vectors)
        for chunk in chunks_of(n_X, problem.first_rows, first if problem.same else 0):
            how_far = chunk.start, chunk.stop, problem.same, without_itself
            nearest.add(block, *how_far, problem.threads)
            if report is not None:
                report((number * n_X + chunk.stop) // len(blocks), n_X)
    chunks = chunks_of(n_X, problem.first_rows)
    return sum(nearest.settle(rows.start, rows.stop, problem.threads) for rows in chunks)


def _search_is_slower(problem: Problem, how: How, few: bool) -> tuple[bool, Any]:
    """Whether bounds stop so little that all products of some rows take less time.

    These are scores in float, where `few` are wanted. With the index of the first block, or None.
    """
    rows = min(TIMED_ROWS, problem.shape[0] // 16)
    if not rows or not problem.shares_much:
        return False, None
    (first, length), *_ = kernels.blocks_of(problem.Y)
    index: Any = None
    seconds = []
    for every in (False, True):
        try:
            if every and not few:
                block = kernels.Index(
                    problem.Y, first, length, False, problem.wide, vectors_of_isa()
                )  # fmt: skip
            elif not every and problem.prepared is not None:
                block = index = problem.prepared.blocks()[0]
            elif not every:
                block = index = kernels.Index(problem.Y, first, length, True, problem.wide)
            seconds.append(_seconds_of(problem, how, rows, block, every, few))
        except MemoryError:  # the other way may do with what there is
            return not every, index if every else None
    return seconds[1] < seconds[0], index


def _seconds_of(problem: Problem, how: How, rows: int, block: Any, every: bool, few: bool) -> float:
    """What the first rows take: by bounds, or by `every` product or score."""
    without_itself, least = how[:2]
    found = np.empty((rows, how[2].shape[1])), np.empty((rows, how[3].shape[1]), np.int64)
    counts, shared = np.zeros(rows, np.int64), (problem.X, problem.Y)
    start = perf_counter()
    if not every:
        kernels.search(
            *shared, block, 0, rows, without_itself, least, *found, counts, problem.wide,
            problem.narrow, problem.threads,
        )  # fmt: skip
    elif few:
        nearest = kernels.Nearest(*shared, least, *found, counts, problem.wide, problem.narrow)
        nearest.add(block, 0, rows, False, without_itself, problem.threads)
        nearest.settle(0, rows, problem.threads)
    else:
        part = np.empty((rows, block.stop - block.first))
        kernels.fill_dense(*shared, block, 0, False, False, part, None, problem.threads)
        kernels.offer_best(
            part, 0, block.first, block.stop, without_itself, least, problem.narrow, *found,
            counts, problem.threads,
        )  # fmt: skip
    return perf_counter() - start


def _products(problem: Problem, report: Report) -> Iterator[tuple[Any, range, int, Array]]:
    """Every block of Y, its rows, the first row of X, and room for products of some."""
    for block, chunk in blocks_and_chunks(problem, report, weights=False):
        others = range(block.first, block.stop)
        for row in range(chunk.start, chunk.stop, MOST_AT_ONCE // len(others)):
            stop = min(row + MOST_AT_ONCE // len(others), chunk.stop)
            yield block, others, row, np.empty((stop - row, len(others)))
