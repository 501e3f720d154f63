"""Top-k and pairs of sparse rows: exactly what brute force finds in the full matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unitdot
from unitdot._sparse import blocks, joins, problem, search

from ..helpers import FLOATS, assert_same_bits
from ..neighbors import assert_same_result, most_similar, reaching
from .data import brute_pairs, brute_top_k, csr, pairs, random_rows, sparse, top_k

THRESHOLDS = [-1, -0.3, 0, 1e-9, 1e-3, 0.2, 0.5, 0.8, 0.95, 1]


def clustered(dtype, signed):
    """Near-duplicates of a few rows, in the manner of texts: many rare features, few frequent."""
    rng = np.random.default_rng(1)
    frequency = 0.6 / np.arange(1, 201)
    centres = (rng.random((25, 200)) < frequency) * rng.uniform(0.5, 2, (25, 200))
    X = np.repeat(centres, 8, axis=0)
    X[rng.random(X.shape) < 0.02] = 1
    X[rng.random(X.shape) < 0.05] = 0
    return (X * rng.choice([-1, 1], X.shape) if signed else X).astype(dtype)


DATA = {
    "random": lambda dtype: random_rows(120, 40, dtype=dtype),
    "signed": lambda dtype: random_rows(120, 12, 0.4, dtype=dtype, signed=True),
    "clustered": lambda dtype: clustered(dtype, False),
    "clustered and signed": lambda dtype: clustered(dtype, True),
    "duplicated": lambda dtype: np.repeat(random_rows(20, 30, dtype=dtype), 5, axis=0),
    "all equal": lambda dtype: np.tile(random_rows(1, 9, 0.7, dtype=dtype), (60, 1)),
    "one feature": lambda dtype: random_rows(50, 1, 0.7, dtype=dtype, signed=True),
    "dense": lambda dtype: random_rows(60, 150, 1.0, dtype=dtype),
    "long and short": lambda dtype: (
        np.tri(70, 140, 50, dtype=dtype) / np.arange(1, 141, dtype=dtype)
    ),
    "zeros": lambda dtype: np.zeros((12, 5), dtype),
    "disjoint": lambda dtype: np.eye(40, dtype=dtype),
}


@pytest.mark.parametrize("scored", [0, 1 << 40])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", DATA)
def test_pairs(data, dtype, scored, monkeypatch):
    """By an index for bounds, or by scores at once of rows that share much."""
    monkeypatch.setattr(problem, "SCORES_TO_ENTRY", scored)
    X = DATA[data](dtype)
    Y = csr(np.vstack([X[::-2], X[:3]]))
    X = csr(X)
    for right in (None, Y):
        S = unitdot.cosine_similarity(X, right)
        exact = [s for s in S[5, :4].tolist() if s > 0]
        for threshold in THRESHOLDS + exact:
            found = pairs(X, right, threshold)
            brute = brute_pairs(S, threshold, right is None)
            for result, expected in zip(found, brute, strict=True):
                assert_same_bits(result, expected)
            for most in {1, 1 + len(brute[0]) // 3, 1 + len(brute[0])}:
                found = pairs(X, right, threshold, max_pairs=most)
                assert_same_result(found, most_similar(unitdot.Pairs(*brute), most))


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", DATA)
def test_top_k(data, dtype, include_self):
    X = DATA[data](dtype)
    Y = csr(np.vstack([X[::-2], X[:3]]))
    X = csr(X)
    for right in (None,) if include_self else (None, Y):
        S = unitdot.cosine_similarity(X, right)
        without_itself = right is None and not include_self
        for k in {1, 2, 7, S.shape[1] - without_itself}:
            found = top_k(X, right, k, include_self)
            brute = brute_top_k(S, k, without_itself)
            for result, expected in zip(found, brute, strict=True):
                assert_same_bits(result, expected)
            for threshold in (-1, -0.3, 0, 1e-3, 0.5, 0.95, *brute[0][:9:4, -1].tolist()):
                found = top_k(X, right, k, include_self, threshold=threshold)
                assert_same_result(found, reaching(unitdot.TopK(*brute), threshold))


@pytest.mark.parametrize("rows_to_one", [0, 1000])
@pytest.mark.parametrize("data", DATA)
def test_top_k_without_bounds(data, rows_to_one, monkeypatch):
    """By scores of all rows, or by every product; in blocks whose limits those before them give."""
    monkeypatch.setattr(search, "_search_is_slower", lambda *_: (True, None))
    monkeypatch.setattr(search, "ROWS_TO_ONE", rows_to_one)
    blocks_of = search.kernels.blocks_of

    def small_blocks(rows, *how):
        ((_, n),) = blocks_of(rows, *how)
        return [(i, min(50, n - i)) for i in range(0, n, 50)]

    monkeypatch.setattr(search.kernels, "blocks_of", small_blocks)
    for dtype in FLOATS:
        X = csr(DATA[data](dtype))
        for right in (None, X[::-2]):
            S = unitdot.cosine_similarity(X, right)
            for k in (1, min(7, S.shape[1])):
                for a, b in zip(top_k(X, right, k), brute_top_k(S, k, right is None), strict=True):
                    assert_same_bits(a, b)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_small_matrices(data, seed):
    n, m, d = (data.draw(st.integers(1, n)) for n in (30, 30, 12))
    density = data.draw(st.sampled_from([0.05, 0.3, 0.8]))
    dtype, signed = data.draw(st.sampled_from(FLOATS)), data.draw(st.booleans())
    X = csr(random_rows(n, d, density, seed, dtype, signed))
    Y = csr(random_rows(m, d, density, seed // 2, dtype, signed))
    S = unitdot.cosine_similarity(X, Y)
    threshold = data.draw(st.sampled_from([*THRESHOLDS, float(S.max())]))
    scored = data.draw(st.sampled_from([0, problem.SCORES_TO_ENTRY]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "SCORES_TO_ENTRY", scored)
        found = pairs(X, Y, threshold)
    for a, b in zip(found, brute_pairs(S, threshold, False), strict=True):
        assert_same_bits(a, b)
    k = data.draw(st.integers(1, m))
    for a, b in zip(top_k(X, Y, k), brute_top_k(S, k, False), strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_top_k_reads_the_heaviest_entries_of_long_lists(dtype, signed):
    """Features of more rows than LONG_LIST (sparse/index.pxi), and rows that have no others."""
    rng = np.random.default_rng(3)
    X = random_rows(1500, 40, 0.05, dtype=dtype, signed=signed)
    for feature, share in ((3, 0.9), (17, 0.6), (30, 0.4)):
        X[:, feature] = (rng.random(1500) < share) * rng.integers(1, 4, 1500)
    X[::7, [k for k in range(40) if k not in (3, 30)]] = 0
    X[5::50] *= rng.uniform(0.5, 2, X[5::50].shape)
    queries = csr(X[:300])
    S = unitdot.cosine_similarity(csr(X))
    for k in (1, 10, 200):
        for result, expected in zip(top_k(csr(X), None, k), brute_top_k(S, k, True), strict=True):
            assert_same_bits(result, expected)
        expected = brute_top_k(S[:300], k, False)
        for result, wanted in zip(top_k(queries, csr(X), k), expected, strict=True):
            assert_same_bits(result, wanted)


@pytest.mark.parametrize("by_scores", [False, True])
@pytest.mark.parametrize("right", [None, "sparse", "dense"])
def test_join_gives_way_to_products(monkeypatch, right, by_scores):
    """Rows that share many features: after some rows every product or score is computed instead."""
    X = random_rows(400, 30, 0.6)
    Y = {None: None, "sparse": csr(X[::-1]), "dense": X[::-1]}[right]
    expected, asked = brute_pairs(unitdot.cosine_similarity(csr(X), Y), 0.3, right is None), []
    timed = joins._faster_than_joins

    def from_the_third_time(*arguments):
        asked.append(timed(*arguments))
        return by_scores if len(asked) == 3 else None

    monkeypatch.setattr(problem, "SCORES_TO_ENTRY", 0)
    monkeypatch.setattr(blocks, "LONG", 0)
    monkeypatch.setattr(blocks, "next_size", lambda size, seconds: size)
    monkeypatch.setattr(joins, "_faster_than_joins", from_the_third_time)
    calls = []
    found = pairs(csr(X), Y, 0.3, report=lambda *a: calls.append(a))
    assert len(asked) == 3
    for a, b in zip(found, expected, strict=True):
        assert_same_bits(a, b)
    done = [a for a, _ in calls]
    assert done == sorted(done)
    assert calls[-1] == (400, 400)


def test_long_join_with_no_rows(monkeypatch):
    monkeypatch.setattr(blocks, "LONG", -1)
    for Y in (csr(np.empty((0, 30))), np.empty((0, 30))):
        found = pairs(csr(random_rows(40, 30, 0.6)), Y, 0.3)
        assert [len(part) for part in found] == [0, 0, 0]


def test_float32_results_are_compared_as_they_are_given():
    X = csr(clustered(np.float64, False))
    S = unitdot.cosine_similarity(X, dtype=np.float32)
    threshold = float(np.sort(S, axis=None)[-2000])
    for a, b in zip(
        pairs(X, None, threshold, dtype=np.float32), brute_pairs(S, threshold, True), strict=True
    ):
        assert_same_bits(a, b)
    for a, b in zip(top_k(X, None, 5, dtype=np.float32), brute_top_k(S, 5, True), strict=True):
        assert_same_bits(a, b)


def test_mixed_with_dense():
    X, Y = random_rows(50, 20), random_rows(40, 20, seed=1)
    expected = pairs(csr(X), csr(Y), 0.4), top_k(csr(X), csr(Y), 4)
    for left, right in ((X, csr(Y)), (csr(X), Y)):
        for result, wanted in zip(
            (pairs(left, right, 0.4), top_k(left, right, 4)), expected, strict=True
        ):
            for a, b in zip(result, wanted, strict=True):
                assert_same_bits(a, b)


def test_negative_zeros():
    X, Y = csr(np.array([[1, 0]], np.float32)), csr(np.array([[-1e-38, 1e10], [0, 1]], np.float32))
    S = unitdot.cosine_similarity(X, Y)
    assert np.signbit(S).tolist() == [[True, False]]
    for a, b in zip(top_k(X, Y, 2), brute_top_k(S, 2, False), strict=True):
        assert_same_bits(a, b)


def test_k_out_of_range():
    X = csr(np.eye(5))
    for k, include_self in ((0, False), (5, False), (6, True), (-1, True)):
        with pytest.raises(ValueError, match=r"\bk\b.*expected (1 to|an integer of at least 1)"):
            top_k(X, None, k, include_self)
    assert top_k(X, None, 5, True)[1].shape == (5, 5)


def test_vectors():
    """As for dense input: one query is fine, a corpus of one vector is not."""
    X = random_rows(12, 6)
    x = sparse.coo_array(X[0])
    for query, corpus in ((x, csr(X)), (X[0], csr(X)), (x, X)):
        for result, expected in zip(top_k(query, corpus), top_k(csr(X)[:1], csr(X)), strict=True):
            assert_same_bits(result, expected[0])
    for query in (csr(X), X[0], x):
        with pytest.raises(ValueError, match=r"Y has 1 axis \(shape \(6,\)\); expected a matrix"):
            top_k(query, sparse.coo_array(X[1]), 1)
    with pytest.raises(ValueError, match="X is one vector without Y; expected a matrix"):
        top_k(x, None, 1)
    for left, right, name in ((x, csr(X), "X"), (csr(X), x, "Y"), (x, None, "X")):
        with pytest.raises(ValueError, match=rf"{name} has 1 axis \(shape \(6,\)\)"):
            pairs(left, right)


def test_many_results_a_thread():
    """More pairs than a thread keeps before they are fetched."""
    X = csr(np.ones((2000, 2), np.float32))
    for threads in (1, 2):
        rows, columns, similarities = pairs(X, None, 0.9, n_threads=threads)
        assert len(rows) == 2000 * 1999 // 2
        assert (similarities == 1).all()
        assert (np.diff(rows * 2000 + columns) > 0).all()
    assert len(pairs(X[:1500], X, 0.9)[0]) == 1500 * 2000


@pytest.mark.parametrize("threshold", [-1, 0.5])
def test_report(threshold):
    X = csr(random_rows(5000, 100, 0.03, dtype=np.float32))
    for call in (pairs, top_k):
        calls = []
        arguments = {"threshold": threshold} if call is pairs else {"k": 2}
        call(X[:1500], X, report=lambda *a, calls=calls: calls.append(a), **arguments)
        done, totals = zip(*calls, strict=True)
        assert list(done) == sorted(done)
        assert done[-1] == 1500
        assert set(totals) == {1500}


def test_top_k_of_no_rows():
    similarities, indices = top_k(sparse.csr_array((0, 4)), csr(np.eye(4)), 2)
    assert similarities.shape == indices.shape == (0, 2)
    assert [len(a) for a in pairs(csr(np.eye(4)), sparse.csr_array((0, 4)), 0.1)] == [0, 0, 0]
