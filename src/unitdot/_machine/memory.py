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


def has_room(size: int) -> bool:
    """Whether there is room for `size` bytes more."""
    room = available_bytes() if size > UNCHECKED else None
    return size <= np.iinfo(np.intp).max and (room is None or size <= room)


def check(size: int, what: str, held_already: int = 0) -> None:
    """Raise MemoryError where there is no room for `size` bytes beyond those held already."""
    if not has_room(size - held_already):
        raise MemoryError(_message(what, size, available_bytes()))


def _message(what: str, size: int, room: int | None) -> str:
    rest = "" if room is None else f"; {room / 2**30:.1f} GiB are available"
    return f"{what} needs {size / 2**30:.3g} GiB{rest}"
