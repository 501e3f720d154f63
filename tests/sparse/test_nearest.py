"""Top-k of sparse rows by the scores of all: the bits of the full matrix."""

import weakref

import numpy as np
import pytest

import unitdot
from unitdot._machine import memory
from unitdot._sparse import functions, problem, search

from ..helpers import FLOATS, ISAS, assert_same_bits
from .data import brute_top_k, csr, random_rows, top_k

BLOCK = 75  # no whole number of vectors, nor of strips


def unlike_lengths(n, d, signed=False, seed=0):
    """Rows and features of very unlike popularity: most have a few entries, some nearly all."""
    rng = np.random.default_rng(seed)
    likely = np.outer(rng.lognormal(0, 1.5, n), rng.lognormal(0, 1.0, d))
    X = random_rows(n, d, np.minimum(0.2 * likely / likely.mean(), 0.9), seed, signed=signed)
    X[5], X[6, 1:] = np.arange(1, d + 1), 0  # all features, and one
    return X


def crowd(n, d):
    """Rows most of which are equal, more than a list has room for, or nearly so."""
    X = random_rows(n, d, 0.3)
    X[::2] = X[1]
    X[::6, 0] += 1e-9
    X[4::10] = X[3]
    return X


def rising(n, d):
    """More rows than a list has room for, by less than a float apart, to most of which the later
    ones are the more similar."""
    X = random_rows(n, d, 0.5)
    X[n // 4 :] = X[1]
    X[n // 4 :, 0] = 3 + 1e-8 * np.arange(n - n // 4)
    return X


def tiny(n, d):
    """Similarities whose scores vanish in float."""
    X = np.zeros((n, d))
    X[np.arange(n), np.arange(n) % (d - 2) + 2] = 1
    X[::3, 0] = 2.0**-80
    X[1::5, 0] = 3 * 2.0**-90
    return X


def cancelling(n, d):
    """Similarities to the first rows that are less than the rounding of scores, which hide them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    X[:, 7::8] = 1e-8 * rng.random((n, d // 8)) - X.reshape(n, -1, 8)[..., :7].sum(2)
    X[: d // 8] = np.repeat(np.eye(d // 8), 8, axis=1)
    return X


def opposite(n, d):
    """Few rows with anything in common but signs."""
    X = np.abs(random_rows(n, d, 0.4))
    X[1::2] *= -1
    X[2::3] *= -1
    X[: n // 2, ::2] = 0
    X[n // 2 :, 1::2] = 0
    X[n - 4 :] = -1
    return X


DATA = {
    "popularity": unlike_lengths(200, 150),
    "signed": unlike_lengths(200, 150, signed=True),
    "long": unlike_lengths(100, 400, seed=1),
    "full": random_rows(700, 100, 0.3, signed=True),
    "full and equal": np.ones((400, 170)),
    "crowd": crowd(200, 20),
    "rising": rising(200, 20),
    "equal": np.ones((200, 5)),
    "ones": np.eye(200, 20) + np.eye(200, 20, -40) + np.eye(200, 20, -170),
    "few": random_rows(3, 40),
    "one": random_rows(1, 40, 0.5),
    "tiny": tiny(100, 60),
    "cancelling": cancelling(100, 80),
    "opposite": opposite(101, 16),
}


@pytest.fixture
def scored(monkeypatch):
    """All scores whatever they cost, in small blocks; what was left for bounds is listed."""
    missing = []
    by_scores = search._search_by_scores

    def counting(*given):
        missing.append(by_scores(*given))
        return missing[-1]

    monkeypatch.setattr(search, "_search_by_scores", counting)
    monkeypatch.setattr(search, "_search_is_slower", lambda *_: (True, None))
    monkeypatch.setattr(search, "ROWS_TO_ONE", 0)
    monkeypatch.setattr(problem, "FIRST_ROWS", 60)
    monkeypatch.setattr(functions, "few_of", lambda *_: None)
    monkeypatch.setattr(
        search.kernels,
        "blocks_of",
        lambda rows, *_: [
            (i, min(BLOCK, rows.shape[0] - i)) for i in range(0, rows.shape[0], BLOCK)
        ],
    )
    return missing


def assert_same_top_k(X, expected, k=20):
    for a, b in zip(top_k(X, None, k), expected, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("isa", ISAS, indirect=True)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", DATA)
def test_bits_are_those_of_the_full_matrix(name, dtype, isa, threads, scored, monkeypatch):
    monkeypatch.setattr(functions, "threads_for", lambda *_: threads)
    rows = DATA[name].astype(dtype)
    X, n = csr(rows), len(rows)
    for left, right in ((X, None), (X, csr(rows[::-2])), (rows[: n // 2 + 1], X)):
        S = unitdot.cosine_similarity(left, right)
        for include_self in (False, True) if right is None else (False,):
            own = right is None and not include_self
            for k in {min(k, S.shape[1] - own) for k in (1, 20, 150)} - {0}:
                expected = brute_top_k(S, k, own)
                for a, b in zip(top_k(left, right, k, include_self), expected, strict=True):
                    assert_same_bits(a, b)
                for threshold in (0, 1e-7, float(expected[0][n // 5, k // 2])):
                    reached = expected[0] >= np.asarray(threshold, dtype)
                    some = top_k(left, right, k, include_self, threshold=threshold)
                    assert_same_bits(some[0], np.where(reached, expected[0], dtype(np.nan)))
                    assert_same_bits(some[1], np.where(reached, expected[1], -1))


@pytest.mark.parametrize("name", ["popularity", "full", "crowd", "one"])
def test_zero_rows_that_give_nan_and_no_rows(name, scored):
    X = csr(DATA[name])
    S = unitdot.cosine_similarity(X, zero="nan")
    for k in {min(k, len(S) - 1) for k in (3, 199)} - {0}:
        found = top_k(X, None, k, zero="nan")
        for a, b in zip(found, brute_top_k(S, k, True), strict=True):
            assert_same_bits(a, b)
    assert top_k(X[:0], X, 1).indices.shape == (0, 1)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("full", 0), ("crowd", 0), ("equal", 0), ("tiny", 1), ("opposite", 1)],
)
def test_rows_without_enough_scores_are_left_to_bounds(name, missing, scored):
    top_k(csr(DATA[name]), None, 20)
    (left,) = scored
    assert (left > 0) == missing


def fixed_chunks(size):
    return lambda n, _, row=0: (range(i, min(i + size, n)) for i in range(row, n, size))


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK + 1])
def test_chunks_that_end_a_row_before_or_behind_a_block(size, scored, monkeypatch):
    monkeypatch.setattr(search, "chunks_of", fixed_chunks(size))
    X = csr(DATA["popularity"])
    assert_same_top_k(X, brute_top_k(unitdot.cosine_similarity(X), 20, True))


def test_more_rows_than_are_scored_or_compared_at_a_time(scored, monkeypatch):
    """Of one chunk: SCORES_AT_ONCE and SETTLED_AT_ONCE (sparse/nearest.pxi)."""
    n, block, k = 2300, 1024, 150
    monkeypatch.setattr(search, "chunks_of", fixed_chunks(n))
    monkeypatch.setattr(
        search.kernels,
        "blocks_of",
        lambda *_: [(i, min(block, n - i)) for i in range(0, n, block)],
    )
    X = csr(random_rows(n, 20))
    assert_same_top_k(X, brute_top_k(unitdot.cosine_similarity(X), k, True), k)


def test_a_list_of_rows_just_below_the_threshold(scored):
    """Compared exactly, few of them count: the worst of these is no limit for the rows behind."""
    x, y = np.eye(2, 9) + 1
    Y = np.array([x] * 2 + [y] * 60 + [x + 2 * y] * 3)
    s = unitdot.cosine_similarity(csr(x[None]), csr(Y))[0]
    found = top_k(csr(x[None]), csr(Y), 20, threshold=s[2] + 1e-12)
    assert found[1][0].tolist() == [0, 1, 62, 63, 64] + [-1] * 15
    assert_same_bits(found[0][0, :5], s[[0, 1, 62, 63, 64]])
    assert scored == [0]


@pytest.fixture(params=["popularity", "full"])  # rows that go by bounds without lists, or products
def listed(request, scored, monkeypatch):
    """Rows, their 20 nearest by lists, and what was left for bounds since."""
    monkeypatch.setattr(search, "_search_is_slower", lambda problem, how, few: (few, None))
    X = csr(DATA[request.param])
    expected = top_k(X, None, 20)
    assert scored.pop() is not None
    return X, expected, scored


def test_lists_that_memory_cannot_hold_beside_the_results(listed, monkeypatch):
    X, expected, left = listed
    room = X.shape[0] * (16 * 20 + 12 * 20 + 136)
    monkeypatch.setattr(memory, "UNCHECKED", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    assert_same_top_k(X, expected)
    assert len(left) == 1
    room -= 1
    assert_same_top_k(X, expected)
    assert len(left) == 1


def test_lists_are_gone_before_the_result_is_copied(listed, monkeypatch):
    """Whether there is room for them is asked without the copy."""
    lists, alive = [], []

    class Watched(search.kernels.Nearest):
        def __init__(self, *given):
            super().__init__(*given)
            lists.append(weakref.ref(self))

    def searched(*given):
        search.search(*given)
        alive.extend(reference() for reference in lists)

    monkeypatch.setattr(search.kernels, "Nearest", Watched)
    monkeypatch.setattr(functions, "search", searched)
    X, expected, _ = listed
    assert_same_top_k(X, expected)
    assert alive == [None]


def test_lists_that_cannot_be_allocated(listed, monkeypatch):
    X, expected, left = listed

    def fail(*_):
        raise MemoryError("no memory for lists")

    monkeypatch.setattr(search.kernels, "Nearest", fail)
    assert_same_top_k(X, expected)
    assert left == [None]


# what fails, whether it is of the trial by bounds, and k: few are scored, for more all products are
TRIALS = {
    "bounds' index": ("Index", True, 5),
    "bounds": ("search", True, 5),
    "bounds, for many": ("search", True, 150),
    "scores' lists": ("Nearest", False, 5),
    "products' index": ("Index", False, 150),
    "products": ("fill_dense", False, 150),
    "products' best": ("offer_best", False, 150),
}


@pytest.mark.parametrize("trial", TRIALS)
def test_a_trial_without_memory_leaves_the_other_way(trial, monkeypatch):
    """What is timed with some rows to choose a way: the search goes the one that had memory."""
    name, of_bounds, k = TRIALS[trial]
    plain, is_slower = getattr(search.kernels, name), search._search_is_slower
    failed, chosen = [], []

    def fail(*given):
        if name == "Index" and given[3] != of_bounds:
            return plain(*given)
        failed.append(name)
        raise MemoryError("no memory for a trial")

    def choose(*given):
        with monkeypatch.context() as patch:
            patch.setattr(search.kernels, name, fail)
            every, index = is_slower(*given)
        chosen.append(every)
        return every, index

    monkeypatch.setattr(search, "_search_is_slower", choose)
    X = csr(DATA["popularity"])
    assert_same_top_k(X, brute_top_k(unitdot.cosine_similarity(X), k, True), k)
    assert failed == [name]
    assert chosen == [of_bounds]
