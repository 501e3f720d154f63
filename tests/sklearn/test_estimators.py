"""scikit-learn's estimators give the same answers under the switch."""

import numpy as np
import pytest

import unitdot

from ..helpers import assert_same_bits, normal, without_and_with_backend

pytest.importorskip("sklearn")
from scipy.spatial.distance import squareform
from sklearn import cluster, metrics
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier

from unitdot._sklearn import functions


@pytest.fixture(params=(np.float32, np.float64), ids=lambda dtype: dtype.__name__)
def blobs(request):
    """Five of them, and which is whose."""
    rng = np.random.default_rng(7)
    labels = np.arange(200) % 5
    X = rng.standard_normal((5, 30))[labels] + 0.4 * rng.standard_normal((200, 30))
    return X.astype(request.param), labels


ESTIMATORS = {
    "DBSCAN": lambda X, y: cluster.DBSCAN(eps=0.15, min_samples=4, metric="cosine").fit(X).labels_,
    "OPTICS": lambda X, y: cluster.OPTICS(metric="cosine").fit(X).labels_,
    "average": lambda X, y: cluster.AgglomerativeClustering(
        5, metric="cosine", linkage="average"
    ).fit(X).labels_,
    "complete": lambda X, y: cluster.AgglomerativeClustering(
        7, metric="cosine", linkage="complete"
    ).fit(X).labels_,
    "single": lambda X, y: cluster.AgglomerativeClustering(
        None, distance_threshold=0.1, metric="cosine", linkage="single"
    ).fit(X).labels_,
    "features": lambda X, y: cluster.FeatureAgglomeration(
        6, metric="cosine", linkage="average"
    ).fit(X).labels_,
    "classifier": lambda X, y: KNeighborsClassifier(3, metric="cosine").fit(X, y).predict(X),
    "weighted": lambda X, y: KNeighborsClassifier(
        4, metric="cosine", weights="distance"
    ).fit(X[::2], y[::2]).predict(X),
    "radius classifier": lambda X, y: RadiusNeighborsClassifier(0.5, metric="cosine")
    .fit(X[::2], y[::2])
    .predict(X),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(blobs, name):
    labels = without_and_with_backend(lambda: ESTIMATORS[name](*blobs))
    assert len(set(labels[0].tolist())) > 1
    assert np.array_equal(*labels)


def test_dbscan_counts_zero_rows_as_their_own_neighbours(blobs):
    X, _ = blobs
    X[[20, 150]] = 0
    labels = without_and_with_backend(
        lambda: cluster.DBSCAN(eps=0.15, min_samples=1, metric="cosine").fit(X).labels_
    )
    assert np.array_equal(*labels)
    assert labels[0][20] >= 0


def test_linkage_trees(blobs):
    X, _ = blobs
    for linkage in ("average", "complete", "single"):
        trees = without_and_with_backend(
            lambda linkage=linkage: cluster.linkage_tree(
                X, linkage=linkage, affinity="cosine", return_distance=True
            )
        )
        assert np.array_equal(trees[0][0], trees[1][0])
        assert trees[0][1:4] == trees[1][1:4]
        np.testing.assert_allclose(trees[1][4], trees[0][4], rtol=0, atol=1e-14)


def test_condensed_distances_are_the_matrix(monkeypatch):
    """By blocks, the last of which may be of any size."""
    X = normal((50, 6))
    expected = squareform(unitdot.cosine_distances(X), checks=False)
    for rows in (1, 7, 25, 49, 50, 51):
        monkeypatch.setattr(functions, "BLOCK_ROWS", rows)
        assert_same_bits(functions._condensed(X), expected)


def test_silhouette(blobs):
    scores = without_and_with_backend(lambda: metrics.silhouette_score(*blobs, metric="cosine"))
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
