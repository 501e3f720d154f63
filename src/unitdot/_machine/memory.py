"""Results: refused before any work where memory cannot hold them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from unitdot._machine.system import available_bytes

# smaller results are not worth a look at the system's figures
UNCHECKED = 1 << 26


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An uninitialised array, or a MemoryError that says how large it would have been."""
    size = math.prod(shape) * dtype.itemsize
    if size > UNCHECKED:
        check(size, _result(shape, dtype))
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise MemoryError(_message(_result(shape, dtype), size, None)) from error


def _result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"the result of shape {shape} in {dtype}"


def check(size: int, what: str, held_already: int = 0) -> None:
    """Raise MemoryError where there is no room for `size` bytes beyond those held already."""
    if size - held_already > UNCHECKED:
        room = available_bytes()
        if size > np.iinfo(np.intp).max or (room is not None and size - held_already > room):
            raise MemoryError(_message(what, size, room))


def _message(what: str, size: int, room: int | None) -> str:
    rest = "" if room is None else f"; {room / 2**30:.1f} GiB are available"
    return f"{what} needs {size / 2**30:.3g} GiB{rest}"
