"""What is kept of a corpus's dense rows, so that many calls need not find it anew."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from unitdot import _inputs
from unitdot._calls import READ
from unitdot._inputs import Array
from unitdot._machine import dispatch
from unitdot._machine.threads import threads_for
from unitdot._options import Options

# coordinates of a line of heads, lines at most, rows of a panel, features at most of rows that are
# kept themselves: as the kernels have them
HEAD, MOST_LINES, PANEL_ROWS, MOST_AXES = 64, 3, 16, 8192
CACHE_LINE = 64
# rows, at least, of which more than norms is kept
LEAST_ROWS = 1 << 10
# rows are numbered in 32 bits
MOST_ROWS = (1 << 31) - 1
# a search wants no more neighbours than one row in so many: for one query, for each, for many
PART, PART_EACH, MOST_PART = 100, 40, 4000
# the same for many with VNNI, where all rows are met in less time; measured
MOST_PART_VNNI = 6000
# a search for fewer takes as long
LEAST_K = 4
# among what was found in the rows: norms by fused multiply-adds, or without, where others differ
FUSED, UNFUSED = 1 << 16, 1 << 17

# a shape and a dtype for each array
Kinds = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
# arrays that grow with the corpus
OF_ROWS = ("norm2", "inverse", "rest", "panels", "starts", "lines", "squares", "raised", "errors")


class _Store:
    """Arrays with room for more rows than there are, which several generations share."""

    def __init__(self, arrays: dict[str, Array], filled: int) -> None:
        self.arrays, self.filled = arrays, filled
        self.lock = threading.Lock()

    def claim(self, start: int, stop: int) -> bool:
        """Whether the caller may fill rows [start, stop): nobody else has, and there is room."""
        with self.lock:
            if start != self.filled or stop > len(self.arrays["norm2"]):
                return False
            self.filled = stop
            return True


class Prepared:
    """Norms of rows, and what rules most of them out in a search; immutable.

    `constants`: "facts", [what was found in the rows, lines of heads, words of a row in panels],
    "directions" and "units" of these, "widest", the largest error of what panels hold. Of heads for
    joins "levels", too: the largest integer that there is, which is not the same on all processors.
    """

    def __init__(
        self, store: _Store, constants: dict[str, Array], n_rows: int, n_features: int, wide: bool
    ) -> None:
        self._store, self._constants = store, constants
        self.n_rows, self.n_features, self.wide = n_rows, n_features, wide

    @classmethod
    def of(cls, rows: Array, n_threads: int | None = None) -> Prepared:
        """Of these rows, of any dtype that the kernels read."""
        return cls.along(constants_of(rows, n_threads), rows, n_threads)

    @classmethod
    def along(
        cls, constants: dict[str, Array], rows: Array, n_threads: int | None = None
    ) -> Prepared:
        """The same, along directions that were found for these rows or others."""
        wide, (n, features) = _inputs.compute_wide(rows, rows), rows.shape
        _, lines, words = (int(fact) for fact in constants["facts"])
        store = _Store(_room(n, features, lines, words, wide), 0)
        return cls(store, constants, 0, features, wide).extended(rows, n_threads)

    def extended(self, rows_all: Array, n_threads: int | None = None) -> Prepared:
        """Of the old rows and new ones behind them, of which these alone are worked on."""
        start, stop = self.n_rows, len(rows_all)
        store = self._store
        if not store.claim(start, stop):
            _, lines, words = self._facts
            shape = stop + stop // 2, self.n_features, lines, words
            store = _Store(_room(*shape, self.wide), stop)
            for name, array in self._of_rows().items():
                store.arrays[name][: len(array)] = array
        constants = self._constants | {
            name: self._constants[name].copy() for name in ("facts", "widest")
        }
        if stop > start:
            new = rows_all[start:]
            threads = threads_for(n_threads, new.size * READ)
            constants["facts"][0] |= _arithmetic() | dispatch.kernels(self.wide).keep(
                *_inputs.kernel_view(new), {**store.arrays, **constants}, start, threads
            )
        return Prepared(store, constants, stop, self.n_features, self.wide)

    def kept(self, numbers: Array) -> Prepared:
        """Of these rows alone, in this order."""
        arrays = self._of_rows()
        panels = arrays.pop("panels")
        _, lines, words = self._facts
        kept = _room(len(numbers), self.n_features, lines, words, self.wide)
        for name, array in arrays.items():
            if len(array):
                kept[name][:] = array[numbers]
        each = panels.shape[1] // PANEL_ROWS, PANEL_ROWS
        new, old = (array.reshape(len(array), *each) for array in (kept["panels"], panels))
        to, at = np.arange(len(numbers)), np.asarray(numbers)
        new[to // PANEL_ROWS, :, to % PANEL_ROWS] = old[at // PANEL_ROWS, :, at % PANEL_ROWS]
        store = _Store(kept, len(numbers))
        return Prepared(store, self._constants, len(numbers), self.n_features, self.wide)

    def arrays(self) -> dict[str, Array]:
        """All that is known, by name, contiguous: what :meth:`from_arrays` takes."""
        every = {**self._constants, **self._of_rows()}
        return {name: array for name, array in every.items() if array.size}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, Array], n_rows: int, n_features: int, dtype: np.dtype[Any]
    ) -> Prepared:
        """Of arrays that were saved, which may be read-only; ValueError names what is wrong."""
        wide = _inputs.KINDS[np.dtype(dtype)][1]
        _check_arrays(arrays, {"facts": ((3,), np.dtype(np.int64))})
        _, lines, words = (int(fact) for fact in arrays["facts"])
        features = -(-n_features // 8) * 2 if n_features <= MOST_AXES else 0
        if (lines, words) not in ((0, 0), (0, features), *((i, HEAD // 4) for i in (1, 2, 3))):
            raise ValueError(f"array 'facts' is {arrays['facts']}, which no rows have")
        kinds = _kinds(n_rows, n_features, lines, words, wide)
        kinds |= {
            "facts": ((3,), np.dtype(np.int64)),
            "directions": ((lines * HEAD, n_features), _precision(wide)),
            "units": ((max(1, lines),), np.dtype(np.float32)),
            "widest": ((1,), np.dtype(np.float32)),
        }
        for name in arrays.keys() - kinds.keys():
            raise ValueError(f"array {name!r} is not known; expected {', '.join(kinds)}")
        empty = {name: np.empty(*kind) for name, kind in kinds.items() if 0 in kind[0]}
        arrays = {**empty, **arrays}
        _check_arrays(arrays, kinds)
        store = _Store({name: arrays[name] for name in OF_ROWS}, -1)
        constants = {name: arrays[name] for name in kinds if name not in OF_ROWS}
        return cls(store, constants, n_rows, n_features, wide)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is known."""
        return sum(array.nbytes for array in self.arrays().values())

    def serves(
        self, wide: bool, options: Options, n_rows: int, found: int, k: int = 0, queries: int = 1
    ) -> bool:
        """Whether queries that want k of `found` rows, or all that are near enough (0), use this.

        Many queries meet all rows in less time than they meet many of them one by one.
        """
        words = self._facts[2]
        most = MOST_PART_VNNI if dispatch.active_isa().endswith("vnni") else MOST_PART
        part = min(max(PART, PART_EACH * queries), most) * (max(k, LEAST_K) if k else 0)
        return (
            self._holds(wide, options, n_rows)
            and words > 0
            and found >= max(LEAST_ROWS, part)
            and self.n_rows < MOST_ROWS
        )

    def has_heads(self, wide: bool, options: Options, n_rows: int) -> bool:
        """Whether the heads of these rows are good for a call with such options."""
        return self._holds(wide, options, n_rows) and self._facts[1] > 0

    def _holds(self, wide: bool, options: Options, n_rows: int) -> bool:
        """Whether what is known is what the kernels at hand would find in so many rows."""
        kernels, seen = dispatch.kernels(wide), self._facts[0]
        return (
            (wide, n_rows) == (self.wide, self.n_rows)
            and not seen & (kernels.NEEDS_CARE | (FUSED | UNFUSED) ^ _arithmetic())
            and not (seen & kernels.HAS_ZERO_ROW and options.zero != "zero")
        )

    def __reduce__(self) -> Any:
        return _again, (self.arrays(), self.n_rows, self.n_features, self.wide)

    def __sizeof__(self) -> int:
        return self.nbytes

    @property
    def read(self) -> int:
        """Bytes of each row, at least, that a search reads."""
        return self._facts[2] * 4

    def whole(self) -> dict[str, Array]:
        """The arrays as the kernels take them, rows to come among them."""
        return {**self._store.arrays, **self._constants}

    @property
    def _facts(self) -> tuple[int, int, int]:
        found, lines, words = (int(fact) for fact in self._constants["facts"])
        return found, lines, words

    def _of_rows(self) -> dict[str, Array]:
        arrays = self._store.arrays
        rows = {name: _panels(self.n_rows) if name == "panels" else self.n_rows for name in OF_ROWS}
        return {name: arrays[name][: rows[name]] for name in OF_ROWS}


