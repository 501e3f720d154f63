"""unitdot.neighbors: scikit-learn's own checks, its own graphs, and what takes them."""

import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
from scipy import sparse
from sklearn import cluster, neighbors
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import unitdot
from unitdot.neighbors import CosineKNeighborsTransformer, CosineRadiusNeighborsTransformer

from ..helpers import FLOATS, normal, run_python

MODES = ("distance", "connectivity")
by_mode = pytest.mark.parametrize("mode", MODES)


@parametrize_with_checks(
    [
        CosineKNeighborsTransformer(3),
        CosineKNeighborsTransformer(3, mode="connectivity"),
        CosineRadiusNeighborsTransformer(0.4),
        CosineRadiusNeighborsTransformer(0.4, mode="connectivity"),
    ]
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def assert_alike(graph, expected):
    """Equal structure, distances to rounding."""
    assert type(graph) is type(expected)
    assert graph.shape == expected.shape
    assert graph.indices.dtype == graph.indptr.dtype == np.int32
    assert (graph.indptr == expected.indptr).all()
    assert (graph.indices == expected.indices).all()
    np.testing.assert_allclose(graph.data, expected.data, atol=1e-6)


@by_mode
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("given", [np.asarray, sparse.csr_array])
def test_graphs_of_scikit_learn(given, dtype, mode):
    X, Y = normal((60, 8), dtype, 1), normal((20, 8), dtype, 2)
    X[np.abs(X) < 0.3] = 0
    for own, other in (
        (CosineKNeighborsTransformer(4, mode=mode), neighbors.KNeighborsTransformer),
        (CosineRadiusNeighborsTransformer(0.5, mode=mode), neighbors.RadiusNeighborsTransformer),
    ):
        size = {k: v for k, v in own.get_params().items() if k in ("n_neighbors", "radius")}
        other = other(mode="distance", metric="cosine", **size)
        if "n_neighbors" in size:
            other.set_params(mode=mode)
        fitted = own.fit_transform(given(X))
        pairs = [(fitted, other.fit_transform(X)), (own.transform(given(Y)), other.transform(Y))]
        for graph, expected in pairs:
            expected = neighbors.sort_graph_by_row_values(expected, warn_when_not_sorted=False)
            if mode == "connectivity":
                expected.data[:] = 1
            assert_alike(graph, expected)
            assert graph.data.dtype == dtype
        assert own.n_samples_fit_ == len(own.get_feature_names_out()) == 60
        assert_alike(pickle.loads(pickle.dumps(own)).transform(given(Y)), pairs[1][0])


@pytest.mark.parametrize(
    "transformer", [CosineKNeighborsTransformer, CosineRadiusNeighborsTransformer]
)
@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
def test_what_was_fitted_stays_and_travels(transformer, kind):
    X, Q = kind(normal((60, 8))), normal((5, 8), seed=1)
    fitted = transformer(3 if transformer is CosineKNeighborsTransformer else 0.3).fit(X)
    expected = fitted.transform(Q)
    (X if kind is np.array else X.data)[:] = 1
    for one in (fitted, pickle.loads(pickle.dumps(fitted))):
        assert_alike(one.transform(Q), expected)


@by_mode
def test_a_row_is_its_own_first_neighbour(mode):
    """Before equal rows with smaller numbers, and where it is zero."""
    X = normal((8, 3))
    X[5], X[6], X[7] = X[2], 2 * X[2], 0
    for transformer in (CosineKNeighborsTransformer(2), CosineRadiusNeighborsTransformer(0.1)):
        graph = transformer.set_params(mode=mode).fit_transform(X)
        first = graph.indptr[:-1]
        assert (graph.indices[first] == np.arange(8)).all()
        assert (graph.data[first] == (mode == "connectivity")).all()
    assert CosineKNeighborsTransformer(1, mode="connectivity").fit_transform(X).nnz == 8


def test_radius_is_inclusive():
    X = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    for radius in unitdot.cosine_distances(X)[[0, 1], [1, 2]]:
        for value, more in ((radius, True), (np.nextafter(radius, 0), False)):
            graph = CosineRadiusNeighborsTransformer(value).fit_transform(X)
            expected = unitdot.cosine_distances(X) <= value
            assert (graph.astype(bool).toarray() | np.eye(3, dtype=bool) == expected).all()
            assert more == np.isclose(graph.data.max(), radius)


def test_pipelines(embeddings):
    X = embeddings[:300].astype(np.float32)
    near = make_pipeline(
        CosineRadiusNeighborsTransformer(0.4), cluster.DBSCAN(eps=0.4, metric="precomputed")
    )
    expected = cluster.DBSCAN(eps=0.4, metric="cosine").fit_predict(X)
    assert (near.fit_predict(X) == expected).all()
    densities = make_pipeline(
        CosineKNeighborsTransformer(299), cluster.HDBSCAN(metric="precomputed", copy=True)
    )
    plain = cluster.HDBSCAN(metric="precomputed", copy=True)
    plain.fit(unitdot.cosine_distances(X).astype(np.float64))
    assert adjusted_rand_score(densities.fit_predict(X), plain.labels_) > 0.9
    options = {"init": "random", "perplexity": 10, "random_state": 0, "max_iter": 250}
    if "max_iter" not in TSNE().get_params():  # scikit-learn up to 1.4
        options["n_iter"] = options.pop("max_iter")
    places = make_pipeline(CosineKNeighborsTransformer(31), TSNE(metric="precomputed", **options))
    assert np.isfinite(places.fit_transform(X)).all()


def graph_of_top_k(X):
    return unitdot.cosine_top_k(X, k=11, include_self=True).to_csr(kind="distance")


def with_connectivity(graph):
    graph = graph.maximum(graph.T)
    return cluster.AgglomerativeClustering(5, connectivity=graph, linkage="average")


BY_GRAPH = {
    "SpectralClustering": lambda graph, X: cluster.SpectralClustering(
        5, affinity="precomputed_nearest_neighbors", n_neighbors=10, random_state=0
    ).fit_predict(graph),
    "AgglomerativeClustering": lambda graph, X: with_connectivity(graph).fit_predict(X),
    "DBSCAN": lambda graph, X: cluster.DBSCAN(0.4, metric="precomputed").fit_predict(graph),
    "KNeighborsClassifier": lambda graph, X: (
        neighbors.KNeighborsClassifier(metric="precomputed")
        .fit(graph, np.arange(len(X)) // 30)
        .predict(graph)
    ),
    "csgraph": lambda graph, X: sparse.csgraph.dijkstra(graph, indices=0),
}


@pytest.mark.parametrize("taker", BY_GRAPH)
@pytest.mark.filterwarnings("ignore:the number of connected components:UserWarning")
@pytest.mark.filterwarnings("ignore:Graph is not fully connected:UserWarning")
def test_what_takes_a_graph(taker, embeddings):
    """Gives what scikit-learn's own graph gives, of the transformer's and of top-k's."""
    X = embeddings[:300].astype(np.float64)
    own = neighbors.KNeighborsTransformer(n_neighbors=10, metric="cosine").fit_transform(X)
    expected = BY_GRAPH[taker](own, X)
    for make in (CosineKNeighborsTransformer(10).fit_transform, graph_of_top_k):
        np.testing.assert_allclose(BY_GRAPH[taker](make(X), X), expected, rtol=1e-9)


BAD = {
    "n_neighbors": (CosineKNeighborsTransformer(0), ValueError, "n_neighbors is 0; expected an"),
    "too many": (CosineKNeighborsTransformer(5), ValueError, "n_neighbors is 5 where 5 rows were"),
    "mode": (CosineKNeighborsTransformer(mode="both"), ValueError, "mode is 'both'; expected"),
    "radius": (CosineRadiusNeighborsTransformer(-1), ValueError, "radius is -1; expected a number"),
    "text": (CosineRadiusNeighborsTransformer("1"), TypeError, "radius is '1'; expected a real"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_parameters(bad):
    estimator, error, message = BAD[bad]
    with pytest.raises(error, match=message):
        estimator.fit_transform(normal((5, 3)))


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "unitdot.neighbors")
    with pytest.raises(ImportError, match=r"pip install 'unitdot\[scikit-learn\]'"):
        unitdot.__getattr__("neighbors")


def test_import_of_unitdot_imports_no_scikit_learn():
    code = "import sys, unitdot; print('sklearn' in sys.modules, unitdot.neighbors.__name__)"
    assert run_python(code).stdout.split() == ["False", "unitdot.neighbors"]
