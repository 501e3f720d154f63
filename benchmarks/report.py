"""The plain text table, at most 110 columns wide."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from operator import ge, le
from typing import Any

WIDTH = 110
COLUMNS = "  {:<28}{:>13}{:>8}{:>16}{:>10}   {:<10}{}"
RELATIONS = {"<=": le, ">=": ge}


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


def _pairs(mapping: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in mapping.items())


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def table_head() -> str:
    """The columns' names; a ratio is the first row's median over this row's."""
    names = COLUMNS.format("", "median", "spread", "rate", "1st/this", "target", "").rstrip()
    return names + "\n" + "-" * WIDTH


def table(result: dict[str, Any]) -> str:
    """One case of `runner.run_case`."""
    lines = [f"{result['name']}: {result['title']}"]
    for row, ratio, verdict in judged(result):
        if "value" in row:
            spread = f"{50 * (row['high'] - row['low']) / abs(row['value'] or 1):.0f} %"
            median, rate = _quantity(row["value"], result["unit"]), _rate(row["value"], result)
        else:
            median, spread, rate = ("missing" if "missing" in row else "failed"), "", ""
        target = "" if row["target"] is None else f"{result['relation']} {row['target']:g}"
        shown_ratio = "" if ratio is None else f"{ratio:.3f}"
        cells = row["label"], median, spread, rate, shown_ratio, target, verdict
        lines.append(COLUMNS.format(*cells).rstrip())
        reason = row.get("missing") or row.get("failed")
        if reason:
            lines += textwrap.wrap(reason, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def judged(result: dict[str, Any]) -> list[tuple[dict[str, Any], float | None, str]]:
    """Each row with its ratio and the verdict on its target.

    The verdict is "ok", "MISS", "not measured", or "" where there is no target. The first row has
    no ratio: its target is for its own value.
    """
    first = result["rows"][0]
    meets = RELATIONS[result["relation"]]
    judgements = []
    for row in result["rows"]:
        comparable = row is not first and "value" in first and row.get("value", 0) > 0
        ratio = first["value"] / row["value"] if comparable else None
        judged_value = row.get("value") if row is first else ratio
        if row["target"] is None:
            verdict = ""
        elif judged_value is None:
            verdict = "not measured"
        else:
            verdict = "ok" if meets(judged_value, row["target"]) else "MISS"
        judgements.append((row, ratio, verdict))
    return judgements


def verdicts(results: list[dict[str, Any]]) -> Counter[str]:
    """How often each verdict was given."""
    return Counter(verdict for result in results for _, _, verdict in judged(result) if verdict)


def _quantity(value: float, unit: str) -> str:
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
