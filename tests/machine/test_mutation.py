"""Another thread writes to the input, or cuts the file under it, while a call runs.

Results are then as wrong as what was read; but nothing is read or written where it must not be,
and the next call is right. Each test runs in a process of its own, which has to survive.
"""

import signal
import sys

import numpy as np
import pytest

from unitdot._sparse import blocks

from ..helpers import ISAS, run_python

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")

WRITER = """
    import threading, time
    import numpy as np, unitdot

    rng = np.random.default_rng(0)
    {arrays}
    whole = [array.copy() for array in written]
    broken = {broken}
    calls = [
        lambda **own: unitdot.cosine_similarity(X, Y, **own),
        lambda **own: unitdot.cosine_distances(X, **own),
        lambda **own: unitdot.paired_cosine_similarity(X, Z, **own),
        lambda **own: unitdot.cosine_top_k(X, Y, 3, **own),
        lambda **own: unitdot.cosine_top_k(X, k=3, **own),
        lambda **own: unitdot.cosine_pairs(X, Y, threshold=0.3, **own),
        lambda **own: unitdot.cosine_pairs(X, threshold=-1e-9, **own),
        {more_calls}
    ]

    def parts(result):
        if hasattr(result, "indptr"):
            result = result.data, result.indices, result.indptr
        return result if isinstance(result, tuple) else (result,)

    expected = [parts(call()) for call in calls]
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for values in (broken, whole):
                for array, other in zip(written, values):
                    array[...] = other
                time.sleep(0.002 if values is broken else 0.003)

    writer = threading.Thread(target=write)
    writer.start()
    refused = wrong = 0
    for _ in range({repeats}):
        for call, right in zip(calls, expected):
            try:
                result = parts(call(n_threads=2))
            except ValueError:  # what was written is not valid, and was seen
                refused += 1
            else:
                wrong += not all(map(np.array_equal, result, right))
    stop.set()
    writer.join()
    for call, right in zip(calls, expected):
        assert all(map(np.array_equal, parts(call(n_threads=2)), right))
    print(refused, wrong)
    """
# nothing is sliced while the writer writes: SciPy counts what a slice holds, and then fills it
CSR = """
    from scipy import sparse
    X, Y, Z = (sparse.random(n, 300, 0.05, "csr", rng=rng) for n in (500, 600, 500))
    """
