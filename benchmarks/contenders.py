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

from .cases import MATMUL, MATMUL_COPY, MATMUL_WIDENED, READ, SYRK, TOPN

Call = Callable[[], object]


def _from_module(module: str) -> Callable[..., Call]:
    """Contender that has the functions under scikit-learn's names."""

    def contender(function: str, X: np.ndarray, Y: np.ndarray | None) -> Call:
        return partial(getattr(import_module(module), function), X, Y)

    return contender


def _matmul(function: str, X: np.ndarray, Y: np.ndarray | None) -> Call:
    other = X.copy() if Y is None else Y
    return lambda: X @ other.T


def _syrk(function: str, X: np.ndarray, Y: np.ndarray | None) -> Call:
    """NumPy sees that both sides are one array, and asks BLAS for half of the product."""
    return lambda: X @ X.T


def _matmul_widened(function: str, X: np.ndarray, Y: np.ndarray) -> Call:
    """Half precision has no BLAS: widening is what a user of NumPy does."""
    return lambda: X.astype(np.float32) @ Y.astype(np.float32).T


def _read(function: str, X: np.ndarray, Y: np.ndarray) -> Call:
    """Reads every byte once, on as many threads as OpenMP may use: reductions release the GIL."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    parts = [part for A in (X, Y) for part in np.array_split(A.reshape(-1).view(np.uint8), threads)]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.max, parts))


CONTENDERS: dict[str, Callable[..., Call]] = {
    "unitdot": _from_module("unitdot"),
    "scikit-learn": _from_module("sklearn.metrics.pairwise"),
    MATMUL: _matmul,
    MATMUL_COPY: _matmul,
    SYRK: _syrk,
    MATMUL_WIDENED: _matmul_widened,
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
