"""Two checked sides of a sparse call, and how they are gone about."""

from typing import Any, NamedTuple

import numpy as np

from unitdot._inputs import Array
from unitdot._machine.threads import threads_now
from unitdot._sparse.prepared import Prepared

# before the first report, and look for Ctrl-C: rows, and multiply-adds
FIRST_ROWS, FIRST_WORK = 1024, 1 << 27
# scores of products of two entries in the time in which an entry is indexed for bounds
SCORES_TO_ENTRY = 256


class Problem(NamedTuple):
    """Two checked sides, and what follows from the options."""

    X: Any
    Y: Any
    same: bool
    wide: bool
    dtype: np.dtype[Any]
    most_threads: int
    buffers: tuple[Array, Array]
    vectors: tuple[bool, bool]
    prepared: Prepared | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows of X, rows of Y)."""
        return self.X.shape[0], self.Y.shape[0]

    @property
    def shares_much(self) -> bool:
        """Whether two rows share a feature on average, or more: then bounds may stop little."""
        (n_X, n_features), n_Y = self.X.shape, self.Y.shape[0]
        return bool(self.X.entries * self.Y.entries >= max(1, n_X * n_Y) * n_features)

    @property
    def scores_are_few(self) -> bool:
        """Whether rows that share much are scored before they are indexed for bounds."""
        entries = self.X.entries / (2 if self.same else 1)
        return self.shares_much and entries <= SCORES_TO_ENTRY * self.X.shape[1]

    @property
    def threads(self) -> int:
        """How many there may be: one in a child that was forked since the call began."""
        return threads_now(self.most_threads)

    @property
    def first_rows(self) -> int:
        """Rows to begin with, if features are about as frequent as each other."""
        n_X, n_features = self.X.shape
        work = self.X.entries // max(1, n_X) * self.Y.entries // n_features
        return int(max(1, min(FIRST_ROWS, FIRST_WORK // (work + 1))))

    @property
    def narrow(self) -> bool:
        """Whether the result is given in float32."""
        return self.dtype == np.float32
