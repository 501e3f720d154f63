"""Indexes of the rows that estimators were fitted with, which they do not know of.

The next search is fast for it. They are neither pickled, copied nor cloned with an estimator, and
go when it goes or is fitted anew.
"""

from __future__ import annotations

import threading
import zlib
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from unitdot._index import CosineIndex

# rows whose bytes are compared, to notice an array that was written to after the fit
WATCHED = 64


class _Kept(NamedTuple):
    """`rows`: the very array of the fit."""

    rows: Any
    checksum: int
    searched: CosineIndex


_lock = threading.Lock()
_kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


def index_of(estimator: Any, rows: Any, make: bool) -> CosineIndex | None:
    """The index of the rows that an estimator was fitted with, made now if there is none yet.

    None where that would not help or not do: other rows, and sparse ones, of which nothing is
    prepared; and where there is none, and none is to be made.
    """
    if rows is not getattr(estimator, "_fit_X", None) or not isinstance(rows, np.ndarray):
        return None
    checksum = _checksum(rows)
    with _lock:
        kept = _kept.get(estimator)
    if kept is not None and kept.rows is rows and kept.checksum == checksum:
        return kept.searched
    if not make:
        return None
    try:
        index = CosineIndex(rows, copy=False)
    except MemoryError:
        return None
    with _lock:
        _kept[estimator] = _Kept(rows, checksum, index)
    return index


def _checksum(rows: Any) -> int:
    """Of some rows' bytes: all that a change of the whole array would change."""
    return zlib.crc32(np.ascontiguousarray(rows[:: max(1, len(rows) // WATCHED)]).data)
