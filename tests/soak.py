"""Soak: every function, called at random from threads and forked children, for as long as is asked.

    python -m tests.soak --minutes 60

Each of a deck of problems is first solved by one thread, alone. Then Python threads draw problems,
lay their arrays out anew, choose a number of threads, and compare every bit; some calls must fail,
and do; and again and again one of the threads forks a child, in the middle of everything, that
solves some too. Prints its figures every minute and ends with 1 at the first difference, at a child
that hangs, or where memory has grown.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings

import numpy as np

import unitdot

from .helpers import LAYOUTS, MATRIX, PAIRED, function, normal
from .sparse.data import sparse

NAMES = (*MATRIX, *PAIRED, "cosine_top_k", "cosine_pairs")
PROBLEMS = 400
SPARSE_FORMATS = ("csr", "csc", "coo", "lil")
CHILD_CALLS, CHILD_SECONDS = 5, 300
# all is warm once each problem has been drawn so many times; what may come after is fragments
WARM, GROWTH = 20, 40  # draws, MiB
ARENA_MAX = -8  # of glibc's mallopt


def random_problem(seed):
    """(name, arrays, keywords): anything that a function takes; many are small, some are not."""
    rng = np.random.default_rng(seed)
    name = NAMES[seed % len(NAMES)]
    n, m = (int(2 ** rng.uniform(0, 9)) + 1 for _ in range(2))
    shape = [(n, m, int(2 ** rng.uniform(0, 10))), (2, 5, 30_000), (1, 4000, 64), (900, 900, 64)][
        rng.choice(4, p=[0.85, 0.05, 0.05, 0.05])
    ]
    n, m, n_features = shape
    if name in PAIRED:
        m = n
    kind = rng.choice(["dense", "stack", "sparse", "mixed"], p=[0.55, 0.1, 0.2, 0.15])
    if kind == "stack" and name in ("cosine_top_k", "cosine_pairs"):
        kind = "dense"
    dtype = rng.choice(["f4", "f4", "f8", "f8", "f2", "i1", "?"])

    def matrix(rows):
        lead = (2,) if kind == "stack" else ()
        values = rng.standard_normal((*lead, rows, n_features))
        values[rng.random(values.shape) < (0.9 if kind in ("sparse", "mixed") else 0.02)] = 0
        values = (100 * values).clip(-100, 100).astype(dtype)
        if dtype in ("f4", "f8") and rng.random() < 0.2:
            values[..., rng.integers(rows), :] *= values.dtype.type(1e-30)
        return values

    arrays = [matrix(n)]
    if name in PAIRED or n == 1 or rng.random() < 0.6:
        arrays.append(matrix(m))
    if kind in ("sparse", "mixed"):
        arrays[0] = sparse.csr_array(arrays[0].astype("f4") if dtype == "f2" else arrays[0])
    if kind == "sparse" and len(arrays) > 1:
        arrays[1] = sparse.csr_array(arrays[1].astype("f4") if dtype == "f2" else arrays[1])
    keywords = {
        "zero": rng.choice(["zero", "nan"]).item(),
        "check_finite": bool(rng.random() < 0.8),
    }
    if rng.random() < 0.3:
        keywords["dtype"] = rng.choice(["f4", "f8"]).item()
    if name == "cosine_top_k":
        candidates = arrays[-1].shape[0] - (len(arrays) == 1)
        keywords["k"] = int(rng.integers(1, min(candidates, 20) + 1))
    if name == "cosine_pairs":
        keywords["threshold"] = float(rng.choice([-0.1, 0.2, 0.5, 0.9]))
    if name == "cosine_similarity" and kind == "sparse":
        keywords["dense_output"] = bool(rng.random() < 0.5)
    return name, arrays, keywords


def solve(problem, rng=None):
    """The digest of the result; with `rng` in another layout, with other numbers of threads."""
    name, arrays, keywords = problem
    keywords = {**keywords, "n_threads": 1}
    if rng is not None:
        arrays = [laid_out(array, rng) for array in arrays]
        keywords["n_threads"] = [None, 1, 2, 3][rng.integers(4)]
        if name in ("cosine_top_k", "cosine_pairs") and rng.random() < 0.3:
            keywords["progress"] = lambda done, total: None
    result = function(name)(*arrays, **keywords)
    if sparse.issparse(result):
        result = (result.data, result.indices, result.indptr)
    digest = hashlib.blake2b(digest_size=16)
    for part in result if isinstance(result, tuple) else (result,):
        part = np.asarray(part)
        digest.update(f"{part.dtype.str} {part.shape}".encode())
        digest.update(part.tobytes())
    return digest.digest()


def laid_out(array, rng):
    """The same values: another layout in memory, or another sparse format."""
    if sparse.issparse(array):
        return array.asformat(SPARSE_FORMATS[rng.integers(len(SPARSE_FORMATS))])
    if array.ndim > 2:
        return array
    return list(LAYOUTS.values())[rng.integers(len(LAYOUTS))](array)


def must_fail(rng):
    """Calls that are refused, or end with the caller's own error, half way."""
    X = normal((300, 200), np.float32, seed=int(rng.integers(1000)))
    if rng.random() < 0.5:
        row, column = rng.integers(300), rng.integers(200)
        X[row, column] = np.nan
        expected, message = ValueError, f"row {row}, column {column}"
        arguments = {}
    else:
        X = np.concatenate([X] * 30)
        expected, message = LookupError, "enough"

        def stop(done, total):
            raise LookupError("enough")

        arguments = {"progress": stop}
    try:
        unitdot.cosine_top_k(X, k=3, **arguments)
    except expected as error:
        said = str(error)
    else:
        raise AssertionError(f"no {expected.__name__}")
    if message not in said:
        raise AssertionError(f"{message!r} is not in {said!r}")


