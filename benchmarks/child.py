"""What runs in a contender's own process: ``python -m benchmarks.child SPEC``.

SPEC is JSON: `probe`, the name of a function below, `params`, its keywords, and `check`. A probe
does all that is not measured and returns the measurement. The child then prints a line "ready",
waits for a line on its standard input, so that several children can start together, measures,
prints a line "measured" and waits for a line again: others may still be measuring. It ends with
{"samples": [...]}; with `check` also "wrong" and the reason, if the contender's answer is wrong;
of unitdot's answers "bits", a digest of each array, too.
When something goes wrong otherwise it prints {"missing": reason} or {"failed": reason} in place of
the next line.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

from . import load
from .data import inputs
from .machine import build, describe
from .work import ONE_THREAD, UNITDOT

BATCH_SECONDS = 0.01  # a sample lasts at least this long, however short one call is
MIN_SAMPLES = 3
PAUSE_SECONDS = 0.1  # until idle threads of the last contender sleep
INPUT_ROWS = 1000  # whose digest says whether two processes had the same inputs
LONG_SECONDS = 20.0  # a call that takes longer is measured at once, and only then
IMPORTS_PER_ROUND = 5
# What a contender may lack; any other import that fails is a fault.
PACKAGES = {
    "unitdot",
    "sklearn",
    "numpy",
    "scipy",
    "dask",
    "dask_ml",
    "distributed",
    "faiss",
    "ml_dtypes",
    "numkong",
    "simsimd",
    "sparse_dot_topn",
    "torch",
    "usearch",
}


@dataclass(frozen=True)
class Measurement:
    """`samples` measures; `fault`, called after that, says why the answer is wrong, if it is.

    `wait` is called in between, until there is a line on standard input.
    `bits` are digests of the first answer's arrays, and of the inputs, where they must be equal.
    """

    samples: Callable[[], list]
    fault: Callable[[], str | None] = lambda: None
    bits: dict[str, str] | None = None
    wait: Callable[[], object] = lambda: sys.stdin.readline()


def _contender(contender, function, X, Y, options):
    """The call, and what makes an answer of its result."""
    from .contenders import CONTENDERS

    return CONTENDERS[contender](function, X, Y, **options)


def _time(call, calls=1):
    start = perf_counter()
    for _ in range(calls):
        call()
    return perf_counter() - start


def _repeat(sample, budget):
    """Samples for `budget` seconds; at least `MIN_SAMPLES`, if five times that is enough."""
    samples, start = [], perf_counter()
    while (elapsed := perf_counter() - start) < budget or (
        len(samples) < MIN_SAMPLES and elapsed < 5 * budget
    ):
        samples.append(sample())
    return samples


def _prepared(contender, function, X, Y, dtype, options, data):
    """The call, its first time, and a measurement without samples that can judge its answer.

    Some rows of the first result are kept, to be checked after measuring: unitdot is not to be in
    the process of another contender before.
    """
    from . import checks

    X, Y = inputs(X, Y, dtype, data)
    call, answer = _contender(contender, function, X, Y, options)
    start = perf_counter()
    first = call()
    elapsed = perf_counter() - start
    fault = Measurement.fault
    if answer is not None:
        rows = checks.checked_rows(X.shape[0])
        claimed = checks.claims(answer(first), rows, (X if Y is None else Y).shape[0])
        fault = partial(checks.fault, claimed, rows, function, X, Y, **options)
    bits = _bits(first, X, Y) if contender in (UNITDOT, ONE_THREAD) else None
    return call, elapsed, Measurement(list, fault, bits)


def seconds(budget, **work) -> Measurement:
    """Time per call. The first calls warm up, in batches that double until one is long enough.

    A pause and one unmeasured call follow, just before measuring.
    """
    call, elapsed, prepared = _prepared(**work)
    if elapsed > LONG_SECONDS:
        return replace(prepared, samples=lambda: [elapsed])
    calls = 1
    while _time(call, calls) < BATCH_SECONDS:
        calls *= 2

    def samples():
        sleep(PAUSE_SECONDS)
        call()
        return _repeat(lambda: _time(call, calls) / calls, budget)

    return replace(prepared, samples=samples)


def calls(budget, threads, at_least, longest, **work) -> Measurement:
    """Times of single calls, a list for each of the threads of Python's that make them."""
    call, elapsed, prepared = _prepared(**work)
    if elapsed > LONG_SECONDS:
        return replace(prepared, samples=lambda: [[elapsed]])

    def samples():
        sleep(PAUSE_SECONDS)
        return load.record(call, threads, at_least, budget, longest)

    return replace(prepared, samples=samples, wait=partial(load.go_on, call, threads))


