"""The switch that puts these functions behind scikit-learn's names: its reach, and what stays."""

from contextlib import ExitStack

import numpy as np
import pytest

import unitdot

from ..helpers import assert_same_bits, normal, run_python, without_and_with_backend

pytest.importorskip("sklearn")
from scipy.sparse import coo_array, csr_array, csr_matrix, issparse
from sklearn import cluster, config_context, metrics
from sklearn.metrics import pairwise
from sklearn.metrics.pairwise import cosine_similarity as imported_by_name
from sklearn.neighbors import NearestNeighbors

DTYPES = (np.float32, np.float64)


@pytest.fixture
def backend():
    with unitdot.sklearn_backend():
        yield


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def corpus(request):
    """Blobs, with rows that are equal and zero rows; and queries."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((5, 30))
    X = centres[np.arange(200) % 5] + 0.4 * rng.standard_normal((200, 30))
    X[[20, 150]] = 0
    X[31] = X[30]
    return X.astype(request.param), X[:25].astype(request.param)


# What it reaches


def test_every_name_and_table(backend):
    X, Y = normal((2, 9, 6))
    similarity, distance = unitdot.cosine_similarity(X, Y), unitdot.cosine_distances(X, Y)
    for reached in (
        pairwise.cosine_similarity(X, Y),
        imported_by_name(X, Y),
        pairwise.PAIRWISE_KERNEL_FUNCTIONS["cosine"](X, Y),
        pairwise.pairwise_kernels(X, Y, metric="cosine"),
        pairwise.pairwise_kernels(X, Y, metric="cosine", n_jobs=2),
    ):
        assert_same_bits(reached, similarity)
    for reached in (
        pairwise.cosine_distances(X, Y),
        pairwise.PAIRWISE_DISTANCE_FUNCTIONS["cosine"](X, Y),
        metrics.pairwise_distances(X, Y, metric="cosine"),
        metrics.pairwise_distances(X, Y, metric="cosine", n_jobs=2),
        np.vstack(
            list(pairwise.pairwise_distances_chunked(X, Y, metric="cosine", working_memory=1e-4))
        ),
    ):
        assert_same_bits(reached, distance)
    for reached in (
        pairwise.paired_cosine_distances(X, Y),
        pairwise.PAIRED_DISTANCES["cosine"](X, Y),
        pairwise.paired_distances(X, Y, metric="cosine"),
    ):
        assert_same_bits(reached, unitdot.paired_cosine_distances(X, Y))


def sparse_rows(X):
    """With so many features more that rows share few of them."""
    return csr_array(np.hstack([X, np.zeros((len(X), 2 * X.shape[1] ** 2), X.dtype)]))


@pytest.mark.parametrize("make", [np.asarray, sparse_rows])
def test_neighbours_are_those_of_top_k_and_pairs(corpus, make, backend, monkeypatch):
    X, Q = map(make, corpus)
    neighbours = NearestNeighbors(n_neighbors=7, radius=0.3, metric="cosine").fit(X)
    monkeypatch.setattr(pairwise, "pairwise_distances", None)  # the matrix is not made
    similarities, indices = unitdot.cosine_top_k(Q, X, k=7)
    found = neighbours.kneighbors(Q)
    assert_same_bits(found[0], 1 - similarities)
    assert_same_bits(found[1], indices)
    assert_same_bits(neighbours.kneighbors(Q, return_distance=False), indices)

    similarities, indices = unitdot.cosine_top_k(X, k=7)
    found = neighbours.kneighbors()
    assert_same_bits(found[0], 1 - similarities)
    assert_same_bits(found[1], indices)

    matrix = unitdot.cosine_distances(Q, X)
    for distances, columns, row in zip(*neighbours.radius_neighbors(Q), matrix, strict=True):
        assert_same_bits(columns, np.flatnonzero(row <= 0.3))
        assert_same_bits(distances, row[columns])
    for columns, row in zip(
        neighbours.radius_neighbors(Q, return_distance=False), matrix, strict=True
    ):
        assert_same_bits(columns, np.flatnonzero(row <= 0.3))


def test_radius_neighbours_that_are_many_come_from_chunks(corpus, backend, monkeypatch):
    X, Q = map(csr_array, corpus)
    monkeypatch.setattr("unitdot._sklearn.functions.cosine_pairs", None)  # slower there
    neighbours = NearestNeighbors(radius=0.3, metric="cosine").fit(X)
    matrix = unitdot.cosine_distances(Q, X)
    for distances, columns, row in zip(*neighbours.radius_neighbors(Q), matrix, strict=True):
        assert_same_bits(columns, np.flatnonzero(row <= 0.3))
        assert_same_bits(distances, row[columns])


@pytest.mark.parametrize("own", [False, True])
def test_radius_is_inclusive_to_the_bit(corpus, own, backend):
    X, Q = corpus
    Q = X if own else Q
    matrix = unitdot.cosine_distances(Q, None if own else X)
    neighbours = NearestNeighbors(metric="cosine").fit(X)
    for distance in matrix[3, 4:12]:
        for radius in (distance, np.nextafter(distance, matrix.dtype.type(0))):
            found = neighbours.radius_neighbors(Q, radius=float(radius), return_distance=False)
            for columns, row in zip(found, matrix, strict=True):
                assert_same_bits(columns, np.flatnonzero(row <= radius))


# What it keeps: the same calls without the switch and with it


def assert_alike(call, atol):
    """The same types, dtypes and shapes, and values within `atol`."""
    without, with_it = without_and_with_backend(call)
    assert type(without) is type(with_it)
    if isinstance(without, tuple):
        pairs = zip(without, with_it, strict=True)
    else:
        pairs = [(without, with_it)]
    for a, b in pairs:
        assert (type(a), a.dtype, a.shape) == (type(b), b.dtype, b.shape)
        if issparse(a):
            a, b = a.toarray(), b.toarray()
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


def assert_same_error(call):
    errors = []
    for switch in (ExitStack, unitdot.sklearn_backend):
        with pytest.raises(Exception) as caught, switch():  # noqa: PT011
            call()
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert not isinstance(errors[0], Warning)
    assert str(errors[0]) == str(errors[1])
    return errors[0]


INPUTS = {
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X,
    "float16": lambda X: X.astype(np.float16),
    "int8": lambda X: (20 * X).astype(np.int8),
    "bool": lambda X: X > 0,
    "lists": lambda X: X.tolist(),
    "objects": lambda X: X.astype(object),
    "Fortran": np.asfortranarray,
    "csr_array": csr_array,
    "csr_matrix": csr_matrix,
    "coo_array": coo_array,
    "data frame": lambda X: pytest.importorskip("pandas").DataFrame(X),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_types_and_dtypes(kind):
    data = normal((40, 12))
    data[3] = 0
    X, Y, single = INPUTS[kind](data[:20]), INPUTS[kind](data[20:]), data[20:].astype(np.float32)
    atol = 1e-6 if kind == "float32" else 1e-15
    for function in (pairwise.cosine_similarity, pairwise.cosine_distances):
        assert_alike(lambda function=function: function(X), atol)
        assert_alike(lambda function=function: function(X, Y), atol)
        assert_alike(lambda function=function: function(X, single), 1e-6)
    assert_alike(lambda: pairwise.cosine_similarity(X, Y, dense_output=False), atol)
    assert_alike(lambda: pairwise.paired_cosine_distances(X, Y), atol)
    for Q in (Y, None):
        neighbours = NearestNeighbors(n_neighbors=4, metric="cosine").fit(X)
        assert_alike(lambda q=Q, n=neighbours: n.kneighbors(q)[0], atol)
        graph = lambda q=Q, n=neighbours: n.radius_neighbors_graph(q, 0.8, mode="distance")  # noqa: E731
        assert_alike(graph, atol)


def test_zero_rows():
    X = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    for call in (
        lambda: pairwise.cosine_similarity(X),
        lambda: pairwise.cosine_distances(X),  # 0 on the diagonal
        lambda: pairwise.cosine_distances(X, X.copy()),  # 1
        lambda: pairwise.paired_cosine_distances(X, X[::-1]),
        lambda: pairwise.paired_cosine_distances(csr_array(X), coo_array(X[[1, 1, 2]])),
        lambda: pairwise.paired_cosine_distances(X, X[[1, 2, 1]]),  # 0.5
    ):
        assert_alike(call, 1e-15)
    assert_same_error(
        lambda: cluster.AgglomerativeClustering(metric="cosine", linkage="average").fit(X)
    )


@pytest.mark.parametrize("n_neighbors", [1, 2, 5])
def test_fitted_rows_are_their_own_neighbours(corpus, n_neighbors):
    """At distance 0, zero rows too, as scikit-learn's matrix has it on its diagonal."""
    X, _ = corpus
    neighbours = NearestNeighbors(metric="cosine").fit(X)
    assert_alike(lambda: neighbours.kneighbors(X, n_neighbors)[0], 1e-6)
    with unitdot.sklearn_backend():
        distances, indices = neighbours.kneighbors(X, n_neighbors)
    assert np.array_equal(indices[:, 0], np.arange(len(X)))
    assert not distances[:, 0].any()
    # the arrays are the caller's
    distances[...] = indices[...] = 0


