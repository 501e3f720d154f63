"""Blocks of rows of Y, and some rows of X at a time."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from unitdot._kernels import sparse as kernels
from unitdot._machine import dispatch
from unitdot._sparse.problem import Problem

Report = Callable[[int, int], object] | None

# bits of the vectors of instruction sets that the kernels have code for
VECTORS = {"avx2": 256, "avx512": 512, "avx512vnni": 512}
# between two reports, and looks for Ctrl-C, in seconds
LONG, SHORT = 0.2, 0.05
# rows of X of which it is timed how they are best gone about
TIMED_ROWS = 64
# outputs that are found at a time, where not all are kept
MOST_AT_ONCE = 1 << 20


def vectors_of_isa() -> int:
    """Bits of the vectors that the kernels may use."""
    return VECTORS.get(dispatch.active_isa(), 0)


def blocks_and_chunks(
    problem: Problem, report: Report, weights: bool, reuse: Any = None
) -> Iterator[tuple[Any, range]]:
    """Every block of Y, indexed, with every chunk of rows of X; `weights`: by lists, for bounds."""
    vectors = -1 if weights else vectors_of_isa()
    blocks, n_X = kernels.blocks_of(problem.Y, vectors, weights), problem.shape[0]
    known = None
    if problem.prepared is not None and weights:
        known = problem.prepared.blocks()
    for number, (row, rows) in enumerate(blocks):
        if known is not None:
            reuse = known[number]
        elif reuse is None or (reuse.first, reuse.stop) != (row, row + rows):
            reuse = kernels.Index(problem.Y, row, rows, weights, problem.wide, vectors)
        for chunk in chunks_of(n_X, problem.first_rows):
            yield reuse, chunk
            if report is not None:
                report((number * n_X + chunk.stop) // len(blocks), n_X)


def chunks_of(n_rows: int, size: int, row: int = 0) -> Iterator[range]:
    """Rows from `row` on, as many at a time as are done in a fraction of a second."""
    while row < n_rows:
        start = perf_counter()
        yield range(row, min(row + size, n_rows))
        row += size
        size = next_size(size, perf_counter() - start)


def next_size(size: int, seconds: float) -> int:
    if seconds > LONG:
        return max(1, size // 4)
    if seconds < SHORT / 16:
        return size * 8
    return size * 2 if seconds < SHORT else size
