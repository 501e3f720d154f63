"""What is made of neighbours and pairs: sparse arrays, components, the first of what is alike."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unitdot
from unitdot import Pairs, TopK

from ..helpers import FLOATS, assert_same_bits, normal
from ..neighbors import assert_same_result

N = 12  # rows of small graphs


def slow_components(n, edges):
    """Labels that spread along the edges until none changes, numbered by their first row."""
    labels = list(range(n))
    for _ in range(n):
        for a, b in edges:
            labels[a] = labels[b] = min(labels[a], labels[b])
    return [sorted(set(labels)).index(label) for label in labels]


def slow_keep_first(n, edges):
    kept = []
    for row in range(n):
        if not any((other, row) in edges or (row, other) in edges for other in kept):
            kept.append(row)
    return np.isin(np.arange(n), kept)


edges_of_a_graph = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=20)


def by_hand(edges, **keywords):
    rows, columns = np.array(edges, np.int32).reshape(-1, 2).T
    return Pairs(rows, columns, np.ones(len(edges)), **keywords)


@given(edges=edges_of_a_graph, in_order=st.booleans())
def test_any_graph(edges, in_order):
    """In whatever order, the smaller number first or last, twice or with itself."""
    if in_order:
        edges = sorted({(min(edge), max(edge)) for edge in edges})
    pairs = by_hand(edges, shape=(N, N))
    assert pairs.components().tolist() == slow_components(N, edges)
    kept = pairs.keep_first()
    assert kept.dtype == bool
    assert kept.tolist() == slow_keep_first(N, edges).tolist()


def test_graphs_of_real_pairs(embeddings):
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    pairs = unitdot.cosine_pairs(embeddings, threshold=0.8)
    count, labels = csgraph.connected_components(pairs.to_csr(), directed=False)
    found = pairs.components()
    assert found.dtype == np.int64
    assert len({*zip(labels, found, strict=True)}) == len({*found}) == count < len(embeddings)
    _, first = np.unique(found, return_index=True)
    assert (np.diff(first) > 0).all()
    kept = pairs.keep_first()
    S = np.triu(unitdot.cosine_similarity(embeddings), 1) >= np.float32(0.8)
    assert not S[np.ix_(kept, kept)].any()
    assert (S[kept][:, ~kept]).any(axis=0).all()


def test_graphs_longer_than_the_time_between_looks_for_interrupts():
    n = (1 << 22) + 3
    chain = Pairs(np.arange(n - 1), np.arange(1, n), np.ones(n - 1, np.float32))
    assert chain.components().max() == 0
    assert (np.flatnonzero(~chain.keep_first()) % 2 == 1).all()
    assert chain.keep_first().sum() == n // 2 + 1


@pytest.mark.parametrize("graph", ["components", "keep_first"])
def test_numbers_that_another_thread_has_changed(graph):
    pairs = by_hand([(0, 1), (1, 2), (3, 4)])
    pairs.columns[1] = 1 << 40
    with pytest.raises(
        ValueError, match=r"columns holds 1099511627776 in place 1; expected 0 to 4"
    ):
        getattr(pairs, graph)()
    pairs.rows[2] = -1
    with pytest.raises(ValueError, match=r"rows holds -1 in place 2"):
        getattr(pairs, graph)()


@pytest.mark.parametrize("call", ["components", "keep_first", "to_csr"])
def test_graphs_need_one_set_of_rows(call):
    keywords = {"symmetric": True} if call == "to_csr" else {}
    pairs = unitdot.cosine_pairs(normal((4, 3)), normal((4, 3), seed=1), threshold=-1)
    with pytest.raises(ValueError, match=r"pairs of X with Y; expected .*\(Y=None\)"):
        getattr(pairs, call)(**keywords)


def test_no_rows():
    pairs = Pairs([], [], [])
    assert (pairs.shape, pairs.n_pairs) == ((0, 0), 0)
    assert len(pairs.components()) == len(pairs.keep_first()) == 0
    assert Pairs([], [], [], shape=(3, 3)).components().tolist() == [0, 1, 2]


# ---- made by hand


def test_pairs_made_by_hand():
    pairs = Pairs([0, 2], [4, 3], [1, 0])
    assert (pairs.shape, pairs.self_join, pairs.n_pairs) == ((5, 5), True, 2)
    assert [array.dtype for array in pairs] == [np.int64, np.int64, np.float64]
    other = Pairs([0, 2], [4, 3], np.ones(2, np.float32), shape=(3, 9))
    assert (other.shape, other.self_join, other.similarities.dtype) == ((3, 9), False, np.float32)
    assert not Pairs([0], [1], [1], shape=(3, 3), self_join=False).self_join


BAD_PAIRS = {
    "lengths": (([0, 1], [1], [1.0]), ValueError, r"shapes \(2,\), \(1,\) and \(1,\)"),
    "similarities": (([0], [1], [[1.0]]), ValueError, "vectors of one length"),
    "negative": (([0, -1], [1, 2], [1, 1]), ValueError, r"rows holds -1 in place 1"),
    "beyond": (([0], [3], [1], (5, 3)), ValueError, "columns holds 3 in place 0; expected 0 to 2"),
    "huge": (([1 << 63], [0], [1]), ValueError, "rows holds"),
    "floats": (([0.0], [1.0], [1]), TypeError, "rows has dtype float64"),
    "matrix": (([[0]], [[1]], [1]), TypeError, "expected a vector of integers"),
    "strings": (([0], [1], ["a"]), TypeError, "similarities has dtype"),
    "shape": (([0], [1], [1], 5), TypeError, "shape is 5; expected two integers"),
    "negative shape": (([], [], [], (-1, 2)), ValueError, r"shape is \(-1, 2\)"),
    "self_join": (([0], [1], [1], (2, 2), "no"), TypeError, "self_join is 'no'"),
}


@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_bad_pairs_are_refused(bad):
    arguments, error, message = BAD_PAIRS[bad]
    with pytest.raises(error, match=message):
        Pairs(*arguments)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_keep_their_shape(again):
    X = normal((6, 3))
    pairs, found = unitdot.cosine_pairs(X, X, threshold=0.5), unitdot.cosine_top_k(X, X[:4], k=2)
    for result in (pairs, found):
        other = again(result)
        assert_same_result(other, result)
        assert vars(other) == vars(result)
    assert found._replace(indices=found.indices + 1).shape == (6, 4)


# ---- sparse arrays

by_kind = pytest.mark.parametrize("kind", ["similarity", "distance"])


@by_kind
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_neighbours_as_a_sparse_array(dtype, sparse, kind):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X, Y = normal((7, 4), dtype, 1), normal((9, 4), dtype, 2)
    X[3] = 0  # similarity 0 with all: explicit
    Y[2] = X[1]
    given = (scipy_sparse.csr_array(X), scipy_sparse.csr_array(Y)) if sparse else (X, Y)
    for found in (unitdot.cosine_top_k(*given, k=4), unitdot.cosine_top_k(given[1], k=8)):
        graph = found.to_csr(kind=kind)
        n, k = found.indices.shape
        assert graph.shape == (n, 9)
        assert graph.indices.dtype == graph.indptr.dtype == np.int32
        assert (np.diff(graph.indptr) == k).all()
        assert (graph.indices.reshape(n, k) == found.indices).all()
        values = found.similarities if kind == "similarity" else 1 - found.similarities
        assert_same_bits(graph.data.reshape(n, k), values)
        graph.data[:] = 5
        assert (found.similarities <= 1).all()
    matrix = unitdot.cosine_distances(*given) if kind == "distance" else None
    if matrix is not None:
        found = unitdot.cosine_top_k(*given, k=9)
        assert_same_bits(found.to_csr(kind=kind).toarray(), matrix)


def test_places_left_over_are_left_out_of_a_sparse_array():
    pytest.importorskip("scipy")
    places = np.array([[3, -1], [0, 2], [-1, -1]], np.int32)
    found = TopK(np.array([[0.5, np.nan], [0.9, 0.0], [np.nan, np.nan]]), places)
    graph = found.to_csr()
    assert graph.shape == (3, 4)
    assert graph.indptr.tolist() == [0, 1, 3, 3]
    assert graph.indices.tolist() == [3, 0, 2]
    assert graph.data.tolist() == [0.5, 0.9, 0]
    assert found._replace(indices=np.minimum(places, 1)).to_csr().shape == (3, 3)
    assert found.to_csr((3, 8)).shape == (3, 8)
    for shape, message in (((2, 8), "for neighbours of 3 rows"), ((3, 3), "indices holds 3 in")):
        with pytest.raises(ValueError, match=message):
            found.to_csr(shape)


def test_a_query_is_one_row_of_a_sparse_array():
    pytest.importorskip("scipy")
    X = normal((5, 3))
    graph = unitdot.cosine_top_k(X[0], X, k=2).to_csr()
    assert (graph.shape, graph.nnz) == ((1, 5), 2)


@by_kind
def test_pairs_as_a_sparse_array(kind):
    """Zeros are stored: similarities of 0, and distances of equal rows."""
    pytest.importorskip("scipy")
    X = normal((20, 3), np.float32)
    X[4], X[9] = 0, X[2]
    pairs = unitdot.cosine_pairs(X, threshold=-1)
    full = unitdot.cosine_distances(X) if kind == "distance" else unitdot.cosine_similarity(X)
    np.fill_diagonal(full, 0)
    graph = pairs.to_csr(symmetric=True, kind=kind)
    assert_same_bits(graph.toarray(), full)
    assert graph.nnz == 20 * 19
    assert graph.indices.dtype == graph.indptr.dtype == np.int32
    assert graph.has_canonical_format
    assert_same_bits(pairs.to_csr(kind=kind).toarray(), np.triu(full))


def test_pairs_by_hand_as_a_sparse_array():
    pytest.importorskip("scipy")
    pairs = Pairs([2, 0, 0], [0, 2, 1], [0.5, 0.6, 0.7])
    assert pairs.to_csr().toarray().tolist() == [[0, 0.7, 0.6], [0, 0, 0], [0.5, 0, 0]]
    with pytest.raises(ValueError, match="row < column"):
        pairs.to_csr(symmetric=True)
    with pytest.raises(ValueError, match="twice"):
        Pairs([0, 0], [1, 1], [0.5, 0.5]).to_csr()


@pytest.mark.parametrize("result", [unitdot.cosine_top_k, unitdot.cosine_pairs])
def test_bad_kind(result):
    for kind in ("distances", None, 1):
        with pytest.raises(ValueError, match=r'kind is .*; expected "similarity" or "distance"'):
            result(normal((12, 3))).to_csr(kind=kind)


def test_graphs_are_what_scikit_learn_takes(embeddings):
    """Estimators with a precomputed graph give what they find themselves, or run."""
    cluster = pytest.importorskip("sklearn.cluster")
    neighbors = pytest.importorskip("sklearn.neighbors")
    X = embeddings[:300].astype(np.float64)
    near = unitdot.cosine_pairs(X, threshold=0.6).to_csr(symmetric=True, kind="distance")
    dbscan = cluster.DBSCAN(eps=0.4, min_samples=3, metric="precomputed").fit(near)
    expected = cluster.DBSCAN(eps=0.4, min_samples=3, metric="cosine").fit(X)
    assert (dbscan.labels_ == expected.labels_).all()
    found = unitdot.cosine_top_k(X, k=20, include_self=True)
    graph = found.to_csr(kind="distance")
    labels = dbscan.labels_ >= 0
    model = neighbors.KNeighborsClassifier(5, metric="precomputed").fit(graph, labels)
    plain = neighbors.KNeighborsClassifier(5, metric="cosine").fit(X, labels)
    assert (model.predict(graph) == plain.predict(X)).all()
    similar = found.to_csr()
    spectral = cluster.SpectralClustering(3, affinity="precomputed", random_state=0)
    assert len(spectral.fit(similar.maximum(similar.T)).labels_) == 300
    merged = cluster.AgglomerativeClustering(3, connectivity=graph.maximum(graph.T))
    assert len(merged.fit(X).labels_) == 300


# ---- parts of a corpus


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_merged_parts_are_the_search_of_the_whole(dtype, zero):
    X, Y = normal((9, 2), dtype, 1).round(), normal((60, 2), dtype, 2).round()
    for k in (1, 5, 12):
        parts = []
        for start, stop in ((0, 20), (20, 22), (22, 60)):
            part = unitdot.cosine_top_k(X, Y[start:stop], min(k, stop - start), zero=zero)
            parts.append(part._replace(indices=part.indices + start))
        assert_same_result(
            unitdot.merge_top_k(iter(parts[::-1])), unitdot.cosine_top_k(X, Y, k, zero=zero)
        )
        some = unitdot.merge_top_k([tuple(part) for part in parts], k=1)
        assert_same_result(some, unitdot.cosine_top_k(X, Y, 1, zero=zero))


def test_places_left_over_come_last_in_merged_parts():
    nan = np.nan
    one = TopK(np.array([[0.5, nan, nan]]), np.array([[7, 3, -1]]))
    other = TopK(np.array([[nan, nan]], np.float32), np.array([[1, -1]]))
    for parts in ((one, other), (other, one)):
        found = unitdot.merge_top_k(parts, k=6)
        assert found.indices.tolist() == [[7, 1, 3, -1, -1, -1]]
        assert np.array_equal(found.similarities, [[0.5] + 5 * [nan]], equal_nan=True)
        assert found.similarities.dtype == np.float64
    query = unitdot.merge_top_k([TopK(part.similarities[0], part.indices[0]) for part in parts])
    assert query.indices.tolist() == [7, 1, 3]


GOOD_PART = TopK(np.array([[0.9, 0.5], [0.5, 0.5]]), np.array([[1, 0], [0, 2]]))
BAD_PARTS = {
    "none": ([], None, ValueError, "parts is empty"),
    "not a TopK": ([GOOD_PART, 3], None, TypeError, r"parts\[1\] is a int; expected a TopK"),
    "queries": ([GOOD_PART, TopK(*(a[:1] for a in GOOD_PART))], None, ValueError, "same queries"),
    "shapes": ([(GOOD_PART[0], GOOD_PART[1][:, :1])], None, ValueError, r"parts\[0\] has simil"),
    "dtypes": ([GOOD_PART[::-1]], None, TypeError, r"parts\[0\] has similarities in int64"),
    "order": ([GOOD_PART, (GOOD_PART[0], 5 - GOOD_PART[1])], None, ValueError, r"\[1\] .* row 1"),
    "k": ([GOOD_PART], 0, ValueError, "k is 0; expected None or an integer of at least 1"),
}


@pytest.mark.parametrize("bad", BAD_PARTS)
def test_bad_parts_are_refused(bad):
    parts, k, error, message = BAD_PARTS[bad]
    with pytest.raises(error, match=message):
        unitdot.merge_top_k(parts, k)
