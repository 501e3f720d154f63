"""The plain text table, at most 110 columns wide."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from math import log
from operator import ge, le
from statistics import linear_regression
from typing import Any

from .curves import CURVES
from .load import FIGURES, MIN_CALLS

WIDTH = 110
FAULTS = ("missing", "failed", "differs", "wrong")
VERDICTS = ("ok", "MISS", "not measured", "DIFFERS", "WRONG")
COLUMNS = "  {:<28}{:>13}{:>8}{:>18}{:>10}   {:<10}{}"
RELATIONS = {"<=": le, ">=": ge}
DISTURBED = 0.1  # cores that others computed on: from there on it is told
LOAD_COLUMNS = "  {:<27}" + 4 * "{:>9}" + "{:>8} " + 4 * "{:>8}"


def header(machine: dict[str, Any], options: dict[str, Any]) -> str:
    """What ran where."""
    facts = {
        "cpu": machine["cpu"],
        "cores": _pairs(machine["cores"]),
        "caches": _pairs(machine["caches"]),
        "os": machine["os"],
        "python": machine["python"],
        "versions": _pairs(machine["versions"]),
        "unitdot": _compact(machine["unitdot"]),
        "thread pools": _compact(machine["thread_pools"]),
        "options": _pairs(options),
    }
    lines = (f"{name + ':':<14}{value}" for name, value in facts.items())
    return "\n".join(
        line for fact in lines for line in textwrap.wrap(fact, WIDTH, subsequent_indent=" " * 14)
    )


def wrapped(text: str) -> str:
    """In lines of the table's width."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _pairs(mapping: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in mapping.items())


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def table_head(loaded: bool = False) -> str:
    """The columns' names; a ratio is the first row's figure over this row's."""
    if loaded:
        shown = "median", "90 %", "99 %", "maximum", "calls/s"
        names = f"{'first row / this row:':>100}\n" + LOAD_COLUMNS.format(
            "", *shown, *FIGURES.values()
        )
    else:
        names = COLUMNS.format("", "median", "spread", "rate", "1st/this", "target", "").rstrip()
    return names + "\n" + "-" * WIDTH