@pytest.mark.parametrize("radius", [0, 0.3, 1, 1.2, 2, np.inf])
@pytest.mark.parametrize("own", [False, True])
def test_radius(corpus, radius, own):
    X, Q = corpus
    if radius == 1:  # nobody is at 1 but for the zero rows: leave no choice to rounding
        assert np.sum(np.abs(unitdot.cosine_distances(Q, X) - 1) < 1e-6) == 2 * 25 + 198
    if radius == 0:  # scikit-learn's equal rows are often at more than 0
        X, Q = np.sign(X), np.sign(Q)
    neighbours = NearestNeighbors(metric="cosine", radius=radius).fit(X)
    call = lambda: neighbours.radius_neighbors(None if own else Q)  # noqa: E731
    if radius == 0:
        with unitdot.sklearn_backend():
            found = call()[1]
        D = unitdot.cosine_distances(X if own else Q, X) + (np.eye(len(X)) if own else 0)
        for row, columns in zip(D, found, strict=True):
            assert np.array_equal(columns, np.flatnonzero(row == 0))
        return
    (d0, i0), (d1, i1) = without_and_with_backend(call)
    assert (d0.dtype, i0.dtype, d0.shape) == (d1.dtype, i1.dtype, d1.shape)
    for a, b, c, d in zip(d0, i0, d1, i1, strict=True):
        assert (a.dtype, b.dtype) == (c.dtype, d.dtype)
        np.testing.assert_array_equal(b, d)
        np.testing.assert_allclose(c, a, rtol=0, atol=1e-6)


