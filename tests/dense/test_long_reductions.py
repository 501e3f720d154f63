"""Long work: progress, memory, Ctrl-C, files larger than memory."""

import json
import os
import sys

import numpy as np
import pytest

import unitdot

from ..helpers import PEAK, assert_same_bits, function, normal, run_python
from ..neighbors import CHECKS, sorted_matrix

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
by_name = pytest.mark.parametrize("name", CHECKS)
OWN = {"cosine_top_k": {"k": 3}, "cosine_pairs": {"threshold": 0.95}}
# several superblocks each; the last of their rows may need care
SHAPES = {
    "self-join": ((600, 4200), None),
    "two matrices": ((390, 4096), (260, 4096)),
    "Y streams past X": ((9, 16), (100_000, 16)),
}


# ---- progress


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("shapes", SHAPES)
@by_name
def test_progress_ascends_to_the_total(name, shapes, careful):
    X, Y = (None if shape is None else normal(shape, np.float32) for shape in SHAPES[shapes])
    if careful:
        (X if Y is None else Y)[-3] *= np.float32(1e-30)
    calls = []
    function(name)(X, Y, **OWN[name], progress=lambda *call: calls.append(call), n_threads=1)
    done, totals = zip(*calls, strict=True)
    assert len(calls) > 2
    assert len(set(totals)) == 1
    assert list(done) == sorted(set(done))
    assert 0 < done[0] < done[-1] == totals[-1]


@by_name
def test_errors_of_progress_propagate(name, isa):
    X = normal((600, 4200), np.float32)
    expected = function(name)(X, **OWN[name])

    def fail(done, total):
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match=r"\d+ of \d+"):
        function(name)(X, **OWN[name], progress=fail)
    for array, again in zip(expected, function(name)(X, **OWN[name]), strict=True):
        assert_same_bits(again, array)


@by_name
def test_progress_bar(name, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr("unitdot._progress.DELAY", 0)
    X = normal((600, 4200), np.float32)
    function(name)(X, **OWN[name], progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert {"cosine_top_k": "neighbours", "cosine_pairs": "pairs"}[name] in printed.err
    assert "100%" in printed.err


# ---- memory

MEMORY = """
    import ctypes
    import numpy as np, unitdot

    X = np.random.default_rng(0).standard_normal((20_000, 64), np.float32)
    unitdot.{name}(X[:50], **{own})
    ctypes.CDLL(None).malloc_trim(0)
    forget_peak()
    before = peak()
    result = unitdot.{name}(X, **{own}, n_threads={n_threads})
    print(peak() - before, sum(array.nbytes for array in result) / 2**20)
    """


@linux
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("cosine_top_k", {"k": 4}),
        ("cosine_top_k", {"k": 4, "include_self": True}),
        ("cosine_top_k", {"k": 40}),  # by blocks of rows
        ("cosine_pairs", {"threshold": 0.45}),
        ("cosine_pairs", {"threshold": 0.2}),
    ],
)
def test_memory(name, own, n_threads):
    """The result, a list of the pairs of some rows, and 16 MiB a thread; the matrix is 1.5 GiB."""
    run = run_python(PEAK + MEMORY.format(name=name, own=own, n_threads=n_threads))
    assert run.returncode == 0, run.stderr
    grown, result = map(float, run.stdout.split())
    # pairs wait, in buffers that grow by half, until their rows have met all others
    waiting = 2 * result if name == "cosine_pairs" else 0
    assert grown < result + waiting + 16 * n_threads


