"""The same functions for Dask's arrays, on any number of machines: ``import unitdot.dask``.

Everything is lazy, and has the bits of the plain function on the same rows, whatever the chunks,
the workers and their number. It needs Dask: ``pip install 'unitdot[dask]'``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unitdot import _inputs, _options
from unitdot._inputs import Input
from unitdot._results import TopK
from unitdot._similarity import Zero

try:
    from unitdot._dask import graphs
    from unitdot._dask.graphs import Work
    from unitdot._dask.inputs import csr_like, read_side
    from unitdot._dask.tasks import How
except ImportError as error:
    raise ImportError("unitdot.dask needs the package dask: pip install 'unitdot[dask]'") from error

__all__ = [
    "cosine_distances",
    "cosine_pairs",
    "cosine_similarity",
    "cosine_top_k",
    "paired_cosine_distances",
    "paired_cosine_similarity",
]


def cosine_similarity(
    X: Any,
    Y: Any = None,
    dense_output: bool = True,
    *,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Cosine similarity of every row of `X` with every row of `Y`, lazily.

    The bits of :func:`unitdot.cosine_similarity`. Each pair of blocks is a task.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples_X, n_features), or array-like or sparse in memory
        Rows of numbers, of NumPy's or SciPy's blocks. Chunks along the features are put together.
    Y : dask.array.Array of shape (n_samples_Y, n_features), or array-like or sparse, optional
        Default: `X` itself, with half of the work.
    dense_output : bool, default=True
        False: where both sides are sparse, blocks of CSR.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`unitdot.cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give.
    check_finite : bool, default=True
        Refuse NaN and infinity, when the tasks run.
    n_threads : int, optional
        The most that a task may use. Default: what its worker has, shared with the tasks that
        compute there at the same time.

    Returns
    -------
    dask.array.Array of shape (n_samples_X, n_samples_Y)
        Similarities, float32 or float64, in the chunks of the rows.

    Raises
    ------
    ValueError, TypeError
        As :func:`unitdot.cosine_similarity`; and for chunks of unknown sizes. What only the rows
        can tell is raised when the tasks run, and names the row of the whole.

    Examples
    --------
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> X = da.from_array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]], chunks=(2, 2))
    >>> unitdot.dask.cosine_similarity(X).compute()
    array([[1. , 0.6, 0. ],
           [0.6, 1. , 0.8],
           [0. , 0.8, 1. ]])
    """
    options = (dtype, zero, check_finite, n_threads)
    return _matrix("cosine_similarity", X, Y, dense_output, options)


def cosine_distances(
    X: Any,
    Y: Any = None,
    *,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Cosine distance of every row of `X` from every row of `Y`, lazily.

    The bits of :func:`unitdot.cosine_distances`.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples_X, n_features), or array-like or sparse in memory
        Rows of numbers, as in :func:`cosine_similarity`.
    Y : dask.array.Array of shape (n_samples_Y, n_features), or array-like or sparse, optional
        Default: `X` itself, with half of the work.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give, as in :func:`unitdot.cosine_distances`.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        The most that a task may use.

    Returns
    -------
    dask.array.Array of shape (n_samples_X, n_samples_Y)
        Distances in [0, 2], float32 or float64.

    Raises
    ------
    ValueError, TypeError
        As :func:`cosine_similarity`.

    Examples
    --------
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> X = da.from_array([[1.0, 0.0], [0.0, 2.0], [-5.0, 0.0]], chunks=(1, 2))
    >>> unitdot.dask.cosine_distances(X, [[2.0, 0.0]]).compute().ravel()
    array([0., 1., 2.])
    """
    return _matrix("cosine_distances", X, Y, True, (dtype, zero, check_finite, n_threads))


def paired_cosine_similarity(
    X: Any,
    Y: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Cosine similarity of each row of `X` with the row of `Y` in the same place, lazily.

    Parameters
    ----------
    X, Y : dask.array.Array of shape (n_samples, n_features), or array-like or sparse in memory
        Rows of numbers, as in :func:`cosine_similarity`. Other chunks of `Y` become those of `X`.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        The most that a task may use.

    Returns
    -------
    dask.array.Array of shape (n_samples,)
        Similarities, float32 or float64.

    Raises
    ------
    ValueError, TypeError
        As :func:`cosine_similarity`; and for different numbers of rows.

    Examples
    --------
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> X = da.from_array([[1.0, 0.0], [0.0, 2.0]], chunks=(1, 2))
    >>> unitdot.dask.paired_cosine_similarity(X, [[2.0, 0.0], [3.0, 4.0]]).compute()
    array([1. , 0.8])
    """
    return _paired("paired_cosine_similarity", X, Y, (dtype, zero, check_finite, n_threads))


