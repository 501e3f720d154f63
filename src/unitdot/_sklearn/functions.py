"""What stands in for scikit-learn's functions: `original` first, then their own parameters.

Imported by the switch alone. Whatever is not one of the cases here is left to the original.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.cluster import hierarchy
from scipy.sparse import coo_array
from sklearn import config_context, get_config, utils
from sklearn.metrics.pairwise import check_paired_arrays, check_pairwise_arrays
from sklearn.neighbors._base import KNeighborsMixin, RadiusNeighborsMixin

from unitdot._index import CosineIndex
from unitdot._neighbors import cosine_pairs, cosine_top_k
from unitdot._similarity import cosine_distances, cosine_similarity, paired_cosine_distances
from unitdot._sklearn.kept import index_of

# rows of a block of the distances that are condensed
BLOCK_ROWS = 256

# gives a sparse result the type that is configured, in versions that have such an option
_aligned = getattr(utils, "_align_api_if_sparse", lambda result: result)


def _check_finite() -> bool:
    return not get_config()["assume_finite"]


def _computed(function: Any, check: Any, X: Any, Y: Any, *args: Any, **keywords: Any) -> Any:
    """`function` of what `check`, scikit-learn's, makes of X and Y; with both as it read them.

    The function sees NaN and infinity while it reads; a scan before would take as long as a query.
    """
    check_finite = _check_finite()
    with config_context(assume_finite=True):
        x, y = check(X, Y)
    try:
        return function(x, y, *args, check_finite=check_finite, **keywords), x, y
    except ValueError:
        check(X, Y)  # says it in scikit-learn's words
        raise


def similarity(original: Any, X: Any, Y: Any = None, dense_output: bool = True) -> Any:
    """For cosine_similarity."""
    if get_config()["array_api_dispatch"]:
        return original(X, Y, dense_output)
    result, _, _ = _computed(cosine_similarity, check_pairwise_arrays, X, Y, dense_output)
    return _aligned(result)


def distances(original: Any, X: Any, Y: Any = None) -> Any:
    """For cosine_distances."""
    if get_config()["array_api_dispatch"]:
        return original(X, Y)
    result, _, _ = _computed(cosine_distances, check_pairwise_arrays, X, Y)
    return result


def paired_distances(original: Any, X: Any, Y: Any) -> Any:
    """For paired_cosine_distances, where zero rows have a convention of scikit-learn's own."""
    if get_config()["array_api_dispatch"]:
        return original(X, Y)
    result, X, Y = _computed(paired_cosine_distances, check_paired_arrays, X, Y, zero="nan")
    undefined = np.flatnonzero(np.isnan(result))
    if undefined.size:
        X, Y = (side.tocsr() if hasattr(side, "tocsr") else side for side in (X, Y))
        result[undefined] = original(X[undefined], Y[undefined])
    return result


def distances_chunked(
    original: Any, X: Any, Y: Any = None, *, reduce_func: Any = None, metric: Any = "euclidean",
    n_jobs: Any = None, working_memory: Any = None, **kwds: Any,
) -> Any:  # fmt: skip
    """For pairwise_distances_chunked: the neighbours that it would reduce from chunks, at once."""
    method: Any = getattr(reduce_func, "func", None)  # a partial of a bound method
    reduction = REDUCTIONS.get(getattr(method, "__func__", None))
    if (
        reduction is not None
        and metric == "cosine"
        and not kwds
        and _plain(X)
        and _plain(Y)
        and np.ndim(reduce_func.keywords.get("radius", 0)) == 0
        and not (reduction is _within and _share_much(X, Y))
    ):
        # of its own rows an estimator is mostly asked once, and that takes longer than an index
        index = index_of(method.__self__, Y, 0 if X is Y else X.shape[0])
        return iter([reduction(X, Y, index, **reduce_func.keywords)])
    return original(
        X, Y, reduce_func=reduce_func, metric=metric, n_jobs=n_jobs,
        working_memory=working_memory, **kwds,
    )  # fmt: skip


def _plain(X: Any) -> bool:
    """Whether X needs no conversion to be computed in the dtype that scikit-learn would use."""
    array = isinstance(X, np.ndarray) or hasattr(X, "tocsr")
    return array and (X.dtype.kind in "biu" or X.dtype in (np.float32, np.float64))


def _share_much(X: Any, Y: Any) -> bool:
    """Whether sparse rows share so many features that most are near, and found from chunks."""
    if not (hasattr(X, "tocsr") and hasattr(Y, "tocsr")):
        return False
    (n_X, n_features), n_Y = X.shape, Y.shape[0]
    return bool(2 * X.nnz * Y.nnz >= n_X * n_Y * n_features)


