"""Clause 2: every scale works, and a power of two changes no bit while the elements stay normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .. import oracle
from ..helpers import (
    ALL,
    FLOATS,
    MATRIX,
    PAIRED,
    accuracy_bound,
    assert_same_bits,
    function,
    worst_case_bound,
)


def normal_exponents(dtype):
    """All k for which 2^k·m with 1 <= |m| < 2 is a normal number."""
    info = np.finfo(dtype)
    return np.arange(info.minexp, info.maxexp)


def mantissas(shape, dtype, seed=0):
    """±m with 1 <= m < 2: any power of two between the extremes keeps these normal."""
    rng = np.random.default_rng(seed)
    return ((1 + rng.random(shape, dtype=dtype)) * rng.choice([-1, 1], shape)).astype(dtype)


def bits_kept(name, X, Y, row_exponents_X, row_exponents_Y):
    """Compare the results of scaled rows with those of unscaled ones."""
    scaled_X = np.ldexp(X, np.asarray(row_exponents_X)[:, None]).astype(X.dtype)
    scaled_Y = np.ldexp(Y, np.asarray(row_exponents_Y)[:, None]).astype(Y.dtype)
    assert_same_bits(function(name)(scaled_X, scaled_Y), function(name)(X, Y))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [1, 2, 7, 130])
@pytest.mark.parametrize("name", ALL)
def test_every_power_of_two_keeps_the_bits(name, n_features, dtype, isa):
    """Each exponent from the smallest normal to the largest, rows of all scales in one batch."""
    exponents = normal_exponents(dtype)
    pattern = mantissas((5, n_features), dtype, seed=1)
    X = np.tile(pattern, (len(exponents), 1))
    Y = mantissas((len(X) if name in PAIRED else 6, n_features), dtype, seed=2)
    rng = np.random.default_rng(3)
    bits_kept(name, X, Y, np.repeat(exponents, 5), rng.choice(exponents, len(Y)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2, 20_000), (40, 300), (1, 5000)])
@pytest.mark.parametrize("name", MATRIX)
def test_powers_of_two_keep_the_bits_of_a_self_join(name, shape, dtype, isa):
    X = mantissas(shape, dtype)
    expected = function(name)(X)
    rng = np.random.default_rng(0)
    for _ in range(4):
        exponents = rng.choice(normal_exponents(dtype), len(X))
        assert_same_bits(function(name)(np.ldexp(X, exponents[:, None])), expected)


@st.composite
def wide_rows(draw, dtype, n_samples, n_features):
    """Rows whose elements span the whole range of exponents, many of them exact powers of two or 0.

    Returned with, for each row, an exponent that keeps all its elements normal.
    """
    info = np.finfo(dtype)
    exponent = st.integers(info.minexp, info.maxexp - 1)
    mantissa = st.one_of(st.just(1.0), st.floats(1, 1.75, width=np.dtype(dtype).itemsize * 8))
    element = st.tuples(st.sampled_from([-1, 1, 1, 0]), mantissa, exponent)
    rows, exponents = [], []
    for _ in range(n_samples):
        drawn = draw(st.lists(element, min_size=n_features, max_size=n_features))
        used = [e for sign, _, e in drawn if sign] or [0]
        rows.append([sign * np.ldexp(dtype(m), e) for sign, m, e in drawn])
        exponents.append(draw(st.integers(info.minexp - min(used), info.maxexp - 1 - max(used))))
    return np.array(rows, dtype=dtype), exponents


def scaled_problem(dtype):
    return st.integers(1, 5).flatmap(
        lambda d: st.tuples(wide_rows(dtype, 3, d), wide_rows(dtype, 3, d))
    )


@pytest.mark.costly
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_powers_of_two_keep_the_bits_of_any_rows(name, dtype, isa, data):
    (X, exponents_X), (Y, exponents_Y) = data.draw(scaled_problem(dtype))
    bits_kept(name, X, Y, exponents_X, exponents_Y)


@pytest.mark.costly
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_any_rows_are_accurate(name, dtype, isa, data):
    (X, _), (Y, _) = data.draw(scaled_problem(dtype))
    errors = ALL[name](X, Y).errors(function(name)(X, Y))
    assert errors.max() <= worst_case_bound(dtype, X.shape[1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scales", ["x: 2^-k, y: 2^+k", "x: 2^+k, y: 2^-k", "equal"])
def test_tiny_similarities_survive_scaling(scales, dtype, isa):
    """s = 2^(2k) from two elements of 2^k each: the product is tiny whatever the rows' scale is."""
    info = np.finfo(dtype)
    for k in range(-20, info.minexp // 2 + info.nmant // 2, -1):
        tiny = np.ldexp(dtype(1.75), k)
        X = np.array([[1, tiny, 0]], dtype=dtype)
        Y = np.array([[0, tiny, 1]], dtype=dtype)
        shift = {"x: 2^-k, y: 2^+k": (k, -k), "x: 2^+k, y: 2^-k": (-k, k), "equal": (-k, -k)}
        bits_kept("cosine_similarity", X, Y, *([s] for s in shift[scales]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [1, 3, 40, 400])
@pytest.mark.parametrize("name", ALL)
def test_all_subnormal_rows(name, n_features, dtype, isa):
    rng = np.random.default_rng(0)
    X, Y = np.finfo(dtype).smallest_subnormal * rng.integers(-900, 900, (2, 9, n_features))
    X, Y = X.astype(dtype), Y.astype(dtype)
    X[:, 0] = Y[:, 0] = np.finfo(dtype).smallest_subnormal  # no zero rows
    assert ALL[name](X, Y).errors(function(name)(X, Y)).max() <= accuracy_bound(dtype, n_features)
    equal = 1 if "similarity" in name else 0
    results = function(name)(X, X.copy())
    assert (np.diagonal(results) == equal).all() if name in MATRIX else (results == equal).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [1, 2, 17, 5000])
def test_the_largest_rows(n_features, dtype, isa):
    signs = np.ones((3, n_features), dtype=dtype)
    signs[1, ::2] = -1
    signs[2] = -1
    exact = oracle.similarity(signs)
    similarity = function("cosine_similarity")
    for scale in (1, np.finfo(dtype).max, np.finfo(dtype).smallest_normal):
        self_join = similarity(signs * scale)
        for result in (self_join, similarity(signs * scale, signs)):
            assert exact.errors(result).max() <= accuracy_bound(dtype, n_features)
        assert (np.diagonal(self_join) == 1).all()
        assert self_join[0, 2] == self_join[2, 0] == -1


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [
        (np.float32, [1e-44, 1e-40, 1e-30, 1e-20, 1e-7, 1, 1e7, 1e19, 3e37]),
        (np.float64, [1e-320, 1e-310, 1e-300, 1e-155, 1e-7, 1, 1e7, 1e155, 1e300, 3e307]),
    ],
)
@pytest.mark.parametrize("name", MATRIX)
def test_rows_of_all_scales_in_one_batch(name, dtype, scales, isa):
    """Subnormals lose bits when they are made; what is left of them is what the oracle sees."""
    rng = np.random.default_rng(0)
    X = (rng.uniform(-1, 1, (len(scales), 50)) * np.array(scales)[:, None]).astype(dtype)
    assert MATRIX[name](X).errors(function(name)(X)).max() <= accuracy_bound(dtype, 50)
    assert (np.diagonal(function("cosine_similarity")(X)) == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_element_outweighs_all_others(dtype, isa):
    """A row may hold the largest number and the smallest: its direction is that of the largest."""
    info = np.finfo(dtype)
    X = np.full((4, 33), info.smallest_subnormal, dtype=dtype)
    X[np.arange(4), [0, 7, 31, 32]] = info.max
    assert_same_bits(function("cosine_similarity")(X), np.eye(4, dtype=dtype))
