"""The demonstration behind ``python -m unitdot``: the main job, on real data, in plain text."""

import platform
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np

import unitdot
from unitdot._results import Pairs, TopK
from unitdot.datasets import StdlibDocs, load_stdlib_docs

Result = TypeVar("Result")

WIDTH = 100  # columns, the longest line printed
RUNS = 5
FUNCTIONS = (
    "json.dumps",
    "gzip.open",
    "math.sqrt",
    "posix.remove",
    "collections.Counter.most_common",
)
N_NEIGHBOURS = 4
THRESHOLD = 0.9
N_PAIRS = 10


def run() -> None:
    """Print the demonstration, each part as soon as it is known."""
    docs = load_stdlib_docs()
    _show(heading(docs))
    seconds, similarities = measure(lambda: unitdot.cosine_similarity(docs.embeddings))
    _show(speed(seconds, *docs.embeddings.shape))
    top_k_seconds, top_k = measure(lambda: unitdot.cosine_top_k(docs.embeddings, k=N_NEIGHBOURS))
    _show(neighbours(top_k_seconds, top_k, docs))
    pairs_seconds, pairs = measure(
        lambda: unitdot.cosine_pairs(docs.embeddings, threshold=THRESHOLD)
    )
    _show(closest(pairs_seconds, pairs, docs))
    # Last, so that the threads of its BLAS cannot disturb the times above.
    _show(comparison(seconds, similarities, docs.embeddings))


def heading(docs: StdlibDocs) -> Iterator[str]:
    """Say what runs where."""
    config = unitdot.show_config(mode="dicts")
    n_samples, n_features = docs.embeddings.shape
    openmp = "with OpenMP" if config["openmp"] else "built without OpenMP"
    yield f"unitdot {config['version']}, cosine similarity of every pair of rows"
    yield ""
    yield f"  data      {n_samples:,} docstrings of Python's standard library,"
    yield f"            all-MiniLM-L6-v2 embeddings, {n_features} features, {docs.embeddings.dtype}"
    yield f"  kernels   {config['instruction_set']}, threads: {config['threads']}, {openmp}"
    yield (
        f"  machine   {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def speed(seconds: float, n_samples: int, n_features: int) -> Iterator[str]:
    """Say how long the matrix took and what rate that is."""
    # S is symmetric: n (n + 1) / 2 dot products, each of n_features multiply-adds.
    flop = n_samples * (n_samples + 1) * n_features
    yield f"  time      {seconds * 1e3:.1f} ms, median of {RUNS} runs"
    yield (
        f"  rate      {n_samples**2 / seconds / 1e6:,.1f} million pairs of rows a second "
        f"({n_samples:,} x {n_samples:,})"
    )
    yield (
        f"            {flop / seconds / 1e9:,.1f} GFLOP/s, (i, j) and (j, i) counted as one product"
    )


def neighbours(seconds: float, top_k: TopK, docs: StdlibDocs) -> Iterator[str]:
    """List the nearest neighbours of a few functions."""
    yield ""
    yield f"Nearest neighbours of all rows in {seconds * 1e3:.1f} ms, without that matrix; a few:"
    for name in FUNCTIONS:
        row = int(np.flatnonzero(docs.names == name)[0])
        yield ""
        yield f"  {'':6}  {name:<34} {docs.texts[row]}"
        for similarity, i in zip(top_k.similarities[row], top_k.indices[row], strict=True):
            yield f"  {similarity:.4f}  {docs.names[i]:<34} {docs.texts[i]}"


def closest(seconds: float, pairs: Pairs, docs: StdlibDocs) -> Iterator[str]:
    """List the exact duplicates, then the most similar pairs below similarity 1."""
    rows, columns, values = pairs.rows, pairs.columns, pairs.similarities
    yield ""
    yield (
        f"All {len(values):,} pairs with similarity {THRESHOLD} or more in {seconds * 1e3:.1f} ms, "
        f"without that matrix"
    )
    yield ""
    duplicates = np.flatnonzero(values == 1)
    yield f"  exact duplicates (equal embeddings, similarity exactly 1): {len(duplicates)}"
    for i in duplicates:
        yield f"  {'1':<6}  {docs.names[rows[i]]:<40} {docs.names[columns[i]]}"
    yield ""
    yield "  the most similar below 1, without the codecs encodings.*, near copies of each other:"
    codec = np.array([name.startswith("encodings.") for name in docs.names])
    shown = np.flatnonzero((values < 1) & ~codec[rows] & ~codec[columns])
    for i in shown[np.argsort(-values[shown], kind="stable")[:N_PAIRS]]:
        yield f"  {values[i]:.4f}  {docs.names[rows[i]]:<40} {docs.names[columns[i]]}"


def comparison(seconds: float, similarities: np.ndarray, embeddings: np.ndarray) -> Iterator[str]:
    """Compare time and values with scikit-learn's, where that is installed."""
    yield ""
    try:
        import sklearn
        from sklearn.metrics.pairwise import cosine_similarity
    except ImportError:
        yield "scikit-learn is not installed, so there is no comparison: pip install scikit-learn"
        return
    # It would compute float16 in float64: float32, made beforehand, is its quickest.
    X = embeddings.astype(np.float32)
    sklearn_seconds, difference = measure(lambda: cosine_similarity(X))
    difference -= similarities
    apart = max(difference.max(), -difference.min())
    yield f"scikit-learn {sklearn.__version__} on the same rows, converted to float32 beforehand"
    yield ""
    yield (
        f"  time      {sklearn_seconds * 1e3:.1f} ms, median of {RUNS} runs: "
        f"unitdot takes {seconds / sklearn_seconds:.2f} of it"
    )
    yield f"  values    largest difference {apart:.1e}"


def measure(function: Callable[[], Result]) -> tuple[float, Result]:
    """Call `function` `RUNS` times: median time in seconds, and the last result.

    Parameters
    ----------
    function : callable
        Takes no arguments.

    Returns
    -------
    seconds : float
        Median of the times of the calls.
    result
        What the last call returned; no two results are ever held at once.
    """
    times = []
    for run in range(RUNS):
        start = perf_counter()
        result = function()
        times.append(perf_counter() - start)
        if run < RUNS - 1:
            del result
    return median(times), result


def _show(lines: Iterable[str]) -> None:
    """Print lines, cut to `WIDTH` columns, at once."""
    for line in lines:
        line = line.rstrip()
        print(line if len(line) <= WIDTH else line[: WIDTH - 3] + "...", flush=True)
