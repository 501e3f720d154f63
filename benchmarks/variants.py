"""The cases as the command line asks for them: with an earlier build as a contender."""

from __future__ import annotations

from dataclasses import replace

from .work import BEFORE, UNITDOT, Case

# no slower than before, as far as such measurements can tell; memory has no target
NO_SLOWER = {"s": 1.03, "GFLOP/s": 0.97}


def against(case: Case, python: str) -> Case:
    """The case with that interpreter's unitdot as its second row, where the first is unitdot."""
    first, *others = case.runs
    if first.label != UNITDOT:
        return case
    before = replace(first, label=BEFORE, python=python, target=NO_SLOWER.get(case.unit))
    return replace(case, runs=(first, before, *others))


def only(case: Case, chosen) -> Case:
    """The case without the contenders that are not chosen; its first row stays."""
    first, *others = case.runs
    return replace(case, runs=(first, *(run for run in others if chosen(run.label))))
