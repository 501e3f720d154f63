"""What several test files share: the functions, bit comparison, data, layouts, subprocesses."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import unitdot
from unitdot._machine.dispatch import available_isas, kernels

from . import oracle

ISAS = available_isas()
FUSED_ISAS = [isa for isa in ISAS if isa != "baseline"]
SCREENED_ISAS = FUSED_ISAS  # whose kernels have the screen and the cascade, too

# each function with the oracle's answer to the same question
MATRIX = {
    "cosine_similarity": oracle.similarity,
    "cosine_distances": lambda X, Y=None: oracle.distance(oracle.similarity(X, Y)),
}
PAIRED = {
    "paired_cosine_similarity": oracle.paired_similarity,
    "paired_cosine_distances": lambda X, Y: oracle.distance(oracle.paired_similarity(X, Y)),
}
ALL = MATRIX | PAIRED
REDUCTIONS = ("cosine_top_k", "cosine_pairs")
FLOATS = (np.float32, np.float64)
INTEGERS = tuple(np.dtype(c).type for c in "?bBhHiIlLqQ")


def function(name):
    return getattr(unitdot, name)


def accuracy_bound(dtype, n_features):
    """Clause 1, for random and real data; `dtype` is the one computed in."""
    return (np.sqrt(n_features) + 4) * np.finfo(dtype).eps


def worst_case_bound(dtype, n_features):
    """For any data: d/2·eps on the dot product, as much on the norms, and a few roundings."""
    return (n_features + 4) * np.finfo(dtype).eps


def assert_same_bits(actual, expected):
    """Equal shapes, dtypes and bits; so 0.0 is not -0.0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    unsigned = f"u{actual.dtype.itemsize}"
    actual, expected = (np.ascontiguousarray(a).view(unsigned) for a in (actual, expected))
    differ = np.argwhere(actual != expected)
    assert len(differ) == 0, f"{len(differ)} of {actual.size} results differ, first at {differ[0]}"


@contextmanager
def _forced(switch, rows):
    """A switch of the kernels for tests, in either precision."""
    switches = [getattr(kernels(wide), switch) for wide in (False, True)]
    for force in switches:
        force(rows)
    try:
        yield
    finally:
        for force in switches:
            force(0)


def superblocks(rows):
    """Superblocks of at most so many rows: small work has several of them."""
    return _forced("force_superblocks", rows)


def blocks(rows):
    """Self-joins of top-k in blocks of so many rows."""
    return _forced("force_blocks", rows)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def any_values(shape, dtype, seed=0):
    """Random values over the whole range of an integer dtype, standard normal for floats."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return rng.standard_normal(shape).astype(dtype)


def _every_other(X):
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]), dtype=X.dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def _padded_rows(X):
    wide = np.zeros((X.shape[0], X.shape[1] + 5), dtype=X.dtype)
    wide[:, 2:-3] = X
    return wide[:, 2:-3]


def _unaligned(X):
    buffer = np.zeros(X.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    return view


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


# the same values, lying differently in memory
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": _every_other,
    "strided-Fortran": lambda X: _every_other(np.ascontiguousarray(X.T)).T,
    "padded-rows": _padded_rows,
    "reversed-rows": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "reversed-features": lambda X: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    "reversed-Fortran": lambda X: np.asfortranarray(X[::-1, ::-1])[::-1, ::-1],
    "byte-swapped": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "byte-swapped-strided": lambda X: _every_other(X.astype(X.dtype.newbyteorder(">"))),
    "read-only": _read_only,
    "unaligned": _unaligned,
    "unaligned-Fortran": lambda X: _unaligned(np.ascontiguousarray(X.T)).T,
}


def without_and_with_backend(call):
    """What `call` gives with scikit-learn as it is, and under the switch."""
    without = call()
    with unitdot.sklearn_backend():
        return without, call()


# for code in a new interpreter, on Linux
PEAK = """
    from pathlib import Path

    def forget_peak():
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM = VmRSS

    def peak():  # in MiB
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    """


def run_python(code, timeout=180, **environment):
    """Run code in a new interpreter, with these environment variables; None removes one."""
    names = {
        "OMP_NUM_THREADS": None,
        "UNITDOT_ISA": None,
        "OPENBLAS_NUM_THREADS": "1",
    } | environment
    kept = {key: value for key, value in os.environ.items() if key not in names}
    given = {key: value for key, value in names.items() if value is not None}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=kept | given
    )


def seconds_to_interrupt(setup, call, after=0.5):
    """How long Ctrl-C takes to end the `call`, repeated since so many seconds, in a process.

    The processor's seconds, where they are fewer: the machine may be busy with something else.
    """
    code = f"""
import signal
import unitdot
# a shell that starts this in the background may have had it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
{setup}
print("started", flush=True)
while True:
    {call}
"""
    command = [sys.executable, "-c", code]
    ended = seconds_of_children()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout.readline() == "started\n"
            time.sleep(after)
            fields = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()
            used = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
            start = time.perf_counter()
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=60)
            elapsed = time.perf_counter() - start
        finally:
            run.kill()
    assert "KeyboardInterrupt" in errors
    return min(elapsed, seconds_of_children() - ended - used)


def seconds_of_children():
    """The processor's time that processes took which have ended."""
    times = os.times()
    return times.children_user + times.children_system
