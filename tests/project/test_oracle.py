"""The oracle is tested before it judges: known values, fractions, mpmath, and its resolution."""

from fractions import Fraction

import numpy as np
import pytest

from .. import oracle

mpmath = pytest.importorskip("mpmath")


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([3, 4], [4, 3], Fraction(24, 25)),
        ([1, 2, 2], [2, 1, -2], Fraction(0)),
        ([1, 2, 2], [2, 2, 1], Fraction(8, 9)),
        ([0.5, 0], [1e300, 0], Fraction(1)),
        ([5e-324, 0], [-5e-324, 0], Fraction(-1)),
        ([1, 2, 2], [-3 * 2.0**-1060, -4 * 2.0**-1060, 0], Fraction(-11, 15)),
        ([0, 0], [1, 2], Fraction(0)),
    ],
)
def test_rational_values_are_exact(x, y, expected):
    exact = oracle.similarity([x], [y])
    error = Fraction(exact.high.item()) + Fraction(exact.low.item()) - expected
    assert abs(error) < Fraction(1, 2**105)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 2.0**-10, 2.0**10])
def test_agrees_with_mpmath(dtype, scale):
    rng = np.random.default_rng(7)
    X = (rng.standard_normal((4, 9)) * scale).astype(dtype)
    Y = (rng.standard_normal((3, 9)) * scale).astype(dtype)
    exact = oracle.similarity(X, Y)
    paired = oracle.paired_similarity(X[:3], Y)
    with mpmath.workprec(400):
        for i, j in np.ndindex(4, 3):
            x, y = ([mpmath.mpf(float(v)) for v in row] for row in (X[i], Y[j]))
            expected = mpmath.fdot(x, y) / mpmath.sqrt(mpmath.fdot(x, x) * mpmath.fdot(y, y))
            assert (
                abs(mpmath.mpf(exact.high[i, j]) + mpmath.mpf(exact.low[i, j]) - expected)
                < 2.0**-105
            )
    assert np.array_equal(paired.high, np.diagonal(exact.high))
    assert np.array_equal(paired.low, np.diagonal(exact.low))


def test_errors_resolve_far_less_than_one_ulp():
    exact = oracle.similarity([[1.0, 1.0]], [[1.0, 0.0]])  # 1 / sqrt(2), which no float64 holds
    nearest = np.sqrt(0.5)
    with mpmath.workprec(200):
        true_error = abs(mpmath.mpf(nearest) - 1 / mpmath.sqrt(2))
        assert abs(mpmath.mpf(exact.errors([[nearest]]).item()) - true_error) < 2.0**-100
    assert exact.errors([[np.nextafter(nearest, 1)]]).item() > np.spacing(nearest) / 2


@pytest.mark.parametrize("y", [[1.0, 1e-9], [1.0, 1.0], [-1.0, 1e-30], [3.0, -4.0], [0.0, 1.0]])
def test_distance_keeps_the_low_part(y):
    similarity = oracle.similarity([[1.0, 0.0]], [y])
    distance = oracle.distance(similarity)
    total = sum(Fraction(part.item()) for part in (*similarity, *distance))
    assert abs(total - 1) < Fraction(1, 2**100)


def test_integer_rows_are_exact_at_every_scale():
    row = np.array([1.5, -(2.0**-149), 3.0, 0.0], dtype=np.float32)
    integers = oracle.integer_row(row)
    ratios = {Fraction(i) / Fraction(float(v)) for i, v in zip(integers, row, strict=True) if v}
    assert len(ratios) == 1
    assert integers[3] == 0
