"""What the reductions must give: the full matrix, sorted or compared. Plain, and bit for bit."""

import numpy as np

import unitdot
from unitdot import Pairs, TopK

from .helpers import assert_same_bits

# columns of a tile, for several instruction sets (GROUP in cython_kernels/machine/vectors.h)
TILES = (8, 24, 48)


def sorted_matrix(S, own=True):
    """Every row of S, best first, NaN last, ties by index; without `own`, row i lacks column i."""
    n, m = S.shape
    order = np.argsort(-S, axis=1, kind="stable")
    if not own:
        order = order[order != np.arange(n)[:, None]].reshape(n, max(0, m - 1))
    return TopK(np.take_along_axis(S, order, axis=1), order)


def start_of_sorted(S, k, own=True):
    """The first k columns of `sorted_matrix`: only what comes before the k-th value is sorted."""
    n, m = S.shape
    most = k if own else k + 1
    if 4 * most > m:
        return TopK(*(array[:, :k] for array in sorted_matrix(S, own)))
    indices = np.empty((n, k), np.int64)
    for i, limit in enumerate(np.partition(-S, most - 1, axis=1)[:, most - 1]):
        near = np.flatnonzero(~(-S[i] > limit))  # and NaN
        best = near[np.argsort(-S[i, near], kind="stable")]
        indices[i] = best[own | (best != i)][:k]
    return TopK(np.take_along_axis(S, indices, axis=1), indices)


def sorted_where(S, k, may_meet):
    """The k best of every row of S where it may meet a column; places left over after these."""
    order = np.lexsort((-S, ~may_meet), axis=1)[:, :k]  # NaN where they may come before
    met = np.take_along_axis(may_meet, order, 1)
    nan = S.dtype.type(np.nan)
    similarities = np.where(met, np.take_along_axis(S, order, 1), nan)
    more = (0, 0), (0, max(0, k - S.shape[1]))
    return TopK(
        np.pad(similarities, more, constant_values=nan),
        np.pad(np.where(met, order, -1), more, constant_values=-1),
    )


def most_similar(pairs, most):
    """Of pairs the most similar so many, of equal ones the first by (row, column)."""
    kept = np.sort(np.lexsort((pairs.columns, pairs.rows, -pairs.similarities))[:most])
    return Pairs(*(array[kept] for array in pairs))


def pairs_of_matrix(S, threshold, same):
    """Where S reaches the threshold, and S there; for `same` above the diagonal alone."""
    reached = S.dtype.type(threshold) <= S
    rows, columns = np.nonzero(np.triu(reached, 1) if same else reached)
    return Pairs(rows, columns, S[rows, columns])


def around_tiles(candidates):
    """Values of k: the extremes, and both sides of every tile."""
    sizes = {1, candidates, *(tile + i for tile in TILES for i in (-1, 0, 1))}
    return sorted(k for k in sizes if 1 <= k <= candidates)


def telling_thresholds(S):
    """The extremes, values of S, and the numbers just above these."""
    values = S[~np.isnan(S)]
    values = np.quantile(values, [0, 0.3, 0.9, 1], method="nearest") if values.size else values
    above = np.nextafter(values, S.dtype.type(2))
    return [-1, 0, 1, *map(float, values), *map(float, above[above <= 1])]


def with_one_nan(similarities):
    """A copy in which every NaN has the same bits."""
    return np.where(np.isnan(similarities), similarities.dtype.type(np.nan), similarities)


def assert_same_result(actual, expected):
    """Both of one type; integers of 64 bits; similarities of equal dtype and bits."""
    assert type(actual) is type(expected)
    *places, similarities = actual if isinstance(actual, Pairs) else reversed(actual)
    *expected_places, expected_similarities = (
        expected if isinstance(expected, Pairs) else reversed(expected)
    )
    for array, expected_array in zip(places, expected_places, strict=True):
        assert array.dtype == np.int64
        assert array.shape == expected_array.shape
        assert (array == expected_array).all()
    assert_same_bits(with_one_nan(similarities), with_one_nan(expected_similarities))


def reaching(found, threshold):
    """Of neighbours those that reach the threshold; places left over are -1 and NaN."""
    similarities, indices = found
    reached = similarities.dtype.type(threshold) <= similarities
    nan = similarities.dtype.type(np.nan)
    return TopK(np.where(reached, similarities, nan), np.where(reached, indices, -1))


def check_top_k(X, Y=None, *, ks=None, threads=(1,), **common):
    """cosine_top_k is the start of the sorted matrix, for several k: `threads` take turns.

    With a threshold that the best ones of half of the rows reach, too.
    """
    S = unitdot.cosine_similarity(X, Y, **common)
    same = Y is None
    for include_self in (False, True) if same else (False,):
        own = include_self or not same
        tried = ks or around_tiles(S.shape[1] - (not own))
        whole = start_of_sorted(S, max(tried, default=0), own)
        for i, k in enumerate(tried):
            found = unitdot.cosine_top_k(
                X, Y, k, include_self=include_self, n_threads=threads[i % len(threads)], **common
            )
            expected = TopK(whole.similarities[:, :k], whole.indices[:, :k])
            assert_same_result(found, expected)
            numbers = expected.similarities[~np.isnan(expected.similarities)]
            threshold = np.quantile(numbers, 0.7, method="nearest") if numbers.size else 0
            for least in (threshold, min(1, np.nextafter(threshold, 2)))[: 1 + (i == 0)]:
                found = unitdot.cosine_top_k(
                    X, Y, k, threshold=least, include_self=include_self,
                    n_threads=threads[i % len(threads)], **common,
                )  # fmt: skip
                assert_same_result(found, reaching(expected, least))


def check_pairs(X, Y=None, *, thresholds=None, threads=(1,), **common):
    """cosine_pairs is what of the matrix reaches several thresholds; `threads` take turns."""
    S = unitdot.cosine_similarity(X, Y, **common)
    thresholds = telling_thresholds(S) if thresholds is None else thresholds
    for i, threshold in enumerate(thresholds):
        found = unitdot.cosine_pairs(
            X, Y, threshold=threshold, n_threads=threads[i % len(threads)], **common
        )
        expected = pairs_of_matrix(S, threshold, same=Y is None)
        assert_same_result(found, expected)
        assert found.shape == S.shape
        if expected.n_pairs:
            most = max(1, expected.n_pairs // (3, 200)[i % 2])
            found = unitdot.cosine_pairs(
                X, Y, threshold=threshold, max_pairs=most, n_threads=threads[i % len(threads)],
                **common,
            )  # fmt: skip
            assert_same_result(found, most_similar(expected, most))


CHECKS = {"cosine_top_k": check_top_k, "cosine_pairs": check_pairs}


def few(name, threshold):
    """Few values of the check's own keyword, where the work is large; as many as threads."""
    ks, thresholds = (1, 10), (threshold, np.nextafter(threshold, 1))
    return {"cosine_top_k": {"ks": ks}, "cosine_pairs": {"thresholds": thresholds}}[name]
