"""Several runs as one: medians, and from where to where where runs differ.

``python -m benchmarks.together RESULTS.json ...`` prints them as Markdown's tables, the others'
times as multiples of the first row's of the same run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from .report import quantity

APART = 0.15  # of the median: where runs differ by more, what they gave is told


def together(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases of ``python -m benchmarks``, each with the rows of all its runs.

    `value` is the median of the runs' medians, `low` and `high` are the least and the greatest of
    these, `multiples` what they are of the first row's. Who was wrong once, or failed, is so.
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
            own = rows.setdefault(row["label"], row | {"values": [], "multiples": []})
            own |= {
                key: row[key] for key in ("missing", "failed", "wrong", "differs") if key in row
            }
            if "value" in row:
                own["values"].append(row["value"])
                own["multiples"] += [row["value"] / first] if first else []
    for row in rows.values():
        if values := row["values"]:
            row |= {"value": median(values), "low": min(values), "high": max(values)}
    return cases[-1] | {"rows": list(rows.values())}


def tables(results: list[dict[str, Any]]) -> str:
    """A table for each set of contenders that cases in a row have."""
    parts = []
    for labels, cases in groupby(results, lambda case: [row["label"] for row in case["rows"]]):
        lines = [f"| work | {' | '.join(labels)} |", "|---" * (1 + len(labels)) + "|"]
        lines += [f"| {case['title']} | {' | '.join(_cells(case))} |" for case in cases]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(case: dict[str, Any]) -> Iterable[str]:
    for number, row in enumerate(case["rows"]):
        if "wrong" in row or "failed" in row or "value" not in row:
            yield next((fault for fault in ("wrong", "failed", "missing") if fault in row), "")
        elif number:
            yield _with_range(row["multiples"], lambda multiple: f"{multiple:.3g}")
        else:
            yield _with_range(row["values"], lambda value: quantity(value, case["unit"]))


def _with_range(values: list[float], shown: Any) -> str:
    if not values:
        return ""
    low, middle, high = min(values), median(values), max(values)
    apart = f" ({shown(low)} to {shown(high)})" if high - low > APART * middle else ""
    return shown(middle) + apart


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m benchmarks.together RESULTS.json ...")
    print(tables(together(json.loads(Path(file).read_text()) for file in sys.argv[1:])))
