"""Contenders on Dask's workers, each a process that holds its share of the rows.

Starting the workers and giving them their rows is not measured.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

# of a chunk, so that tasks take some tenths of a second, as the library advises
MOST_ROWS = {"cosine_pairs": 25_000, "cosine_top_k": 12_500}
LEAST_CHUNKS = 4
DASK_ML_ROWS = 500  # of a block of dask-ml's, which has a column for each row of the other side


class Held(NamedTuple):
    """Rows that workers hold: chunk i has those from ``starts[i]`` to ``starts[i + 1]``."""

    chunks: list[Any]
    starts: list[int]
    X: np.ndarray

    def array(self) -> Any:
        """As Dask's array."""
        da, features = import_module("dask.array"), self.X.shape[1]
        return da.concatenate(
            [
                da.from_delayed(chunk, (stop - start, features), self.X.dtype, name=uuid4().hex)
                for chunk, (start, stop) in zip(self.chunks, pairwise(self.starts), strict=True)
            ]
        )


def on_dask(
    way: str, workers: int, threads: int, function: str, X: Any, Y: Any, **options: Any
) -> tuple[Any, Any]:
    """X with itself, by one of `WAYS`."""
    distributed, dask = import_module("distributed"), import_module("dask")
    client = distributed.Client(
        n_workers=workers, threads_per_worker=threads, dashboard_address=":0", silence_logs=50
    )
    size = min(MOST_ROWS[function], -(-len(X) // LEAST_CHUNKS))
    starts = [*range(0, len(X), size), len(X)]
    held = Held(client.scatter([X[i:j] for i, j in pairwise(starts)]), starts, X)

    def call() -> Any:
        # anew: what workers still have of the last call would be its answer
        return dask.compute(WAYS[way](held, function, **options), scheduler=client)[0]

    return call, _neighbours if function == "cosine_top_k" else _graph(len(X))


def _neighbours(found: Any) -> tuple[np.ndarray, np.ndarray]:
    return found[0], found[1]


def _graph(n: int) -> Any:
    """Pairs as CSR."""
    pairs = import_module("unitdot").Pairs

    def graph(found: Any) -> Any:
        columns = found if isinstance(found, tuple) else (found[name] for name in found.columns)
        return pairs(*(np.asarray(column) for column in columns), (n, n)).to_csr()

    return graph


def _unitdot(held: Held, function: str, **options: Any) -> Any:
    return getattr(import_module("unitdot.dask"), function)(held.array(), **options)


def _block_loop(held: Held, function: str, k: int = 0, threshold: float = 0.0) -> Any:
    """Products of chunks of unit rows by NumPy: what people write."""
    delayed = import_module("dask").delayed
    units = [delayed(_unit)(chunk) for chunk in held.chunks]
    found = []
    for i, x in enumerate(units):
        if k:
            near = [
                delayed(_near)(delayed(_product)(x, y), held.starts[i], held.starts[j], k)
                for j, y in enumerate(units)
            ]
            found.append(delayed(_best)(near, k))
        else:
            found += [
                delayed(_above)(delayed(_product)(x, y), held.starts[i], held.starts[j], threshold)
                for j, y in enumerate(units)
                if j >= i
            ]
    return delayed(_together)(found)


def _dask_ml(held: Held, function: str, k: int = 0, threshold: float = 0.0) -> Any:
    """Its distances from all rows, which it takes in one array, and then as above."""
    delayed = import_module("dask").delayed
    distances = import_module("dask_ml.metrics").pairwise_distances
    rows = held.array().rechunk((DASK_ML_ROWS, -1))
    blocks = distances(rows, held.X, metric="cosine").to_delayed().ravel()
    found = []
    for i, block in enumerate(blocks):
        similar = delayed(_similar)(block)
        first = i * DASK_ML_ROWS
        near = delayed(_near)(similar, first, 0, k)
        found.append(
            delayed(_best)([near], k) if k else delayed(_above)(similar, first, 0, threshold)
        )
    return delayed(_together)(found)


WAYS = {"unitdot": _unitdot, "block loop": _block_loop, "dask-ml": _dask_ml}


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x @ y.T


def _similar(distances: np.ndarray) -> np.ndarray:
    return 1 - distances


def _above(S: np.ndarray, first_x: int, first_y: int, threshold: float) -> tuple[np.ndarray, ...]:
    """(row, column, similarity) of what is above the diagonal of the whole."""
    rows, columns = np.nonzero(threshold <= S)
    after = columns + first_y > rows + first_x
    rows, columns = rows[after], columns[after]
    return rows + first_x, columns + first_y, S[rows, columns]


def _near(S: np.ndarray, first_x: int, first_y: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best k of a block, in no order; no row is its own neighbour."""
    own = np.arange(len(S)) + first_x - first_y
    inside = (own >= 0) & (own < S.shape[1])
    S[np.flatnonzero(inside), own[inside]] = -2
    columns = np.argpartition(S, -min(k, S.shape[1]), axis=1)[:, -k:]
    return np.take_along_axis(S, columns, axis=1), columns + first_y


def _best(parts: list[tuple[np.ndarray, ...]], k: int) -> tuple[np.ndarray, np.ndarray]:
    S, columns = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    order = np.argsort(-S, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(S, order, axis=1), np.take_along_axis(columns, order, axis=1)


def _together(found: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))
