"""Whether a contender's answer is right: compared with unitdot's, once, for a few of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .work import TRANSFORMER

CHECKED_ROWS = 32  # spread over all


def checked_rows(n_rows: int) -> np.ndarray:
    """The rows of X that are looked at."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, CHECKED_ROWS)).astype(np.int64))


def claims(answer: Any, rows: np.ndarray, n_columns: int) -> np.ndarray:
    """The similarities that an answer gives for these rows of X with each of Y, NaN for none.

    One for each row, where the answer is of paired rows.
    """
    claimed = np.full((len(rows), n_columns), np.nan)
    if hasattr(answer, "indptr"):
        for row, out in zip(rows, claimed, strict=True):
            entries = slice(answer.indptr[row], answer.indptr[row + 1])
            out[answer.indices[entries]] = answer.data[entries]
        return claimed
    if isinstance(answer, tuple):
        similarities, indices = (part.reshape(-1, part.shape[-1])[rows] for part in answer)
        np.put_along_axis(claimed, indices, similarities, axis=1)
        return claimed
    answer = np.asarray(answer)
    return answer[rows] if len(rows) > 1 or answer.ndim > 1 else answer.reshape(1, -1)


def tolerance(dtype: np.dtype, n_features: int) -> float:
    """Twice the bound that unitdot keeps itself; half precision is computed in single."""
    return 2 * (np.sqrt(n_features) + 4) * np.finfo(np.result_type(dtype, np.float32)).eps


def fault(
    claimed: np.ndarray, rows: np.ndarray, function: str, X: Any, Y: Any, **options: Any
) -> str | None:
    """What is wrong with the claims, or None.

    Similarities within the tolerance of a threshold, or of the k-th best, may be in or out.
    """
    import unitdot

    bound = tolerance(X.dtype, X.shape[-1])
    other = X if Y is None else Y
    if function.startswith("paired"):
        truth = unitdot.paired_cosine_similarity(X[rows], other[rows])
    else:
        truth = unitdot.cosine_similarity(X[rows], other[rows] if X.ndim > 2 else other)
    given = ~np.isnan(claimed)
    error = np.max(np.abs(claimed - truth), where=given, initial=0)
    if error > bound:
        return f"off by {error:.1e}, where {bound:.1e} is allowed"
    lacks = LACKS.get(function, _lacks_any)
    return lacks(truth, given, rows, Y is None, bound, **options)


def _lacks_any(truth, given, rows, with_itself, bound, **options) -> str | None:
    """A sparse matrix may leave zeros out."""
    if np.any(~given & (np.abs(truth) > bound)):
        return "a similarity is left out"
    return None


def _lacks_near(truth, given, rows, with_itself, bound, k) -> str | None:
    """There are k different neighbours, none of which is less similar than the k-th best.

    A row with itself may be its own neighbour or not; a sparse one may leave zeros out.
    """
    truth = truth.astype(np.float64)
    if with_itself:
        own = np.arange(len(rows)), rows
        truth[own] = np.where(given[own], truth[own], -np.inf)
    best = np.partition(truth, -k, axis=1)[:, -k]
    worst = np.min(truth, axis=1, where=given, initial=np.inf)
    n_given = np.count_nonzero(given, axis=1)
    worst = np.where(n_given < k, np.minimum(worst, 0), worst)
    if np.any(n_given > k):
        return f"a row has more than {k} neighbours"
    if np.any(worst < best - bound):
        return "a nearer neighbour is left out"
    return None


def _lacks_pairs(truth, given, rows, with_itself, bound, threshold) -> str | None:
    """Each pair is looked for at its smaller row."""
    later = np.arange(truth.shape[1]) > rows[:, None]
    if np.any(later & given & (truth < threshold - bound)):
        return "a pair lies below the threshold"
    if np.any(later & ~given & (truth > threshold + bound)):
        return "a pair is left out"
    return None


LACKS = {"cosine_top_k": _lacks_near, TRANSFORMER: _lacks_near, "cosine_pairs": _lacks_pairs}
