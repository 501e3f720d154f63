"""What cosine_top_k and cosine_pairs take and give beside the values; scikit-learn agrees."""

import sys

import numpy as np
import pytest

import unitdot
from unitdot import TopK
from unitdot._machine.dispatch import use_isa

from ..helpers import FUSED_ISAS, assert_same_bits, normal
from ..neighbors import (
    assert_same_result,
    check_pairs,
    most_similar,
    reaching,
    sorted_matrix,
)


def test_a_vector_is_a_query(isa):
    Y = normal((40, 7))
    similarities, indices = unitdot.cosine_top_k(Y[3], Y, k=4)
    assert similarities.shape == indices.shape == (4,)
    assert_same_result(
        unitdot.TopK(similarities[None], indices[None]), unitdot.cosine_top_k(Y[3:4], Y, k=4)
    )


@pytest.mark.parametrize("threshold", [-1, 0.2, 1])
@pytest.mark.parametrize("symmetric", [True, False])
def test_sparse_array_of_pairs(threshold, symmetric):
    pytest.importorskip("scipy")
    X = normal((30, 4), np.float32)
    X[7] = X[3]
    graph = unitdot.cosine_pairs(X, threshold=threshold).to_csr(symmetric=symmetric)
    S = np.triu(unitdot.cosine_similarity(X), 1)
    expected = np.where(np.float32(threshold) <= S, S, 0)
    expected = np.triu(expected, 1)
    assert_same_bits(graph.toarray(), expected + expected.T if symmetric else expected)
    assert graph.has_canonical_format


def test_sparse_array_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    pairs = unitdot.cosine_pairs(normal((5, 4)), threshold=0)
    with pytest.raises(ImportError, match=r"to_csr\(\).*pip install scipy"):
        pairs.to_csr()


def test_sparse_array_of_two_matrices():
    pytest.importorskip("scipy")
    X, Y = normal((5, 4), seed=1), normal((9, 4), seed=2)
    pairs = unitdot.cosine_pairs(X, Y, threshold=0)
    assert pairs.to_csr().shape == (5, 9)
    with pytest.raises(ValueError, match="symmetric"):
        pairs.to_csr(symmetric=True)


@pytest.mark.parametrize("shape", [(0, 9), (9, 0), (0, 0), (0, None), (1, None)])
def test_no_pairs(shape, isa):
    X, Y = (None if rows is None else normal((rows, 4), np.float32) for rows in shape)
    check_pairs(X, Y, thresholds=[-1])


def test_no_queries(isa):
    similarities, indices = unitdot.cosine_top_k(np.ones((0, 4), np.float32), np.ones((9, 4)), k=2)
    assert similarities.shape == indices.shape == (0, 2)
    assert (similarities.dtype, indices.dtype) == (np.float64, np.int64)