def table(result: dict[str, Any]) -> str:
    """One case of `runner.run_case`."""
    lines = [f"{result['name']}: {result['title']}"]
    for row, ratio, verdict in judged(result):
        if "per_second" in row:
            lines += _load_lines(row, result["rows"][0], verdict)
            continue
        if "value" in row:
            spread = f"{50 * (row['high'] - row['low']) / abs(row['value'] or 1):.0f} %"
            spread = "1 round" if len(row["rounds"]) == 1 else spread
            median, rate = quantity(row["value"], result["unit"]), _rate(row["value"], result)
        else:
            median, spread, rate = ("missing" if "missing" in row else "failed"), "", ""
        target = "" if row["target"] is None else f"{result['relation']} {row['target']:g}"
        shown_ratio = "" if ratio is None else f"{ratio:.3f}"
        cells = row["label"], median, spread, rate, shown_ratio, target, verdict
        lines.append(COLUMNS.format(*cells).rstrip())
        reason = _reason(row)
        if reason:
            lines += textwrap.wrap(reason, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    if note := disturbed(result):
        lines.append(f"      {note}")
    return "\n".join(lines)


def disturbed(result: dict[str, Any]) -> str:
    """Who else computed on the machine while a case was measured, if anybody did."""
    names = {"others": "other processes", "stolen": "the machine's host"}
    cores = result.get("cores", {})
    taken = [f"{names[name]} {cores[name]:.2f}" for name in cores if cores[name] >= DISTURBED]
    return f"disturbed: {' and '.join(taken)} of a core meanwhile" if taken else ""


def _load_lines(row: dict[str, Any], first: dict[str, Any], verdict: str) -> list[str]:
    """A row under load, its limits, and what is to be said of it."""
    times = [quantity(row[name], "s") for name in ("value", "p90", "p99", "high")]
    ratios = _ratios(row, first)
    shown = [f"{ratio:.3g}" for ratio in ratios.values()] or [""] * len(FIGURES)
    notes = [
        f"limit: {FIGURES[name]} {_relation(name)} {limit:g} of this row's: "
        + _loaded_verdict(ratios, {name: limit})
        for name, limit in row["limits"].items()
    ]
    if row["calls"] < MIN_CALLS:
        notes.append(f"only {row['calls']} calls")
    if reason := _reason(row):
        notes.append(f"{verdict}: {reason}" if verdict else reason)
    cells = row["label"], *times, f"{row['per_second']:.4g}", *shown
    return [
        LOAD_COLUMNS.format(*cells).rstrip(),
        *(textwrap.indent(textwrap.fill(note, WIDTH - 6), " " * 6) for note in notes),
    ]


def _ratios(row: dict[str, Any], first: dict[str, Any]) -> dict[str, float]:
    """Of the first row's figures under load to this one's."""
    if row is first or "per_second" not in first:
        return {}
    return {name: first[name] / row[name] for name in FIGURES}


def _relation(figure: str) -> str:
    return ">=" if figure == "per_second" else "<="


def exponent(points: list[dict[str, Any]]) -> float | None:
    """The b of time ~ x^b for the first row of a curve's cases, by least squares."""
    measured = [(p["x"], p["rows"][0]["value"]) for p in points if "value" in p["rows"][0]]
    if len(measured) < 2:
        return None
    x, times = (list(map(log, column)) for column in zip(*measured, strict=True))
    return linear_regression(x, times).slope


def curves(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Each growth curve's name and cases."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result["curve"] is not None:
            found.setdefault(result["curve"], []).append(result)
    return found


def growth(results: list[dict[str, Any]]) -> str:
    """How unitdot's time grows along the curves on which it is a power."""
    slopes = {
        name: exponent(points) for name, points in curves(results).items() if CURVES[name].powers
    }
    found = (f"{name} ^{slope:.2f}" for name, slope in slopes.items() if slope is not None)
    return f"growth of unitdot's time: {', '.join(found) or 'not measured'}"


def _reason(row: dict[str, Any]) -> str | None:
    return next((row[fault] for fault in FAULTS if fault in row), None)


def faults(results: list[dict[str, Any]]) -> str:
    """Who was missing, failed, or gave a wrong answer, why and in which cases; a line for each."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for result in results:
        for row in result["rows"]:
            for fault in FAULTS:
                if fault in row:
                    key = fault, row["label"], row[fault]
                    found.setdefault(key, []).append(result["name"])
    return "\n".join(
        wrapped(f"{fault}: {label}, {reason} ({', '.join(names)})")
        for (fault, label, reason), names in found.items()
    )


def judged(result: dict[str, Any]) -> list[tuple[dict[str, Any], float | None, str]]:
    """Each row with its ratio and the verdict on its target.

    The verdict is "ok", "MISS", "not measured", or "" where there is no target; "WRONG" if the
    answer is, "DIFFERS" if its bits are not those that the contract promises. The first row has no
    ratio: its target is for its own value.
    """
    first = result["rows"][0]
    meets = RELATIONS[result["relation"]]
    judgements = []
    for row in result["rows"]:
        comparable = row is not first and "value" in first and row.get("value", 0) > 0
        ratio = first["value"] / row["value"] if comparable else None
        judged_value = row.get("value") if row is first else ratio
        if "differs" in row:
            verdict = "DIFFERS"
        elif "wrong" in row:
            verdict = "WRONG"
        elif row.get("limits"):
            verdict = _loaded_verdict(_ratios(row, first), row["limits"])
        elif row["target"] is None:
            verdict = ""
        elif judged_value is None:
            verdict = "not measured"
        else:
            verdict = "ok" if meets(judged_value, row["target"]) else "MISS"
        judgements.append((row, ratio, verdict))
    return judgements


def _loaded_verdict(ratios: dict[str, float], limits: dict[str, float]) -> str:
    if not ratios:
        return "not measured"
    met = all(RELATIONS[_relation(name)](ratios[name], limit) for name, limit in limits.items())
    return "ok" if met else "MISS"


def verdicts(results: list[dict[str, Any]]) -> Counter[str]:
    """How often each verdict was given."""
    return Counter(verdict for result in results for _, _, verdict in judged(result) if verdict)


def status(results: list[dict[str, Any]]) -> int:
    """The exit status: 1 if a target is missed, a contender fails, or unitdot's row is wrong."""
    rows = [row for result in results for row in result["rows"]]
    failed = any(fault in row for row in rows for fault in ("failed", "differs"))
    wrong = any("wrong" in result["rows"][0] for result in results)
    return int(failed or wrong or verdicts(results)["MISS"] > 0)


def quantity(value: float, unit: str) -> str:
    """A value with its unit, as people write it."""
    if unit != "s":
        return f"{value:.1f} {unit}"
    for scale, prefix in ((1, ""), (1e3, "m")):
        if value * scale >= 1:
            return f"{value * scale:.4g} {prefix}s"
    return f"{value * 1e6:.4g} us"


def _rate(value: float, result: dict[str, Any]) -> str:
    if result["work"] is None:
        return ""
    return f"{result['work'] / value:.3g} {result['work_unit']}/s"
