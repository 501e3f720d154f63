"""The contenders: each does a case's work the way its own documentation recommends.

Each is a function of the work (`function`, `X`, `Y` and `options`) and gives a call without
arguments, and what turns the call's result into an answer that ``benchmarks.checks`` can judge: a
matrix of similarities, dense or CSR, or (similarities, indices) for top-k. Yardsticks, which do
only a part of the work, have no answer.

A contender is imported only in the child process that measures it. What it needs done to the rows
first, such as normalising them, is part of its call. It may use `threads()` threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import work as names
from .workers import on_dask

Call = Callable[[], Any]
Answer = Callable[[Any], Any]
Contender = Callable[..., tuple[Call, Answer | None]]

BLOCK_ROWS = 1000
PANORAMA_LEVELS = 8  # of leading features, as in faiss's own benchmarks
MOST_SIMILAR = 200  # what sparse_dot_topn keeps of a row's pairs; its checks say if that is too few


def threads() -> int:
    """The number that everybody may use; OpenMP and BLAS read the same variable themselves."""
    return int(os.environ["OMP_NUM_THREADS"])


def _similar(distances: Any) -> np.ndarray:
    return 1 - np.asarray(distances)


def _similar_graph(distances: Any) -> Any:
    distances.data = _similar(distances.data)
    return distances


def _unitdot(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, Answer | None]:
    unitdot = import_module("unitdot")
    if function == names.TRANSFORMER:
        transformer = import_module("unitdot.neighbors").CosineKNeighborsTransformer
        return partial(transformer(options["k"]).fit_transform, X), partial(_neighbors, **options)
    if function == names.KEEP_FIRST:
        return _pairs_by_hand(unitdot, len(X), options["pairs"]).keep_first, None
    if not hasattr(unitdot, function):
        raise ModuleNotFoundError(f"this unitdot has no {function}", name="unitdot")
    limited = "groups" in options or (function == "cosine_top_k" and "threshold" in options)
    if "groups" in options:
        options["groups"] = np.random.default_rng(0).integers(options["groups"], size=len(X))
    call = partial(getattr(unitdot, function), X, Y, **options)
    if limited:  # the tests judge these
        return call, None
    if function == "cosine_pairs":
        return call, lambda pairs: pairs.to_csr()
    return call, _similar if function.endswith("distances") else lambda result: result


def _dense_rows(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, Answer | None]:
    return _unitdot(function, X.toarray(), None if Y is None else Y.toarray(), **options)


def _two_axes(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    """The same paired rows as a stack's."""
    X, Y = (A.reshape(-1, A.shape[-1]) for A in (X, Y))
    return _unitdot(function, X, Y, **options)[0], None


def _without_limits(
    function: str, X: Any, Y: Any, groups: int = 0, threshold: float = 0.0, **options: Any
) -> tuple[Call, None]:
    """The same where any rows meet, and in top-k all count."""
    if function == "cosine_pairs":
        options["threshold"] = threshold
    return _unitdot(function, X, Y, **options)[0], None


def _pairs_by_hand(unitdot: Any, n_rows: int, count: int) -> Any:
    """Of random rows, in the order in which they are found."""
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(n_rows, size=(count, 2)) @ [n_rows, 1])
    rows, columns = keys // n_rows, keys % n_rows
    later = rows < columns
    rows, columns = rows[later], columns[later]
    return unitdot.Pairs(rows, columns, np.ones(len(rows), np.float32), (n_rows, n_rows))


