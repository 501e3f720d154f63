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

# a shape and a dtype for each array
Kinds = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
# a row of each of these for every row of the corpus, in the precision that it is computed in
OF_ROWS = ("norm2", "inverse", "rest")


class _Store:
    """Arrays with room for more rows than there are, which several generations share."""

    def __init__(self, arrays: dict[str, Array], filled: int) -> None:
        self.arrays, self.filled = arrays, filled
        self.lock = threading.Lock()

    def claim(self, start: int, stop: int) -> bool:
        """Whether the caller may fill rows [start, stop): nobody else has, and there is room."""
        with self.lock:
            if start != self.filled or any(stop > len(a) for a in self.arrays.values()):
                return False
            self.filled = stop
            return True


class Prepared:
    """The norms of rows, as the kernels use them; immutable.

    `facts`: [what was found in the rows]
    """

    def __init__(self, store: _Store, facts: Array, n_rows: int, n_features: int, wide: bool):
        self._store, self._facts = store, facts
        self.n_rows, self.n_features, self.wide = n_rows, n_features, wide

    @classmethod
    def of(cls, rows: Array, n_threads: int | None = None) -> Prepared:
        """Of these rows, of any dtype that the kernels read."""
        wide = _inputs.compute_wide(rows, rows)
        store = _Store(_room(len(rows), wide), 0)
        new = cls(store, np.zeros(1, np.int64), 0, rows.shape[1], wide)
        return new.extended(rows, n_threads)

    def extended(self, rows_all: Array, n_threads: int | None = None) -> Prepared:
        """Of the old rows and new ones behind them, of which these alone are worked on."""
        start, stop = self.n_rows, len(rows_all)
        store = self._store
        if not store.claim(start, stop):
            store = _Store(_room(stop + stop // 2, self.wide), stop)
            for name, array in self.arrays().items():
                if name in OF_ROWS:
                    store.arrays[name][:start] = array
        facts = self._facts.copy()
        if stop > start:
            new = rows_all[start:]
            threads = threads_for(n_threads, new.size * READ)
            facts[0] |= dispatch.kernels(self.wide).measure(
                *_inputs.kernel_view(new), *(store.arrays[name][start:stop] for name in OF_ROWS),
                threads,
            )  # fmt: skip
        return Prepared(store, facts, stop, self.n_features, self.wide)

    def kept(self, numbers: Array) -> Prepared:
        """Of these rows alone, in this order."""
        arrays = {name: self._store.arrays[name][: self.n_rows][numbers] for name in OF_ROWS}
        store = _Store(arrays, len(numbers))
        return Prepared(store, self._facts.copy(), len(numbers), self.n_features, self.wide)

    def arrays(self) -> dict[str, Array]:
        """All that is known, by name, contiguous: what :meth:`from_arrays` takes."""
        of_rows = {name: self._store.arrays[name][: self.n_rows] for name in OF_ROWS}
        return {"facts": self._facts, **of_rows}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, Array], n_rows: int, n_features: int, dtype: np.dtype[Any]
    ) -> Prepared:
        """Of arrays that were saved, which may be read-only; ValueError names what is wrong."""
        wide = _inputs.KINDS[np.dtype(dtype)][1]
        kinds: Kinds = {"facts": ((1,), np.dtype(np.int64))}
        kinds |= {name: ((n_rows,), _precision(wide)) for name in OF_ROWS}
        _check_arrays(arrays, kinds)
        store = _Store({name: arrays[name] for name in OF_ROWS}, -1)
        return cls(store, arrays["facts"], n_rows, n_features, wide)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is known."""
        return sum(array.nbytes for array in self.arrays().values())


def _precision(wide: bool) -> np.dtype[Any]:
    return np.dtype(np.float64 if wide else np.float32)


def _room(rows: int, wide: bool) -> dict[str, Array]:
    return {name: np.empty(rows, _precision(wide)) for name in OF_ROWS}


def _check_arrays(arrays: dict[str, Array], kinds: Kinds) -> None:
    """Whether there are just these arrays: shapes, dtypes, contiguous in C's order."""
    for name in arrays.keys() - kinds.keys():
        raise ValueError(f"array {name!r} is not known; expected {', '.join(kinds)}")
    for name, (shape, dtype) in kinds.items():
        array = arrays.get(name)
        if array is None:
            raise ValueError(f"array {name!r} is missing")
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"array {name!r} has shape {array.shape} in {array.dtype}; "
                f"expected {shape} in {dtype}"
            )
        if not array.flags.c_contiguous or math.prod(shape) * dtype.itemsize != array.nbytes:
            raise ValueError(f"array {name!r} does not lie in one piece; expected C's order")