def test_instruction_sets_agree(embeddings):
    """Those with fused multiply-add give the same bits, so the same order and the same pairs."""
    results = []
    for isa in FUSED_ISAS:
        with use_isa(isa):
            top_k = unitdot.cosine_top_k(embeddings[:900], k=20)
            results.append((top_k, unitdot.cosine_pairs(embeddings[:900], threshold=0.7)))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            assert_same_result(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learn_finds_the_same_neighbours(dtype, embeddings):
    """Where the next similarity is clearly less, so that rounding decides nothing."""
    neighbors = pytest.importorskip("sklearn.neighbors")
    X, Y = embeddings[:200].astype(dtype), embeddings[200:2000].astype(dtype)
    model = neighbors.NearestNeighbors(metric="cosine", algorithm="brute").fit(Y)
    distances, expected = model.kneighbors(X, 11)
    found = unitdot.cosine_top_k(X, Y, k=11)
    clear = np.diff(distances, axis=1) > 1e-5
    certain = np.column_stack([clear[:, :1], clear[:, :-1] & clear[:, 1:]])
    assert certain.mean() > 0.95
    assert (found.indices[:, :10] == expected[:, :10])[certain].all()
    assert np.allclose(1 - found.similarities, distances, atol=1e-5)


def test_scikit_learn_finds_as_many_pairs(embeddings):
    neighbors = pytest.importorskip("sklearn.neighbors")
    X = embeddings[:1500].astype(np.float64)
    S = np.sort(unitdot.cosine_similarity(X)[np.triu_indices(1500, 1)])
    middle = np.searchsorted(S, 0.5) + np.argmax(np.diff(S[S > 0.5]))
    threshold = (S[middle] + S[middle + 1]) / 2  # in a gap
    graph = neighbors.radius_neighbors_graph(X, 1 - threshold, metric="cosine", mode="distance")
    pairs = unitdot.cosine_pairs(X, threshold=threshold)
    assert 2 * len(pairs.rows) == graph.nnz > 0
    assert (pairs.to_csr(symmetric=True) != 0).nnz == graph.nnz


def test_a_set_with_itself_as_two_sets():
    """Only Y=None leaves rows and halves out: the same object twice is as good as a copy."""
    X = normal((60, 8), np.float32, 3)
    alone, copied = unitdot.cosine_top_k(X, X, 60), unitdot.cosine_top_k(X, X.copy(), 60)
    for a, b in zip(alone, copied, strict=True):
        assert_same_bits(a, b)
    pairs = unitdot.cosine_pairs(X, X, threshold=-1)
    assert len(pairs.rows) == 3600
    with pytest.raises(ValueError, match="symmetric"):
        pairs.to_csr(symmetric=True)


def test_pairs_keep_their_shape():
    pairs = unitdot.cosine_pairs(normal((6, 3), np.float64, 0), threshold=0.5)
    changed = pairs._replace(similarities=pairs.similarities * 2)
    assert changed.shape == (6, 6)
    assert changed.self_join
    assert changed.to_csr().shape == (6, 6)


@pytest.mark.parametrize("threshold", [-1, 0.3, 1])
@pytest.mark.parametrize("sparse", [False, True])
def test_places_left_over_by_a_threshold(sparse, threshold):
    """More neighbours may be asked for than there are; NaN reaches no threshold."""
    X = normal((6, 3)).round()
    X[2] = 0
    given = pytest.importorskip("scipy.sparse").csr_array(X) if sparse else X
    whole = sorted_matrix(unitdot.cosine_similarity(given, zero="nan"), own=False)
    found = unitdot.cosine_top_k(given, k=9, threshold=threshold, zero="nan")
    expected = TopK(*(np.pad(array, ((0, 0), (0, 4))) for array in whole))
    expected.similarities[:, 5:] = np.nan
    assert_same_result(found, reaching(expected, threshold))
    alone = unitdot.cosine_top_k(given[:1], k=2, threshold=threshold)
    assert (alone.indices.tolist(), np.isnan(alone.similarities).all()) == ([[-1, -1]], True)
    alone = unitdot.cosine_top_k(X[:1], X[:0], k=2, threshold=threshold)
    assert (alone.indices.tolist(), np.isnan(alone.similarities).all()) == ([[-1, -1]], True)


@pytest.mark.parametrize(
    ("max_pairs", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_max_pairs(max_pairs, error):
    expected = f"max_pairs is {max_pairs}; expected None or an integer of at least 1"
    with pytest.raises(error, match=expected):
        unitdot.cosine_pairs(normal((5, 3)), max_pairs=max_pairs)


@pytest.mark.parametrize("sparse", [False, True])
def test_most_similar_pairs_where_the_limit_rises(sparse, isa):
    """From a threshold that all pairs reach; many of them are ties."""
    X = normal((700, 64), np.float32)
    X[100:150] = X[0]
    given = pytest.importorskip("scipy.sparse").csr_array(X) if sparse else X
    all_pairs = unitdot.cosine_pairs(given, threshold=-1)
    for most in (1, 700, 1275, 2000, 10**9):
        found = unitdot.cosine_pairs(given, threshold=-1, max_pairs=most, n_threads=2)
        assert_same_result(found, most_similar(all_pairs, most))
