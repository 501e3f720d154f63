"""What the tests of sparse input share: data, formats, and brute force from the dense result."""

import numpy as np
import pytest

import unitdot

sparse = pytest.importorskip("scipy.sparse")

INDEX_DTYPES = (np.int32, np.int64)
FORMATS = ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")


def random_rows(n_samples, n_features, density=0.2, seed=0, dtype=np.float64, signed=False):
    """A dense array with many zeros, equal rows, a zero row, and values that tie."""
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (n_samples, n_features)).astype(dtype)
    X[rng.random(X.shape) >= density] = 0
    if signed:
        X *= rng.choice(np.array([-1, 1], dtype), X.shape)
    if n_samples > 10:
        X[n_samples // 2] = X[0]
        X[n_samples // 3] = 0
    return X


def csr(X, index_dtype=np.int32, kind="csr_array"):
    matrix = getattr(sparse, kind)(X)
    matrix.indices = matrix.indices.astype(index_dtype)
    matrix.indptr = matrix.indptr.astype(index_dtype)
    return matrix


def disordered(X, index_dtype=np.int32, seed=0):
    """CSR of X with unsorted indices, duplicates that add up, and explicit zeros."""
    rng = np.random.default_rng(seed)
    values, indices, starts = [], [], [0]
    for row in X:
        entries = [(j, v) for j, v in enumerate(row) if v]
        entries = [(j, part) for j, v in entries for part in (v - 1, 1)]  # of integers: exact
        entries += [(int(j), 0) for j in rng.integers(0, len(row), 2)]
        rng.shuffle(entries)
        indices += [int(j) for j, _ in entries]
        values += [v for _, v in entries]
        starts.append(len(values))
    arrays = (
        np.array(values, X.dtype),
        np.array(indices, index_dtype),
        np.array(starts, index_dtype),
    )
    matrix = sparse.csr_array(X.shape, dtype=X.dtype)
    matrix.data, matrix.indices, matrix.indptr = arrays
    return matrix


def brute_pairs(S, threshold, same):
    """(rows, columns, similarities) of the matrix S, as NumPy compares it."""
    hits = S.dtype.type(threshold) <= S
    rows, columns = np.nonzero(np.triu(hits, 1) if same else hits)
    return rows, columns, S[rows, columns]


def brute_top_k(S, k, without_itself):
    """(similarities, indices), ties to the smaller index, NaN last."""
    order = np.where(np.isnan(S), -3.0, S.astype(np.float64))
    if without_itself:
        np.fill_diagonal(order, -4)
    indices = np.argsort(-order, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(S, indices, 1), indices


def top_k(X, Y=None, k=3, include_self=False, report=None, **keywords):
    progress = report or False
    return unitdot.cosine_top_k(X, Y, k, include_self=include_self, progress=progress, **keywords)


def pairs(X, Y=None, threshold=0.5, report=None, **keywords):
    return unitdot.cosine_pairs(X, Y, threshold=threshold, progress=report or False, **keywords)


def everything(X, Y=None, **keywords):
    """Every function's result, to compare runs bit by bit."""
    S = unitdot.cosine_similarity(X, Y, **keywords)
    k = min(4, S.shape[1] - (Y is None))
    results = [S, unitdot.cosine_distances(X, Y, **keywords)]
    results += top_k(X, Y, k, **keywords)
    for threshold in (-0.5, 0.3, 0.8):
        results += pairs(X, Y, threshold, **keywords)
    if sparse.issparse(X) and (Y is None or sparse.issparse(Y)):
        product = unitdot.cosine_similarity(X, Y, dense_output=False, **keywords)
        results += [product.data, product.indices, product.indptr]
    return results
