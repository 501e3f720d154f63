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
from .machine import usable_cores
from .runner import Options, launch, run_case
from .work import BEFORE, UNITDOT, Case, Run

HERE = Path(__file__).parent
QUICK_SECONDS = 90  # --quick alone starts no case after that


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


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
        "--against",
        type=_interpreter,
        metavar="PYTHON",
        help="another environment's interpreter, whose unitdot (an earlier build) is a contender "
        f"of every case that has unitdot: {BEFORE!r}, which must give the same bits",
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        help="names or patterns of those whom unitdot meets (default: all; the build of --against "
        "always takes part)",
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
        return [case for case in cases if case.quick or not args.quick]
    for pattern in args.cases:
        if not any(fnmatch(case.name, pattern) for case in cases):
            parser.error(f"--cases {pattern}: no such case; --list names them")
    return [case for case in cases if _matches(case.name, args.cases)]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _varied(case: Case, args: argparse.Namespace) -> Case:
    """With the contenders that are asked for."""
    if args.contenders is not None:
        case = variants.only(case, lambda label: _matches(label, args.contenders))
    return case if args.against is None else variants.against(case, args.against)


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
    cases = [_varied(case, args) for case in _chosen(parser, args)]
    if args.list:
        print("\n".join(f"{case.name:<24}{case.title}" for case in cases))
        return 0
    hurried = args.quick and args.cases is None
    rounds, seconds = (3, 0.2) if args.quick else (7, 0.5)
    rounds, patience = args.rounds or rounds, 2.0 if hurried else 20.0
    options = Options(args.threads, rounds, seconds, patience)
    start = monotonic()

    (answer,) = launch(Run("machine", "machine", {}), options)
    if "samples" not in answer:
        parser.error(f"the machine could not be described: {answer}")
    (machine,) = answer["samples"]
    print(report.header(machine, asdict(options)), end="\n\n")
    if args.against is not None:
        print(_builds(parser, args.against, options), end="\n\n")
    print(report.table_head(), flush=True)

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
