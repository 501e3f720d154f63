"""Under the switch fitted estimators have an index beside them, which changes no answer."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import unitdot

from ..helpers import assert_same_bits, normal

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from unitdot._sklearn import kept

X, Q = normal((300, 20), np.float32), normal((5, 20), np.float32, seed=1)
X[7] = X[9]
Q_64 = normal((5, 64), np.float32, seed=5)


def fitted():
    return NearestNeighbors(n_neighbors=4, radius=0.8, metric="cosine").fit(X.copy())


@pytest.fixture
def neighbors(at_once):
    with unitdot.sklearn_backend():
        yield fitted()


@pytest.fixture
def at_once(monkeypatch):
    """An index from the first search on."""
    monkeypatch.setattr(kept, "enough", lambda n_rows: 0)


def index_of(estimator):
    found = kept._kept.get(estimator)
    return found and found.searched


def assert_right(estimator, Y):
    """Neighbours of other rows, of the rows themselves, within a radius."""
    distances, indices = estimator.kneighbors(Q)
    expected = unitdot.cosine_top_k(Q, Y, 4)
    assert_same_bits(indices, expected.indices)
    assert_same_bits(distances, 1 - expected.similarities)
    own = estimator.kneighbors(return_distance=False)
    assert_same_bits(own, unitdot.cosine_top_k(Y, k=4).indices)
    for query, near in zip(Q, estimator.radius_neighbors(Q, return_distance=False), strict=True):
        rows = unitdot.cosine_distances(query, Y) <= np.float32(0.8)
        assert near.tolist() == np.flatnonzero(rows).tolist()


@pytest.mark.parametrize(("n_queries", "searches"), [(1, 31), (40, 16), (1_200, 2), (1_201, 1)])
def test_an_index_is_made_when_it_has_become_worth_it(n_queries, searches):
    Y, queries = normal((20_000, 8), np.float32, seed=2), normal((n_queries, 8), np.float32, seed=3)
    estimator = NearestNeighbors(n_neighbors=4, metric="cosine").fit(Y)
    expected = unitdot.cosine_top_k(queries, Y, 4).indices
    with unitdot.sklearn_backend():
        estimator.kneighbors()  # of its own rows, which does not count
        for i in range(searches):
            assert index_of(estimator) is None, i
            assert_same_bits(estimator.kneighbors(queries, return_distance=False), expected)
        assert index_of(estimator) is not None
        assert_same_bits(estimator.kneighbors(queries, return_distance=False), expected)
        estimator.fit(Y)
        estimator.kneighbors(queries[:1])
        assert index_of(estimator) is None  # from the beginning again
        estimator.fit(Y[1:])
        for _ in range(2):
            estimator.kneighbors(normal((2_000, 8), np.float32))
        assert index_of(estimator) is None  # too few rows


def test_the_next_search_is_that_of_an_index(neighbors):
    assert index_of(neighbors) is None
    assert_right(neighbors, X)
    index = index_of(neighbors)
    assert np.shares_memory(index[:], neighbors._fit_X)  # no copy
    assert_right(neighbors, X)
    assert index_of(neighbors) is index


def test_own_rows_alone_make_none(neighbors):
    neighbors.kneighbors()
    assert index_of(neighbors) is None


def test_another_fit_is_noticed(neighbors):
    assert_right(neighbors, X)
    assert_right(neighbors.fit(X[:200]), X[:200])
    neighbors._fit_X = X[100:]  # as partial fits and other libraries do
    neighbors.n_samples_fit_ = 200
    assert_right(neighbors, X[100:])


def test_another_fit_with_the_same_array_is_noticed(at_once):
    """Few of whose rows were changed: kept directions and norms would rule these out."""
    rows = normal((2_000, 64), np.float32, seed=4)
    estimator = NearestNeighbors(n_neighbors=4, radius=0.1, metric="cosine").fit(rows)
    with unitdot.sklearn_backend():
        estimator.kneighbors(Q_64)
        assert index_of(estimator) is not None
        for row in (1, 2, 3):  # not among those that are watched
            rows[row] = Q_64[row]
            assert_same_bits(estimator.fit(rows)._fit_X, rows)
            found = estimator.kneighbors(Q_64[row : row + 1], return_distance=False)
            assert found[0, 0] == row
            (near,) = estimator.radius_neighbors(Q_64[row : row + 1], return_distance=False)
            assert near.tolist() == [row]


@pytest.mark.parametrize("place", ["all, in place", "a few, in another array"])
def test_changes_are_noticed(place, at_once):
    """Of enough rows for what is kept of them to matter."""
    rows = normal((2_000, 64), np.float32, seed=4)
    estimator = NearestNeighbors(n_neighbors=4, metric="cosine").fit(rows)
    with unitdot.sklearn_backend():
        estimator.kneighbors(Q_64)
        if place == "all, in place":
            rows[:] = normal(rows.shape, np.float32, seed=6)
        else:
            rows = estimator._fit_X = rows.copy()
        rows[1] = Q_64[1]
        expected = unitdot.cosine_top_k(Q_64, rows, 4).indices
        assert_same_bits(estimator.kneighbors(Q_64, return_distance=False), expected)
        found = estimator.radius_neighbors(Q_64, 0.1, return_distance=False)
        assert [near.tolist() for near in found] == [[], [1], [], [], []]


def test_it_does_not_travel(neighbors):
    size = len(pickle.dumps(neighbors))
    assert_right(neighbors, X)
    assert len(pickle.dumps(neighbors)) == size
    for other in (pickle.loads(pickle.dumps(neighbors)), copy.deepcopy(neighbors)):
        assert index_of(other) is None
        assert_right(other, X)
    assert index_of(clone(neighbors).fit(X)) is None


def test_it_goes_with_the_estimator(at_once):
    estimator = NearestNeighbors(metric="cosine").fit(X)
    gc.collect()
    before = len(kept._kept)
    with unitdot.sklearn_backend():
        estimator.kneighbors(Q)
    assert len(kept._kept) == before + 1
    del estimator
    gc.collect()
    assert len(kept._kept) == before


def test_other_estimators_have_their_own(at_once):
    labels = np.arange(300) % 3
    classifiers = [KNeighborsClassifier(k, metric="cosine").fit(X, labels) for k in (1, 5)]
    without = [classifier.predict(Q) for classifier in classifiers]
    with unitdot.sklearn_backend():
        for _ in range(2):
            for classifier, expected in zip(classifiers, without, strict=True):
                assert_same_bits(classifier.predict(Q), expected)
    assert index_of(classifiers[0]) is not index_of(classifiers[1]) is not None


def test_threads_that_search_first_at_once(neighbors):
    failures = []

    def search():
        try:
            assert_right(neighbors, X)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_that_search_at_once_make_one(monkeypatch):
    started, others, made = threading.Event(), threading.Event(), []

    def slow(*given, **how):
        made.append(threading.get_ident())
        started.set()
        assert others.wait(60)
        return unitdot.CosineIndex(*given, **how)

    monkeypatch.setattr(kept, "CosineIndex", slow)
    monkeypatch.setattr(kept, "enough", lambda n_rows: 10)
    estimator = fitted()
    expected = unitdot.cosine_top_k(Q, X, 4).indices
    with unitdot.sklearn_backend():
        first = threading.Thread(target=lambda: [estimator.kneighbors(Q) for _ in range(9)])
        first.start()
        assert started.wait(60)
        for _ in range(5):
            assert_same_bits(estimator.kneighbors(Q, return_distance=False), expected)
        others.set()
        first.join()
        assert index_of(estimator) is not None
    assert len(made) == 1


def test_an_index_of_rows_that_were_fitted_before_is_left(monkeypatch, at_once):
    estimator = fitted()

    def meanwhile(rows, copy):
        estimator.fit(X[:200])
        monkeypatch.setattr(kept, "CosineIndex", unitdot.CosineIndex)
        estimator.kneighbors(Q)
        return unitdot.CosineIndex(rows, copy=copy)

    monkeypatch.setattr(kept, "CosineIndex", meanwhile)
    with unitdot.sklearn_backend():
        estimator.kneighbors(Q)
        assert index_of(estimator).shape == (200, 20)
        assert_right(estimator, X[:200])


def test_without_memory_it_is_not_tried_each_time(monkeypatch):
    tried = []

    def fail(*given, **how):
        tried.append(given)
        raise MemoryError

    monkeypatch.setattr(kept, "CosineIndex", fail)
    monkeypatch.setattr(kept, "enough", lambda n_rows: 32)
    estimator = fitted()
    with unitdot.sklearn_backend():
        for _ in range(70):
            estimator.kneighbors(Q[:1])
    assert len(tried) == 2


def test_estimators_that_are_compared_have_none(at_once):
    class Compared(NearestNeighbors):
        def __eq__(self, other):
            return self.get_params() == other.get_params()

    estimator = Compared(n_neighbors=4, radius=0.8, metric="cosine").fit(X)
    with unitdot.sklearn_backend():
        assert_right(estimator, X)
        assert_right(estimator, X)


def test_sparse_rows_have_none(neighbors):
    sparse = pytest.importorskip("scipy.sparse")
    neighbors.fit(sparse.csr_matrix(np.where(X > 0, X, 0)))
    neighbors.kneighbors(Q)
    assert index_of(neighbors) is None
