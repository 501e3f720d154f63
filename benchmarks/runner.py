"""Starts the children, interleaves the rounds, and takes the medians."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from threading import Timer
from time import monotonic
from typing import Any

from .load import Load, busy_processes, figures
from .machine import computed
from .work import Case, Run

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 1800
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Options:
    """How thoroughly everything is measured.

    Parameters
    ----------
    threads : that each contender may use.
    rounds, seconds : how many, and how long each contender measures in each.
    patience : seconds; a contender that needs longer than that for a round sits out the others.
    load : under which single calls are timed; None where calls are timed on a quiet machine.
    """

    threads: int
    rounds: int
    seconds: float
    patience: float
    load: Load | None = None


def run_case(case: Case, options: Options, tell: Callable[[str], None]) -> dict[str, Any]:
    """`measured` with the load beside it; and what others computed meanwhile, in cores."""
    start, before = monotonic(), computed()
    with busy_processes(options.load.busy if options.load else 0):
        result = measured(case, options, tell)
    seconds, after = monotonic() - start, computed()
    spent = {name: (after[name] - before[name]) / seconds for name in before if name != "ours"}
    return result | {"cores": spent}


def measured(case: Case, options: Options, tell: Callable[[str], None]) -> dict[str, Any]:
    """Every row's rounds and value, as JSON can hold them.

    A row has `label`, `target`, and either `value` (the median of its rounds), `low`, `high` and
    `rounds` (each a list of samples for each process), or `missing` or `failed` with the reason.
    A row whose answer is not the right one has its value and `wrong`, with the reason; one that
    is unitdot and has other bits than its first answer, which is of the first row, `differs`.
    Under load there are the `load.figures` as well, and `limits` for some of them.
    """
    rows: list[dict[str, Any]] = [
        {"label": run.label, "target": run.target, "limits": run.limits, "rounds": []}
        for run in case.runs
    ]
    done = set()  # labels of rows that sit out what is left
    reference: dict[str, str] = {}
    for number in range(min(options.rounds, case.max_rounds or options.rounds)):
        tell(f"{case.name}: round {number + 1}")
        for run, row in zip(case.runs, rows, strict=True):
            if run.label in done:
                continue
            start = monotonic()
            answers = launch(run, options, check=number == 0)
            samples = [answer.pop("samples", None) for answer in answers]
            if None not in samples:
                row["rounds"].append(list(chain(*samples)) if options.load else samples)
            if None in samples or monotonic() - start > options.patience:
                done.add(run.label)
            for answer in answers:
                bits = answer.pop("bits", {})
                reference = reference or bits
                if other := [name for name in bits if bits[name] != reference.get(name)]:
                    row["differs"] = f"other bits than unitdot's first: {', '.join(other)}"
                row.update(answer)
    for row in rows:
        if row["rounds"] and options.load:
            row.update(figures(row["rounds"]))
        elif row["rounds"]:
            values = [sum(median(samples) for samples in copies) for copies in row["rounds"]]
            row.update(value=median(values), low=min(values), high=max(values))
    return {
        "name": case.name,
        "title": case.title,
        "unit": case.unit,
        "relation": case.relation,
        "work": case.work,
        "work_unit": case.work_unit,
        "curve": case.curve,
        "x": case.x,
        "rows": rows,
    }


def launch(run: Run, options: Options, check: bool = False) -> list[dict[str, Any]]:
    """Answers of the run's processes: "samples" and perhaps "wrong", or "missing" or "failed".

    They measure once all are ready, and end once all have measured.
    """
    threads = str(run.threads or options.threads)
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, threads)
    if run.python is not None:  # its packages are its own
        environment.pop("PYTHONPATH", None)
    params = run.params | {"budget": options.seconds}
    spec = json.dumps({"probe": run.probe, "params": params, "check": check})
    command = [run.python or sys.executable, "-m", "benchmarks.child", spec]
    with ExitStack() as stack:
        children = []
        for _ in range(run.copies):
            child = Popen(command, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True)
            children.append(stack.enter_context(child))
            stack.callback(child.kill)  # nothing is left behind, whatever ends this run
            watchdog = Timer(TIMEOUT_SECONDS, child.kill)
            watchdog.start()
            stack.callback(watchdog.cancel)
        lines = [child.stdout.readline() for child in children]
        for stage in ("ready\n", "measured\n"):
            waiting = [place for place, line in enumerate(lines) if line == stage]
            for place in waiting:
                print(file=children[place].stdin, flush=True)
            for place in waiting:
                lines[place] = children[place].stdout.readline()
        return [_answer(child, line) for child, line in zip(children, lines, strict=True)]


def _answer(child: Popen, line: str) -> dict[str, Any]:
    status = child.wait()
    return json.loads(line) if line else {"failed": f"exit status {status}"}
