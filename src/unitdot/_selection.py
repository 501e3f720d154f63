"""Which rows meet: those that a filter lets be found, and those with equal labels."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from unitdot import _inputs
from unitdot._inputs import Array
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
            starts = np.zeros(count + 1, np.int64)
            np.cumsum(np.bincount(codes, minlength=count), out=starts[1:])
            parts += [starts, np.argsort(codes, kind="stable")]
    return Groups(*parts)


def numbered_labels(groups: Any, n_X: int, n_Y: int, same: bool) -> tuple[Array, Array | None]:
    """The labels of X and of Y as numbers, in the order in which labels occur; of one set, once."""
    if same:
        given = [(_inputs.as_labels(groups, "groups", n_X, "X"))]
    else:
        if not isinstance(groups, (tuple, list)) or len(groups) != 2:
            raise TypeError("groups is not a pair; expected (groups_X, groups_Y) beside a Y")
        given = [
            _inputs.as_labels(labels, f"groups[{i}]", n, side)
            for i, (labels, n, side) in enumerate(zip(groups, (n_X, n_Y), "XY", strict=True))
        ]
    if all(labels.dtype.kind in "biumMU" and labels.dtype == given[0].dtype for labels in given):
        codes = np.unique(np.concatenate(given), return_inverse=True)[1].ravel()
    else:
        number: dict[Any, int] = {}
        every = (label for labels in given for label in labels.tolist())
        codes = np.fromiter((number.setdefault(label, len(number)) for label in every), np.int64)
    return codes[:n_X], None if same else codes[n_X:]


class Selection:
    """What of X and Y meets, and where that goes in the results.

    `itself`: rows are found as their own neighbours, among one more than are wanted.
    """

    def __init__(
        self, where: Any, groups: Any, shape: tuple[int, int], alone: bool, exclude_self: bool
    ) -> None:
        n, m = self.shape = shape
        self.numbers = None if where is None else _inputs.check_where(where, m)
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
            if self.numbers is None:
                self.numbers = self.groups.order_y
            else:
                self.numbers = self.numbers[self.groups.order_y]

    @property
    def leaves_rows_out(self) -> bool:
        """Whether rows meet none."""
        return not self.outputs or (self.groups is not None and not self.groups.all_meet)

    @property
    def starts(self) -> tuple[Array, ...]:
        """Where the groups begin, of X and of Y."""
        return () if self.groups is None else (self.groups.starts_x, self.groups.starts_y)

    def of_x(self, X: Array) -> Array:
        """The rows of X in the order of the groups."""
        return X if self.groups is None else _rows(X, self.groups.order_x)

    def of_y(self, Y: Array) -> Array:
        """The rows of Y that may be found, in the order of the groups."""
        return Y if self.numbers is None else _rows(Y, self.numbers)

    def blocks(self) -> Iterator[tuple[slice, int, Array, Array]]:
        """Of each group where it is in X's order, and begins in Y's; its rows of X and of Y."""
        n, m = self.shape
        if self.groups is None:
            numbers = np.arange(m) if self.numbers is None else self.numbers
            if n and len(numbers):
                yield slice(0, n), 0, np.arange(n), numbers
            return
        starts_x, starts_y = self.starts
        for g in range(len(starts_x) - 1):
            rows, columns = slice(*starts_x[g : g + 2]), slice(*starts_y[g : g + 2])
            if rows.start < rows.stop and columns.start < columns.stop:
                assert self.numbers is not None
                yield rows, columns.start, self.groups.order_x[rows], self.numbers[columns]

    def in_order(self, similarities: Array, indices: Array) -> tuple[Array, Array]:
        """The results of :meth:`of_x` with :meth:`of_y`, as those of X with Y."""
        if self.numbers is not None and len(self.numbers):
            found = indices >= 0
            indices[found] = self.numbers[indices[found]]
        if self.groups is not None:
            back = np.empty_like(self.groups.order_x)
            back[self.groups.order_x] = np.arange(len(back))
            similarities, indices = similarities[back], indices[back]
        if self.itself:
            return without_itself(similarities, indices)
        return similarities, indices


def without_itself(similarities: Array, indices: Array, first: int = 0) -> tuple[Array, Array]:
    """The neighbours of rows, numbered from `first` on, but for themselves: one less each."""
    n, k = indices.shape[0], indices.shape[1] - 1
    others = indices != np.arange(first, first + n)[:, None]
    others[others.all(axis=1), -1] = False
    similarities, indices = similarities[others], indices[others]
    return similarities.reshape(n, k), indices.reshape(n, k)


def _rows(array: Array, numbers: Array) -> Array:
    """These rows; where they are all in a row, no copy."""
    if (
        len(numbers)
        and int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers)
        and (numbers[1:] > numbers[:-1]).all()
    ):
        return array[int(numbers[0]) : int(numbers[-1]) + 1]
    memory.check(len(numbers) * array.strides[0], "a copy of the rows that meet")
    return array[numbers]


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
