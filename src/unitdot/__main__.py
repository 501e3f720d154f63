"""Command line: ``python -m unitdot`` and the console script ``unitdot``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import unitdot
from unitdot._cli.choose import InputError
from unitdot._cli.commands import add_pairs, add_top_k


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: 0; 1 where the system failed (memory, disk); 2 where the input cannot be
        used; 128 and the signal's number where Ctrl-C or a reader that closed the pipe ended the
        work early. Bad arguments exit with 2, as argparse does.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        print(end="", flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except (InputError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        return _fail(2, error)
    except (OSError, MemoryError) as error:
        try:
            print(end="", flush=True)
        except OSError:
            _drop_output()
        return _fail(1, error)
    return 0


def _drop_output() -> None:
    """Keep Python from flushing at exit what is still buffered and can go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(status: int, error: Exception) -> int:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = error.strerror
        if error.filename is not None:
            message = f"{error.filename}: {message}"
    elif isinstance(error, MemoryError):
        message = f"not enough memory: {message}" if message else "not enough memory"
    line = " ".join(message.splitlines())
    # parts of a file may be in it, and could tell a terminal what to do
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"unitdot: error: {line}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"unitdot: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """Describe every command; each sets `run`, a function of the parsed arguments."""
    parser = _Parser(
        prog="unitdot",
        description="Cosine similarity. Without a command: a demonstration on real data.",
    )
    parser.add_argument("--version", action="version", version=f"unitdot {unitdot.__version__}")
    parser.set_defaults(run=_run_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_top_k(commands)
    add_pairs(commands)
    info = commands.add_parser(
        "info", help="what this build can do and what was chosen", description=_run_info.__doc__
    )
    info.set_defaults(run=_run_info)
    return parser


def _run_demo(arguments: argparse.Namespace) -> None:
    """Run the demonstration on the data set that the package ships."""
    from unitdot._cli import demo

    demo.run()


def _run_info(arguments: argparse.Namespace) -> None:
    """Print the version, instruction set, OpenMP and threads."""
    unitdot.show_config()


if __name__ == "__main__":
    sys.exit(main())