def _result_dtype(X: Any, Y: Any) -> Any:
    return np.float32 if X.dtype == Y.dtype == np.float32 else np.float64


def _nearest(
    X: Any, Y: Any, index: CosineIndex | None, n_neighbors: int, return_distance: bool
) -> Any:
    own = X is Y  # each row is the first of its own neighbours, zero rows too: as on the diagonal
    if n_neighbors > own:
        k, check = n_neighbors - own, _check_finite()
        if index is not None:
            similarities, indices = index.top_k(None if own else X, k, check_finite=check)
        else:
            similarities, indices = cosine_top_k(X, None if own else Y, k, check_finite=check)
    else:
        similarities = np.empty((X.shape[0], 0), _result_dtype(X, Y))
        indices = np.empty((X.shape[0], 0), np.intp)
    distances = 1 - similarities
    if own:
        distances = np.insert(distances, 0, 0, axis=1)
        indices = np.insert(indices, 0, np.arange(X.shape[0]), axis=1)
    return (distances, indices) if return_distance else indices


def _within(X: Any, Y: Any, index: CosineIndex | None, radius: Any, return_distance: bool) -> Any:
    own = X is Y
    # a little more than enough: it is distances that are compared, as in scikit-learn
    least = 1 - radius - 4 * float(np.finfo(_result_dtype(X, Y)).eps)
    how: dict[str, Any] = {"threshold": min(max(least, -1.0), 1.0), "check_finite": _check_finite()}
    if index is not None:
        rows, columns, distances = index.pairs(None if own else X, **how)
    else:
        rows, columns, distances = cosine_pairs(X, None if own else Y, **how)
    np.subtract(1, distances, out=distances)
    near = distances <= radius
    if not near.all():
        rows, columns, distances = rows[near], columns[near], distances[near]
    if own:  # each pair was found once; the diagonal is 0, of zero rows too
        diagonal = np.arange(X.shape[0])
        rows, columns = (
            np.concatenate([rows, columns, diagonal]),
            np.concatenate([columns, rows, diagonal]),
        )
        distances = np.concatenate([distances, distances, np.zeros(len(diagonal), distances.dtype)])
        matrix = coo_array((distances, (rows, columns)), shape=(X.shape[0], X.shape[0])).tocsr()
        columns, distances, ends = matrix.indices, matrix.data, matrix.indptr[1:-1]
    else:
        ends = np.searchsorted(rows, np.arange(1, X.shape[0]))
    indices = np.split(columns.astype(np.intp, copy=False), ends)
    return (np.split(distances, ends), indices) if return_distance else indices


# scikit-learn's reductions of chunks, and what gives the same without them
REDUCTIONS: dict[Any, Callable[..., Any]] = {
    KNeighborsMixin._kneighbors_reduce_func: _nearest,
    RadiusNeighborsMixin._radius_neighbors_reduce_func: _within,
}


def linkage_tree(
    original: Any, X: Any, connectivity: Any = None, n_clusters: Any = None,
    linkage: Any = "complete", affinity: Any = "euclidean", return_distance: bool = False,
) -> Any:  # fmt: skip
    """For linkage_tree, which without a connectivity leaves the distances to SciPy's linkage."""
    matrix = np.asarray(X)
    if not (
        affinity == "cosine"
        and linkage in ("average", "complete", "single")
        and connectivity is n_clusters is None
        and matrix.ndim == 2
        and matrix.dtype.kind in "biuf"
        and np.any(matrix, axis=1).all()  # zero rows are refused
    ):
        return original(X, connectivity, n_clusters, linkage, affinity, return_distance)
    merges = hierarchy.linkage(_condensed(matrix.astype(np.float64, copy=False)), linkage)
    tree = merges[:, :2].astype(int), 1, matrix.shape[0], None
    return (*tree, merges[:, 2]) if return_distance else tree


def _condensed(X: Any) -> Any:
    """Distances of each row from those below it, one row after the other, as SciPy keeps them."""
    n = X.shape[0]
    condensed = np.empty(n * (n - 1) // 2)
    end = 0
    for start in range(0, n, BLOCK_ROWS):
        block = cosine_distances(X[start : start + BLOCK_ROWS], X[start:], check_finite=False)
        for i, row in enumerate(block, 1):
            begin, end = end, end + len(row) - i
            condensed[begin:end] = row[i:]
    return condensed