def paired_cosine_distances(
    X: Any,
    Y: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Cosine distance of each row of `X` from the row of `Y` in the same place, lazily.

    Parameters
    ----------
    X, Y : dask.array.Array of shape (n_samples, n_features), or array-like or sparse in memory
        Rows of numbers, as in :func:`paired_cosine_similarity`.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give: by default distance 1.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        The most that a task may use.

    Returns
    -------
    dask.array.Array of shape (n_samples,)
        Distances in [0, 2], float32 or float64.

    Raises
    ------
    ValueError, TypeError
        As :func:`paired_cosine_similarity`.

    Examples
    --------
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> X = da.from_array([[1.0, 0.0], [0.0, 2.0]], chunks=(1, 2))
    >>> unitdot.dask.paired_cosine_distances(X, [[2.0, 0.0], [0.0, -1.0]]).compute()
    array([0., 2.])
    """
    return _paired("paired_cosine_distances", X, Y, (dtype, zero, check_finite, n_threads))


def cosine_top_k(
    X: Any,
    Y: Any = None,
    k: int = 10,
    *,
    threshold: float | None = None,
    include_self: bool = False,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> TopK:
    """The `k` rows of `Y` that are most similar to each row of `X`, lazily.

    The bits of :func:`unitdot.cosine_top_k`, ties included. The matrix is never made: each pair of
    blocks is a task, and the neighbours in several blocks are merged.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples_X, n_features), or array-like or sparse in memory
        The queries, as in :func:`cosine_similarity`.
    Y : dask.array.Array of shape (n_samples_Y, n_features), or array-like or sparse, optional
        The corpus. Default: `X` itself, where no row is its own neighbour; two blocks meet once.
    k : int, default=10
        Neighbours of each row, 1 to the number of candidates; any number beside a `threshold`.
    threshold : float, optional
        Only neighbours at least so similar; places left over hold index -1 and similarity NaN.
    include_self : bool, default=False
        Let a row be its own neighbour; for `X` without `Y`.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        The most that a task may use.

    Returns
    -------
    TopK
        ``similarities`` and ``indices``, Dask arrays of shape (n_samples_X, k) in the chunks of
        `X`; :func:`dask.compute` makes a TopK of NumPy's arrays of it.

    Raises
    ------
    ValueError, TypeError
        As :func:`cosine_similarity`; for `k` larger than the number of candidates, and
        `include_self` beside a `Y`.

    Examples
    --------
    >>> import dask
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> corpus = da.from_array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [-1.0, 0.0]], chunks=(3, 2))
    >>> dask.compute(unitdot.dask.cosine_top_k([[5.0, 0.0]], corpus, k=2))[0]
    TopK(similarities=array([[1. , 0.6]]), indices=array([[0, 2]]))
    >>> unitdot.dask.cosine_top_k(corpus, k=1).indices.compute().ravel()
    array([2, 2, 1, 1])
    """
    options = _options.check_options((dtype, zero, check_finite, n_threads))
    least = None if threshold is None else _options.check_threshold(threshold)
    include_self = _options.check_flag(include_self, "include_self")
    if include_self and Y is not None:
        raise ValueError("include_self is True beside a Y; expected False, or X without Y")
    how = How(options, "cosine_top_k", threshold=least, include_self=include_self)
    work, result_dtype = _work(X, Y, how, 3)
    own = Y is None and not include_self
    k = _options.check_k(k, None if least is not None else max(0, work.shape[1] - own))
    work.how = work.how._replace(k=k)
    return graphs.top_k(work, result_dtype)


def cosine_pairs(
    X: Any,
    Y: Any = None,
    *,
    threshold: float = 0.9,
    max_pairs: int | None = None,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Every pair of a row of `X` and a row of `Y` with similarity at least `threshold`, lazily.

    The pairs and the bits of :func:`unitdot.cosine_pairs`. The matrix is never made: each pair of
    blocks is a task.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples_X, n_features), or array-like or sparse in memory
        Rows of numbers, as in :func:`cosine_similarity`.
    Y : dask.array.Array of shape (n_samples_Y, n_features), or array-like or sparse, optional
        Default: `X` with itself, each unordered pair once, ``row < column``, with half the work.
    threshold : float, default=0.9
        The least similarity, itself included, -1 to 1.
    max_pairs : int, optional
        Only the most similar so many of them; of equal ones those with the smaller (row, column).
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give. No NaN reaches any threshold.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        The most that a task may use.

    Returns
    -------
    dask.dataframe.DataFrame
        ``rows``, ``columns`` and ``similarities``, a partition for each chunk of `X`, sorted by
        (row, column) from the first to the last; with `max_pairs` one partition.

    Raises
    ------
    ValueError, TypeError
        As :func:`cosine_similarity`.

    Examples
    --------
    >>> import dask.array as da
    >>> import unitdot.dask
    >>> X = da.from_array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [2.0, 0.0]], chunks=(2, 2))
    >>> unitdot.dask.cosine_pairs(X, threshold=0.7).compute().reset_index(drop=True)
       rows  columns  similarities
    0     0        3           1.0
    1     1        2           0.8
    """
    options = _options.check_options((dtype, zero, check_finite, n_threads))
    limit = _options.check_threshold(threshold)
    most = None if max_pairs is None else _options.check_positive(max_pairs, "max_pairs")
    how = How(options, "cosine_pairs", threshold=limit, max_pairs=most)
    return graphs.pairs(*_work(X, Y, how, 3))


