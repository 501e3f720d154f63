from enum import IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

_Array = npt.NDArray[Any]
_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

class Found(IntFlag):
    BAD_STRUCTURE = ...
    UNSORTED = ...
    EXPLICIT_ZERO = ...
    NOT_FINITE = ...
    ZERO_ROW = ...
    NEGATIVE = ...

@disjoint_base
class Rows:
    found: int
    entries: int
    @staticmethod
    def of_csr(
        values: _Array,
        indices: _Array,
        starts: _Array,
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

@disjoint_base
class Index:
    first: int
    stop: int
    wide: bool
    nbytes: int
    def __init__(
        self, Y: Rows, first: int, rows: int, weights: bool, wide: bool, vectors: int = -1
    ) -> None: ...
    def products(self, X: Rows) -> int: ...

def list_bytes(k: int) -> int: ...

@disjoint_base
class Nearest:
    def __init__(
        self,
        X: Rows,
        Y: Rows,
        least: float,
        similarities: _Floats,
        indices: _Integers,
        counts: _Integers,
        wide: bool,
        narrow: bool,
    ) -> None: ...
    def add(
        self, index: Index, first: int, stop: int, same: bool, without_itself: bool, threads: int
    ) -> None: ...
    def settle(self, first: int, stop: int, threads: int) -> int: ...

@disjoint_base
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
    def raise_threshold(self, threshold: float) -> None: ...
    def run(self, first: int, count: int, threads: int) -> tuple[int, int]: ...
    def fetch(
        self, done: int, rows: _Integers, columns: _Integers, similarities: _Array
    ) -> None: ...

@disjoint_base
class Few:
    def __init__(self, rows: Rows, occurring: _Integers | None = None) -> None: ...
    def meet(
        self,
        values: _Array,
        indices: _Array,
        starts: _Array,
        features: int,
        first: int,
        stop: int,
        scaled: bool,
        nan_for_zero: bool,
        exact_zeros: bool,
        wide: bool,
        distance: bool,
        same: bool,
        out: _Array,
        threads: int,
    ) -> int: ...

def count_reaching(
    part: _Floats,
    row: int,
    first: int,
    stop: int,
    threshold: float,
    narrow: bool,
    same: bool,
    counts: _Integers,
    across: bool,
    threads: int,
) -> None: ...
def take_reaching(
    part: _Floats,
    row: int,
    first: int,
    stop: int,
    threshold: float,
    narrow: bool,
    same: bool,
    position: _Integers,
    ends: _Integers,
    across: bool,
    columns: _Integers,
    similarities: _Array,
    threads: int,
) -> None: ...
def offer_best(
    part: _Floats,
    row: int,
    first: int,
    stop: int,
    without_itself: bool,
    least: float,
    narrow: bool,
    similarities: _Floats,
    indices: _Integers,
    counts: _Integers,
    threads: int,
) -> None: ...
def best_of_many(
    few: Few,
    values: _Array,
    indices: _Array,
    starts: _Array,
    features: int,
    first: int,
    stop: int,
    scaled: bool,
    nan_for_zero: bool,
    exact_zeros: bool,
    wide: bool,
    without_itself: bool,
    least: float,
    narrow: bool,
    similarities: _Floats,
    indices_of: _Integers,
    counts: _Integers,
    threads: int,
) -> int: ...
def sort_offered(similarities: _Floats, indices: _Integers, counts: _Integers) -> None: ...
def sort_pairs(rows: _Integers, columns: _Integers, similarities: _Array, n_rows: int) -> None: ...
def inspect(
    values: _Array, indices: _Array, starts: _Array, features: int, threads: int
) -> int: ...
def canonicalise(values: _Array, indices: _Array, starts: _Array, threads: int) -> int: ...
def paired(X: Rows, Y: Rows, out: _Floats, wide: bool, threads: int) -> None: ...
def is_full(Y: Rows, vectors: int, weights: bool = True) -> bool: ...
def blocks_of(
    Y: Rows, vectors: int = -1, weights: bool = True, every: bool = False
) -> list[tuple[int, int]]: ...
def count_entries(
    X: Rows,
    index: Index,
    first: int,
    stop: int,
    counts: _Integers,
    threads: int,
    vectors: int,
) -> None: ...
def fill_entries(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    position: _Integers,
    starts: _Array,
    values: _Array,
    indices: _Array,
    threads: int,
    vectors: int,
) -> None: ...
def close_gaps(values: _Array, indices: _Array, starts: _Array, position: _Integers) -> int: ...
def fill_dense(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    same: bool,
    distance: bool,
    out: _Array,
    mirror: _Array | None,
    threads: int,
) -> None: ...
def search(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    stop: int,
    without_itself: bool,
    least: float,
    similarities: _Floats,
    indices: _Integers,
    counts: _Integers,
    wide: bool,
    narrow: bool,
    threads: int,
) -> None: ...
def complete(
    X: Rows,
    Y: Rows,
    first: int,
    stop: int,
    without_itself: bool,
    least: float,
    similarities: _Floats,
    indices: _Integers,
    counts: _Integers,
    wide: bool,
    narrow: bool,
    threads: int,
) -> None: ...
def find_above(
    X: Rows,
    Y: Rows,
    index: Index,
    first: int,
    narrow: bool,
    same: bool,
    threshold: float,
    counts: _Integers,
    columns: npt.NDArray[np.int32],
    similarities: _Array,
    threads: int,
) -> int: ...
def take_above(
    first: int,
    first_column: int,
    counts: _Integers,
    columns: npt.NDArray[np.int32],
    similarities: _Array,
    ends: _Integers,
    to_rows: _Integers,
    to_columns: _Integers,
    to_similarities: _Array,
    threads: int,
) -> None: ...
def write_images(X: Rows, first: int, to: npt.NDArray[np.float32], threads: int) -> None: ...
def settle_found(
    X: Rows,
    Y: Rows,
    first_X: int,
    first_Y: int,
    wide: bool,
    narrow: bool,
    threshold: float,
    rows: _Integers,
    columns: _Integers,
    similarities: _Array,
    threads: int,
) -> int: ...
