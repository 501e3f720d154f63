from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Integers = npt.NDArray[np.int64]

def label_components(rows: _Integers, columns: _Integers, labels: _Integers) -> int: ...
def mark_kept(rows: _Integers, columns: _Integers, kept: npt.NDArray[np.uint8]) -> int: ...
def merge(
    one: _Array,
    indices: _Integers,
    other: _Array,
    other_indices: _Integers,
    to: _Array,
    to_indices: _Integers,
) -> int: ...
def order_by_label(labels: _Integers, starts: _Integers, order: _Integers) -> None: ...
