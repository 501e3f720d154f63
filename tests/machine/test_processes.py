"""Processes: children of every kind, the system's limits, other libraries that use OpenMP."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot._machine.system import available_bytes, cgroup_cpus

from ..helpers import ALL, REDUCTIONS, assert_same_bits, function, normal, run_python

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
openmp = pytest.mark.skipif(
    not unitdot.show_config(mode="dicts")["openmp"], reason="built without OpenMP"
)
CALLS = {"cosine_top_k": {"k": 3}, "cosine_pairs": {"threshold": 0.1}}

# ---- forks in the middle of a call

FORK_IN_PROGRESS = """
    import os, signal, time, warnings
    import numpy as np, unitdot

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
    rng = np.random.default_rng(0)
    X = rng.standard_normal((700, 4200), np.float32)
    {prepare}
    expected = unitdot.{name}(X, **{own}, n_threads=2)
    children = []

    def progress(done, total):
        if not children:
            children.append(os.fork())
            if children[0] == 0:
                signal.alarm(100)
                # another call in the middle of this one
                unitdot.{name}(X[:500], **{own}, n_threads=2)

    found = unitdot.{name}(X, **{own}, n_threads=2, progress=progress)
    assert all(map(np.array_equal, found, expected))
    if children[0] == 0:
        os._exit(42)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 42
    print("done")
    """


@linux
@openmp
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_child_forked_by_a_progress_callback_finishes_the_call(name, kind):
    """Alone: GNU's OpenMP would wait for the threads that it had in the parent."""
    prepare = ""
    if kind == "sparse":
        pytest.importorskip("scipy.sparse")
        prepare = """
    from scipy import sparse
    X = sparse.csr_array(np.where(X[:, :900] > 1.5, 1, 0).astype(np.float32))
    """
    code = FORK_IN_PROGRESS.format(name=name, own=CALLS[name], prepare=prepare)
    run = run_python(code, timeout=200)
    assert run.stdout == "done\n", run.stderr


@linux
@openmp
@pytest.mark.parametrize(
    "call",
    [
        "cosine_similarity(X, n_threads=2)",
        "cosine_similarity(W, n_threads=2)",
        "paired_cosine_similarity(X, X[::-1], n_threads=2)",
    ],
    ids=["segments", "few rows", "paired"],
)
def test_a_child_forked_by_a_signal_handler_finishes_the_call(call):
    """The handler runs where the kernel looks for Ctrl-C, between two parts of its work."""
    code = f"""
        import os, signal, warnings
        import numpy as np, unitdot

        warnings.simplefilter("ignore", DeprecationWarning)
        X = np.broadcast_to(np.arange(1.0, 40_001), (600, 40_000))
        W = np.broadcast_to(np.arange(1.0, 8_000_001), (6, 8_000_000))
        children = []

        def handler(*_):
            if not children:
                children.append(os.fork())
                if children[0] == 0:
                    signal.alarm(150)

        signal.signal(signal.SIGVTALRM, handler)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.1)
        while not children:
            result = unitdot.{call}
        assert (abs(result - 1) < 1e-9).all()
        if children[0] == 0:
            os._exit(42)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 42
        print("done")
        """
    run = run_python(code, timeout=300)
    assert run.stdout == "done\n", run.stderr


@linux
@openmp
def test_a_child_does_not_wait_for_threads_of_another_library():
    """One that shares the OpenMP library ran in parallel before the fork; unitdot did not."""
    code = """
        import os, signal, warnings
        import numpy as np, unitdot
        from unitdot._machine import threads

        warnings.simplefilter("ignore", DeprecationWarning)
        X = np.random.default_rng(0).standard_normal((900, 800))
        expected = unitdot.cosine_similarity(X, n_threads=2)
        threads._ran_parallel = False  # it was the other library
        child = os.fork()
        if child == 0:
            signal.alarm(100)
            right = np.array_equal(unitdot.cosine_similarity(X, n_threads=2), expected)
            os._exit(42 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        assert np.array_equal(unitdot.cosine_similarity(X, n_threads=2), expected)
        """
    run = run_python(code, timeout=200)
    assert run.returncode == 0, run.stderr


# ---- pools

POOL = """
    import multiprocessing, os, warnings
    from concurrent.futures import ProcessPoolExecutor
    import numpy as np, unitdot

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
    X = np.random.default_rng(0).standard_normal((400, 300))
    expected = unitdot.cosine_similarity(X, n_threads=2)  # the pool comes after parallel work
    {pool}
    for similarity in results:
        assert np.array_equal(similarity, expected)
    print("done")
    """
