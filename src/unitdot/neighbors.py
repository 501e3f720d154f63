"""Graphs of the nearest rows as scikit-learn's transformers: ``import unitdot.neighbors``.

They stand before whatever takes a precomputed sparse graph: DBSCAN, HDBSCAN, TSNE,
SpectralClustering, KNeighborsClassifier, scanpy's ``sc.pp.neighbors(transformer=...)``. They need
scikit-learn: ``pip install 'unitdot[scikit-learn]'``.
"""

from typing import Any

import numpy as np

from unitdot import _options
from unitdot._index import CosineIndex

try:
    from scipy import sparse
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.neighbors import sort_graph_by_row_values
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        "unitdot.neighbors needs the package scikit-learn: pip install 'unitdot[scikit-learn]'"
    ) from error
try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn up to 1.5

    def validate_data(estimator: Any, X: Any, **keywords: Any) -> Any:
        """As scikit-learn's function of this name."""
        return estimator._validate_data(X, **keywords)


__all__ = ["CosineKNeighborsTransformer", "CosineRadiusNeighborsTransformer"]

# distances are compared with a radius as they are returned: pairs as much further out are looked at
MARGIN = 2.0**-20


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What both share: the rows that were fitted are the columns of the graph."""

    def fit(self, X: Any, y: Any = None) -> Any:
        """Keep the rows.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples, n_features)
            The rows that neighbours are among.
        y : None
            Not used.

        Returns
        -------
        estimator
            The estimator itself.
        """
        if self.mode not in ("distance", "connectivity"):
            raise ValueError(f'mode is {self.mode!r}; expected "distance" or "connectivity"')
        self._check_parameters()
        self._index = CosineIndex(self._read(X, reset=True))
        self.n_samples_fit_ = self._n_features_out = len(self._index)
        return self

    def transform(self, X: Any) -> Any:
        """Make the graph from rows to those that were fitted.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples, n_features)
            Rows, each of which becomes one of the graph.

        Returns
        -------
        scipy.sparse.csr_matrix of shape (n_samples, n_samples_fit)
            The graph, the columns of a row in order of distance.
        """
        check_is_fitted(self)
        return self._graph(self._read(X, reset=False))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Make the graph of the rows among themselves, with half of the products.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples, n_features)
            The rows that neighbours are among, and whose they are.
        y : None
            Not used.

        Returns
        -------
        scipy.sparse.csr_matrix of shape (n_samples, n_samples)
            The graph, the columns of a row in order of distance, the row itself first.
        """
        return self.fit(X)._graph(None)

    def _read(self, X: Any, reset: bool) -> Any:
        dtypes = [np.float64, np.float32]
        return validate_data(self, X, accept_sparse="csr", dtype=dtypes, reset=reset)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn up to 1.5
        return {"preserves_dtype": [np.float64, np.float32]}


