"""Which rows meet: those that a filter lets be found, and those with equal labels."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from unitdot import _labels, _vectors
from unitdot._inputs import Array
from unitdot._kernels import graph
from unitdot._kernels.sparse import sort_pairs
from unitdot._machine import memory

# pairs beyond one and a half times as many as are wanted, at least, before they are cut down
LEAST_CUT = 1 << 10


class Groups(NamedTuple):
    """Rows of both sides with equal labels beside each other.

    Group g has the rows ``order_x[starts_x[g] : starts_x[g + 1]]`` of X, ascending.
    """

    starts_x: Array
    order_x: Array
    starts_y: Array
    order_y: Array

    @property
    def all_meet(self) -> bool:
        """Whether every label is there on both sides."""
        return not (
            (self.starts_x[1:] > self.starts_x[:-1]) ^ (self.starts_y[1:] > self.starts_y[:-1])
        ).any()

    def outputs(self, same: bool) -> int:
        """The number of pairs of rows that meet; of one set of rows with itself, each once."""
        n, m = self.starts_x[1:] - self.starts_x[:-1], self.starts_y[1:] - self.starts_y[:-1]
        return int((n * (n + 1) // 2).sum() if same else (n * m).sum())


def groups_of(labels_X: Any, labels_Y: Any | None) -> Groups:
    """The groups of labels, which are numbers of 0 to as many as there are."""
    count = 1 + max(
        int(codes.max(initial=-1)) for codes in (labels_X, labels_Y) if codes is not None
    )
    parts: list[Array] = []
    for codes in (labels_X, labels_Y):
        if codes is None:
            parts += parts
        else:
            starts, order = np.zeros(count + 1, np.int64), np.empty(len(codes), np.int64)
            graph.order_by_label(codes, starts, order)
            parts += [starts, order]
    return Groups(*parts)


def numbered_labels(groups: Any, n_X: int, n_Y: int, same: bool) -> tuple[Array, Array | None]:
    """The labels of X and of Y as numbers, some of which need not occur; of one set, once."""
    if same:
        check_one(groups, n_X)
        given = [(_labels.as_labels(groups, "groups", n_X, "X"))]
    else:
        if not isinstance(groups, (tuple, list)) or len(groups) != 2:
            raise TypeError("groups is not a pair; expected (groups_X, groups_Y) beside a Y")
        given = [
            _labels.as_labels(labels, f"groups[{i}]", n, side)
            for i, (labels, n, side) in enumerate(zip(groups, (n_X, n_Y), "XY", strict=True))
        ]
    given = _labels.labels_of_one_kind(given)
    if all(labels.dtype.kind in "biumMU" and labels.dtype == given[0].dtype for labels in given):
        codes = _close_numbers(np.concatenate(given))
    else:
        number: dict[Any, int] = {}
        every = (label for labels in given for label in labels.tolist())
        codes = np.fromiter((number.setdefault(label, len(number)) for label in every), np.int64)
    return codes[:n_X], None if same else codes[n_X:]


def check_one(groups: Any, n: int) -> None:
    """Raise for a pair of labels where there is one set of rows."""
    if isinstance(groups, tuple) and len(groups) == 2 < n:
        raise TypeError("groups is a pair without a Y; expected a label for each row of X")


def _close_numbers(labels: Array) -> Array:
    """Numbers from 0 to not much more than there are labels, equal where these are."""
    if labels.dtype.kind in "iu" and labels.size:
        least, most = labels.min(), labels.max()
        if int(most) - int(least) < 2 * labels.size:
            wide: Array = labels if labels.dtype.kind == "u" else labels.astype(np.int64)
            return np.asarray(wide - least, np.int64)
    return np.unique(labels, return_inverse=True)[1].ravel()


class Selection:
    """What of X and Y meets, and where that goes in the results.

    `itself`: rows are found as their own neighbours, among one more than are wanted.
    """

    def __init__(
        self, where: Any, groups: Any, shape: tuple[int, int], alone: bool, exclude_self: bool
    ) -> None:
        n, m = self.shape = shape
        self.numbers = None if where is None else _vectors.check_where(where, m)
        self.itself = exclude_self and self.numbers is not None
        self.excludes_itself = exclude_self and not self.itself
        self.rows_are_columns = alone and self.numbers is None
        self.groups: Groups | None = None
        self.outputs = n * (m if self.numbers is None else len(self.numbers))
        if groups is not None:
            labels_X, labels_Y = numbered_labels(groups, n, m, alone)
            if self.numbers is not None:
                labels_Y = (labels_X if labels_Y is None else labels_Y)[self.numbers]
            self.groups = groups_of(labels_X, labels_Y)
            self.outputs = self.groups.outputs(self.rows_are_columns)
            if self.numbers is not None:
                self.groups = self.groups._replace(order_y=self.numbers[self.groups.order_y])

    @property
    def leaves_rows_out(self) -> bool:
        """Whether rows meet none."""
        return not self.outputs or (self.groups is not None and not self.groups.all_meet)

    def rows_that_meet(self, Y: Array) -> Array:
        """All of Y, or what a filter without groups leaves: no copy where it is in a row."""
        numbers = self.numbers
        if self.groups is not None or numbers is None:
            return Y
        if len(numbers) and int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers):
            return Y[int(numbers[0]) : int(numbers[-1]) + 1]
        memory.check(len(numbers) * Y.strides[0], "a copy of the rows that may be found")
        return Y[numbers]

    def blocks(self) -> Iterator[tuple[Array, Array]]:
        """The rows of X and of Y of each group."""
        n, m = self.shape
        if self.groups is None:
            numbers = np.arange(m) if self.numbers is None else self.numbers
            if n and len(numbers):
                yield np.arange(n), numbers
            return
        starts_x, order_x, starts_y, order_y = self.groups
        for g in range(len(starts_x) - 1):
            rows, columns = slice(*starts_x[g : g + 2]), slice(*starts_y[g : g + 2])
            if rows.start < rows.stop and columns.start < columns.stop:
                yield order_x[rows], order_y[columns]

    def numbered(self, indices: Array) -> Array:
        """Of :meth:`rows_that_meet` without groups, as rows of Y."""
        if self.groups is None and self.numbers is not None and len(self.numbers):
            found = indices >= 0
            indices[found] = self.numbers[indices[found]]
        return indices


def empty_neighbours(
    n_rows: int, k: int, dtype: np.dtype[Any], itself: bool
) -> tuple[Array, Array]:
    """Arrays of `k` neighbours' similarities and indices; of one more with `itself`.

    Refused, before anything is written, where memory has no room for both.
    """
    shape = n_rows, k + itself
    similarities, indices = memory.empty(shape, dtype), memory.empty(shape, np.dtype(np.int64))
    size = similarities.nbytes + indices.nbytes
    # what `without_itself` holds besides
    memory.check(size + itself * (size + indices.size), f"top-k with k = {k}")
    return similarities, indices


def without_itself(similarities: Array, indices: Array, first: int = 0) -> tuple[Array, Array]:
    """The neighbours of rows, numbered from `first` on, but for themselves: one less each."""
    n, k = indices.shape[0], indices.shape[1] - 1
    others = indices != np.arange(first, first + n)[:, None]
    others[others.all(axis=1), -1] = False
    similarities, indices = similarities[others], indices[others]
    return similarities.reshape(n, k), indices.reshape(n, k)


def keep_most(
    found: tuple[Array, Array, Array], length: int, most: int, swapped: bool = False
) -> float:
    """Of the first `length` pairs the most similar to the front, in their order; the least of them.

    Of equal ones those that are first by (row, column), which are `swapped` where Y is searched.
    """
    rows, columns, similarities = (array[:length] for array in found)
    places = (rows, columns) if swapped else (columns, rows)
    order = np.lexsort((*places, -similarities))[:most]
    least = float(similarities[order[-1]])
    order.sort()
    for array in found:
        array[:most] = array[order]
    return least


def put_in_order(
    rows: Array, columns: Array, similarities: Array, n_rows: int, most: int
) -> tuple[Array, Array, Array]:
    """Pairs sorted by (row, column); where `most` is not 0, of them the most similar so many."""
    found = rows, columns, similarities
    if most and len(rows) > most:
        keep_most(found, len(rows), most)
        found = rows[:most], columns[:most], similarities[:most]
    sort_pairs(*found, n_rows)
    return found