POOLS = {
    method: f"""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{method}")) as pool:
        results = list(pool.map(unitdot.cosine_similarity, [X] * 4, timeout=100))
    """
    for method in ("fork", "forkserver", "spawn")
}
POOLS["multiprocessing.Pool"] = """
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(unitdot.cosine_similarity, [X] * 4).get(100)
    """
POOLS["joblib's loky"] = """
    from joblib import Parallel, delayed
    results = Parallel(2, timeout=100)(delayed(unitdot.cosine_similarity)(X) for _ in range(4))
    """
POOLS["joblib's threads"] = POOLS["joblib's loky"].replace("(2,", "(2, prefer='threads',")


@linux
@pytest.mark.parametrize("kind", POOLS)
def test_pools(kind):
    if kind.startswith("joblib"):
        pytest.importorskip("joblib")
    run = run_python(POOL.format(pool=POOLS[kind]), timeout=200)
    assert run.stdout == "done\n", run.stderr


# ---- many threads, nothing changed


def parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", [*ALL, *REDUCTIONS])
def test_sixteen_threads_at_once(name):
    problems = [
        (normal((140, 150), np.float32, seed), normal((140, 150), seed=100 + seed))
        for seed in range(16)
    ]
    call, own = function(name), CALLS.get(name, {})
    expected = [call(X, Y, **own, n_threads=1) for X, Y in problems]
    together, results = threading.Barrier(16), [[] for _ in problems]

    def work(i):
        together.wait()
        for n_threads in (None, 1, 2):
            results[i].append(call(*problems[i], **own, n_threads=n_threads))

    threads = [threading.Thread(target=work, args=[i]) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, alone in zip(results, expected, strict=True):
        assert len(found) == 3
        for result in found:
            for part, right in zip(parts(result), parts(alone), strict=True):
                assert_same_bits(part, right)


@pytest.mark.parametrize("name", [*ALL, *REDUCTIONS])
def test_no_thread_pool_is_changed(name):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    X = normal((600, 400))
    before = threadpoolctl.threadpool_info()
    environment = dict(os.environ)
    for n_threads in (None, 1, 3):
        function(name)(X, X.copy(), **CALLS.get(name, {}), n_threads=n_threads)
    assert threadpoolctl.threadpool_info() == before
    assert dict(os.environ) == environment


@linux
@openmp
def test_limits_of_threadpoolctl_hold_where_they_are_set():
    """In its with block; and for the calls of a thread that has its own limit."""
    pytest.importorskip("threadpoolctl")
    code = """
        import os
        import numpy as np, unitdot
        from threadpoolctl import threadpool_limits
        X = np.ones((900, 2000))

        def new_threads(call):
            before = len(os.listdir("/proc/self/task"))
            call()
            return len(os.listdir("/proc/self/task")) - before

        with threadpool_limits(3, "openmp"):
            with threadpool_limits(1, "openmp"):
                inside = new_threads(lambda: unitdot.cosine_similarity(X, X[:]))
        outside = new_threads(lambda: unitdot.cosine_similarity(X, X[:], n_threads=2))
        print(inside, outside)
        """
    run = run_python(code)
    assert run.stdout.split() == ["0", "1"], run.stderr


# ---- what the system allows

THREADS = 'import unitdot; print(unitdot.show_config(mode="dicts")["threads"])'


@linux
@openmp
@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor is all there is")
def test_affinity_from_outside_is_honoured():
    """As `taskset -c 0 python ...` sets it."""
    code = f"""
        import os, sys
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        os.execv(sys.executable, [sys.executable, "-c", {THREADS!r}])
        """
    run = run_python(code)
    assert run.stdout == "1\n", run.stderr


@contextlib.contextmanager
def control_group(quota):
    """The folder of a new control group with so many processors' worth of time."""
    legacy, unified = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    folder = (legacy if legacy.is_dir() else unified) / f"unitdot-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            if legacy.is_dir():
                (folder / "cpu.cfs_period_us").write_text("100000")
                (folder / "cpu.cfs_quota_us").write_text(str(int(100_000 * quota)))
            else:
                (folder / "cpu.max").write_text(f"{int(100_000 * quota)} 100000")
        except OSError as error:
            pytest.skip(f"no quota can be set here: {error}")
        yield folder
    finally:
        for _ in range(50):  # until the last process has left
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.1)