def _matrix(name: str, X: Any, Y: Any, dense_output: Any, keywords: tuple[Any, ...]) -> Any:
    options = _options.check_options(keywords)
    dense_output = _options.check_flag(dense_output, "dense_output")
    work, dtype = _work(X, Y, How(options, name, dense_output), 4)
    if dense_output or not (work.X.sparse and work.Y.sparse):
        return graphs.matrix(work, np.empty((0, 0), dtype))
    return graphs.matrix(work, csr_like(work.X, work.Y, dtype))


def _paired(name: str, X: Any, Y: Any, keywords: tuple[Any, ...]) -> Any:
    sides = read_side(X, "X"), read_side(Y, "Y")
    n, m = (side.shape[0] for side in sides)
    if n != m:
        raise ValueError(f"Y has {m} rows where X has {n}; expected the same number")
    if sides[1].sizes != sides[0].sizes:
        Y = sides[1].array.rechunk({0: sides[0].sizes})
    how = How(_options.check_options(keywords), name)
    return graphs.paired(*_work(sides[0].array, Y, how))


def _work(
    X: Input, Y: Input | None, how: How, level: int | None = None
) -> tuple[Work, np.dtype[Any]]:
    """Both sides and what is wanted of them, checked, and the dtype of the result.

    `level`: the caller's, for a warning where tasks are too small.
    """
    side_X = read_side(X, "X")
    side_Y = None if Y is None else read_side(Y, "Y")
    other = side_Y or side_X
    _inputs.check_features(side_X, other)
    dtype = _options.result_dtype(side_X.wide or other.wide, how.options)
    how = how._replace(options=how.options._replace(dtype=dtype))
    work = Work(side_X, side_Y, how, Y is X)
    if level is not None:
        work.advise(level + 1)
    return work, dtype