def constants_of(rows: Array, n_threads: int | None = None) -> dict[str, Array]:
    """What is found out about rows like these, before anything is kept of each."""
    wide, directions, units = _room_to_find(rows)
    lines = words = 0
    if len(rows) >= LEAST_ROWS:
        threads = threads_for(n_threads, rows.size * READ)
        view = _inputs.kernel_view(rows)
        lines, words = dispatch.kernels(wide).prepare(*view, directions, units, threads)
    return _constants(directions, units, lines, words)


def constants_for_joins(
    rows: Array, limit: float | None, n_threads: int | None = None
) -> dict[str, Array] | None:
    """The same, where blocks of such rows will meet, of heads alone; None: they would not pay.

    `limit`: the cosine that is sought; None: that of the nearest.
    """
    if len(rows) < LEAST_ROWS:
        return None
    wide, directions, units = _room_to_find(rows)
    threads = threads_for(n_threads, rows.size * READ)
    limit = -2 if limit is None else limit
    lines, levels = dispatch.kernels(wide).prepare_join(
        *_inputs.kernel_view(rows), directions, units, limit, threads
    )
    if not lines:
        return None
    found = _constants(directions, units, lines, 0)
    found["levels"] = np.asarray([levels], np.int64)
    return found


def _room_to_find(rows: Array) -> tuple[bool, Array, Array]:
    wide = _inputs.compute_wide(rows, rows)
    directions = np.empty((MOST_LINES * HEAD, rows.shape[1]), _precision(wide))
    return wide, directions, np.zeros(MOST_LINES, np.float32)


