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
# so many rows more of a call are as much as another search
AT_ONCE = 40
# fewer rows are searched about as fast without an index
LEAST_ROWS = 20_000


def enough(n_rows: int) -> float:
    """Searches for a row, of so many, that take about as long as making an index (measured).

    It is made after these: who asks once never waits for it, and who asks often has lost about as
    much time as it takes.
    """
    return 6 + 500_000 / n_rows if n_rows >= LEAST_ROWS else float("inf")


class _Kept(NamedTuple):
    """`rows`: the very array of the fit; `searches`: so far, in those for one row.

    `fit`: an object that each fit makes anew, as one with the same array may be of other rows.
    """

    rows: Any
    fit: Any
    checksum: int
    searches: float = 0
    searched: CosineIndex | None = None

    def is_of(self, rows: Any, fit: Any, checksum: int) -> bool:
        return self.rows is rows and self.fit is fit and self.checksum == checksum


_lock = threading.Lock()
_kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


def index_of(estimator: Any, rows: Any, n_queries: int) -> CosineIndex | None:
    """The index of the rows that an estimator was fitted with, for so many others; 0: for these.

    None where that would not help or not do: other rows, and sparse ones, of which nothing is
    prepared; an estimator that has no hash; and where there is none, and searches are too few.
    """
    if rows is not getattr(estimator, "_fit_X", None) or not isinstance(rows, np.ndarray):
        return None
    if type(estimator).__hash__ is None:
        return None
    what = rows, getattr(estimator, "effective_metric_params_", None), _checksum(rows)
    with _lock:
        kept = _kept.get(estimator)
        if kept is None or not kept.is_of(*what):
            kept = _Kept(*what)
        if kept.searched is not None or not n_queries:
            return kept.searched
        searches = kept.searches + 1 + n_queries / AT_ONCE
        is_due = searches > enough(len(rows))
        # from 0 again: other threads make no second one, and where memory is too small it is not
        # tried each time
        _kept[estimator] = kept._replace(searches=0 if is_due else searches)
    if not is_due:
        return None
    try:
        index = CosineIndex(rows, copy=False)
    except MemoryError:
        return None
    with _lock:
        kept = _kept[estimator]
        if kept.is_of(*what):  # no other fit meanwhile
            _kept[estimator] = kept._replace(searched=index)
    return index


def _checksum(rows: Any) -> int:
    """Of some rows' bytes: all that a change of the whole array would change."""
    return zlib.crc32(np.ascontiguousarray(rows[:: max(1, len(rows) // WATCHED)]).data)
