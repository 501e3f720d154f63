"""Several runs as one: medians, and from where to where where runs differ.

``python -m benchmarks.together RESULTS.json ... --cases NAME ... --contenders NAME ...`` prints
these as a table in Markdown: the others' times as multiples of the first row's in the same run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from .report import disturbed, quantity

APART = 0.15  # of the median: where runs differ by more, what they gave is told


def together(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases of ``python -m benchmarks``, each with the rows of all its runs.

    `value` is the median of the runs' medians, `low` and `high` are the least and the greatest of
    these, `multiples` what they are of the first row's, `p90` is the median of the runs' 90th
    percentiles. Who was wrong once, or failed, is so; `cores` are the most that others took.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        for case in record["cases"]:
            runs.setdefault(case["name"], []).append(case)
    return [_one(cases) for cases in runs.values()]


def _one(cases: list[dict[str, Any]]) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for case in cases:
        first = case["rows"][0].get("value")
        for row in case["rows"]:
            own = rows.setdefault(row["label"], row | {"values": [], "multiples": [], "p90s": []})
            own |= {
                key: row[key] for key in ("missing", "failed", "wrong", "differs") if key in row
            }
            if "value" in row:
                own["values"].append(row["value"])
                own["multiples"] += [row["value"] / first] if first else []
                own["p90s"] += [row["p90"]] if "p90" in row else []
    for row in rows.values():
        if values := row["values"]:
            row.pop("missing", None)  # who was installed later
            row |= {"value": median(values), "low": min(values), "high": max(values)}
        if row["p90s"]:
            row["p90"] = median(row["p90s"])
    taken = [case.get("cores", {}) for case in cases]
    cores = {name: max(own.get(name, 0) for own in taken) for name in dict.fromkeys(chain(*taken))}
    return cases[-1] | {"rows": list(rows.values()), "cores": cores}


def table(results: list[dict[str, Any]]) -> str:
    """A line for each case, a column for each contender that took part in any."""
    rows = [{row["label"]: row for row in case["rows"]} for case in results]
    labels = {label for own in rows for label in own if "missing" not in own[label]}
    firsts = [case["rows"][0]["label"] for case in results]
    named = dict.fromkeys([*firsts, *(label for own in rows for label in own)])
    columns = [label for label in named if label in labels]
    lines = [f"| work | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for case, own, first in zip(results, rows, firsts, strict=True):
        cells = [_cell(own.get(label, {}), label == first, case["unit"]) for label in columns]
        lines.append(f"| {case['title']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _only(case: dict[str, Any], patterns: list[str]) -> dict[str, Any]:
    first, *others = case["rows"]
    named = [row for row in others if any(fnmatch(row["label"], p) for p in patterns)]
    return case | {"rows": [first, *named]}


def _cell(row: dict[str, Any], first: bool, unit: str) -> str:
    if fault := next((name for name in ("failed", "wrong", "differs") if name in row), ""):
        return fault
    if first:
        return _with_range(row.get("values", []), lambda value: quantity(value, unit))
    return _with_range(row.get("multiples", []), lambda multiple: f"{multiple:.3g}")


def _with_range(values: list[float], shown: Callable[[float], str]) -> str:
    if not values:
        return ""
    low, middle, high = min(values), median(values), max(values)
    apart = f" ({shown(low)} to {shown(high)})" if high - low > APART * middle else ""
    return shown(middle) + apart


def main(arguments: list[str] | None = None) -> None:
    """Print the table of the cases that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together")
    parser.add_argument("results", nargs="+", type=Path, help="what --json wrote")
    parser.add_argument(
        "--cases", nargs="+", default=["*"], help="names or patterns (default: all)"
    )
    parser.add_argument("--contenders", nargs="+", default=["*"], help="and of the others (all)")
    args = parser.parse_args(arguments)
    results = together(json.loads(file.read_text()) for file in args.results)
    wanted = [case for case in results if any(fnmatch(case["name"], p) for p in args.cases)]
    print(table([_only(case, args.contenders) for case in wanted]))
    for case in wanted:
        if note := disturbed(case):
            print(f"{case['name']}, in one of its runs: {note}")


if __name__ == "__main__":
    main()
