"""Cosine similarity in exact integer arithmetic: slow, obvious, and right far beyond float64.

Nothing here rounds until the last step. A float is an integer times a power of two, and the
cosine does not see a row's factor, so each row becomes integers; dot products and squared norms of
integers are exact; and `x·y / sqrt(x·x · y·y)` is an integer square root of a quotient, to
`PRECISION` binary places.
"""

from math import isqrt
from operator import mul
from typing import NamedTuple

import numpy as np

PRECISION = 200
ONE = 1 << PRECISION


def integer_row(row):
    """The row times a power of two that makes every element an integer, exactly."""
    ratios = [value.as_integer_ratio() for value in np.asarray(row).astype(np.float64).tolist()]
    common = max(denominator for _, denominator in ratios)
    return [numerator * (common // denominator) for numerator, denominator in ratios]


def dot(x, y):
    return sum(map(mul, x, y))


def fixed_point_similarity(x, y, xx, yy):
    """x·y / sqrt(x·x · y·y) times 2**PRECISION, rounded towards zero; 0 where a row is zero."""
    if xx == 0 or yy == 0:
        return 0
    xy = dot(x, y)
    magnitude = isqrt((xy * xy << 2 * PRECISION) // (xx * yy))
    return magnitude if xy >= 0 else -magnitude


class Exact(NamedTuple):
    """Values held as unevaluated sums `high + low` of two float64 arrays (about 107 bits)."""

    high: np.ndarray
    low: np.ndarray

    def errors(self, result):
        """|result - value|, without the rounding of the value itself."""
        return np.abs((np.asarray(result, dtype=np.float64) - self.high) - self.low)


def _exact(fixed, shape):
    high = [value / ONE for value in fixed]
    low = [(value - int(h * 2.0**PRECISION)) / ONE for value, h in zip(fixed, high, strict=True)]
    return Exact(np.reshape(high, shape), np.reshape(low, shape))


def similarity(X, Y=None):
    """Every row of X against every row of Y (or of X)."""
    rows_X = [integer_row(x) for x in X]
    rows_Y = rows_X if Y is None else [integer_row(y) for y in Y]
    norms_X = [dot(x, x) for x in rows_X]
    norms_Y = [dot(y, y) for y in rows_Y]
    fixed = [
        fixed_point_similarity(x, y, xx, yy)
        for x, xx in zip(rows_X, norms_X, strict=True)
        for y, yy in zip(rows_Y, norms_Y, strict=True)
    ]
    return _exact(fixed, (len(rows_X), len(rows_Y)))


def paired_similarity(X, Y):
    """Row i of X against row i of Y."""
    rows = [(integer_row(x), integer_row(y)) for x, y in zip(X, Y, strict=True)]
    fixed = [fixed_point_similarity(x, y, dot(x, x), dot(y, y)) for x, y in rows]
    return _exact(fixed, (len(rows),))


def distance(exact):
    """1 - similarity. The sum 1 - high rounds, and what it loses goes to `low` (Knuth's TwoSum)."""
    total = 1.0 - exact.high
    virtual = total - 1.0
    lost = (1.0 - (total - virtual)) + (-exact.high - virtual)
    return Exact(total, lost - exact.low)
