"""The cases as the command line asks for them: of other data, with an earlier build, under load."""

from __future__ import annotations

from dataclasses import replace

from .data import ANY_ROWS
from .runner import Options
from .work import BEFORE, ONE_THREAD, TEXTS, UNITDOT, Case, Run

SEARCHES = "cosine_top_k", "cosine_pairs"
# no slower than before, as far as such measurements can tell; memory has no target
NO_SLOWER = {"s": 1.03, "GFLOP/s": 0.97}


def against(case: Case, python: str) -> Case:
    """The case with that interpreter's unitdot as its second row, where the first is unitdot."""
    first, *others = case.runs
    if first.label != UNITDOT:
        return case
    before = replace(first, label=BEFORE, python=python, target=NO_SLOWER.get(case.unit))
    return replace(case, runs=(first, before, *others))


def under_load(case: Case, options: Options) -> Case:
    """The case of single calls, with unitdot on one thread as its second row."""
    load = options.load
    calls = {
        "threads": load.caller_threads,
        "at_least": load.calls_a_round(options.rounds),
        "longest": options.patience / 2,
    }

    def loaded(run: Run) -> Run:
        params = run.params | calls
        return replace(run, probe="calls", params=params, target=None, copies=load.callers)

    first, *others = map(loaded, case.runs)
    limits = load.limits(*case.busy) if case.busy else {}
    params = first.params | {"contender": ONE_THREAD}
    one_thread = replace(first, label=ONE_THREAD, params=params, limits=limits)
    return replace(case, runs=(first, one_thread, *others))


def can_be_loaded(case: Case) -> bool:
    """Whether its rows are times of calls, the first of which are unitdot's."""
    return case.runs[0].label == UNITDOT and all(run.probe == "seconds" for run in case.runs)


def of_data(case: Case, data: str) -> Case | None:
    """The timed case of top-k or pairs with such rows, under a name that says so, or None.

    One that is about its own rows stays as it is.
    """
    first = case.runs[0]
    own = first.params.get("data")
    searches = first.probe == "seconds" and first.params["function"] in SEARCHES
    if not searches or own in TEXTS:
        return None
    if own == data or own not in ANY_ROWS:
        return case
    runs = tuple(replace(run, params=run.params | {"data": data}) for run in case.runs)
    name, title = f"{case.name}-{data}", f"{case.title}; {data} rows, not {own}"
    return replace(case, name=name, title=title, runs=runs, curve=None, x=None)


def only(case: Case, chosen) -> Case:
    """The case without the contenders that are not chosen; its first row stays."""
    first, *others = case.runs
    return replace(case, runs=(first, *(run for run in others if chosen(run.label))))
