"""The demonstration behind ``python -m unitdot``: the main job, on real data, in plain text."""

import platform
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from time import perf_counter

import numpy as np

import unitdot
from unitdot.datasets import StdlibDocs, load_stdlib_docs

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
    _show(neighbours(similarities, docs))
    _show(closest(similarities, docs))
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


def neighbours(similarities: np.ndarray, docs: StdlibDocs) -> Iterator[str]:
    """List the nearest neighbours of a few functions."""
    yield ""
    yield "Nearest neighbours: similarity, name, docstring"
    for name in FUNCTIONS:
        row = int(np.flatnonzero(docs.names == name)[0])
        yield ""
        yield f"  {'':6}  {name:<34} {docs.texts[row]}"
        others = np.delete(np.arange(len(docs.names)), row)
        for i in others[largest(similarities[row, others], N_NEIGHBOURS)]:
            yield f"  {similarities[row, i]:.4f}  {docs.names[i]:<34} {docs.texts[i]}"


def closest(similarities: np.ndarray, docs: StdlibDocs) -> Iterator[str]:
    """List the exact duplicates, then the most similar pairs below similarity 1."""
    rows, columns = pairs(similarities, THRESHOLD)
    values = similarities[rows, columns]
    yield ""
    yield f"Most similar pairs, of {len(values):,} with similarity {THRESHOLD} or more"
    yield ""
    duplicates = np.flatnonzero(values == 1)
    yield f"  exact duplicates (equal embeddings, similarity exactly 1): {len(duplicates)}"
    for i in duplicates:
        yield f"  {'1':<6}  {docs.names[rows[i]]:<40} {docs.names[columns[i]]}"
    yield ""
    yield "  below 1, without the codec modules encodings.*, which are near copies of each other:"
    codec = np.array([name.startswith("encodings.") for name in docs.names])
    shown = np.flatnonzero((values < 1) & ~codec[rows] & ~codec[columns])
    for i in shown[largest(values[shown], N_PAIRS)]:
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


def measure(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Call `function` `RUNS` times: median time in seconds, and the last result.

    Parameters
    ----------
    function : callable
        Takes no arguments and returns an array.

    Returns
    -------
    seconds : float
        Median of the times of the calls.
    result : ndarray
        What the last call returned; no two results are ever held at once.
    """
    times = []
    for _ in range(RUNS):
        result = np.empty(0)  # lets go of the last one
        start = perf_counter()
        result = function()
        times.append(perf_counter() - start)
    return median(times), result


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """Find the `k` largest values, ties to the smaller index.

    Parameters
    ----------
    values : ndarray of shape (n,)
        The values, such as some of a row of a similarity matrix.
    k : int
        How many, at most.

    Returns
    -------
    ndarray of shape (min(k, n),), intp
        Indices into `values`, by descending value.
    """
    return np.argsort(-values, kind="stable")[:k]


def pairs(similarities: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the unordered pairs at or above a threshold, sorted by row and column.

    Parameters
    ----------
    similarities : ndarray of shape (n, n)
        A symmetric similarity matrix.
    threshold : float
        Smallest value reported.

    Returns
    -------
    rows, columns : ndarray of shape (n_pairs,), intp
        Indices of each pair, ``rows < columns``.
    """
    rows, columns = np.nonzero(similarities >= threshold)
    upper = rows < columns
    return rows[upper], columns[upper]


def _show(lines: Iterable[str]) -> None:
    """Print lines, cut to `WIDTH` columns, at once."""
    for line in lines:
        line = line.rstrip()
        print(line if len(line) <= WIDTH else line[: WIDTH - 3] + "...", flush=True)