@linux
@openmp
@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor is all there is")
def test_a_real_control_group_is_honoured():
    """As `docker run --cpus=1` makes it; as root, on machines that let it be made."""
    with control_group(1) as folder:
        join = f'echo $$ > {folder}/cgroup.procs || exit 77; exec "$@"'
        run = subprocess.run(
            ["sh", "-c", join, "sh", sys.executable, "-c", THREADS],
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode == 77:  # one of a real-time class may not
        pytest.skip(f"this process cannot join a control group: {run.stderr.strip()}")
    assert run.stdout == "1\n", run.stderr


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


V2 = {"proc/self/cgroup": "0::/system.slice/docker-1.scope\n"}
V1 = {"proc/self/cgroup": "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n0::/\n"}
GROUP_2, GROUP_1 = "sys/fs/cgroup/system.slice/docker-1.scope", "sys/fs/cgroup/cpu,cpuacct/docker/1"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, None),
        (V2 | {f"{GROUP_2}/cpu.max": "max 100000\n"}, None),
        (V2 | {f"{GROUP_2}/cpu.max": "250000 100000\n"}, 3),
        (V2 | {f"{GROUP_2}/cpu.max": "50000 100000\n"}, 1),
        (V2 | {f"{GROUP_2}/cpu.max": "max 100000\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        (V2 | {f"{GROUP_2}/cpu.max": "400000 100000\n", f"{GROUP_2}/../cpu.max": "1 100000"}, 1),
        (V2 | {f"{GROUP_2}/cpu.max": "no numbers\n"}, None),
        (V2 | {f"{GROUP_2}/cpu.max": "100000 0\n"}, None),
        (V1 | {f"{GROUP_1}/cpu.cfs_quota_us": "-1\n", f"{GROUP_1}/cpu.cfs_period_us": "1"}, None),
        (V1 | {f"{GROUP_1}/cpu.cfs_quota_us": "7", f"{GROUP_1}/cpu.cfs_period_us": "2\n"}, 4),
    ],
)
def test_quotas_of_control_groups(files, cpus, tmp_path):
    """The kernel's formats, of both versions: the least limit of any level."""
    assert cgroup_cpus(tree(tmp_path, files)) == cpus


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal:  9 kB\nMemAvailable:  2 kB\n"}, 2048),
        (
            V2
            | {"proc/meminfo": "MemAvailable:  2 kB\n"}
            | {f"{GROUP_2}/memory.max": "1500\n", f"{GROUP_2}/memory.current": "1000\n"}
            | {f"{GROUP_2}/memory.stat": "anon 5\ninactive_file 30\nactive_file 10\n"},
            540,
        ),
        (
            V1
            | {"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "1500\n"}
            | {"sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes": "2000\n"}
            | {"sys/fs/cgroup/memory/docker/1/memory.stat": "cache 5\n"},
            0,
        ),
    ],
)
def test_memory_that_control_groups_leave(files, room, tmp_path):
    assert available_bytes(tree(tmp_path, files)) == room


# ---- beside other libraries that use OpenMP

OTHERS = {
    "sklearn": (
        "from sklearn.cluster import KMeans",
        "KMeans(3, n_init=1, random_state=0).fit(X).cluster_centers_",
    ),
    "faiss": ("import faiss", "faiss.knn(X, X, 3)[0]"),
    "torch": ("import torch", "(torch.from_numpy(X) @ torch.from_numpy(X).T).numpy()"),
}


@linux
@pytest.mark.costly
@pytest.mark.parametrize("first", ["unitdot", "the other"])
@pytest.mark.parametrize("other", OTHERS)
def test_beside_other_openmp_libraries(other, first):
    """Imported in either order, each computing in turn: no hang, the same results every time."""
    pytest.importorskip(other)
    pytest.importorskip("threadpoolctl")
    imports, call = OTHERS[other]
    order = f"import unitdot; {imports}" if first == "unitdot" else f"{imports}; import unitdot"
    code = f"""
        import json, warnings
        import numpy as np
        from threadpoolctl import threadpool_info
        warnings.simplefilter("ignore")  # theirs
        {order}
        X = np.random.default_rng(0).standard_normal((900, 128), np.float32)
        ours = unitdot.cosine_similarity(X, n_threads=2)
        theirs = {call}
        for _ in range(3):
            assert np.array_equal(unitdot.cosine_similarity(X, n_threads=2), ours)
            assert np.allclose({call}, theirs, rtol=1e-3, atol=1e-3)
        paths = {{i["filepath"] for i in threadpool_info() if i["user_api"] == "openmp"}}
        print(json.dumps(sorted(paths)))
        """
    run = run_python(code, timeout=200, OPENBLAS_NUM_THREADS=None)
    assert run.returncode == 0, run.stderr
    runtimes = json.loads(run.stdout)
    print(f"{other}: {', '.join(Path(path).name for path in runtimes)}")
    # ours is the system's; wheels bring their own, which no other library can share
    assert sum("site-packages" not in path for path in runtimes) <= 1
