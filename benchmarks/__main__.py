"""Command line of the benchmarks: see ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic

from . import __doc__ as description
from . import charts, report, variants
from .cases import all_cases
from .data import ANY_ROWS
from .load import MIN_CALLS, Load
from .machine import usable_cores
from .runner import Options, launch, run_case
from .work import BEFORE, ONE_THREAD, UNITDOT, Case, Run

HERE = Path(__file__).parent
QUICK_SECONDS = 90  # --quick alone starts no case after that


def _at_least(least: int):
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return int(text)

    return number


_positive = _at_least(1)


def _interpreter(text: str) -> str:
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not a program; give an environment's python")
    return os.path.abspath(found)  # not resolved: a virtual environment's python is a link


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 1 if a target is missed, a contender fails, unitdot's answer is "
        "wrong, or an earlier build's bits are others; else 0.",
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
        "--data",
        nargs="+",
        choices=ANY_ROWS,
        metavar="NAME",
        help="rows of the cases of top-k and pairs, which alone are measured: "
        f"{', '.join(ANY_ROWS)} (default: each case's own; those of real ones have the spectrum of "
        "the shipped embeddings)",
    )
    parser.add_argument(
        "--against",
        type=_interpreter,
        metavar="PYTHON",
        help="another environment's interpreter, whose unitdot (an earlier build) is a contender "
        f"of every case that has unitdot, {BEFORE!r}, and must give the same bits",
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        help="names or patterns of those whom unitdot meets (default: all; the build of --against "
        "always takes part)",
    )
    parser.add_argument(
        "--busy",
        type=_at_least(0),
        metavar="N",
        help="time single calls beside N processes that compute (they hash), at least "
        f"{MIN_CALLS} of every contender; {ONE_THREAD!r} takes part",
    )
    parser.add_argument(
        "--callers",
        type=_positive,
        metavar="N",
        help="the same, with N processes that make the same calls in a loop",
    )
    parser.add_argument(
        "--caller-threads",
        type=_positive,
        metavar="N",
        help="the same, with N Python threads in each process that calls",
    )
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="default: 7; with --quick 3, short ones"
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
        return [c for c in cases if (c.quick or not args.quick) and not c.on_demand]
    for pattern in args.cases:
        if not any(fnmatch(case.name, pattern) for case in cases):
            parser.error(f"--cases {pattern}: no such case; --list names them")
    return [
        case
        for case in cases
        if case.name in args.cases or (_matches(case.name, args.cases) and not case.on_demand)
    ]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _load(args: argparse.Namespace) -> Load | None:
    asked = args.busy, args.callers, args.caller_threads
    if asked == (None, None, None):
        return None
    return Load(args.busy or 0, args.callers or 1, args.caller_threads or 1)


def _varied(case: Case, args: argparse.Namespace, options: Options) -> Case:
    """With the contenders and the load that are asked for."""
    if args.contenders is not None:
        case = variants.only(case, lambda label: _matches(label, args.contenders))
    if args.against is not None:
        case = variants.against(case, args.against)
    return case if options.load is None else variants.under_load(case, options)


def _builds(parser: argparse.ArgumentParser, python: str, options: Options) -> str:
    """Which two builds meet."""
    lines, digests = [], set()
    for run in (Run(UNITDOT, "unitdot_build", {}), Run(BEFORE, "unitdot_build", {}, python=python)):
        (answer,) = launch(run, options)
        if "samples" not in answer:
            parser.error(f"--against: {run.label} cannot be imported: {answer}")
        (build,) = answer["samples"]
        digests.add(build["digest"])
        lines.append(f"{run.label}: " + ", ".join(f"{k} {v}" for k, v in build.items()))
    same = ["the two are the same build"] if len(digests) == 1 else []
    return "\n".join(lines + same)


def _tell(line: str) -> None:
    """Progress, on a line that the next one overwrites; only for a person who watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and give the exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    cases = _chosen(parser, args)
    if args.data:
        varied = (variants.of_data(case, data) for case in cases for data in args.data)
        # a case that has this data by itself has it once
        cases = list({case.name: case for case in varied if case is not None}.values())
    if args.list:
        print("\n".join(f"{case.name:<24}{case.title}" for case in cases))
        return 0
    hurried = args.quick and args.cases is None
    rounds, seconds = (3, 0.2) if args.quick else (7, 0.5)
    load = _load(args)
    patience = 2.0 if hurried else 20.0 if load is None else 60.0
    options = Options(args.threads, args.rounds or rounds, seconds, patience, load)
    if load is not None:
        cases = [case for case in cases if variants.can_be_loaded(case)]
    cases = [_varied(case, args, options) for case in cases]
    start = monotonic()

    (answer,) = launch(Run("machine", "machine", {}), options)
    if "samples" not in answer:
        parser.error(f"the machine could not be described: {answer}")
    (machine,) = answer["samples"]
    print(report.header(machine, asdict(options)), end="\n\n")
    if args.against is not None:
        print(_builds(parser, args.against, options), end="\n\n")
    print(report.table_head(load is not None), flush=True)

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
    print("\n" + report.growth(results) if load is None else "")
    if faults := report.faults(results):
        print(faults)
    print("targets: " + ", ".join(f"{counts[name]} {name}" for name in report.VERDICTS))
    if hurried:
        measured = {result["name"] for result in results}
        left_out = [
            case.name
            for case in all_cases(args.threads)
            if case.name not in measured and not case.on_demand
        ]
        print(report.wrapped(f"left out by --quick (--cases names them): {', '.join(left_out)}"))
    if load is None:
        print(charts.draw([record], args.charts))
    return report.status(results)


if __name__ == "__main__":
    sys.exit(main())
