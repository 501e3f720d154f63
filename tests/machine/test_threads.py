"""Threads: as many as asked for, forked children, interrupts, nothing changed for the process."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import unitdot

from ..helpers import (
    ALL,
    assert_same_bits,
    function,
    normal,
    run_python,
    seconds_to_interrupt,
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
openmp = pytest.mark.skipif(
    not unitdot.show_config(mode="dicts")["openmp"], reason="built without OpenMP"
)
THREADS = 'unitdot.show_config(mode="dicts")["threads"]'


def usable_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@linux
@openmp
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("name", ALL)
def test_n_threads_is_honoured(name, n_threads):
    """OpenMP keeps its threads, so after the call the process has as many as the call used."""
    code = f"""
        import os, numpy as np, unitdot
        X = np.ones((900, 2000)) if "{name}".startswith("cosine") else np.ones((50_000, 100))
        before = len(os.listdir("/proc/self/task"))
        unitdot.{name}(X, X.copy(), n_threads={n_threads})
        print(1 + len(os.listdir("/proc/self/task")) - before)
        """
    run = run_python(code)
    assert run.stdout.split() == [str(n_threads)], run.stderr


@linux
@openmp
def test_few_rows_with_many_features_use_the_threads():
    code = """
        import os, numpy as np, unitdot
        X = np.ones((6, 400_000))
        before = len(os.listdir("/proc/self/task"))
        unitdot.cosine_similarity(X, n_threads=2)
        print(1 + len(os.listdir("/proc/self/task")) - before)
        """
    assert run_python(code).stdout.split() == ["2"]


@linux
def test_small_work_stays_on_one_thread():
    code = """
        import os, numpy as np, unitdot
        before = len(os.listdir("/proc/self/task"))
        unitdot.cosine_similarity(np.ones((3, 20)))
        unitdot.paired_cosine_similarity(np.ones((3, 20)), np.ones((3, 20)))
        print(len(os.listdir("/proc/self/task")) - before)
        """
    assert run_python(code).stdout.split() == ["0"]


@openmp
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_environment_is_honoured(n_threads):
    run = run_python(f"import unitdot; print({THREADS})", OMP_NUM_THREADS=str(n_threads))
    assert 1 <= int(run.stdout) <= min(n_threads, usable_cpus()), run.stderr


@openmp
def test_threadpoolctl_is_honoured():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert unitdot.show_config(mode="dicts")["threads"] == 1


@linux
def test_affinity_is_honoured():
    code = f"""
        import os, unitdot
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        print({THREADS})
        """
    run = run_python(code)
    assert run.stdout.split() == ["1"], run.stderr


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_changed_for_the_process(name):
    before = unitdot.show_config(mode="dicts")["threads"]
    X = normal((600, 400))
    for n_threads in (1, 3):
        function(name)(X, X.copy(), n_threads=n_threads)
        assert unitdot.show_config(mode="dicts")["threads"] == before


FORK = """
    import multiprocessing, warnings
    import numpy as np, unitdot

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
    X = np.random.default_rng(0).standard_normal((700, 500))
    {call_of_parent}

    def work(pipe):
        similarity = unitdot.cosine_similarity(X, n_threads=2)
        distances = unitdot.cosine_distances(X[:6])
        paired = unitdot.paired_cosine_similarity(X, X[::-1])
        pipe.send([similarity, distances, paired])

    context = multiprocessing.get_context("fork")
    for generation in range(2):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=work, args=[sender], daemon=True)
        child.start()
        sender.close()
        assert receiver.poll(40), "the child hangs"
        similarity, distances, paired = receiver.recv()
        child.join(10)
        assert child.exitcode == 0
        assert (similarity == unitdot.cosine_similarity(X, n_threads=2)).all()
        assert (distances == unitdot.cosine_distances(X[:6])).all()
        assert (paired == unitdot.paired_cosine_similarity(X, X[::-1])).all()
    print("done")
    """


@linux
@pytest.mark.parametrize(
    "call_of_parent", ["", "unitdot.cosine_similarity(X, n_threads=2)"], ids=["no work", "work"]
)
def test_forked_children_work(call_of_parent):
    """libgomp hangs in the child of a parent that ran a parallel region, unless it is serial."""
    run = run_python(FORK.format(call_of_parent=call_of_parent), timeout=100)
    assert run.stdout == "done\n", run.stderr


def test_spawned_pools_work():
    code = """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        import numpy as np, unitdot
        X = np.ones((300, 400))
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(unitdot.cosine_similarity, [X] * 3, timeout=50))
        print(all((result == 1).all() for result in results))
        """
    run = run_python(code)
    assert run.stdout == "True\n", run.stderr


def test_python_threads_at_the_same_time(isa):
    """Each call has its own scratch memory; the GIL is released while they run."""
    problems = [normal((150, 300), seed=seed) for seed in range(8)]
    expected = [function("cosine_similarity")(X, n_threads=1) for X in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = pool.map(function("cosine_similarity"), problems)
            for result, alone in zip(results, expected, strict=True):
                assert_same_bits(result, alone)


def test_python_goes_on_meanwhile():
    """A thread that counts goes on counting while another computes."""
    X = np.broadcast_to(normal(20_000), (1200, 20_000))
    with ThreadPoolExecutor(1) as pool:
        start = time.perf_counter()
        work = pool.submit(unitdot.cosine_similarity, X, X[:], n_threads=1)
        ticks = 0
        while not work.done():
            time.sleep(0.005)
            ticks += 1
    elapsed = time.perf_counter() - start
    assert ticks > elapsed / 0.005 / 10


@linux
@pytest.mark.costly
@pytest.mark.parametrize("self_join", [True, False])
@pytest.mark.parametrize(("rows", "features"), [(6000, 100_000), (12_000, 16)])
def test_long_work_can_be_interrupted(self_join, rows, features):
    """Ctrl-C ends long work within a second (and a little, on a busy machine)."""
    setup = f"import numpy as np; X = np.broadcast_to(np.ones({features}), ({rows}, {features}))"
    call = f"unitdot.cosine_similarity(X, {'None' if self_join else 'X[:]'})"
    assert seconds_to_interrupt(setup, call) < 2


# n_X, n_Y (None: a self-join), features, and the scales of two problems: rows that need care get
# exponents of their own. Four groups of columns are packed at a time: with a fifth, whatever the
# instruction set makes a group, one thread is done long before the other.
CAREFUL = (1e-30, 1e30)
RACES = {
    "few rows": (3, None, 128, CAREFUL),
    "groups of 8": (36, None, 300, CAREFUL),
    "groups of 24": (110, None, 300, CAREFUL),
    "groups of 48": (230, None, 300, CAREFUL),
    "groups of 48, no care": (230, None, 300, (1, 1)),
    "segments": (20, 30, 4200, CAREFUL),
    "wide": (6, 6, 119_547, CAREFUL),
}
REDUCED = {
    "cosine_similarity": {},
    "cosine_top_k": {"k": 2},
    "cosine_pairs": {"threshold": -1},
}


@openmp
@pytest.mark.parametrize("work", RACES)
@pytest.mark.parametrize("name", REDUCED)
def test_no_thread_runs_ahead(name, work):
    """Rows are multiplied when all are packed, and packed when their exponents are known.

    Cython's loops inside one parallel region do not wait for each other by themselves. What a
    thread that ran ahead reads are the rows of another call, so two problems take turns, in a
    layout that is slow to pack.
    """
    n, m, n_features, scales = RACES[work]

    def problem(seed, scale):
        matrices = (normal((rows, n_features), np.float32, seed + rows) for rows in (n, m) if rows)
        return [np.asfortranarray((scale * X).astype(">f4")) for X in matrices]

    def call(problem, n_threads):
        result = function(name)(*problem, n_threads=n_threads, **REDUCED[name])
        return result if isinstance(result, tuple) else (result,)

    problems = [problem(seed, scale) for seed, scale in enumerate(scales)]
    expected = [call(problem, 1) for problem in problems]
    for repetition in range(6 if n_features > 4000 else 250 if n < 10 else 40):
        result = call(problems[repetition % 2], 2 + repetition // 2 % 3)
        for array, alone in zip(result, expected[repetition % 2], strict=True):
            assert_same_bits(array, alone)