@linux
def test_pairs_that_memory_cannot_hold():
    code = """
        import resource
        import numpy as np, unitdot
        X = np.random.default_rng(0).standard_normal((30_000, 8), np.float32)
        few = unitdot.cosine_pairs(X[:2000], threshold=0.9)
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, -1))
        for _ in range(3):
            try:
                unitdot.cosine_pairs(X, threshold=-1)
            except MemoryError as error:
                print(error)
            again = unitdot.cosine_pairs(X[:2000], threshold=0.9)
            assert all(map(np.array_equal, few, again))
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        found = int(line.split(" pairs found")[0].replace(",", ""))
        assert 1_000_000 < found < 2**30 / 16
        assert "higher threshold" in line


@linux
@by_name
def test_memory_map_larger_than_the_memory(name, tmp_path):
    """Nearly all of the file is a hole; some rows of it were written."""
    n, path = 1_500_000, tmp_path / "corpus.f32"
    written = np.sort(np.random.default_rng(0).choice(n, 500, replace=False))
    with path.open("wb") as file:
        file.truncate(n * 64 * 4)
    corpus = np.memmap(path, np.float32, "r+", shape=(n, 64))
    corpus[written] = normal((500, 64), np.float32)
    corpus.flush()
    np.save(tmp_path / "queries.npy", normal((3, 64), np.float32, seed=1))
    own = {"cosine_top_k": {"k": 10}, "cosine_pairs": {"threshold": 0.25}}[name]
    code = f"""
        import resource
        import numpy as np, unitdot
        corpus = np.memmap({str(path)!r}, np.float32, "r", shape=({n}, 64))
        queries = np.load({str(tmp_path / "queries.npy")!r})
        resource.setrlimit(resource.RLIMIT_DATA, (250 * 2**20, -1))
        try:
            np.array(corpus)
        except MemoryError:
            print("too large to be copied")
        result = unitdot.{name}(queries, corpus, **{own}, n_threads=2)
        np.savez({str(tmp_path / "result.npz")!r}, **result._asdict())
        """
    run = run_python(code)
    assert run.stdout == "too large to be copied\n", run.stderr
    queries = np.load(tmp_path / "queries.npy")
    # rows that were not written have similarity 0, less than those that are looked for
    S = unitdot.cosine_similarity(queries, corpus[written])
    with np.load(tmp_path / "result.npz") as result:
        if name == "cosine_top_k":
            best = sorted_matrix(S)
            assert (best.similarities[:, 9] > 0).all()
            assert (result["indices"] == written[best.indices[:, :10]]).all()
            assert_same_bits(result["similarities"], best.similarities[:, :10])
        else:
            rows, columns = np.nonzero(np.float32(0.25) <= S)
            assert len(rows) > 0
            assert (result["rows"] == rows).all()
            assert (result["columns"] == written[columns]).all()
            assert_same_bits(result["similarities"], S[rows, columns])


# ---- Ctrl-C

INTERRUPTS = """
    import ctypes, json, os, signal, threading, time
    import numpy as np, unitdot

    signal.signal(signal.SIGINT, signal.default_int_handler)
    {setup}
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def resident():
        ctypes.CDLL(None).malloc_trim(0)
        return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    latencies, sizes = [], []
    for count in range({count}):
        timer = threading.Timer(0.05, interrupt)
        try:
            timer.start()
            unitdot.{call}
            raise SystemExit("the work ended before it was interrupted")
        except KeyboardInterrupt:
            latencies.append(time.perf_counter() - sent[-1])
        timer.join()
        sizes.append(resident())
    X = X[:300, :1000].copy()
    expected = unitdot.cosine_top_k(X, k=3, n_threads=1)
    assert all(map(np.array_equal, expected, unitdot.cosine_top_k(X, k=3)))
    print(json.dumps([latencies, sizes]))
    """


def random_rows(n):
    return f"X = np.random.default_rng(0).standard_normal(({n}, 64), np.float32)"


def one_row(n, n_features):
    """As many rows as wanted, in the memory of one."""
    return f"X = np.broadcast_to(np.arange(1.0, {n_features + 1}), ({n}, {n_features}))"


SPARSE = """import scipy.sparse
    X = scipy.sparse.random_array(({}, 300), density=0.05, rng=0).tocsr()"""
LONG = {
    "top-k": (random_rows(200_000), "cosine_top_k(X, k=10)"),
    "few pairs": (random_rows(200_000), "cosine_pairs(X, threshold=0.9)"),
    "many pairs": (random_rows(60_000), "cosine_pairs(X, threshold=0.3)"),
    "matrix": (one_row(6000, 100_000), "cosine_similarity(X)"),
    "two matrices": (one_row(6000, 100_000), "cosine_distances(X, X[:])"),
    "checked for out": (one_row(40_000, 100_000), "cosine_distances(X, X[:9], out=out)"),
    "few rows": (one_row(6, 4_000_000), "cosine_similarity(np.broadcast_to(X, (900, *X.shape)))"),
    "stack": (one_row(200, 60_000), "cosine_similarity(np.broadcast_to(X, (900, *X.shape)))"),
    "paired": (one_row(40_000, 100_000), "paired_cosine_similarity(X, X)"),
    "sparse matrix": (SPARSE.format(60_000), "cosine_similarity(X, X[:6000])"),
    "sparse product": (SPARSE.format(20_000), "cosine_similarity(X, dense_output=False)"),
    "sparse top-k": (SPARSE.format(60_000), "cosine_top_k(X)"),
    "sparse pairs": (SPARSE.format(60_000), "cosine_pairs(X, threshold=0.6)"),
}


@linux
@pytest.mark.parametrize("work", LONG)
def test_interrupts(work):
    """Within a second, and a little on a busy machine; again and again, and nothing is kept.

    UNITDOT_INTERRUPTS: how often (5; releases are tried with 100).
    """
    setup, call = LONG[work]
    if "scipy" in setup:
        pytest.importorskip("scipy.sparse")
    if "out=out" in call:
        setup += "; out = np.empty((len(X), 9))"
    count = int(os.environ.get("UNITDOT_INTERRUPTS", "5"))
    run = run_python(INTERRUPTS.format(setup=setup, call=call, count=count), timeout=60 + 5 * count)
    assert run.returncode == 0, run.stderr
    latencies, sizes = json.loads(run.stdout)
    print(
        f"{len(latencies)} interrupts: {max(latencies):.2f} s at most, {sizes[2]:.0f} MiB "
        f"after the third, {sizes[-1]:.0f} MiB after the last"
    )
    assert len(latencies) == count
    assert max(latencies) < 5
    # one block of working memory, at most 32 MiB, is kept from call to call
    assert max(sizes[3:]) < sizes[2] + 40
