"""Few rows against many sparse ones, which the kernels read where they lie."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from unitdot import _options
from unitdot._inputs import Array
from unitdot._kernels import sparse as kernels
from unitdot._kernels.sparse import Found
from unitdot._machine import memory
from unitdot._machine.threads import threads_for, threads_now
from unitdot._options import Options
from unitdot._sparse import inputs as sparse_inputs
from unitdot._sparse.inputs import Csr, entries_of, is_sparse, is_vector, is_wide

Report = Callable[[int, int], object] | None
Triplet = tuple[Array, Array, Array]

# rows that are few
MOST = 32
# of more features than these, only those that occur in the few have a number
NUMBERED = 1 << 12
# what an entry costs, in multiply-adds
WORK = 32
# rows whose similarities are worth a look by several threads
WORTH = 1 << 14
# neighbours that each thread keeps a list of, at most; and rows to one of them
LISTED, ROWS_TO_LIST = 1 << 10, 64
# at a time: similarities that are not the result; entries and results, between looks for Ctrl-C
PART, ENTRIES = 1 << 19, 1 << 25


class Reaching:
    """Pairs that reach a threshold, from similarities a part at a time, behind those of `found`."""

    def __init__(self, dtype: np.dtype[Any], found: Triplet | None = None) -> None:
        if found is None:
            found = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, dtype)
        self.found, self.parts = found, 0

    def take(
        self, part: Array, row: int, others: range, threshold: float, narrow: bool, same: bool,
        across: bool, threads: int,
    ) -> None:  # fmt: skip
        """Rows from `row` on with `others`, which are the columns (`across`) or the rows."""
        numbers = range(row, row + len(part)) if across else others
        counts = np.zeros(len(numbers), np.int64)
        where = part, row, others.start, others.stop, threshold, narrow, same
        kernels.count_reaching(*where, counts, across, threads)
        ends, length = np.cumsum(counts), len(self.found[0])
        # new places are zeros: should another thread write to the input meanwhile, not all may be
        # filled
        grow(self.found, length + int(ends[-1]))
        rows, columns, similarities = (array[length:] for array in self.found)
        kernels.take_reaching(
            *where, ends - counts, ends, across, columns, similarities, threads
        )  # fmt: skip
        rows[:] = np.repeat(np.arange(numbers.start, numbers.stop), counts)
        self.parts += bool(len(rows))

    def all(self, n_rows: int, sort: bool) -> Triplet:
        """All of them, sorted, if that is to be done where they are of several parts."""
        if sort and self.parts > 1:
            kernels.sort_pairs(*self.found, n_rows)
        return self.found


def grow(arrays: Triplet, length: int) -> None:
    """Lengthen in place: large arrays are moved by the system, not copied."""
    entry = sum(array.itemsize for array in arrays)
    memory.check(length * entry, f"a result of {length} pairs or more", len(arrays[0]) * entry)
    for array in arrays:
        array.resize(length, refcheck=False)


class Few(NamedTuple):
    """Few rows as the kernels hold them, many as they are, and what follows from the options."""

    few: Any
    many: Csr
    by_few: bool
    shape: tuple[int, int]
    same: bool
    wide: bool
    dtype: np.dtype[Any]
    most_threads: int
    found: int
    options: Options
    buffers: tuple[Array, Array]
    vectors: tuple[bool, bool]

    @property
    def narrow(self) -> bool:
        """Whether the result is given in float32."""
        return self.dtype == np.float32

    def is_plain(self) -> bool:
        """Whether nothing can be wrong that is not found before anything is written."""
        many = self.many.values, self.many.indices, self.many.starts
        found = kernels.inspect(*many, self.many.n_features, threads_now(self.most_threads))
        return not (found or self.found or self.options.zero == "raise")

    def fill(self, distance: bool, out: Array) -> bool:
        """The full matrix; False where an input is not valid."""
        out = out if self.by_few else out.T
        return all(
            self._meet(rows, distance, out[:, rows.start : rows.stop])
            for rows in self._parts(ENTRIES)
        )

    def search(
        self, without_itself: bool, least: float, similarities: Array, indices: Array,
        report: Report,
    ) -> bool:  # fmt: skip
        """The best of every row of X, which are the few; False where an input is not valid."""
        counts = np.zeros(self.shape[0], np.int64)
        best = similarities, indices, counts
        if 0 < similarities.shape[1] <= min(LISTED, self.shape[1] // ROWS_TO_LIST):
            for rows in self._parts(PART):
                how = without_itself, least, self.narrow, *best
                threads = threads_now(self.most_threads)
                found = kernels.best_of_many(self.few, *self._read(rows), *how, threads)
                if self._refuses(found):
                    return False
                if report is not None:
                    report(self.shape[0] * rows.stop // self.shape[1], self.shape[0])
            kernels.sort_offered(*best)
            return True
        for rows, part in self._similarities(report):
            if part is None:
                return False
            kernels.offer_best(
                part, 0, rows.start, rows.stop, without_itself, least, self.narrow, *best,
                threads_now(self.most_threads if len(rows) >= WORTH else 1),
            )  # fmt: skip
        kernels.sort_offered(*best)
        return True

    def reaching(self, threshold: float, same: bool, report: Report = None) -> Triplet | None:
        """(rows, columns, similarities) from the threshold on, sorted; NaN: all that are not 0.

        `same`: those with row < column. None where an input is not valid.
        """
        found = Reaching(self.dtype)
        how = float(self.dtype.type(threshold)), self.narrow, same
        for rows, part in self._similarities(report):
            if part is None:
                return None
            found.take(part, 0, rows, *how, self.by_few, threads_now(self.most_threads))
        return found.all(self.shape[0], sort=self.by_few)

    def _similarities(self, report: Report) -> Iterator[tuple[range, Array | None]]:
        n_X, n_Y = self.shape
        n_few, n_many = self.shape if self.by_few else (n_Y, n_X)
        room = None
        for rows in self._parts(PART):
            if room is None:
                room = np.empty((n_few, len(rows)))
            yield rows, room if self._meet(rows, False, room) else None
            if report is not None:
                report(n_X * rows.stop // n_many, n_X)

    def _meet(self, rows: range, distance: bool, out: Array) -> bool:
        found = self.few.meet(
            *self._read(rows), distance, self.same, out, threads_now(self.most_threads)
        )  # fmt: skip
        return not self._refuses(found)

    def _read(
        self, rows: range
    ) -> tuple[Array, Array, Array, int, int, int, bool, bool, bool, bool]:
        """What the kernels are told of some of the many, and of how they are read."""
        many, zero = self.many, self.options.zero
        return (
            many.values, many.indices, many.starts, many.n_features, rows.start, rows.stop,
            many.values.dtype == np.float64, zero == "nan", zero != "zero", self.wide,
        )  # fmt: skip

    def _refuses(self, found: int) -> bool:
        """Whether an error is to be raised of what was found in the few or the many."""
        options = self.options
        refused = Found.BAD_STRUCTURE | (Found.NOT_FINITE if options.check_finite else 0)
        refused |= Found.ZERO_ROW if options.zero == "raise" else 0
        return bool((self.found | found) & refused)

    def _parts(self, results: int) -> Iterator[range]:
        """Rows of the many, those at a time that have so many results."""
        n_few, n_many = self.shape if self.by_few else self.shape[::-1]
        mean = max(0, entries_of(self.many)) // n_many + 1
        size = max(1, min(results // n_few, ENTRIES // mean))
        for first in range(0, n_many, size):
            yield range(first, min(first + size, n_many))


def few_of(X: Any, Y: Any, options: Options) -> Few | None:
    """X and Y where few rows meet many; None: for other kernels to compute, or to refuse."""
    same = Y is None or Y is X
    sides = (X, X) if same else (X, Y)
    names = ("X", "X") if same else ("X", "Y")
    at = _choose(*sides)
    if at is None:
        return None
    many = sparse_inputs.read_csr(sides[1 - at], names[1 - at])
    few = sparse_inputs.read_side(sides[at], names[at])
    # a feature and a place among the entries are sorted as one number
    if many.n_features.bit_length() + entries_of(many).bit_length() > 62:
        return None
    threads = threads_for(options.n_threads, WORK * (entries_of(many) + entries_of(few)))
    wide = is_wide(many) or is_wide(few)
    occurring = None
    if isinstance(few, Csr) and few.n_features > NUMBERED:
        occurring = sparse_inputs.occurring_in([few]).astype(np.int64)
        few = sparse_inputs.numbered(few, occurring)
    rows, buffer = sparse_inputs.rows_of(few, options.zero == "nan", threads)
    shape = (rows.shape[0], many.shape[0]) if at == 0 else (many.shape[0], rows.shape[0])
    buffers = (buffer, many.values) if at == 0 else (many.values, buffer)
    return Few(
        kernels.Few(rows, occurring), many, at == 0, shape, same, wide,
        _options.result_dtype(wide, options), threads, rows.found, options, buffers,
        (is_vector(sides[0]), is_vector(sides[1])),
    )  # fmt: skip


def _choose(X: Any, Y: Any) -> int | None:
    """The side with few rows beside sparse ones, 0 or 1; None: neither, or something is wrong."""
    rows, features = [], []
    for side in (X, Y):
        if not is_sparse(side) and not isinstance(side, np.ndarray):
            return None
        if not 1 <= len(side.shape) <= 2:
            return None
        rows.append(side.shape[0] if len(side.shape) == 2 else 1)
        features.append(side.shape[-1])
    if features[0] != features[1] or not features[0] or not min(rows):
        return None
    fit = [i for i in (0, 1) if rows[i] <= MOST and is_sparse((Y, X)[i])]
    return min(fit, key=rows.__getitem__, default=None)
