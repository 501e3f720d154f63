"""Threads of our own: whatever the timing, each region's work is done, and no wake-up is lost."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unitdot._kernels import cpu

from ..helpers import run_python

pytestmark = pytest.mark.skipif(cpu.TEAM is None, reason="the threads are OpenMP's")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")

ROOT = Path(__file__).resolve().parents[2]
# helpers are always asked; who waits sleeps at once, so that every wait needs its wake-up
ASKED = ["-DALONE=0"]
WAITING = {
    "sleep": [*ASKED, "-DSPIN=0"],
    "spin": ASKED,
    "no futex": [*ASKED, "-DSPIN=0", "-DUNITDOT_NO_FUTEX"],
    "as it is": [],
}
TESTS = {
    "regions": 1000,
    "callers": 3,
    "nested": 100,
    "forks": 4,
    "refused": 50,
    "late": 100,
    "processors": 2,
    "together": 20,
    "learns": 20,
    "asks": 5,
    "how_long": 5,
    "looks": 5,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Programs of team_stress.c, by flags of the compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs GCC")
    made = {}

    def make(*flags):
        if flags not in made:
            made[flags] = tmp_path_factory.mktemp("team") / "stress"
            command = [compiler, "-O2", *flags, f"-I{ROOT / 'cython_kernels' / 'machine'}", "-c"]
            source, objects = ROOT / "tests/machine/team_stress.c", f"{made[flags]}.o"
            command += ["-fopenmp", "-DUNITDOT_TEAM", source, "-o", objects]
            subprocess.run(command, check=True)
            link = [compiler, *flags, "-pthread", objects, "-o", made[flags]]
            subprocess.run(link, check=True)
        return made[flags]

    return make


@pytest.mark.parametrize("waiting", WAITING)
@pytest.mark.parametrize("name", TESTS)
def test_all_work_is_done(name, waiting, program):
    command = [program(*WAITING[waiting]), name, str(TESTS[name])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert run.returncode == 0, run.stderr


@linux
@pytest.mark.costly
@pytest.mark.parametrize("waiting", WAITING)
@pytest.mark.parametrize("name", sorted({*TESTS} - {"forks", "late"}))
def test_every_step_has_its_order(name, waiting, program):
    """By GCC's ThreadSanitizer, which lets no child of a process with threads start its own."""
    try:
        run = program("-fsanitize=thread", "-g", *WAITING[waiting])
    except subprocess.CalledProcessError:
        pytest.skip("needs GCC's ThreadSanitizer")
    command = ["setarch", "--addr-no-randomize", run, name, str(TESTS[name] // 2)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert run.returncode == 0, run.stderr


@linux
def test_a_system_that_refuses_threads():
    """Any number of calls go on, with the threads that there are."""
    code = """
        import os, resource
        import numpy as np, unitdot
        X = np.random.default_rng(0).standard_normal((600, 500))
        expected = unitdot.cosine_similarity(X, n_threads=1)
        if os.getuid() == 0:
            os.setuid(65534)  # the limit is not for root
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        for _ in range(20):
            assert np.array_equal(unitdot.cosine_similarity(X, n_threads=5), expected)
        print(len(os.listdir("/proc/self/task")))
        """
    run = run_python(code, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    assert run.stdout == "1\n", run.stderr


@linux
def test_children_have_threads_of_their_own():
    code = """
        import os, warnings
        import numpy as np, unitdot
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
        X = np.random.default_rng(0).standard_normal((900, 800))
        expected = unitdot.cosine_similarity(X, n_threads=2)
        child = os.fork()
        if child == 0:
            before = len(os.listdir("/proc/self/task"))
            right = np.array_equal(unitdot.cosine_similarity(X, n_threads=3), expected)
            os._exit(42 if right and len(os.listdir("/proc/self/task")) - before == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        """
    run = run_python(code, timeout=100)
    assert run.returncode == 0, run.stderr


@linux
def test_threads_have_a_name_and_take_no_signals():
    """Which Python's handlers, in the main thread, are waiting for."""
    code = """
        import os
        import numpy as np, unitdot
        unitdot.cosine_similarity(np.ones((900, 800)), n_threads=3)
        for task in os.listdir("/proc/self/task"):
            status = open(f"/proc/self/task/{task}/status").read()
            fields = dict(line.split(":\\t", 1) for line in status.splitlines())
            if fields["Name"] == "unitdot":
                print(int(fields["SigBlk"], 16) >> 1 & 1)  # SIGINT
        """
    run = run_python(code)
    assert run.stdout == "1\n1\n", run.stderr


def test_kernels_need_no_openmp_library():
    """They would be refused at their import if they had loops that the team does not know."""
    code = """
        from unitdot._machine import dispatch
        import unitdot._kernels.sparse, sys
        print(*(module for module in sys.modules if module.startswith("unitdot._kernels.")))
        """
    run = run_python(code)
    assert run.returncode == 0, run.stderr
    for name in run.stdout.split():
        if name not in ("unitdot._kernels.cpu", "unitdot._kernels._cyutility"):
            path = __import__(name, fromlist=["x"]).__file__
            assert b"libgomp" not in Path(path).read_bytes(), path