PRODUCT = "lambda **own: unitdot.cosine_similarity(X, Y, dense_output=False, **own),"
WRITTEN = {
    # arrays, what is written to, and what with
    "sparse indices": (
        CSR + "written = [X.indices, Y.indices, Z.indices]",
        "[rng.integers(-(2**31), 2**31, len(a), np.int32) for a in written]",
        PRODUCT,
    ),
    "sparse indices, within range": (
        CSR + "written = [X.indices, Y.indices, Z.indices]",
        "[np.full_like(a, 7) for a in written]",
        PRODUCT,
    ),
    "sparse indices of 64 bits": (
        CSR
        + """
        for M in (X, Y, Z): M.indices, M.indptr = map(np.int64, (M.indices, M.indptr))
        written = [X.indices, Y.indices, Z.indices]""",
        "[rng.integers(-(2**63), 2**63, len(a), np.int64) for a in written]",
        PRODUCT,
    ),
    "sparse starts": (
        CSR + "written = [X.indptr, Y.indptr, Z.indptr]",
        "[np.where(np.arange(len(a)) % 2, 0, a[-1]).astype(a.dtype) for a in written]",
        PRODUCT,
    ),
    "sparse values": (
        CSR + "written = [X.data, Y.data, Z.data]",
        "[rng.choice([np.nan, np.inf, -1, 1e300, 0], len(a)) for a in written]",
        PRODUCT,
    ),
    "dense beside sparse": (
        CSR + "Y = np.where(rng.random((600, 300)) < 0.1, 1.0, 0.0); Z, written = Y[:500], [Y]",
        "[rng.choice([0, 1, -1, np.nan], a.shape) for a in written]",
        "",
    ),
    "dense": (
        "X, Y = (rng.standard_normal((n, 200)) for n in (300, 2000)); Z, written = Y[:300], [X, Y]",
        "[rng.choice([0, 1, -1e-200, 1e300, np.nan], (len(a), 1)) * a for a in written]",
        "lambda **own: unitdot.cosine_similarity(X[:1], Y, check_finite=False, **own),"
        "lambda **own: unitdot.cosine_similarity(X[:9].reshape(3, -1), **own),",
    ),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_input_that_another_thread_writes_to(what):
    arrays, broken, more_calls = WRITTEN[what]
    if "sparse" in what:
        pytest.importorskip("scipy.sparse")
    arrays = "\n    ".join(line.strip() for line in arrays.splitlines())
    code = WRITER.format(arrays=arrays, broken=broken, more_calls=more_calls, repeats=10)
    run = run_python(code, OMP_WAIT_POLICY="passive", timeout=600)
    assert run.returncode == 0, run.stderr
    refused, wrong = map(int, run.stdout.split())
    assert refused + wrong > 0, "the writer came too late, or too early, every time"


@pytest.mark.parametrize("isa", ISAS)
def test_a_product_never_holds_more_than_was_counted(isa):
    """Between the two passes X comes to share its features with far more rows of Y."""
    pytest.importorskip("scipy.sparse")
    vectors = blocks.VECTORS.get(isa, 0)
    code = f"""
        import numpy as np
        from scipy import sparse
        from unitdot._kernels import sparse as kernels
        rng = np.random.default_rng(0)
        X, Y = (np.where(rng.random((n, 300)) < 0.04, 1.0, 0) for n in (50, 4032))
        X[:, :5], Y[:, :5] = 0, 1
        X, Y = sparse.csr_array(X), sparse.csr_array(Y)
        sides = [
            kernels.Rows.of_csr(M.data, M.indices, M.indptr, 300, False, False, 1) for M in (X, Y)
        ]
        index = kernels.Index(sides[1], 0, 4032, False, True)
        counts, starts = np.zeros(50, np.int64), np.zeros(51, np.int64)
        kernels.count_entries(sides[0], index, 0, 50, counts, 2, {vectors})
        np.cumsum(counts, out=starts[1:])
        values, indices = np.full(starts[-1] + 9999, np.inf), np.full(starts[-1] + 9999, -1)
        X.indices[: X.indptr[25]] = 2
        position = starts[:-1].copy()
        kernels.fill_entries(*sides, index, 0, 50, position, starts, values, indices, 2, {vectors})
        assert (position[:25] <= starts[1:26]).all() and (position[25:] == starts[26:]).all()
        assert (indices[: starts[25]] == -1).any() and (indices[starts[25] : starts[-1]] >= 0).all()
        assert (indices[starts[-1] :] == -1).all() and np.isinf(values[starts[-1] :]).all()
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr


def test_lists_of_features_never_hold_more_than_was_counted():
    """A million entries all become one feature's, or come to be another's between two passes."""
    code = """
        import threading
        import numpy as np
        from unitdot._kernels import sparse as kernels
        n = 1000
        indices = np.tile(np.arange(n, dtype=np.int32), n)
        starts = np.arange(0, n * n + 1, n, dtype=np.int32)
        rows = kernels.Rows.of_csr(np.ones(n * n), indices, starts, n, False, False, 1)
        indices[:] = 7
        kernels.PairIndex(rows, rows, 0.9, True, True, False, 1)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                for feature in (0, n - 1):
                    indices[:] = feature

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(10):
            kernels.PairIndex(rows, rows, 0.9, True, True, False, 1)
            kernels.Index(rows, 0, n, False, True)
        stop.set()
        writer.join()
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr


def test_values_that_become_nan_before_the_heaviest_entries_are_met():
    """Feature 0 has a short list; AddressSanitizer sees it if one asks for its heaviest entries."""
    code = """
        import numpy as np
        from unitdot._kernels import sparse as kernels
        indices = np.concatenate([[0, 1, 2] * 3, [1, 2] * 1997]).astype(np.int32)
        starts = np.concatenate([[0, 3, 6], np.arange(9, 4004, 2)]).astype(np.int32)
        values, first_row = np.ones(3), np.array([0, 3], np.int32)
        Y = kernels.Rows.of_csr(np.ones(len(indices)), indices, starts, 3, True, False, 1)
        X = kernels.Rows.of_csr(values, indices[:3], first_row, 3, True, False, 1)
        index = kernels.Index(Y, 0, 2000, True, True)
        values[:] = np.nan
        found = np.empty((1, 5)), np.empty((1, 5), np.int64), np.zeros(1, np.int64)
        kernels.search(X, Y, index, 0, 1, False, 0, *found, True, False, 1)
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr


@linux
@pytest.mark.parametrize("reader", ["unitdot.cosine_similarity(X)", "X.sum()"])
def test_a_file_that_is_cut_ends_the_process_as_it_does_with_numpy(reader, tmp_path):
    """The system's SIGBUS, which no library can turn into an error for the whole process."""
    path = tmp_path / "X.f32"
    np.ones((1000, 4096), np.float32).tofile(path)
    code = f"""
        import os
        import numpy as np, unitdot
        X = np.memmap({str(path)!r}, np.float32, "r", shape=(1000, 4096))
        os.truncate({str(path)!r}, 4096)
        {reader}
        """
    assert run_python(code).returncode == -signal.SIGBUS


def test_arrays_that_nobody_else_holds_live_until_the_call_ends():
    code = """
        import threading
        import numpy as np, unitdot
        held = {"X": np.random.default_rng(0).standard_normal((1500, 800))}
        expected = unitdot.cosine_similarity(held["X"])
        results = []
        worker = threading.Thread(
            target=lambda: results.append(unitdot.cosine_similarity(held.pop("X")))
        )
        worker.start()
        while worker.is_alive():
            np.empty((1500, 800)).fill(np.nan)  # where X was, were it free
        assert np.array_equal(results[0], expected)
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr
