"""Results: refused before any work where memory cannot hold them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from unitdot._system import available_bytes

# smaller results are not worth a look at the system's figures
UNCHECKED = 1 << 26


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An uninitialised array, or a MemoryError that says how large it would have been."""
    size = math.prod(shape) * dtype.itemsize
    if size > UNCHECKED:
        held = available_bytes()
        if size > np.iinfo(np.intp).max or (held is not None and size > held):
            raise MemoryError(_message(shape, dtype, size, held))
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise MemoryError(_message(shape, dtype, size, None)) from error


def _message(shape: tuple[int, ...], dtype: np.dtype[Any], size: int, held: int | None) -> str:
    room = "" if held is None else f"; {held / 2**30:.1f} GiB are available"
    return f"the result of shape {shape} in {dtype} needs {size / 2**30:.1f} GiB{room}"
