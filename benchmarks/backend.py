"""scikit-learn as it is, and under ``unitdot.sklearn_backend()``: ``python -m benchmarks.backend``.

Every measurement is a process of its own, in rounds (without, with, without, with ...); figures are
medians of the rounds, one call each after a small one. Data are 100 clusters of rows, float32,
cosine 0.8 within and 0 between them. The answers must agree, or the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import numpy as np

from .machine import describe, usable_cores

FEATURES = 384
SMALL = 300  # rows of the call that warms up
SEARCHES = 16  # after so many, an estimator of 50,000 rows has an index


def data(n_rows: int, seed: int = 0):
    """Rows and the clusters that they are of."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(100).standard_normal((100, FEATURES), np.float32)
    labels = rng.permutation(n_rows) % 100
    return centres[labels] + 0.5 * rng.standard_normal((n_rows, FEATURES), np.float32), labels


def similarity(X, Q, labels):
    from sklearn.metrics.pairwise import cosine_similarity

    return lambda: cosine_similarity(Q, X).mean()


def kneighbors(X, Q, labels):
    from sklearn.neighbors import NearestNeighbors

    neighbors = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(X)
    return lambda: neighbors.kneighbors(Q)[0].mean()


def kneighbors_again(X, Q, labels):
    call = kneighbors(X, Q, labels)
    for _ in range(SEARCHES):
        call()
    return call


def radius_neighbors(X, Q, labels):
    from sklearn.neighbors import NearestNeighbors

    neighbors = NearestNeighbors(radius=0.17, metric="cosine", algorithm="brute").fit(X)
    return lambda: sum(map(len, neighbors.radius_neighbors(Q)[0]))


def dbscan(X, Q, labels):
    from sklearn.cluster import DBSCAN

    return lambda: DBSCAN(eps=0.17, metric="cosine").fit(X).labels_.mean()


def agglomerative(X, Q, labels):
    from sklearn.cluster import AgglomerativeClustering

    clusters = AgglomerativeClustering(100, metric="cosine", linkage="average")
    return lambda: clusters.fit(X).labels_.mean()


def silhouette(X, Q, labels):
    from sklearn.metrics import silhouette_score

    return lambda: silhouette_score(X, labels, metric="cosine")


# name: (what it is called, the work, rows of X, queries or None)
CASES: dict[str, tuple[str, Callable, int, int | None]] = {
    "query": ("cosine_similarity, 1 in 100,000", similarity, 100_000, 1),
    "kneighbors": ("kneighbors, k = 10, 2,000 in 50,000", kneighbors, 50_000, 2_000),
    "kneighbors-query": ("kneighbors, k = 10, 1 in 50,000", kneighbors, 50_000, 1),
    "kneighbors-again": (
        f"kneighbors after {SEARCHES} times, k = 10, 1 in 50,000",
        kneighbors_again,
        50_000,
        1,
    ),
    "kneighbors-self": ("kneighbors(), k = 10, of 20,000", kneighbors, 20_000, None),
    "radius": ("radius_neighbors, 2,000 in 50,000", radius_neighbors, 50_000, 2_000),
    "dbscan": ("DBSCAN, 20,000", dbscan, 20_000, None),
    "agglomerative": ("AgglomerativeClustering, average, 5,000", agglomerative, 5_000, None),
    "silhouette": ("silhouette_score, 10,000", silhouette, 10_000, None),
}


def child(name: str, switch: bool) -> None:
    """Print the seconds of one call, and its answer."""
    _, work, n_rows, n_queries = CASES[name]
    X, labels = data(n_rows)
    Q = None if n_queries is None else data(n_queries, seed=1)[0]
    context = nullcontext()
    if switch:
        import unitdot

        context = unitdot.sklearn_backend()
    with context:
        work(X[:SMALL], None if Q is None else Q[:SMALL], labels[:SMALL])()
        call = work(X, Q, labels)
        start = perf_counter()
        answer = call()
        print(json.dumps([perf_counter() - start, float(answer)]))


def launch(name: str, switch: bool, threads: int) -> list[float]:
    """What a child says."""
    variables = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    command = [sys.executable, "-m", "benchmarks.backend", "--child", name]
    run = subprocess.run(
        command + ["--switch"] * switch,
        env=os.environ | dict.fromkeys(variables, str(threads)),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(run.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backend")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, usable_cores()))
    parser.add_argument("--child", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--switch", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.switch)
        return 0
    machine = describe()
    versions = ", ".join(f"{k} {machine['versions'][k]}" for k in ("numpy", "scikit-learn"))
    print(f"{machine['cpu']}, {args.threads} threads, {versions}\n")
    print(f"| {FEATURES} features | scikit-learn | with unitdot | of its time |\n|---|---|---|---|")
    wrong = 0
    for name in args.cases:
        rounds = [
            [launch(name, on, args.threads) for on in (False, True)] for _ in range(args.rounds)
        ]
        without, with_it = (median(round[on][0] for round in rounds) for on in (0, 1))
        agree = all(np.isclose(*(answer for _, answer in round), rtol=1e-4) for round in rounds)
        wrong += not agree
        title = CASES[name][0] + ("" if agree else " (answers differ)")
        times = (f"{1e3 * t:.3g} ms" if t < 1 else f"{t:.3g} s" for t in (without, with_it))
        print(f"| {title} | {' | '.join(times)} | {with_it / without:.2f} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
