"""Starts the children, interleaves the rounds, and takes the medians."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from threading import Timer
from typing import Any

from .cases import Case, Run

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 600
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def run_case(
    case: Case, rounds: int, budget: float, threads: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Every row's rounds and value, as JSON can hold them.

    A row has `label`, `target`, and either `value` (the median of its rounds), `low`, `high` and
    `rounds` (each a list of samples for each process), or `missing` or `failed` with the reason.
    """
    rows: list[dict[str, Any]] = [
        {"label": run.label, "target": run.target, "rounds": []} for run in case.runs
    ]
    for number in range(1, min(rounds, case.max_rounds or rounds) + 1):
        tell(f"{case.name}: round {number}")
        for run, row in zip(case.runs, rows, strict=True):
            if "missing" in row or "failed" in row:
                continue
            answers = launch(run, budget, threads)
            faults = [answer for answer in answers if "samples" not in answer]
            if faults:
                row.update(faults[0])
            else:
                row["rounds"].append([answer["samples"] for answer in answers])
    for row in rows:
        if row["rounds"]:
            values = [sum(median(samples) for samples in copies) for copies in row["rounds"]]
            row.update(value=median(values), low=min(values), high=max(values))
    return {
        "name": case.name,
        "title": case.title,
        "unit": case.unit,
        "relation": case.relation,
        "work": case.work,
        "work_unit": case.work_unit,
        "rows": rows,
    }


def launch(run: Run, budget: float, threads: int) -> list[dict[str, Any]]:
    """Answers of the run's processes: {"samples"}, {"missing"} or {"failed"}.

    They measure once all are ready.
    """
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(run.threads or threads))
    spec = json.dumps({"probe": run.probe, "params": run.params | {"budget": budget}})
    command = [sys.executable, "-m", "benchmarks.child", spec]
    with ExitStack() as stack:
        children = []
        for _ in range(run.copies):
            child = Popen(command, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True)
            children.append(stack.enter_context(child))
            stack.callback(child.kill)  # nothing is left behind, whatever ends this run
            watchdog = Timer(TIMEOUT_SECONDS, child.kill)
            watchdog.start()
            stack.callback(watchdog.cancel)
        first_lines = [child.stdout.readline() for child in children]
        for child, line in zip(children, first_lines, strict=True):
            if line.strip() == "ready":
                print(file=child.stdin, flush=True)
        return [_answer(child, line) for child, line in zip(children, first_lines, strict=True)]


def _answer(child: Popen, first_line: str) -> dict[str, Any]:
    line = child.stdout.readline() if first_line.strip() == "ready" else first_line
    status = child.wait()
    return json.loads(line) if line else {"failed": f"exit status {status}"}
