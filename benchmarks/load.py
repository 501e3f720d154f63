"""What a busy machine does to single calls: ``--busy``, ``--callers`` and ``--caller-threads``.

``python -m benchmarks.load`` is one process that computes beside: it hashes a block of 1 MiB again
and again (BLAKE2b), which keeps one core busy, never waits and leaves the memory to the others. It
ends when its standard input does.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean, median
from subprocess import PIPE, Popen
from threading import Event, Thread
from time import perf_counter
from typing import Any

MIN_CALLS = 100  # of every contender, in all rounds together
# which figures are compared with the first row's, how, and their columns' names
FIGURES = {"value": "median", "p90": "90 %", "p99": "99 %", "per_second": "calls/s"}
CALLERS_LIMITS = {"per_second": 0.85, "p99": 1.5}


@dataclass(frozen=True)
class Load:
    """What goes on at the same time.

    Parameters
    ----------
    busy : processes that compute something else.
    callers : processes of the contender itself, which make the same call in a loop.
    caller_threads : Python threads of each of these that do.
    """

    busy: int = 0
    callers: int = 1
    caller_threads: int = 1

    @property
    def alone(self) -> bool:
        """Whether the contender meets nobody of its own kind."""
        return self.callers == self.caller_threads == 1

    def calls_a_round(self, rounds: int) -> int:
        """So many make `MIN_CALLS`, of all callers in all rounds."""
        return ceil(MIN_CALLS / (rounds * self.callers * self.caller_threads))

    def limits(self, beside_one: float, beside_two: float) -> dict[str, float]:
        """What the figures may be of one thread's; those two are for busy processes."""
        if not self.alone:
            return CALLERS_LIMITS
        return {1: {"p90": beside_one}, 2: {"value": beside_two}}.get(self.busy, {})


@contextmanager
def busy_processes(number: int) -> Iterator[list[Popen]]:
    """So many processes compute beside."""
    command = [sys.executable, "-m", "benchmarks.load"]
    root = Path(__file__).resolve().parent.parent
    with ExitStack() as stack:
        processes = []
        for _ in range(number):
            process = stack.enter_context(Popen(command, cwd=root, stdin=PIPE, stdout=PIPE))
            stack.callback(process.kill)
            process.stdout.readline()
            processes.append(process)
        yield processes


def record(
    call: Callable[[], Any], threads: int, at_least: int, budget: float, longest: float
) -> list[list[float]]:
    """Seconds of single calls, a list for each of the threads that make them at once.

    After one that is not measured, a thread measures `at_least` calls in `longest` seconds, and
    for `budget` seconds, and then goes on calling until all have.
    """
    times: list[list[float]] = [[] for _ in range(threads)]
    measuring = set(range(threads))

    def measure(number: int) -> None:
        call()
        own, begin = times[number], perf_counter()
        while (elapsed := perf_counter() - begin) < budget or (
            len(own) < at_least and elapsed < longest
        ):
            start = perf_counter()
            call()
            own.append(perf_counter() - start)

    def run(number: int) -> None:
        try:
            measure(number)
        finally:
            measuring.discard(number)
        while measuring:
            call()

    _at_once(run, threads)
    return times


def go_on(call: Callable[[], Any], threads: int) -> None:
    """Call as before, until a line comes on standard input: others are still measuring."""
    told = Event()
    reader = Thread(target=lambda: (sys.stdin.readline(), told.set()))
    reader.start()

    def run(number: int) -> None:
        while not told.is_set():
            call()

    _at_once(run, threads)
    reader.join()


def _at_once(run: Callable[[int], None], threads: int) -> None:
    """The thread that asks is one of them."""
    with ThreadPoolExecutor(max(1, threads - 1)) as pool:
        others = [pool.submit(run, number) for number in range(1, threads)]
        run(0)
        for other in others:
            other.result()


def figures(rounds: list[list[list[float]]]) -> dict[str, float]:
    """Of all calls in all rounds, each of which has a list for every caller."""
    calls = sorted(time for callers in rounds for own in callers for time in own)

    def percentile(share: float) -> float:
        return calls[ceil(share * len(calls)) - 1]

    return {
        "value": median(calls),
        "p90": percentile(0.90),
        "p99": percentile(0.99),
        "low": calls[0],
        "high": calls[-1],
        "per_second": median(sum(1 / fmean(own) for own in callers) for callers in rounds),
        "calls": len(calls),
    }


def _compute() -> None:
    block = bytes(2**20)
    Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print("busy", flush=True)
    while True:
        hashlib.blake2b(block)


if __name__ == "__main__":
    _compute()