def test_sort_results(corpus):
    X, Q = corpus
    neighbours = NearestNeighbors(metric="cosine", radius=0.4).fit(X)
    distances, indices = without_and_with_backend(
        lambda: neighbours.radius_neighbors(Q, sort_results=True)
    )[1]
    for d, i, row in zip(distances, indices, unitdot.cosine_distances(Q, X), strict=True):
        assert_same_bits(d, np.sort(row[row <= 0.4]))
        assert_same_bits(row[i], d)
    assert_same_error(
        lambda: neighbours.radius_neighbors(Q, sort_results=True, return_distance=False)
    )


def test_equal_distances_go_to_the_smaller_index(backend):
    X = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 5.0], [4.0, 0.0]])
    neighbours = NearestNeighbors(n_neighbors=2, metric="cosine").fit(X)
    assert neighbours.kneighbors([[7.0, 0.0]])[1].tolist() == [[0, 2]]
    assert neighbours.kneighbors()[1].tolist() == [[2, 4], [3, 0], [0, 4], [1, 0], [0, 2]]


def test_errors(corpus):
    X, Q = corpus
    with_nan = X.copy()
    with_nan[4, 2] = np.nan
    neighbours = NearestNeighbors(n_neighbors=5, metric="cosine").fit(X)
    for call in (
        lambda: pairwise.cosine_similarity(with_nan),
        lambda: pairwise.cosine_distances(X, with_nan),
        lambda: pairwise.cosine_distances(X, csr_array(with_nan)),
        lambda: pairwise.paired_cosine_distances(with_nan, X),
        lambda: pairwise.cosine_similarity(X, X[:, 1:]),
        lambda: pairwise.paired_cosine_distances(X, X[1:]),
        lambda: pairwise.cosine_similarity(X[0]),
        lambda: pairwise.cosine_similarity(X[:0]),
        lambda: pairwise.cosine_similarity([["a", "b"]]),
        lambda: pairwise.cosine_similarity(X + 1j),
        lambda: pairwise.cosine_similarity(X, dense_output="yes"),
        lambda: pairwise.cosine_similarity(X, nonsense=1),
        lambda: pairwise.cosine_distances("X"),
        lambda: neighbours.kneighbors(Q, n_neighbors=len(X) + 1),
        lambda: neighbours.kneighbors(n_neighbors=len(X)),
        lambda: neighbours.kneighbors(Q, n_neighbors=0),
        lambda: neighbours.kneighbors(Q, n_neighbors=1.5),
        lambda: neighbours.kneighbors(Q[:, 1:]),
        lambda: neighbours.kneighbors(with_nan),
        lambda: neighbours.radius_neighbors(with_nan, 0.5),
        lambda: cluster.linkage_tree(X, affinity="cosine", linkage="other"),
    ):
        assert_same_error(call)