def _constants(directions: Array, units: Array, lines: int, words: int) -> dict[str, Array]:
    return {
        "facts": np.asarray([0, lines, words], np.int64),
        "directions": directions[: lines * HEAD].copy(),
        "units": units[: max(1, lines)].copy(),
        "widest": np.zeros(1, np.float32),
    }


def _again(arrays: dict[str, Array], n_rows: int, n_features: int, wide: bool) -> Prepared:
    """What was pickled; what comes from elsewhere may not have whole addresses."""
    constants = {name: array for name, array in arrays.items() if name not in OF_ROWS}
    _, lines, words = (int(fact) for fact in constants["facts"])
    kinds = _kinds(n_rows, n_features, lines, words, wide)
    kept = {
        name: np.require(arrays[name], requirements="A") if name in arrays else np.empty(*kind)
        for name, kind in kinds.items()
    }
    constants = {name: np.require(array, requirements="A") for name, array in constants.items()}
    empty = np.empty((0, n_features), _precision(wide))
    constants.setdefault("directions", empty)
    return Prepared(_Store(kept, -1), constants, n_rows, n_features, wide)


def _arithmetic() -> int:
    return UNFUSED if dispatch.active_isa() == "baseline" else FUSED


def _precision(wide: bool) -> np.dtype[Any]:
    return np.dtype(np.float64 if wide else np.float32)


def _panels(rows: int) -> int:
    return -(-rows // PANEL_ROWS)


def _kinds(rows: int, features: int, lines: int, words: int, wide: bool) -> Kinds:
    """The arrays that grow."""
    real, word, single = _precision(wide), np.dtype(np.int32), np.dtype(np.float32)
    return {
        **dict.fromkeys(("norm2", "inverse", "rest"), ((rows,), real)),
        "panels": ((_panels(rows), words * PANEL_ROWS), word),
        "starts": ((rows if words else 0,), word),
        "lines": ((rows, lines * HEAD), np.dtype("int8")),
        "squares": ((rows, lines), word),
        "raised": ((rows, lines), word),
        "errors": ((rows, 1 + lines if lines else 0), single),
    }


def _room(rows: int, features: int, lines: int, words: int, wide: bool) -> dict[str, Array]:
    kinds = _kinds(rows, features, lines, words, wide)
    # panels end with rows that there are not, and of rows that are rare nothing may be known
    return {name: _aligned(*kind) for name, kind in kinds.items()}


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros from the start of a cache line on, as in a file: what is a line long lies in one."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    array: Array = room[start : start + size].view(dtype).reshape(shape)
    return array


def _check_arrays(arrays: dict[str, Array], kinds: Kinds) -> None:
    """Whether there are these arrays: shapes, dtypes, contiguous in C's order, aligned."""
    for name, (shape, dtype) in kinds.items():
        array = arrays.get(name)
        if array is None:
            raise ValueError(f"array {name!r} is missing")
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"array {name!r} has shape {array.shape} in {array.dtype}; "
                f"expected {shape} in {dtype}"
            )
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ValueError(f"array {name!r} does not lie in one piece; expected C's order")
