"""The contenders: each makes a call without arguments that does the case's work its own way.

A contender is imported only in the child process that measures it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module

import numpy as np

from .cases import (
    FAISS,
    FAISS_INDEX,
    MATMUL,
    MATMUL_COPY,
    MATMUL_WIDENED,
    PARTITION,
    READ,
    ROW_BLOCKS,
    SYRK,
    TOPN,
)

Call = Callable[[], object]


BLOCK_ROWS = 1000


def _unitdot(function: str, X: np.ndarray, Y: np.ndarray | None, **options: float) -> Call:
    return partial(getattr(import_module("unitdot"), function), X, Y, **options)


def _scikit_learn(function: str, X: np.ndarray, Y: np.ndarray | None, **options: float) -> Call:
    """Functions of unitdot's names, or what does their work."""
    if function == "cosine_top_k":
        model = import_module("sklearn.neighbors").NearestNeighbors
        fit = partial(model(metric="cosine", algorithm="brute").fit, X if Y is None else Y)
        queries = None if Y is None else X  # None: the rows that were fitted, without themselves
        return lambda: fit().kneighbors(queries, int(options["k"]))
    if function == "cosine_pairs":
        graph = import_module("sklearn.neighbors").radius_neighbors_graph
        return partial(graph, X, 1 - options["threshold"], metric="cosine", mode="distance")
    return partial(getattr(import_module("sklearn.metrics.pairwise"), function), X, Y)


def _faiss_knn(function: str, X: np.ndarray, Y: np.ndarray | None, k: int) -> Call:
    faiss = import_module("faiss")

    def call():
        queries, corpus = _normalised(faiss, X, Y)
        return faiss.knn(queries, corpus, k, metric=faiss.METRIC_INNER_PRODUCT)

    return call


def _faiss_index(function: str, X: np.ndarray, Y: np.ndarray | None, k: int) -> Call:
    faiss = import_module("faiss")

    def call():
        queries, corpus = _normalised(faiss, X, Y)
        index = faiss.IndexFlatIP(corpus.shape[1])
        index.add(corpus)
        return index.search(queries, k)

    return call


def _normalised(faiss, X: np.ndarray, Y: np.ndarray | None) -> list[np.ndarray]:
    """Unit rows of X and of Y (or of X again), in copies: the user's arrays are not to change."""
    copies = [X.copy()] if Y is None else [X.copy(), Y.copy()]
    for rows in copies:
        faiss.normalize_L2(rows)
    return [copies[0], copies[-1]]


def _partition(function: str, X: np.ndarray, Y: np.ndarray, k: int) -> Call:
    """Indices of the best k, in no order, of unnormalised rows: the least that NumPy must do."""
    return lambda: np.argpartition(X @ Y.T, -k, axis=1)[:, -k:]


def _row_blocks(function: str, X: np.ndarray, Y: np.ndarray | None, **options: float) -> Call:
    """The product alone, into one block's memory again and again."""
    other = X.copy() if Y is None else Y  # no syrk
    block = np.empty((BLOCK_ROWS, len(other)), X.dtype)

    def call():
        for start in range(0, len(X), BLOCK_ROWS):
            rows = X[start : start + BLOCK_ROWS]
            np.matmul(rows, other.T, out=block[: len(rows)])

    return call


def _matmul(function: str, X: np.ndarray, Y: np.ndarray | None, **options: float) -> Call:
    other = X.copy() if Y is None else Y
    return lambda: X @ other.T


def _syrk(function: str, X: np.ndarray, Y: np.ndarray | None) -> Call:
    """NumPy sees that both sides are one array, and asks BLAS for half of the product."""
    return lambda: X @ X.T


def _matmul_widened(function: str, X: np.ndarray, Y: np.ndarray) -> Call:
    """Half precision has no BLAS: widening is what a user of NumPy does."""
    return lambda: X.astype(np.float32) @ Y.astype(np.float32).T


def _read(function: str, X: np.ndarray, Y: np.ndarray, **options: float) -> Call:
    """Reads every byte once, on as many threads as OpenMP may use: reductions release the GIL."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    parts = [part for A in (X, Y) for part in np.array_split(A.reshape(-1).view(np.uint8), threads)]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.max, parts))


CONTENDERS: dict[str, Callable[..., Call]] = {
    "unitdot": _unitdot,
    "scikit-learn": _scikit_learn,
    FAISS: _faiss_knn,
    FAISS_INDEX: _faiss_index,
    MATMUL: _matmul,
    MATMUL_COPY: _matmul,
    SYRK: _syrk,
    MATMUL_WIDENED: _matmul_widened,
    PARTITION: _partition,
    ROW_BLOCKS: _row_blocks,
    READ: _read,
}


def _text_unitdot(X, task: str, threshold: float | None) -> Call:
    import unitdot

    return {
        "product": lambda: unitdot.cosine_similarity(X, dense_output=False),
        "top-10": lambda: unitdot.cosine_top_k(X, k=10),
        "pairs": lambda: unitdot.cosine_pairs(X, threshold=threshold),
    }[task]


def _text_sklearn(X, task: str, threshold: float | None) -> Call:
    from sklearn.metrics.pairwise import cosine_similarity

    return {"product": lambda: cosine_similarity(X, dense_output=False)}[task]


def _text_topn(X, task: str, threshold: float | None) -> Call:
    """Normalised, because it does not; 200 neighbours a row stand for all above a threshold."""
    from sklearn.preprocessing import normalize
    from sparse_dot_topn import sp_matmul_topn

    threads = int(os.environ["OMP_NUM_THREADS"])
    top_n = {"top-10": 10, "pairs": 200}[task]

    def call():
        unit = normalize(X)
        return sp_matmul_topn(unit, unit.T, top_n=top_n, threshold=threshold, n_threads=threads)

    return call


TEXT_CONTENDERS: dict[str, Callable[..., Call]] = {
    "unitdot": _text_unitdot,
    "scikit-learn": _text_sklearn,
    TOPN: _text_topn,
}
