"""Indexes of the rows that estimators were fitted with, which they do not know of.

Searches are fast for it once there have been some. They are neither pickled, copied nor cloned with
an estimator, and go when it goes or is fitted anew.
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
# An index is made when searches without one have taken about as long as making it does: who asks
# once never waits for it, and who asks often no more than twice as long as had it been there from
# the first. So many searches for a row; so many rows more are as much as another search.
SEARCHES, AT_ONCE = 32, 40


class _Kept(NamedTuple):
    """`rows`: the very array of the fit; `searches`: so far, in those for one row."""

    rows: Any
    checksum: int
    searches: float
    searched: CosineIndex | None


_lock = threading.Lock()
_kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


def index_of(estimator: Any, rows: Any, n_queries: int) -> CosineIndex | None:
    """The index of the rows that an estimator was fitted with, for so many others; 0: for these.

    None where that would not help or not do: other rows, and sparse ones, of which nothing is
    prepared; and where there is none, and searches are too few for one.
    """
    if rows is not getattr(estimator, "_fit_X", None) or not isinstance(rows, np.ndarray):
        return None
    checksum = _checksum(rows)
    with _lock:
        kept = _kept.get(estimator)
        if kept is None or kept.rows is not rows or kept.checksum != checksum:
            kept = _Kept(rows, checksum, 0, None)
        if kept.searched is not None or not n_queries:
            return kept.searched
        kept = kept._replace(searches=kept.searches + 1 + n_queries / AT_ONCE)
        _kept[estimator] = kept
    if kept.searches <= SEARCHES:
        return None
    try:
        index = CosineIndex(rows, copy=False)
    except MemoryError:
        return None
    with _lock:
        _kept[estimator] = kept._replace(searched=index)
    return index


def _checksum(rows: Any) -> int:
    """Of some rows' bytes: all that a change of the whole array would change."""
    return zlib.crc32(np.ascontiguousarray(rows[:: max(1, len(rows) // WATCHED)]).data)
