"""Command line of the benchmarks: see ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import sys
from fnmatch import fnmatch
from pathlib import Path

from . import __doc__ as description
from . import report
from .cases import Case, Run, all_cases
from .machine import usable_cores
from .runner import launch, run_case


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 1 if a target is missed or a contender fails, else 0.",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        default=["*"],
        metavar="NAME",
        help="names or patterns, such as memory-*",
    )
    parser.add_argument(
        "--quick", action="store_true", help="3 short rounds; the targets deserve the full 7"
    )
    parser.add_argument(
        "--threads",
        type=_positive,
        default=min(2, usable_cores()),
        metavar="N",
        help="threads that each contender may use (default: 2, the targets' number, or all)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path(__file__).with_name("results.json"),
        metavar="FILE",
        help="where every sample goes (default: benchmarks/results.json)",
    )
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    return parser


def _chosen(parser: argparse.ArgumentParser, patterns: list[str], threads: int) -> list[Case]:
    cases = all_cases(threads)
    for pattern in patterns:
        if not any(fnmatch(case.name, pattern) for case in cases):
            parser.error(f"--cases {pattern}: no such case; --list names them")
    return [case for case in cases if any(fnmatch(case.name, pattern) for pattern in patterns)]


def _tell(line: str) -> None:
    """Progress, on a line that the next one overwrites; only for a person who watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    cases = _chosen(parser, args.cases, args.threads)
    if args.list:
        print("\n".join(f"{case.name:<24}{case.title}" for case in cases))
        return 0
    rounds, budget = (3, 0.2) if args.quick else (7, 0.5)

    options = {"threads": args.threads, "rounds": rounds, "seconds": budget}
    (answer,) = launch(Run("machine", "machine", {}), budget, args.threads)
    if "samples" not in answer:
        parser.error(f"the machine could not be described: {answer}")
    (machine,) = answer["samples"]
    print(report.header(machine, options), report.table_head(), sep="\n\n", flush=True)

    results = []
    for case in cases:
        results.append(run_case(case, rounds, budget, args.threads, _tell))
        _tell("")
        print(report.table(results[-1]), flush=True)
        record = {"machine": machine, "options": options, "cases": results}
        args.json.write_text(json.dumps(record, indent=1) + "\n")

    counts = report.verdicts(results)
    print(
        "\ntargets: "
        + ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("ok", "MISS", "not measured"))
    )
    failed = any("failed" in row for result in results for row in result["rows"])
    return int(failed or counts["MISS"] > 0)


if __name__ == "__main__":
    sys.exit(main())
