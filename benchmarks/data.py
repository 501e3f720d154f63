"""The inputs: rows of a fixed seed, of the kinds that ``DATA`` names, or lines of text.

``real`` rows have the spectrum of real embeddings, in any number: E[i] + 0.8 (E[j] - E.mean(0)) of
random i and j, as unit rows, where E are the embeddings of docstrings that unitdot ships. For more
than their 384 features E is repeated beside itself, its rows in another order each time, and cut to
the number that is wanted: the spectrum is stretched (each direction becomes several, of the same
energy each), and rows that have an i or a j in common are near each other as before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .work import FULL, RATINGS, SPARSE_TEXTS, TEXTS

SEED = 20_240_229
# read where it is: a contender's process is not to import unitdot, nor another build's data
SHIPPED = Path(__file__).resolve().parent.parent / "src" / "unitdot" / "data" / "stdlib_docs.npz"
BLOCK_ROWS = 20_000


def _normal(shape, dtype, rng):
    """Standard normal: no direction is like another."""
    return rng.standard_normal(shape, dtype)


def _duplicates(shape, dtype, rng):
    """A tenth of the rows are another row with a little noise: cosine 0.995."""
    A = _normal(shape, dtype, rng)
    A[1::10] = A[::10][: len(A[1::10])] + 0.1 * rng.standard_normal(A[1::10].shape, dtype)
    return A


def _clusters(shape, dtype, rng):
    """100 clusters of equal size: cosine 0.8 within, 0 between them."""
    A = 0.5 * _normal(shape, dtype, rng)
    A += rng.standard_normal((100, shape[1]), dtype)[rng.permutation(shape[0]) % 100]
    return A


def _integers(shape, dtype, rng):
    """Nine values, so that many similarities are equal."""
    return rng.integers(-4, 5, shape).astype(dtype)


def _real(shape, dtype, rng):
    """The spectrum of real embeddings."""
    E = _shipped_wide(shape[1]).astype(dtype)
    around_mean = 0.8 * (E - E.mean(axis=0))
    A = np.empty(shape, dtype)
    for start in range(0, len(A), BLOCK_ROWS):
        block = A[start : start + BLOCK_ROWS]
        i, j = rng.integers(len(E), size=(2, len(block)))
        np.add(E[i], around_mean[j], out=block)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return A


def _shipped(shape, dtype, rng):
    """The first of the embeddings themselves."""
    return np.ascontiguousarray(_shipped_wide(shape[1])[: shape[0]], dtype)


def _shipped_wide(n_features):
    with np.load(SHIPPED) as archive:
        E = archive["embeddings"] * archive["scales"][:, None]
    rng = np.random.default_rng(SEED)  # the same for X and for Y
    others = [E[rng.permutation(len(E))] for _ in range((n_features - 1) // E.shape[1])]
    return np.hstack([E, *others])[:, :n_features]


def _unlike_their_sample(shape, dtype, rng):
    """Whoever looks at evenly spaced rows finds them in 16 dimensions; all others are in the rest.

    The places are those at which unitdot's leading directions are found and judged: the worst case
    for what they promise.
    """
    n = shape[0]
    A = _normal(shape, dtype, rng)
    A[:, :16] = 0
    looked_at = np.arange(2048) * n // 2048, np.arange(256) * n // 256 + n // 256 // 3 + 1
    few = np.unique(np.minimum(np.concatenate(looked_at), n - 1))
    A[few] = 0
    A[few, :16] = _normal((len(few), 16), dtype, rng)
    return A


DATA = {
    "normal": _normal,
    "duplicates": _duplicates,
    "clusters": _clusters,
    "integers": _integers,
    "real": _real,
    "shipped": _shipped,
    "worst": _unlike_their_sample,
}
ANY_ROWS = "normal", "duplicates", "clusters", "real"  # of any number and shape: for ``--data``


def inputs(X, Y, dtype, data):
    """Arrays of the shapes X and Y; what is not float32 or float64 is rounded from float32.

    Or a TF-IDF matrix of X[0] lines of text; with Y, these as dense rows, and of Y[0] more lines.
    """
    if data in TEXTS:
        from .texts import tfidf

        n_lines = X[0]
        if Y is None:
            return tfidf(n_lines, TEXTS[data], dtype), None
        rows = tfidf(n_lines + Y[0], TEXTS[data], dtype)
        return rows[:n_lines].toarray(), rows[n_lines:]
    if data in SPARSE_TEXTS:
        return _sparse_texts(X[0], 0 if Y is None else Y[0], dtype, data)
    rng = np.random.default_rng(SEED)
    if data in FULL:
        return [None if shape is None else _full(shape, dtype, FULL[data], rng) for shape in (X, Y)]
    if data == RATINGS:
        return [None if shape is None else _ratings(shape, dtype, rng) for shape in (X, Y)]
    drawn = np.float64 if dtype == "float64" else np.float32
    make = DATA[data]
    arrays = [None if shape is None else make(tuple(shape), drawn, rng) for shape in (X, Y)]
    return [None if A is None else _stored(A, dtype) for A in arrays]


def _sparse_texts(n_lines, n_more, dtype, data):
    """Sparse rows of `n_lines` lines, and of `n_more` others or None."""
    from .texts import hashed, tfidf

    n_all = n_lines + n_more
    rows = hashed(n_all) if data.startswith("hashed") else tfidf(n_all, "word", dtype)
    if data.startswith("sorted"):
        rows.sort_indices()
    return rows[:n_lines], rows[n_lines:] if n_more else None


def _full(shape, dtype, density, rng):
    """Sparse rows, positive, of such a part of the elements."""
    from scipy import sparse

    return sparse.csr_matrix(rng.random(shape).astype(dtype) * (rng.random(shape) < density))


def _ratings(shape, dtype, rng):
    """Sparse rows, 4 % full: items by users, both of very unlike popularity, rated 1 to 5."""
    from scipy import sparse

    likely = np.outer(rng.lognormal(0, 1.2, shape[0]), rng.lognormal(0, 1.0, shape[1]))
    for _ in range(5):  # nobody rates all, and so many on average are rated
        likely = np.minimum(likely * (0.04 / likely.mean()), 0.9)
    ratings = rng.choice(np.arange(1, 6), shape, p=(0.06, 0.11, 0.26, 0.35, 0.22))
    return sparse.csr_matrix((ratings * (rng.random(shape) < likely)).astype(dtype))


def _stored(A, dtype):
    """Rows as they are stored: integers of 8 bits hold the largest element as 127."""
    if dtype == "int8":
        return np.rint(A * (127 / np.abs(A).max())).astype(np.int8)
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16

        return A.astype(bfloat16)
    return A.astype(dtype, copy=False)
