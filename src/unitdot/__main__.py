"""Command line: ``python -m unitdot`` and the console script ``unitdot``."""

import argparse
import os
import sys
from collections.abc import Sequence

import unitdot


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: 0, or 128 and the signal's number where Ctrl-C or a reader that closed
        the pipe ended the work early. Bad arguments exit with 2, as argparse does.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        print(end="", flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is still buffered can go nowhere: keep Python from flushing it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe every command; each sets `run`, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="unitdot",
        description="Cosine similarity. Without a command: a demonstration on real data.",
    )
    parser.set_defaults(run=_run_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    info = commands.add_parser(
        "info", help="what this build can do and what was chosen", description=_run_info.__doc__
    )
    info.set_defaults(run=_run_info)
    return parser


def _run_demo(arguments: argparse.Namespace) -> None:
    """Run the demonstration on the data set that the package ships."""
    from unitdot import _demo

    _demo.run()


def _run_info(arguments: argparse.Namespace) -> None:
    """Print the version, instruction set, OpenMP and threads."""
    unitdot.show_config()


if __name__ == "__main__":
    sys.exit(main())
