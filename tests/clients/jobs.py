"""Small jobs of the packages that take unitdot's results, each against that package's own answer.

``nox -s clients`` installs them and runs this file, which pytest does not find by itself.
"""

import numpy as np
import pytest

import unitdot
from unitdot.datasets import load_stdlib_docs
from unitdot.neighbors import CosineKNeighborsTransformer

NEIGHBORS = 15


@pytest.fixture(scope="module")
def rows():
    """Rows of which no two are equal, so that neighbours have one order."""
    embeddings = load_stdlib_docs().embeddings[:1500].astype(np.float32)
    return embeddings[unitdot.cosine_pairs(embeddings, threshold=0.999).keep_first()]


def assert_same_graph(found, expected, atol=1e-5):
    difference = abs(found - expected)
    assert found.shape == expected.shape
    assert found.nnz == expected.nnz
    assert difference.max() <= atol


def test_scanpy(rows):
    import anndata
    import scanpy
    from sklearn.neighbors import KNeighborsTransformer

    def graphs(transformer, **options):
        data = anndata.AnnData(rows.copy())
        options |= {"n_neighbors": NEIGHBORS, "use_rep": "X"}
        scanpy.pp.neighbors(data, transformer=transformer, **options)
        return data.obsp["distances"], data.obsp["connectivities"]

    own = graphs(CosineKNeighborsTransformer(NEIGHBORS))
    others = graphs(KNeighborsTransformer(n_neighbors=NEIGHBORS, metric="cosine"))
    for graph, expected in zip(own, others, strict=True):
        assert_same_graph(graph, expected, 1e-3)
    assert_same_graph(own[1], graphs("sklearn", metric="cosine")[1], 1e-3)


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_umap(rows):
    from umap import UMAP

    nearest = unitdot.cosine_top_k(rows, k=NEIGHBORS, include_self=True)
    options = {"n_neighbors": NEIGHBORS, "metric": "cosine", "n_epochs": 10, "n_jobs": 1}
    known = nearest.indices, 1 - nearest.similarities
    with pytest.warns(UserWarning, match="transforming new data with transform will be unavail"):
        own = UMAP(precomputed_knn=known, **options).fit(rows)
    assert_same_graph(own.graph_, UMAP(**options).fit(rows).graph_, 1e-3)
    assert np.isfinite(own.embedding_).all()


def test_hdbscan(rows):
    from hdbscan import HDBSCAN
    from sklearn.metrics import adjusted_rand_score, pairwise

    rows = rows.astype(np.float64)
    clusters = HDBSCAN(metric="precomputed", min_cluster_size=5)
    expected = clusters.fit_predict(pairwise.cosine_distances(rows))
    assert expected.max() > 3
    assert (clusters.fit_predict(unitdot.cosine_distances(rows)) == expected).all()
    # all pairs: a graph in several parts has no hierarchy; its distances tie, and others win
    graph = unitdot.cosine_pairs(rows, threshold=-1).to_csr(symmetric=True, kind="distance")
    assert adjusted_rand_score(clusters.fit_predict(graph), expected) > 0.9


def test_opentsne(rows):
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    nearest = unitdot.cosine_top_k(rows, k=30)
    known = PrecomputedNeighbors(nearest.indices, 1 - nearest.similarities)
    own = PerplexityBasedNN(knn_index=known, perplexity=10)
    other = PerplexityBasedNN(rows, perplexity=10, metric="cosine", method="exact")
    assert_same_graph(own.P, other.P)


def test_networkx(rows):
    import networkx

    pairs = unitdot.cosine_pairs(rows, threshold=0.8)
    graph = networkx.from_scipy_sparse_array(pairs.to_csr(symmetric=True))
    labels = pairs.components()
    components = {frozenset(c) for c in networkx.connected_components(graph)}
    assert components == {
        frozenset(np.flatnonzero(labels == i).tolist()) for i in range(labels.max() + 1)
    }
    i, j, similarity = (array[0].item() for array in pairs)
    assert graph[i][j]["weight"] == similarity


def test_polars(rows):
    import polars

    vectors = polars.Series(rows.tolist(), dtype=polars.Array(polars.Float32, rows.shape[1]))
    frame = polars.DataFrame({"vector": vectors, "kind": ["abc"[i % 3] for i in range(len(rows))]})
    found = unitdot.cosine_pairs(frame["vector"], threshold=0.8, groups=frame["kind"])
    S = np.triu(unitdot.cosine_similarity(rows), 1)
    kinds = np.arange(len(rows)) % 3
    i, j = np.nonzero((S >= 0.8) & (kinds[:, None] == kinds))
    edges = polars.DataFrame(found._asdict())
    assert edges["rows"].to_list() == i.tolist()
    assert edges["columns"].to_list() == j.tolist()
    kept = frame.filter(polars.Series(found.keep_first()))
    assert len(unitdot.cosine_pairs(kept["vector"], threshold=0.8, groups=kept["kind"]).rows) == 0
