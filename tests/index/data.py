"""What the tests of the index share: corpora of every kind, and the plain functions' answers."""

import numpy as np
import pytest

import unitdot
from tests.helpers import assert_same_bits

# few different rows, so that there are ties, equal rows, zero rows, and what is nearly equal
FEATURES = 24
KINDS = ("float32", "float64", "float16", "int8", "bfloat16", "sparse32", "sparse64")


def rows(n, seed=0, kind="float32"):
    """An argument of that kind, and the same rows as an array or CSR that users could hold."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (n, FEATURES)).astype(np.float32)
    again = rng.random(n) < 0.3
    X[again] = X[rng.integers(0, max(1, n), again.sum())]
    X[rng.random(n) < 0.1] = 0
    if kind.startswith("sparse"):
        sparse = pytest.importorskip("scipy.sparse")
        X[rng.random(X.shape) < 0.7] = 0
        return sparse.csr_array(X.astype(f"float{kind[-2:]}"))
    if kind == "bfloat16":
        return X.astype(pytest.importorskip("ml_dtypes").bfloat16)
    return X.astype(kind)


def stacked(parts):
    """One below the other."""
    if hasattr(parts[0], "tocsr"):
        return pytest.importorskip("scipy.sparse").vstack(parts, format="csr")
    return np.concatenate(parts)


def queries(n=3, seed=1, kind="float32"):
    return rows(n, seed, kind)


def assert_same_neighbours(found, expected):
    assert_same_bits(found.similarities, expected.similarities)
    assert_same_bits(found.indices, expected.indices)
    assert found.shape == expected.shape


def assert_same_pairs(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        assert_same_bits(mine, theirs)
    assert (found.shape, found.self_join) == (expected.shape, expected.self_join)


def assert_same_answers(index, Y, X, k=4):
    """All searches of an index are those of the plain functions among the rows Y."""
    assert index.shape == Y.shape
    assert len(index) == Y.shape[0]
    options = {"threshold": -1} if k > Y.shape[0] - 1 else {}
    assert_same_neighbours(index.top_k(X, k, **options), unitdot.cosine_top_k(X, Y, k, **options))
    assert_same_neighbours(index.top_k(k=k, **options), unitdot.cosine_top_k(Y, k=k, **options))
    for threshold in (0.3, 1.0):
        found = index.pairs(X, threshold=threshold)
        assert_same_pairs(found, unitdot.cosine_pairs(X, Y, threshold=threshold))
        assert_same_pairs(
            index.pairs(threshold=threshold), unitdot.cosine_pairs(Y, threshold=threshold)
        )
    assert_same_bits(index.similarity(X), unitdot.cosine_similarity(X, Y))