def resident():
    """MiB of memory in use."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Soak:
    """The deck, the answers, and what the threads have done so far."""

    def __init__(self, seed):
        self.seed = seed
        self.problems = [random_problem(seed + i) for i in range(PROBLEMS)]
        self.answers = [solve(problem) for problem in self.problems]
        self.calls = self.failures_asked = self.forks = self.calls_of_children = 0
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.errors = []

    def solve_one(self, rng):
        i = int(rng.integers(PROBLEMS))
        if solve(self.problems[i], rng) != self.answers[i]:
            name, arrays, keywords = self.problems[i]
            shapes = [array.shape for array in arrays]
            raise AssertionError(f"problem {self.seed + i}: {name} of {shapes}, {keywords}")

    def work(self, number):
        rng = np.random.default_rng([self.seed, number])
        try:
            while not self.stop.is_set():
                what = rng.random()
                if what < 0.003:
                    self.fork(rng)
                elif what < 0.02:
                    must_fail(rng)
                    with self.lock:
                        self.failures_asked += 1
                else:
                    self.solve_one(rng)
                    with self.lock:
                        self.calls += 1
        except BaseException:
            self.errors.append(traceback.format_exc())
            self.stop.set()

    def fork(self, rng):
        seed = int(rng.integers(1 << 30))
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                own = np.random.default_rng(seed)
                for _ in range(CHILD_CALLS):
                    self.solve_one(own)
                status = 0
            os._exit(status)
        deadline = time.monotonic() + CHILD_SECONDS
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError(f"a forked child hangs (seed {seed})")
            time.sleep(0.01)
        assert status == 0, f"a forked child ended with {status} (seed {seed})"
        with self.lock:
            self.forks += 1
            self.calls_of_children += CHILD_CALLS

    def run(self, minutes, n_threads):
        """Returns whether all went well."""
        threads = [threading.Thread(target=self.work, args=(i,)) for i in range(n_threads)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        first = None
        while time.monotonic() < start + 60 * minutes and not self.stop.is_set():
            self.stop.wait(min(60, max(0.1, start + 60 * minutes - time.monotonic())))
            size = resident()
            if first is None and self.calls >= WARM * PROBLEMS:
                first = size
            print(
                f"{(time.monotonic() - start) / 60:.1f} minutes: {self.calls:,} calls from "
                f"{n_threads} threads and {self.calls_of_children:,} from {self.forks:,} forked "
                f"children, every bit right; {self.failures_asked:,} errors, as they should be; "
                f"{size:.0f} MiB"
                + ("" if first is None else f", {first:.0f} MiB when all was warm"),
                flush=True,
            )
        self.stop.set()
        for thread in threads:
            thread.join()
        if first is not None and resident() > first + GROWTH:
            self.errors.append(f"memory has grown from {first:.0f} to {resident():.0f} MiB")
        print(*self.errors, sep="\n", file=sys.stderr)
        return not self.errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=4, help="Python threads (default: 4)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
    # fragments of many arenas (glibc has eight for each core) would look like a leak
    ctypes.CDLL(None).mallopt(ARENA_MAX, 1)
    print(f"seed {options.seed}", flush=True)
    sys.exit(0 if Soak(options.seed).run(options.minutes, options.threads) else 1)


if __name__ == "__main__":
    main()