def _neighbors(graph: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and indices of a graph whose rows begin with the row itself."""
    parts = (part.reshape(-1, k + 1)[:, 1:] for part in (_similar(graph.data), graph.indices))
    similarities, indices = parts
    return similarities, indices


def _scikit_learn(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, Answer]:
    """Functions of unitdot's names, or what does their work."""
    if function == names.TRANSFORMER:
        transformer = import_module("sklearn.neighbors").KNeighborsTransformer
        model = transformer(n_neighbors=options["k"], metric="cosine", algorithm="brute")
        return partial(model.fit_transform, X), partial(_neighbors, **options)
    if function == "cosine_top_k":
        model = import_module("sklearn.neighbors").NearestNeighbors
        fit = partial(model(metric="cosine", algorithm="brute").fit, X if Y is None else Y)
        queries = None if Y is None else X  # None: the rows that were fitted, without themselves
        return (
            lambda: fit().kneighbors(queries, options["k"]),
            lambda result: (_similar(result[0]), result[1]),
        )
    if function == "cosine_pairs":
        graph = import_module("sklearn.neighbors").radius_neighbors_graph
        radius = 1 - options["threshold"]
        return partial(graph, X, radius, metric="cosine", mode="distance"), _similar_graph
    call = partial(getattr(import_module("sklearn.metrics.pairwise"), function), X, Y, **options)
    return call, _similar if function.endswith("distances") else lambda result: result


def _scipy(function: str, X: Any, Y: Any) -> tuple[Call, Answer]:
    distance = import_module("scipy.spatial.distance")
    if len(X) == len(Y) == 1:
        return partial(distance.cosine, X[0], Y[0]), _similar
    return partial(distance.cdist, X, Y, "cosine"), _similar


def _simd(module: str, one: str, metric: str, function: str, X: Any, Y: Any) -> tuple[Call, Answer]:
    """NumKong and SimSIMD: `one` is the function of two vectors, `metric` its name for `cdist`."""
    library = import_module(module)
    pairwise = getattr(library, one)
    if Y is not None and len(X) == len(Y) == 1:
        return partial(pairwise, X[0], Y[0]), _similar
    if function.startswith("paired"):
        pool, parts = ThreadPoolExecutor(threads()), _parts(X, Y)
        return lambda: list(pool.map(pairwise, *parts)), lambda done: _similar(np.concatenate(done))
    other = X if Y is None else Y
    return partial(library.cdist, X, other, metric=metric, threads=threads()), _similar


def _parts(X: np.ndarray, Y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Shares of the rows, one a thread."""
    return np.array_split(X, threads()), np.array_split(Y, threads())


def _torch(function: str, X: Any, Y: Any, k: int = 0) -> tuple[Call, Answer]:
    """Rows that were normalised, and a product; by blocks where the product is not the result."""
    torch = import_module("torch")
    functional = torch.nn.functional
    torch.set_num_threads(threads())
    X = torch.from_numpy(X)
    Y = X if Y is None else torch.from_numpy(Y)
    if function.startswith("paired"):
        return lambda: 1 - functional.cosine_similarity(X, Y), _similar
    if len(X) == len(Y) == 1:
        return lambda: functional.cosine_similarity(X, Y), np.asarray

    def units():
        queries = functional.normalize(X)
        return queries, queries if X is Y else functional.normalize(Y)

    def matrix():
        queries, corpus = units()
        return queries @ corpus.T

    def top_k():
        queries, corpus = units()
        found = [(block @ corpus.T).topk(k) for block in queries.split(BLOCK_ROWS)]
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    if function == "cosine_top_k":
        return top_k, lambda result: tuple(np.asarray(part) for part in result)
    return matrix, np.asarray


def _faiss(
    indexed: str | None, function: str, X: Any, Y: Any, k: int = 0, threshold: float = 0.0
) -> tuple[Call, Answer]:
    """Inner products of unit rows, which are copies: the user's arrays are not to change."""
    faiss = import_module("faiss")

    def call():
        copies = [X.copy()] if Y is None else [X.copy(), Y.copy()]
        for rows in copies:
            faiss.normalize_L2(rows)
        queries, corpus = copies[0], copies[-1]
        if indexed is None:
            return faiss.knn(queries, corpus, k, metric=faiss.METRIC_INNER_PRODUCT)
        index = _faiss_index(indexed, corpus.shape[1])
        index.add(corpus)
        return index.range_search(queries, threshold) if threshold else index.search(queries, k)

    return call, _ranges if threshold else lambda result: result


def _faiss_index(name: str, n_features: int) -> Any:
    """An index of inner products, empty; `name`: of a class, or of what a quantiser does."""
    faiss = import_module("faiss")
    if name.startswith("QT"):
        kind = getattr(faiss.ScalarQuantizer, name)
        return faiss.IndexScalarQuantizer(n_features, kind, faiss.METRIC_INNER_PRODUCT)
    levels = [PANORAMA_LEVELS] if name == "IndexFlatIPPanorama" else []
    return getattr(faiss, name)(n_features, *levels)


def _faiss_8_bit(function: str, X: Any, Y: Any, k: int) -> tuple[Call, None]:
    """Inner products of integers of 8 bits as they are, without norms."""

    def call():
        index = _faiss_index("QT_8bit_direct_signed", Y.shape[1])
        index.add(Y.astype(np.float32))
        return index.search(X.astype(np.float32), k)

    return call, None


def _ranges(result: tuple[np.ndarray, np.ndarray, np.ndarray]) -> SimpleNamespace:
    """What a range search found, as CSR has it."""
    indptr, data, indices = result
    return SimpleNamespace(indptr=indptr.astype(np.int64), indices=indices, data=data)


def _faiss_ready(indexed: str, function: str, X: Any, Y: Any, k: int) -> tuple[Call, Answer | None]:
    """An index that was made before; queries are normalised in the call."""
    faiss, index = import_module("faiss"), _faiss_index(indexed, Y.shape[1])
    corpus = Y.copy()
    faiss.normalize_L2(corpus)
    index.train(corpus)
    index.add(corpus)

    def call():
        queries = X.copy()
        faiss.normalize_L2(queries)
        return index.search(queries, k)

    exact = indexed.startswith("IndexFlat")
    return call, (lambda result: result) if exact else None


def _index(function: str, X: Any, Y: Any, k: int, step: int = 1) -> tuple[Call, Answer | None]:
    """An index that was made and searched before; of every `step`-th row."""
    index = import_module("unitdot").CosineIndex(Y, copy=False)
    if step == 1:
        return partial(index.top_k, X, k), lambda result: result
    return partial(index.top_k, X, k, where=slice(None, None, step)), None


def _build(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    return partial(import_module("unitdot").CosineIndex, Y, copy=False), None


def _add(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    """The rows of X, each time behind those that are there."""
    index = import_module("unitdot").CosineIndex(Y)
    return partial(index.add, X), None


def _open(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    folder = TemporaryDirectory()
    path = Path(folder.name) / "rows.unitdot"
    index = import_module("unitdot").CosineIndex
    index(Y, copy=False).save(path)
    # the folder lives as long as the call
    return lambda folder=folder: index.open(path), None


def _unit_rows(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    return lambda: Y / np.linalg.norm(Y, axis=1, keepdims=True), None


def _topn_ready(function: str, X: Any, Y: Any, k: int) -> tuple[Call, Answer]:
    topn = import_module("sparse_dot_topn")
    normalize = import_module("sklearn.preprocessing").normalize
    transpose = normalize(Y).T.tocsr()

    def call():
        return topn.sp_matmul_topn(normalize(X), transpose, top_n=k, n_threads=threads())

    return call, lambda result: result


def _usearch(function: str, X: Any, Y: Any, k: int) -> tuple[Call, Answer]:
    index = import_module("usearch.index")
    corpus, metric = X if Y is None else Y, index.MetricKind.Cos

    def answer(matches):
        return _similar(matches.distances), matches.keys.astype(np.int64)

    return partial(index.search, corpus, X, k, metric, exact=True, threads=threads()), answer


def _sparse_dot_topn(
    function: str, X: Any, Y: Any, k: int = MOST_SIMILAR, threshold: float | None = None, **_: Any
) -> tuple[Call, Answer]:
    """Rows that scikit-learn normalises, because it does not, with their transpose."""
    topn = import_module("sparse_dot_topn")
    normalize = import_module("sklearn.preprocessing").normalize
    limits = {"top_n": k, "threshold": threshold, "n_threads": threads()}

    def call():
        unit = normalize(X)
        other = (unit if Y is None else normalize(Y)).T
        if function == "cosine_similarity":
            return topn.sp_matmul(unit, other, n_threads=threads())
        return topn.sp_matmul_topn(unit, other, **limits)

    return call, lambda result: result


def _matmul(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    other = X.copy() if Y is None else Y
    return lambda: X @ np.swapaxes(other, -1, -2), None


def _syrk(function: str, X: Any, Y: Any) -> tuple[Call, None]:
    """NumPy sees that both sides are one array, and asks BLAS for half of the product."""
    return lambda: X @ X.T, None


def _matmul_widened(function: str, X: Any, Y: Any) -> tuple[Call, None]:
    """Half precision has no BLAS: widening is what a user of NumPy does."""
    return lambda: X.astype(np.float32) @ Y.astype(np.float32).T, None


def _partition(function: str, X: Any, Y: Any, k: int) -> tuple[Call, None]:
    """Indices of the best k, in no order: the least that NumPy must do."""
    return lambda: np.argpartition(X @ Y.T, -k, axis=1)[:, -k:], None


def _row_blocks(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    """The product alone, into one block's memory again and again."""
    other = X.copy() if Y is None else Y  # no syrk
    block = np.empty((BLOCK_ROWS, len(other)), X.dtype)

    def call():
        for start in range(0, len(X), BLOCK_ROWS):
            rows = X[start : start + BLOCK_ROWS]
            np.matmul(rows, other.T, out=block[: len(rows)])

    return call, None


def _read(function: str, X: Any, Y: Any, **options: Any) -> tuple[Call, None]:
    """Reads every byte once: reductions release the GIL."""
    pool = ThreadPoolExecutor(threads())
    parts = [
        part for A in (X, Y) for part in np.array_split(A.reshape(-1).view(np.uint8), threads())
    ]
    return lambda: list(pool.map(np.max, parts)), None


CONTENDERS: dict[str, Contender] = {
    names.UNITDOT: _unitdot,
    names.FLOAT32: _unitdot,
    names.ONE_THREAD: partial(_unitdot, n_threads=1),
    names.WITHOUT_LIMITS: _without_limits,
    names.TWO_AXES: _two_axes,
    names.DENSE_ROWS: _dense_rows,
    names.SKLEARN: _scikit_learn,
    names.SCIPY: _scipy,
    names.NUMKONG: partial(_simd, "numkong", "angular", "angular"),
    names.SIMSIMD: partial(_simd, "simsimd", "cosine", "cosine"),
    names.TORCH: _torch,
    names.FAISS: partial(_faiss, None),
    names.FAISS_INDEX: partial(_faiss, "IndexFlatIP"),
    names.FAISS_PANORAMA: partial(_faiss, "IndexFlatIPPanorama"),
    names.FAISS_RANGE: partial(_faiss, "IndexFlatIP"),
    names.FAISS_RANGE_PANORAMA: partial(_faiss, "IndexFlatIPPanorama"),
    names.FAISS_8_BIT: _faiss_8_bit,
    names.USEARCH: _usearch,
    names.TOPN: _sparse_dot_topn,
    names.INDEX: _index,
    names.INDEX_SOME: partial(_index, step=100),
    names.FAISS_READY: partial(_faiss_ready, "IndexFlatIP"),
    names.PANORAMA_READY: partial(_faiss_ready, "IndexFlatIPPanorama"),
    names.QUANTIZER_READY: partial(_faiss_ready, "QT_8bit"),
    names.TOPN_READY: _topn_ready,
    names.BUILD: _build,
    names.ADD: _add,
    names.OPEN: _open,
    names.UNIT_ROWS: _unit_rows,
    names.DASK_1: partial(on_dask, "unitdot", 1, 1),
    names.DASK_2: partial(on_dask, "unitdot", 2, 1),
    names.DASK_THREADS: partial(on_dask, "unitdot", 1, 2),
    names.DASK_LOOP: partial(on_dask, "block loop", 2, 1),
    names.DASK_ML: partial(on_dask, "dask-ml", 2, 1),
    names.MATMUL: _matmul,
    names.MATMUL_COPY: _matmul,
    names.SYRK: _syrk,
    names.MATMUL_WIDENED: _matmul_widened,
    names.PARTITION: _partition,
    names.ROW_BLOCKS: _row_blocks,
    names.READ: _read,
}
