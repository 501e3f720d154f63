from enum import IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

class Found(IntFlag):
    BAD_STRUCTURE = ...
    UNSORTED = ...
    EXPLICIT_ZERO = ...
    NOT_FINITE = ...
    ZERO_ROW = ...
    NEGATIVE = ...

class Rows:
    found: int
    entries: int
    @staticmethod
    def of_csr(
        values: Array,
        indices: Array,
        starts: Array,
        features: int,
        scaled: bool,
        nan_for_zero: bool,
        threads: int,
    ) -> Rows: ...
    @staticmethod
    def of_dense(
        view: npt.NDArray[np.uint8], kind: int, scaled: bool, nan_for_zero: bool, threads: int
    ) -> Rows: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    def first_zero(self) -> int | None: ...

class Index:
    first: int
    stop: int
    wide: bool
    def __init__(self, Y: Rows, first: int, rows: int, weights: bool, wide: bool) -> None: ...

class PairIndex:
    def __init__(
        self,
        X: Rows,
        Y: Rows,
        threshold: float,
        same: bool,
        wide: bool,
        narrow: bool,
        threads: int,
    ) -> None: ...
    def run(self, first: int, count: int, threads: int) -> tuple[int, int]: ...
    def fetch(self, done: int, rows: Integers, columns: Integers, similarities: Array) -> None: ...

def inspect(values: Array, indices: Array, starts: Array, features: int, threads: int) -> int: ...
def canonicalise(values: Array, indices: Array, starts: Array, threads: int) -> int: ...
def paired(X: Rows, Y: Rows, out: Floats, wide: bool, threads: int) -> None: ...
def blocks_of(Y: Rows) -> list[tuple[int, int]]: ...
def count_entries(
    X: Rows, index: Index, first: int, stop: int, counts: Integers, threads: int
) -> None: ...
def fill_entries(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    position: Integers,
    values: Array,
    indices: Array,
    threads: int,
) -> None: ...
def close_gaps(values: Array, indices: Array, starts: Array, position: Integers) -> int: ...
def fill_dense(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    same: bool,
    distance: bool,
    out: Array,
    threads: int,
) -> None: ...
def search(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    without_itself: bool,
    similarities: Floats,
    indices: Integers,
    counts: Integers,
    narrow: bool,
    threads: int,
) -> None: ...
def complete(
    X: Rows,
    Y: Rows,
    first: int,
    stop: int,
    without_itself: bool,
    similarities: Floats,
    indices: Integers,
    counts: Integers,
    wide: bool,
    narrow: bool,
    threads: int,
) -> None: ...
def count_above(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    narrow: bool,
    same: bool,
    threshold: float,
    counts: Integers,
    threads: int,
) -> None: ...
def fill_above(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    narrow: bool,
    same: bool,
    threshold: float,
    position: Integers,
    columns: Integers,
    similarities: Array,
    threads: int,
) -> None: ...