def test_unknown_keywords_of_the_metric_are_refused(corpus):
    X, Q = corpus
    neighbours = NearestNeighbors(metric="cosine", metric_params={"nonsense": 3}).fit(X)
    for switch in (ExitStack, unitdot.sklearn_backend):
        with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"), switch():
            neighbours.kneighbors(Q)


def test_assume_finite():
    X = normal((30, 8))
    X[3, 3] = np.nan
    with config_context(assume_finite=True):
        assert_alike(lambda: pairwise.cosine_distances(X, X.copy()), 1e-15)
        assert_alike(lambda: pairwise.paired_cosine_distances(X, X[::-1]), 1e-15)
        neighbours = NearestNeighbors(n_neighbors=3, metric="cosine").fit(X)
        assert_alike(lambda: neighbours.kneighbors(np.delete(X, 3, 0))[0], 1e-15)
        assert_alike(lambda: neighbours.radius_neighbors_graph(X, 0.5), 0)


def test_inputs_are_not_changed(corpus, backend):
    X, Q = (a.copy() for a in corpus)
    neighbours = NearestNeighbors(metric="cosine").fit(X)
    pairwise.cosine_similarity(Q, X)
    neighbours.kneighbors(Q)
    neighbours.radius_neighbors(radius=0.4)
    for a, b in zip(corpus, (X, Q), strict=True):
        assert_same_bits(a, b)


# What is left to scikit-learn


def test_other_cases_are_scikit_learns_own(corpus):
    X, Q = corpus
    X, Q = np.delete(X, [20, 150], 0), np.delete(Q, 20, 0)
    for metric in ("euclidean", "manhattan", lambda a, b: abs(a - b).max()):
        neighbours = NearestNeighbors(metric=metric, algorithm="brute").fit(X)
        without, with_it = without_and_with_backend(lambda n=neighbours: n.kneighbors(Q))
        assert all(map(np.array_equal, without, with_it))
        assert np.array_equal(
            *without_and_with_backend(lambda m=metric: metrics.pairwise_distances(Q, X, metric=m))
        )
    D = unitdot.cosine_distances(X)
    precomputed = NearestNeighbors(metric="precomputed").fit(D)
    assert np.array_equal(
        *without_and_with_backend(lambda: precomputed.kneighbors(return_distance=False))
    )
    ward = cluster.AgglomerativeClustering(4)
    assert np.array_equal(*without_and_with_backend(lambda: ward.fit(X).labels_))
    # an own reduction, and one with keywords of its own
    own = lambda D, start: D.argmin(axis=1)  # noqa: E731
    assert np.array_equal(
        *without_and_with_backend(
            lambda: next(
                pairwise.pairwise_distances_chunked(Q, X, metric="cosine", reduce_func=own)
            )
        )
    )


def test_array_api_dispatch_is_scikit_learns_own():
    """On, a row that scikit-learn takes for zero stays one; off, it is not."""
    run = run_python(
        """
        import numpy as np
        import sklearn, unitdot
        from sklearn.metrics import pairwise
        tiny = np.array([[1e-300, 0.0]])
        with unitdot.sklearn_backend():
            for dispatch in (True, False):
                with sklearn.config_context(array_api_dispatch=dispatch):
                    similarity = pairwise.cosine_similarity(tiny)
                    distances = pairwise.cosine_distances(tiny, 2 * tiny)
                    paired = pairwise.paired_cosine_distances(tiny, 2 * tiny)
                    print(similarity.item() == 1, distances.item() == 0, paired.item())
        """,
        SCIPY_ARRAY_API="1",
    )
    if "array_api_compat is required" in run.stderr:
        pytest.skip("scikit-learn's array API dispatch needs array_api_compat")
    assert run.stdout.split("\n")[:2] == ["False False 0.0", "True True 0.0"], run.stderr
