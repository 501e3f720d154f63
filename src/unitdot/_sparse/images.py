"""Pairs of rows so full that dense kernels find them sooner; they are compared exactly then."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unitdot._inputs import Array
from unitdot._kernels import sparse as kernels
from unitdot._machine import memory
from unitdot._sparse.problem import Problem

Triplet = tuple[Array, Array, Array]
Report = Callable[[int, int], object] | None
# pairs of dense rows from a threshold on, of one set of rows where the other is None
Find = Callable[[Array, Array | None, float], Triplet]

# what a dense similarity may be off by, rounding to float32 counted
SLACK = 2e-5
# elements for each entry; features; outputs
FULL, FEWEST_FEATURES, MOST_FEATURES, LEAST_OUTPUTS = 5, 64, 1024, 1 << 20
# rows of either side that are dense at a time
IMAGE_BYTES = 8 << 20
# rows that tell how many pairs there are, with four times as many; more than one in so many is too
# many to be compared one by one
SAMPLED, TO_ONE = 64, 32


def are_worth(problem: Problem) -> bool:
    """Whether rows are full enough, and the work is enough."""
    (n_X, n_features), n_Y = problem.X.shape, problem.Y.shape[0]
    sides = (problem.X.entries, n_X), (problem.Y.entries, n_Y)
    return (
        FEWEST_FEATURES <= n_features <= MOST_FEATURES
        and n_X * n_Y >= LEAST_OUTPUTS
        and all(entries * FULL >= rows * n_features for entries, rows in sides)
    )


def pairs_by_images(
    problem: Problem, threshold: float, find: Find, report: Report
) -> Triplet | None:
    """(rows, columns, similarities), sorted.

    None where so many reach the threshold that products take less time.
    """
    X, Y, same, limit = problem.X, problem.Y, problem.same, threshold - SLACK
    n_X, n_features = X.shape
    parts: list[Triplet] = []
    image, of_X = np.empty((0, 0), np.float32), range(0)
    for rows, columns in _blocks(problem, IMAGE_BYTES // (4 * n_features)):
        if rows != of_X:
            image, of_X = _image(X, rows, problem.threads), rows
        alone = same and rows == columns
        other = image if alone else _image(Y, columns, problem.threads)
        if not parts and _are_many(image, other, find, limit):
            return None
        found_rows, found_columns, _ = find(image, None if alone else other, limit)
        similarities = np.empty(len(found_rows), problem.dtype)
        count = kernels.settle_found(
            X, Y, rows.start, columns.start, problem.wide, problem.narrow, threshold, found_rows,
            found_columns, similarities, problem.threads,
        )  # fmt: skip
        parts.append((found_rows[:count], found_columns[:count], similarities[:count]))
        if report is not None:
            report(rows.stop if columns.stop == Y.shape[0] else rows.start, n_X)
    if len(parts) == 1:
        return parts[0]
    size = sum(len(part[0]) for part in parts)
    memory.check(size * (16 + problem.dtype.itemsize), f"the result of {size} pairs")
    whole = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    kernels.sort_pairs(whole[0], whole[1], whole[2], n_X)
    return whole[0], whole[1], whole[2]


def _blocks(problem: Problem, size: int) -> Iterator[tuple[range, range]]:
    n_X, n_Y = problem.shape
    for row in range(0, n_X, size):
        for column in range(row if problem.same else 0, n_Y, size):
            yield range(row, min(row + size, n_X)), range(column, min(column + size, n_Y))


def _image(side: Any, rows: range, threads: int) -> Array:
    image = np.zeros((len(rows), side.shape[1]), np.float32)
    kernels.write_images(side, rows.start, image, threads)
    return image


def _are_many(image: Array, other: Array, find: Find, limit: float) -> bool:
    some = image[:: max(1, len(image) // SAMPLED)], other[:: max(1, len(other) // (4 * SAMPLED))]
    return len(find(*some, limit)[0]) * TO_ONE > len(some[0]) * len(some[1])
