"""What the reductions give: neighbours and pairs, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from unitdot import _inputs, _options, _vectors
from unitdot._inputs import Array, Shape
from unitdot._kernels import graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Integers = npt.NDArray[np.int64]
Kind = Literal["similarity", "distance"]


class _TopKFields(NamedTuple):
    similarities: Array
    indices: Integers


class TopK(_TopKFields):  # numpydoc ignore=PR01
    """The nearest rows of each row, as :func:`cosine_top_k` returns them.

    It unpacks into `similarities` and `indices`, and can be made of these two by hand.

    Attributes
    ----------
    similarities : ndarray of shape (n_samples_X, k), float32 or float64
        Descending; NaN in places that are left over.
    indices : ndarray of shape (n_samples_X, k), int64
        Rows of `Y`; of equal similarities, the smaller index first. -1 in places that are left
        over, which come last.
    shape : tuple of int or None
        (n_samples_X, n_samples_Y), that of the full matrix, where it is known.

    Examples
    --------
    >>> import unitdot
    >>> similarities, indices = unitdot.cosine_top_k([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], k=1)
    >>> indices
    array([[1],
           [2],
           [1]])
    """

    shape: tuple[int, int] | None

    def __new__(cls, similarities: Any, indices: Any, shape: tuple[int, int] | None = None) -> TopK:
        found = super().__new__(cls, similarities, indices)
        found.shape = None if shape is None else _options.check_shape(shape)
        return found

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> TopK:  # type: ignore[override]
        return cls(*iterable)

    def _replace(self, **fields: Any) -> TopK:
        return TopK(*super()._replace(**fields), self.shape)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.shape)

    def to_csr(
        self, shape: tuple[int, int] | None = None, *, kind: Kind = "similarity"
    ) -> csr_array:
        """Make a sparse array of the neighbours, by way of SciPy: a graph for other libraries.

        A row's entries stand in order of similarity, best first, zeros among them; scikit-learn's
        estimators with ``metric="precomputed"`` want them so.

        Parameters
        ----------
        shape : tuple of int, optional
            (n_samples_X, n_samples_Y). Default: that of the search; of neighbours that were put
            together by hand, a square, or wider where a number is larger.
        kind : {"similarity", "distance"}, default="similarity"
            Whether to store similarities or 1 - similarity.

        Returns
        -------
        scipy.sparse.csr_array of shape (n_samples_X, n_samples_Y)
            `k` entries a row, less the places that are left over (-1); its indices are int32 where
            they fit.

        Raises
        ------
        ValueError
            For numbers of rows that `shape` does not have.
        ImportError
            Where SciPy is not installed.

        Examples
        --------
        >>> import unitdot
        >>> X = [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]
        >>> unitdot.cosine_top_k(X, k=1).to_csr(kind="distance").toarray().round(2)
        array([[0. , 0.4, 0. ],
               [0. , 0. , 0.2],
               [0. , 0.2, 0. ]])
        """
        distance = _options.check_kind(kind)
        sparse = _sparse("TopK.to_csr()")
        similarities, indices = _vectors.check_neighbours(self, "self")
        shape = self.shape if shape is None else _options.check_shape(shape)
        if shape is None:
            shape = len(indices), max(len(indices), int(indices.max(initial=-1)) + 1)
        if shape[0] != len(indices):
            raise ValueError(
                f"shape is {shape} for neighbours of {_inputs.counted(len(indices), 'row', 'rows')}"
            )
        found = indices >= 0
        values, columns = similarities[found], indices[found]
        _vectors.check_within(columns, shape[1], "indices")
        starts = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
        integer = _integer_for(len(columns), shape)
        return sparse.csr_array(
            (
                1 - values if distance else values,
                columns.astype(integer, copy=False),
                starts.astype(integer),
            ),
            shape=shape,
        )


class _PairsFields(NamedTuple):
    rows: Integers
    columns: Integers
    similarities: Array


class Pairs(_PairsFields):
    """Pairs of rows, sorted by (row, column), as :func:`cosine_pairs` returns them.

    It unpacks into `rows`, `columns` and `similarities`, and can be made of these by hand.

    Parameters
    ----------
    rows, columns : array-like of shape (n_pairs,), integers
        Rows of `X` and rows of `Y`.
    similarities : array-like of shape (n_pairs,)
        Real numbers.
    shape : tuple of int, optional
        (n_samples_X, n_samples_Y). Default: the smallest square that holds all.
    self_join : bool, optional
        Whether the pairs are of one set of rows with itself. Default: whether `shape` is a square.

    Attributes
    ----------
    rows, columns : ndarray of shape (n_pairs,), int64
        Rows of `X` and rows of `Y`.
    similarities : ndarray of shape (n_pairs,), float32 or float64
        Each at least the threshold.
    shape : tuple of int
        (n_samples_X, n_samples_Y), that of the full matrix.
    self_join : bool
        Whether the pairs are of one set of rows with itself, ``row < column``.

    Raises
    ------
    ValueError, TypeError
        For arrays of different lengths, and numbers of rows that `shape` does not have.

    Examples
    --------
    >>> import unitdot
    >>> pairs = unitdot.cosine_pairs([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], threshold=0.9)
    >>> pairs.rows, pairs.columns, pairs.shape, pairs.self_join
    (array([0]), array([2]), (3, 3), True)
    >>> unitdot.Pairs([0, 1], [2, 3], [0.9, 0.95], shape=(6, 6)).components()
    array([0, 1, 0, 1, 2, 3])
    """

    shape: tuple[int, int]
    self_join: bool

    def __new__(
        cls,
        rows: Any,
        columns: Any,
        similarities: Any,
        shape: tuple[int, int] | None = None,
        self_join: bool | None = None,
    ) -> Pairs:
        *arrays, shape = _vectors.check_pairs(rows, columns, similarities, shape)
        if self_join is None:
            self_join = shape[0] == shape[1]
        return cls._of(*arrays, shape=shape, self_join=_options.check_flag(self_join, "self_join"))

    @classmethod
    def _of(cls, *arrays: Array, shape: tuple[int, int], self_join: bool) -> Pairs:
        """Arrays as the kernels leave them: nothing is checked."""
        pairs = super().__new__(cls, *arrays)
        pairs.shape, pairs.self_join = shape, self_join
        return pairs

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Pairs:  # type: ignore[override]
        return cls(*iterable)

    def _replace(self, **fields: Any) -> Pairs:
        return Pairs(*super()._replace(**fields), self.shape, self.self_join)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.shape, self.self_join)

    @property
    def n_pairs(self) -> int:
        """The number of pairs (``len(pairs)`` is 3, the number of arrays)."""
        return len(self.rows)

    def to_csr(self, symmetric: bool = False, *, kind: Kind = "similarity") -> csr_array:
        """Make a sparse array of the full matrix's shape, by way of SciPy.

        Parameters
        ----------
        symmetric : bool, default=False
            With (row, column), store (column, row) too: the graph of a self-join.
        kind : {"similarity", "distance"}, default="similarity"
            Whether to store similarities or 1 - similarity.

        Returns
        -------
        scipy.sparse.csr_array of shape (n_samples_X, n_samples_Y)
            The similarities or distances, in their places, zeros among them; its indices are int32
            where they fit.

        Raises
        ------
        ValueError
            For `symmetric` where the pairs are not of one set of rows with itself, row < column;
            for pairs that were put together by hand and are there twice.
        ImportError
            Where SciPy is not installed.

        Examples
        --------
        >>> import unitdot
        >>> pairs = unitdot.cosine_pairs([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], threshold=0.9)
        >>> pairs.to_csr(symmetric=True).toarray()
        array([[0., 0., 1.],
               [0., 0., 0.],
               [1., 0., 0.]])
        """
        distance = _options.check_kind(kind)
        symmetric = _options.check_flag(symmetric, "symmetric")
        sparse = _sparse("Pairs.to_csr()")
        rows, columns, values = self
        if symmetric:
            self._check_self_join("symmetric is True")
            if (rows >= columns).any():
                raise ValueError("symmetric is True for pairs not all of which have row < column")
            # a row's smaller columns first: they are those of pairs that it ends
            rows, columns = np.concatenate([columns, rows]), np.concatenate([rows, columns])
            values = np.concatenate([values, values])
        integer = _integer_for(len(values), self.shape)
        places = rows.astype(integer, copy=False), columns.astype(integer, copy=False)
        entries = 1 - values if distance else values
        matrix = sparse.coo_array((entries, places), shape=self.shape).tocsr()
        if matrix.nnz != len(values):
            raise ValueError("self holds a pair twice; expected each (row, column) once")
        return matrix

    def components(self) -> Integers:
        """Label the connected components of the graph whose edges are the pairs.

        Returns
        -------
        ndarray of shape (n_samples_X,), int64
            Every row's component: 0 is that of row 0, 1 that of the first row that is not in 0,
            and so on; a row without pairs is one by itself.

        Raises
        ------
        ValueError
            Where the pairs are not of one set of rows with itself.

        Notes
        -----
        Linear in the pairs and the rows, by union and find.

        Examples
        --------
        >>> import unitdot
        >>> X = [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [3.0, 0.0]]
        >>> unitdot.cosine_pairs(X, threshold=0.9).components()
        array([0, 1, 0, 2, 0])
        """
        self._check_self_join("components() is called")
        labels = np.empty(self.shape[0], np.int64)
        if graph.label_components(self.rows, self.columns, labels) < self.n_pairs:
            self._raise_out_of_range()
        return labels

    def keep_first(self) -> npt.NDArray[np.bool_]:
        """Choose rows no two of which pair with each other: the first of what is alike.

        Rows are taken in order; one is kept unless an earlier row that is kept pairs with it. So
        whoever is left out has a row that is kept beside it, and chains are broken up, which
        :meth:`components` puts together.

        Returns
        -------
        ndarray of shape (n_samples_X,), bool
            Which rows to keep: ``X[pairs.keep_first()]``.

        Raises
        ------
        ValueError
            Where the pairs are not of one set of rows with itself.

        Examples
        --------
        >>> import unitdot
        >>> X = [[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]]
        >>> pairs = unitdot.cosine_pairs(X, threshold=0.99)
        >>> pairs.rows, pairs.columns
        (array([0, 1]), array([1, 2]))
        >>> pairs.keep_first()
        array([ True, False,  True,  True])
        """
        self._check_self_join("keep_first() is called")
        kept = np.empty(self.shape[0], np.uint8)
        if graph.mark_kept(self.rows, self.columns, kept) < self.n_pairs:
            # by hand: not in order, or not rows at all
            order = np.argsort(np.minimum(self.rows, self.columns), kind="stable")
            if graph.mark_kept(self.rows[order], self.columns[order], kept) < self.n_pairs:
                self._raise_out_of_range()
        return kept.view(np.bool_)

    def _check_self_join(self, what: str) -> None:
        if not self.self_join:
            raise ValueError(
                f"{what} for pairs of X with Y; expected those of a set of rows with itself "
                f"(Y=None)"
            )

    def _raise_out_of_range(self) -> None:
        _vectors.check_within(self.rows, self.shape[0], "rows")
        _vectors.check_within(self.columns, self.shape[1], "columns")
        raise ValueError("rows or columns are written to by another thread")


def merge_top_k(parts: Iterable[TopK | tuple[Array, Array]], k: int | None = None) -> TopK:
    """Merge neighbours of the same queries in several parts of a corpus.

    Parameters
    ----------
    parts : iterable of TopK or of (similarities, indices)
        Results of :func:`cosine_top_k` of the same queries, whose `indices` number the rows of the
        whole corpus (add where the part begins to those that are not -1). No row of the corpus may
        be in two parts.
    k : int, optional
        Neighbours of each row; no more than each part was searched for. Default: as many as the
        part that has most.

    Returns
    -------
    TopK
        What a search of the whole corpus gives: the same similarities and indices, in the same
        order. Places left over hold index -1 and similarity NaN, last.

    Raises
    ------
    ValueError, TypeError
        For no parts, parts of different queries, lists that are not in order, and a `k` below 1.

    Examples
    --------
    >>> import unitdot
    >>> corpus = [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [-1.0, 0.0]]
    >>> first = unitdot.cosine_top_k([[5.0, 0.0]], corpus[:2], k=2)
    >>> second = unitdot.cosine_top_k([[5.0, 0.0]], corpus[2:], k=2)
    >>> unitdot.merge_top_k([first, second._replace(indices=second.indices + 2)])
    TopK(similarities=array([[1. , 0.6]]), indices=array([[0, 2]]))
    """
    parts = list(parts)
    given = [_vectors.check_neighbours(part, f"parts[{i}]") for i, part in enumerate(parts)]
    if not given:
        raise ValueError("parts is empty; expected at least one TopK")
    rows = len(given[0][0])
    for i, (similarities, _) in enumerate(given):
        if len(similarities) != rows:
            raise ValueError(
                f"parts[{i}] has neighbours of {_inputs.counted(len(similarities), 'row', 'rows')} "
                f"where parts[0] has {rows}; expected the same queries"
            )
    most = max(similarities.shape[1] for similarities, _ in given)
    k = most if k is None else _options.check_positive(k, "k", "None or an integer of at least 1")
    dtype = np.result_type(*(similarities for similarities, _ in given))
    best = np.empty((rows, 0), dtype), np.empty((rows, 0), np.int64)
    for i, part in enumerate(given):
        places = min(k, best[0].shape[1] + part[0].shape[1])
        merged = np.empty((rows, places), dtype), np.empty((rows, places), np.int64)
        part = np.ascontiguousarray(part[0], dtype), np.ascontiguousarray(part[1])
        done = graph.merge(*best, *part, *merged)
        if done < rows:
            raise ValueError(
                f"parts[{i}] is not in order in row {done}; expected similarities descending, "
                f"equal ones by index, then NaN, then places left over (index -1)"
            )
        best = merged
    found = TopK(*_filled_up(*best, k))
    return found if np.ndim(parts[0][1]) == 2 else TopK(*(array[0] for array in found))


def _filled_up(similarities: Array, indices: Integers, k: int) -> tuple[Array, Integers]:
    """With places left over up to k."""
    more = (0, 0), (0, k - indices.shape[1])
    if not more[1][1]:
        return similarities, indices
    return (
        np.pad(similarities, more, constant_values=np.nan),
        np.pad(indices, more, constant_values=-1),
    )


def _integer_for(entries: int, shape: Shape) -> np.dtype[Any]:
    """The dtype of a CSR array's indices: what scikit-learn's graphs have, where it fits."""
    return np.dtype(np.int32 if max(entries, *shape) <= np.iinfo(np.int32).max else np.int64)


def _sparse(what: str) -> Any:
    try:
        import scipy.sparse as sparse
    except ImportError as error:
        raise ImportError(f"{what} needs the package scipy: pip install scipy") from error
    return sparse