class CosineKNeighborsTransformer(_Transformer):
    """The graph of every row's nearest rows by cosine distance.

    The same graph as ``KNeighborsTransformer(metric="cosine")`` of scikit-learn makes, up to
    rounding and ties, which go to the smaller index. Without scikit-learn:
    ``cosine_top_k(X, k=...).to_csr(kind="distance")``.

    Parameters
    ----------
    n_neighbors : int, default=5
        Neighbours of each row.
    mode : {"distance", "connectivity"}, default="distance"
        What the graph holds: distances, or ones. In mode "distance" rows have an entry more,
        since a row of the fitted data is its own neighbour: an explicit 0, first.
    n_threads : int, optional
        Default: as many as are useful.

    Attributes
    ----------
    n_samples_fit_ : int
        The rows that were fitted.
    n_features_in_ : int
        Their features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of these, where they are of a data frame whose names are all strings.

    Examples
    --------
    >>> from unitdot.neighbors import CosineKNeighborsTransformer
    >>> X = [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]
    >>> graph = CosineKNeighborsTransformer(n_neighbors=1).fit_transform(X)
    >>> graph.indices
    array([0, 1, 1, 2, 2, 1], dtype=int32)
    >>> graph.data.round(2)
    array([0. , 0.4, 0. , 0.2, 0. , 0.2])
    """

    def __init__(
        self, n_neighbors: int = 5, *, mode: str = "distance", n_threads: int | None = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        _options.check_positive(self.n_neighbors, "n_neighbors", "an integer of at least 1")

    def _graph(self, X: Any | None) -> Any:
        entries = self.n_neighbors + (self.mode == "distance")
        n_fit = self.n_samples_fit_
        n = n_fit if X is None else X.shape[0]
        if entries > n_fit:
            raise ValueError(
                f"n_neighbors is {self.n_neighbors} where {n_fit} rows were fitted; expected at "
                f"most {n_fit - (self.mode == 'distance')} in mode {self.mode!r}"
            )
        if X is None and entries == 1:
            indices, distances = np.arange(n)[:, None], np.zeros((n, 1), self._index.dtype)
        elif X is None:
            # without itself, and then with it before all that may equal it
            found = self._index.top_k(k=entries - 1, n_threads=self.n_threads)
            indices = np.column_stack([np.arange(n), found.indices])
            distances = np.column_stack([np.zeros(n, self._index.dtype), 1 - found.similarities])
        else:
            found = self._index.top_k(X, k=entries, n_threads=self.n_threads)
            indices, distances = found.indices, 1 - found.similarities
        if self.mode == "connectivity":
            distances = np.ones_like(distances)
        integer = np.int32 if max(indices.size, n_fit) <= np.iinfo(np.int32).max else np.int64
        starts = np.arange(0, indices.size + 1, entries, dtype=integer)
        parts = distances.ravel(), indices.ravel().astype(integer), starts
        return sparse.csr_matrix(parts, shape=(n, n_fit))


class CosineRadiusNeighborsTransformer(_Transformer):
    """The graph of all rows within a radius of each other by cosine distance.

    The same graph as ``RadiusNeighborsTransformer(metric="cosine")`` of scikit-learn makes, up to
    rounding. Without scikit-learn: ``cosine_pairs(X, threshold=1 - radius).to_csr(symmetric=True,
    kind="distance")``.

    Parameters
    ----------
    radius : float, default=0.1
        The largest distance, itself included: 1 - similarity, from 0 to 2.
    mode : {"distance", "connectivity"}, default="distance"
        What the graph holds: distances, or ones. A row of the fitted data is its own neighbour,
        with an explicit 0, first.
    n_threads : int, optional
        Default: as many as are useful.

    Attributes
    ----------
    n_samples_fit_ : int
        The rows that were fitted.
    n_features_in_ : int
        Their features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of these, where they are of a data frame whose names are all strings.

    Examples
    --------
    >>> from unitdot.neighbors import CosineRadiusNeighborsTransformer
    >>> X = [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]
    >>> CosineRadiusNeighborsTransformer(radius=0.3).fit_transform(X).indices
    array([0, 1, 2, 2, 1], dtype=int32)
    """

    def __init__(
        self, radius: float = 0.1, *, mode: str = "distance", n_threads: int | None = None
    ) -> None:
        self.radius = radius
        self.mode = mode
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        _options.check_between(self.radius, "radius", 0, 2)

    def _graph(self, X: Any | None) -> Any:
        threshold = max(-1.0, 1 - self.radius - MARGIN)
        n = self.n_samples_fit_ if X is None else X.shape[0]
        pairs = self._index.pairs(X, threshold=threshold, n_threads=self.n_threads)
        graph = pairs.to_csr(symmetric=X is None, kind="distance").tocoo()
        near = graph.data <= self.radius
        rows, columns, distances = graph.row[near], graph.col[near], graph.data[near]
        if X is None:  # the row itself before all that may equal it
            own = np.arange(n, dtype=rows.dtype)
            rows, columns = np.concatenate([own, rows]), np.concatenate([own, columns])
            distances = np.concatenate([np.zeros(len(own), distances.dtype), distances])
        starts = np.searchsorted(np.sort(rows), np.arange(n + 1))
        order = np.argsort(rows, kind="stable")
        parts = distances[order], columns[order], starts.astype(rows.dtype)
        graph = sparse.csr_matrix(parts, shape=(n, self.n_samples_fit_))
        graph = sort_graph_by_row_values(graph, warn_when_not_sorted=False)
        if self.mode == "connectivity":
            graph.data[:] = 1
        return graph