def _bits(result, X, Y):
    """Type, shape and digest of every array of an answer; the inputs' first bytes stand beside."""
    import numpy as np

    def text(array):
        array = np.ascontiguousarray(array)
        digest = hashlib.sha1(array.reshape(-1).view(np.uint8), usedforsecurity=False)
        return f"{array.dtype} {array.shape} {digest.hexdigest()[:16]}"

    inputs = [part[:INPUT_ROWS] for A in (X, Y) if A is not None for part in _arrays(A).values()]
    bits = {f"input {number}": text(part) for number, part in enumerate(inputs)}
    return bits | {name: text(array) for name, array in _arrays(result).items()}


def _arrays(result):
    """Those that an array, a sparse one or a named tuple of arrays is made of, with their names."""
    if hasattr(result, "indptr"):
        return {name: getattr(result, name) for name in ("indptr", "indices", "data")}
    if isinstance(result, tuple):
        return dict(zip(getattr(result, "_fields", range(len(result))), result, strict=False))
    return {"values": result}


def gflops(budget, X, Y, **work) -> Measurement:
    """Nominal rate of the full product: 2 n_samples_X n_samples_Y n_features operations."""
    timed = seconds(budget, X=X, Y=Y, **work)
    operations = 2e-9 * X[0] * Y[0] * X[1]
    return replace(timed, samples=lambda: [operations / each for each in timed.samples()])


def kernel_gflops(budget, function, dtype) -> Measurement:
    """Rate that the chosen build of the kernels measures: `function` is "peak" or "tile_rate"."""
    from unitdot._machine.dispatch import kernels

    rate = getattr(kernels(dtype == "float64"), function)
    reps = 1024
    while _time(partial(rate, reps)) < BATCH_SECONDS:
        reps *= 2
    return Measurement(lambda: _repeat(lambda: 2e-9 * rate(reps), budget))


def memory_mib(budget, contender, function, X, Y, dtype, options, data) -> Measurement:
    """Growth of the resident set's peak during one call, less the bytes of its result."""
    X, Y = inputs(X, Y, dtype, data)
    few = 1 + options.get("k", 0)
    first = _contender(contender, function, X[:few], None if Y is None else Y[:few], options)
    first[0]()  # what it imports is not counted
    call, _ = _contender(contender, function, X, Y, options)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)

    def measure():
        trim(0)  # freed pages that are still resident would hide growth
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM = VmRSS
        before = _peak_kib()
        result = call()
        return [(_peak_kib() - before) / 2**10 - _nbytes(result) / 2**20]

    return Measurement(measure)


def _nbytes(result):
    return sum(array.nbytes for array in _arrays(result).values())


def _peak_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def import_seconds(budget, module) -> Measurement:
    """Time of the import statement in fresh interpreters, after one that warms the disk's cache."""
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    timed = f"from time import perf_counter as t; start = t(); import {module}; print(t() - start)"

    def sample():
        command = [sys.executable, "-P", "-c", timed]
        # empty: compiled files are kept, as they are where a package is installed
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
        run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return float(run.stdout)

    sample()
    return Measurement(lambda: [sample() for _ in range(IMPORTS_PER_ROUND)])


def unitdot_build(budget) -> Measurement:
    """Which unitdot the contenders of this interpreter and environment import."""
    return Measurement(lambda: [build()])


def machine(budget) -> Measurement:
    """The machine's description, as the contenders see it: the same interpreter and environment."""
    return Measurement(lambda: [describe()])


PROBES = {
    probe.__name__: probe
    for probe in (
        seconds,
        calls,
        gflops,
        kernel_gflops,
        memory_mib,
        import_seconds,
        unitdot_build,
        machine,
    )
}


def main() -> None:
    """Answer one SPEC."""
    spec = json.loads(sys.argv[1])
    try:
        measurement = PROBES[spec["probe"]](**spec["params"])
        print("ready", flush=True)
        sys.stdin.readline()
        answer = {"samples": measurement.samples()}
        print("measured", flush=True)
        measurement.wait()
        if spec["check"] and (reason := measurement.fault()):
            answer["wrong"] = reason
        if measurement.bits is not None:
            answer["bits"] = measurement.bits
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name in PACKAGES
        answer = {"missing" if absent else "failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
