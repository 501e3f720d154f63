"""Clauses 3 and 4: results in [-1, 1], exactly ±1 for equal and opposite rows; symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import unitdot

from ..helpers import ALL, FLOATS, MATRIX, PAIRED, assert_same_bits, function, normal

N_FEATURES = (1, 2, 3, 17, 129, 384, 4097)
RANGE = {"similarity": (-1, 1), "distances": (0, 2)}
# results for equal and for opposite rows
EXTREMES = {"similarity": (1, -1), "distances": (0, 2)}


def by_kind(table, name):
    return table[name.rsplit("_", 1)[1]]


def against(name, X, Y):
    """Row i against row i, by the function itself or on the diagonal of its matrix."""
    result = function(name)(X, Y)
    return result if name in PAIRED else np.diagonal(result)


def rows(dtype, n_samples, n_features):
    """Any finite rows that are not zero, subnormal elements and the largest included."""
    width = np.dtype(dtype).itemsize * 8
    elements = st.one_of(
        st.floats(width=width, allow_nan=False, allow_infinity=False),
        st.floats(-4, 4, width=width),
        st.sampled_from([0.0, 1.0, -1.0, 0.5]),
    )
    arrays = hnp.arrays(dtype, st.tuples(n_samples, n_features), elements=elements)
    return arrays.filter(lambda X: X.any(axis=1).all())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("name", ALL)
def test_equal_and_opposite_rows(name, n_features, dtype, isa):
    X = normal((50, n_features), dtype, seed=n_features)
    equal, opposite = by_kind(EXTREMES, name)
    assert (against(name, X, X) == equal).all()
    assert (against(name, X, X.copy()) == equal).all()
    assert (against(name, X, -X) == opposite).all()
    assert (against(name, X, np.ldexp(X, 7)) == equal).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("name", MATRIX)
def test_equal_rows_wherever_they_stand(name, n_features, dtype, isa):
    """One vector and its negative, scattered over both batches."""
    row = normal((1, n_features), dtype, seed=5)
    X, Y = normal((61, n_features), dtype, seed=1), normal((83, n_features), dtype, seed=2)
    at_X, at_Y, opposite_Y = [0, 1, 15, 16, 40, 60], [0, 7, 8, 63, 64, 82], [1, 30, 81]
    X[at_X] = Y[at_Y] = row
    Y[opposite_Y] = -row
    result = function(name)(X, Y)
    equal, opposite = by_kind(EXTREMES, name)
    assert (result[np.ix_(at_X, at_Y)] == equal).all()
    assert (result[np.ix_(at_X, opposite_Y)] == opposite).all()
    assert (function(name)(X)[np.ix_(at_X, at_X)] == equal).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_exact_values_of_any_rows(name, dtype, isa, data):
    X = data.draw(rows(dtype, st.integers(1, 6), st.integers(1, 20)))
    equal, opposite = by_kind(EXTREMES, name)
    assert (against(name, X, X.copy()) == equal).all()
    assert (against(name, X, -X) == opposite).all()
    if name in MATRIX:
        assert (np.diagonal(function(name)(X)) == equal).all()


@pytest.mark.costly
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_range_of_any_rows(name, dtype, isa, data):
    n_features = st.shared(st.integers(1, 8), key="n_features")
    n_samples = st.shared(st.integers(1, 5), key="n_samples")
    X = data.draw(rows(dtype, n_samples, n_features))
    Y = data.draw(rows(dtype, n_samples, n_features))
    low, high = by_kind(RANGE, name)
    result = function(name)(X, Y)
    assert ((low <= result) & (result <= high)).all()


def nearly_parallel(n_features, dtype):
    """Rounding pushes many of these pairs past 1 where nothing holds it back."""
    rng = np.random.default_rng(n_features)
    X = np.repeat(rng.uniform(0.5, 1, (1, n_features)), 400, axis=0).astype(dtype)
    Y = (X * rng.uniform(0.5, 2, (400, 1))).astype(dtype)
    Y[::2] *= -1
    return X, Y


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [2, 3, 10, 129])
@pytest.mark.parametrize("name", ALL)
def test_range_of_nearly_parallel_rows(name, n_features, dtype, isa):
    low, high = by_kind(RANGE, name)
    result = function(name)(*nearly_parallel(n_features, dtype))
    assert ((low <= result) & (result <= high)).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_nearly_parallel_rows_are_a_trap(dtype):
    """The textbook formula leaves the range on them; else the test above tests nothing."""
    largest = 0
    for n_features in (2, 3, 10, 129):
        rows = nearly_parallel(n_features, dtype)
        unit_X, unit_Y = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in rows)
        largest = max(largest, (unit_X * unit_Y).sum(axis=1).max())
    assert largest > 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [32, 96, 384, 4096])
@pytest.mark.parametrize("n_samples", [1, 2, 40])
def test_zero_has_no_sign(n_samples, n_features, dtype, isa):
    # every product is -0; the first of each run, which is added to +0, because it vanishes
    x, y = np.full(n_features, -1, dtype), np.zeros(n_features, dtype)
    x[::32], y[::32] = -np.sqrt(np.finfo(dtype).tiny), np.finfo(dtype).tiny
    x[-1], y[-1] = -0.0, 1
    X, Y = np.tile(x, (n_samples, 1)), np.tile(y, (n_samples, 1))
    zeros = np.zeros((n_samples, n_samples), dtype)
    assert_same_bits(unitdot.cosine_similarity(X, Y), zeros)
    assert_same_bits(unitdot.cosine_similarity(Y, X), zeros)
    assert_same_bits(unitdot.paired_cosine_similarity(X, Y), zeros[0])
    assert_same_bits(unitdot.cosine_top_k(X, Y, k=1)[0], zeros[:, :1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("sizes", [(1, 70), (5, 3), (31, 33), (64, 64)])
@pytest.mark.parametrize("name", MATRIX)
def test_symmetry(name, sizes, n_features, dtype, isa):
    X = normal((sizes[0], n_features), dtype, seed=1)
    Y = normal((sizes[1], n_features), dtype, seed=2)
    assert_same_bits(function(name)(X, Y), function(name)(Y, X).T)
    for A in (X, Y):
        self_join = function(name)(A)
        assert_same_bits(self_join, self_join.T)
        assert_same_bits(self_join, function(name)(A, A.copy()))
        assert_same_bits(self_join, function(name)(A, A))


@pytest.mark.costly
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_symmetry_of_any_rows(name, dtype, isa, data):
    n_features = st.shared(st.integers(1, 8), key="n_features")
    n_samples = st.shared(st.integers(1, 5), key="n_samples")
    X = data.draw(rows(dtype, n_samples, n_features))
    Y = data.draw(rows(dtype, n_samples, n_features))
    assert_same_bits(function(name)(X, Y), function(name)(Y, X).T)
    if name in MATRIX:
        assert_same_bits(function(name)(X), function(name)(X, X.copy()))


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("dtype", FLOATS)
def test_paired_symmetry_of_long_vectors(name, dtype, isa):
    X, Y = normal((2, 3, 120_000), dtype)
    assert_same_bits(function(name)(X, Y), function(name)(Y, X))


def test_real_texts_that_are_equal_have_similarity_one(embeddings, isa):
    _, first, count = np.unique(embeddings, axis=0, return_index=True, return_counts=True)
    repeated = first[count > 1][:30]
    assert len(repeated) >= 1, "the shipped data no longer has equal rows"
    for i in repeated:
        equal = np.flatnonzero((embeddings == embeddings[i]).all(axis=1))
        assert (function("cosine_similarity")(embeddings[equal], embeddings[[i]]) == 1).all()
        assert (function("cosine_distances")(embeddings[equal], embeddings[[i]]) == 0).all()
