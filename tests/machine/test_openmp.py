"""Several OpenMP runtimes in one process: each wheel brings its own, PyTorch shows its to all."""

import sys

import pytest

from ..helpers import run_python

# what another package computes in threads of its own runtime
PEERS = {
    "sklearn": """
        import numpy as np
        from sklearn.metrics import pairwise_distances_argmin
        def theirs(): return pairwise_distances_argmin(X.astype("f8"), Y.astype("f8"))
        """,
    "faiss": """
        import faiss
        def theirs(): return faiss.knn(X, Y, 3)[1]
        """,
    "torch": """
        import torch
        def theirs(): return (torch.from_numpy(X) @ torch.from_numpy(Y).T).numpy()
        """,
}
OURS = """
        import unitdot
        def ours(threads): return unitdot.cosine_top_k(X, Y, k=5, n_threads=threads).indices
        """
IN_TURN = """
        import numpy as np
        X, Y = (np.random.default_rng(s).standard_normal((1500, 128), "f4") for s in range(2))
        {first}
        {second}
        expected, first = ours(1), theirs()
        for _ in range(30):
            assert (ours(2) == expected).all()
            assert np.array_equal(theirs(), first)
        """


@pytest.mark.costly
@pytest.mark.parametrize("we_come_first", [True, False])
@pytest.mark.parametrize("peer", PEERS)
def test_in_turn_with_another_package(peer, we_come_first):
    pytest.importorskip(peer)
    first, second = (OURS, PEERS[peer]) if we_come_first else (PEERS[peer], OURS)
    code = IN_TURN.format(first=first, second=second)
    # a hang is a TimeoutExpired; the threads of two runtimes that spin are slow on a busy machine
    waiting = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    run = run_python(code, **waiting, timeout=120)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="symbols that all libraries see: Linux alone")
@pytest.mark.parametrize("after", ["import unitdot", "first(1)", "first(2)"])
def test_another_runtime_shown_to_all(after, tmp_path):
    """A second copy of the runtime whose names come first, as `import torch` brings: were threads
    started by one and numbered by the other, they would share their working memory."""
    code = f"""
        import ctypes, shutil
        import numpy as np
        import unitdot
        first = lambda threads: unitdot.cosine_similarity(X[:200], n_threads=threads)
        X = np.random.default_rng(0).standard_normal((1500, 128))
        {after}
        maps = [line.split()[-1] for line in open("/proc/self/maps")]
        (runtime,) = {{path for path in maps if "libgomp" in path}}
        copy = shutil.copy(runtime, {str(tmp_path / "libgomp-copy.so")!r})
        ctypes.CDLL(copy, mode=ctypes.RTLD_GLOBAL)
        for threads in 1, 2, 1, 2:
            S = unitdot.cosine_similarity(X, n_threads=threads)
            pairs = unitdot.cosine_pairs(X, threshold=0.1, n_threads=threads)
            above = np.argwhere(np.triu(S >= 0.1, 1))
            assert (np.stack(pairs[:2], 1) == above).all()
            assert (unitdot.cosine_top_k(X, k=1, n_threads=threads).similarities[:, 0]
                    == np.where(np.eye(1500) > 0, -1, S).max(1)).all()
        """
    if not unitdot_has_libgomp():
        pytest.skip("not GNU's OpenMP runtime")
    run = run_python(code, OMP_NUM_THREADS="2")
    assert run.returncode == 0, run.stderr


def unitdot_has_libgomp():
    code = 'import unitdot; print("libgomp" in open("/proc/self/maps").read())'
    return run_python(code).stdout == "True\n"
