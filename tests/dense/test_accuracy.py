"""Clause 1: within (sqrt(d) + 4)·eps of the exact value, and no worse than scikit-learn."""

from functools import cache

import numpy as np
import pytest

from unitdot import datasets

from .. import oracle
from ..helpers import ALL, FLOATS, MATRIX, PAIRED, accuracy_bound, function

N_FEATURES = (3, 64, 384, 768, 1000, 5000)
# thousands of pairs, so that the largest error is a stable figure
N_ROWS = {3: 200, 64: 100, 384: 96, 768: 96, 1000: 88, 5000: 64}


def real_rows(rng, n_samples, n_features):
    """Rows of the wanted length, cut out of the embeddings, one after another."""
    values = datasets.load_stdlib_docs().embeddings.ravel()
    starts = rng.choice(len(values) - n_features, n_samples, replace=False)
    return values[starts[:, None] + np.arange(n_features)]


DATA = {
    "normal": lambda rng, n, d: rng.standard_normal((n, d)),
    "uniform": lambda rng, n, d: rng.random((n, d)),
    "real": real_rows,
}


@cache
def problem(name, data, n_features, dtype):
    """(X, Y), the exact answers, computed once for all instruction sets."""
    n_samples = N_ROWS[n_features]
    if name in PAIRED:
        n_samples *= 10
    rows = DATA[data](np.random.default_rng(n_features), n_samples, n_features).astype(dtype)
    arguments = (rows[: n_samples // 2], rows[n_samples // 2 :])
    if name == "cosine_distances":  # of the same rows
        return arguments, oracle.distance(problem("cosine_similarity", data, n_features, dtype)[1])
    return arguments, ALL[name](*arguments)


@cache
def sklearn_error(name, data, n_features, dtype):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    arguments, exact = problem(name, data, n_features, dtype)
    return exact.errors(getattr(pairwise, name)(*arguments)).max()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", ALL)
def test_error_is_within_the_bound(name, data, n_features, dtype, isa):
    arguments, exact = problem(name, data, n_features, dtype)
    result = function(name)(*arguments)
    assert result.dtype == dtype
    assert exact.errors(result).max() <= accuracy_bound(dtype, n_features)


# With a handful of features both make the same few roundings, and which of two largest errors is
# larger is chance (ratios of 0.8 to 1.1). paired_cosine_distances gives the bits of the matrix,
# scikit-learn's another formula, 1/2 ||u - v||^2, with smaller errors at small distances.
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [d for d in N_FEATURES if d >= 64])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MATRIX)
def test_error_is_no_worse_than_that_of_sklearn(name, data, n_features, dtype, isa):
    arguments, exact = problem(name, data, n_features, dtype)
    error = exact.errors(function(name)(*arguments)).max()
    assert error <= sklearn_error(name, data, n_features, dtype)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("dtype", FLOATS)
def test_self_join_is_as_accurate(name, dtype, isa):
    X = DATA["real"](np.random.default_rng(0), 40, 384).astype(dtype)
    assert MATRIX[name](X).errors(function(name)(X)).max() <= accuracy_bound(dtype, 384)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_bound_can_be_missed(dtype):
    """A result computed one precision lower must fail the test above, or it tests nothing."""
    (X, Y), exact = problem("cosine_similarity", "normal", 384, dtype)
    lower = {np.float32: np.float16, np.float64: np.float32}[dtype]
    rounded = [(A / np.linalg.norm(A, axis=1, keepdims=True)).astype(lower) for A in (X, Y)]
    assert exact.errors(rounded[0] @ rounded[1].T).max() > accuracy_bound(dtype, 384)
