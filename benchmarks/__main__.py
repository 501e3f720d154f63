"""Command line of the benchmarks: see ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic

from . import __doc__ as description
from . import charts, report
from .cases import all_cases
from .machine import usable_cores
from .runner import Options, launch, run_case
from .work import Case, Run

HERE = Path(__file__).parent
QUICK_SECONDS = 90  # --quick alone starts no case after that


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
        epilog="Exit status: 1 if a target is missed, a contender fails, or unitdot's answer is "
        "wrong; else 0.",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="NAME",
        help="names or patterns, such as memory-* (default: all; with --quick the most telling)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="3 short rounds, under 2 minutes in all unless --cases asks for more; the targets "
        "deserve the full 7",
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
        default=HERE / "results.json",
        metavar="FILE",
        help="where every sample goes (default: benchmarks/results.json)",
    )
    parser.add_argument(
        "--charts",
        type=Path,
        default=HERE / "charts",
        metavar="FOLDER",
        help="where the charts go (default: benchmarks/charts)",
    )
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    return parser


def _chosen(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[Case]:
    cases = all_cases(args.threads)
    if args.cases is None:
        return [case for case in cases if case.quick or not args.quick]
    for pattern in args.cases:
        if not any(fnmatch(case.name, pattern) for case in cases):
            parser.error(f"--cases {pattern}: no such case; --list names them")
    return [case for case in cases if any(fnmatch(case.name, pattern) for pattern in args.cases)]


def _tell(line: str) -> None:
    """Progress, on a line that the next one overwrites; only for a person who watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and give the exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    cases = _chosen(parser, args)
    if args.list:
        print("\n".join(f"{case.name:<24}{case.title}" for case in cases))
        return 0
    hurried = args.quick and args.cases is None
    rounds, seconds = (3, 0.2) if args.quick else (7, 0.5)
    options = Options(args.threads, rounds, seconds, patience=2.0 if hurried else 20.0)
    start = monotonic()

    (answer,) = launch(Run("machine", "machine", {}), options)
    if "samples" not in answer:
        parser.error(f"the machine could not be described: {answer}")
    (machine,) = answer["samples"]
    print(report.header(machine, asdict(options)), report.table_head(), sep="\n\n", flush=True)

    results: list[dict] = []
    record = {"machine": machine, "options": asdict(options), "cases": results}
    for case in cases:
        if hurried and results and monotonic() - start > QUICK_SECONDS:
            break
        results.append(run_case(case, options, _tell))
        _tell("")
        print(report.table(results[-1]), flush=True)
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")

    counts = report.verdicts(results)
    print("\n" + report.growth(results))
    if faults := report.faults(results):
        print(faults)
    print("targets: " + ", ".join(f"{counts[name]} {name}" for name in report.VERDICTS))
    if hurried:
        measured = {result["name"] for result in results}
        left_out = [case.name for case in all_cases(args.threads) if case.name not in measured]
        print(report.wrapped(f"left out by --quick (--cases names them): {', '.join(left_out)}"))
    print(charts.draw([record], args.charts))
    return report.status(results)


if __name__ == "__main__":
    sys.exit(main())
