"""Command line: ``python -m unitdot`` and the console script ``unitdot``."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

import unitdot
from unitdot._cli.choose import InputError
from unitdot._cli.commands import add_dedup, add_index, add_pairs, add_top_k
from unitdot._cli.output import printable

STATUS = """exit status: 0 all went well; 1 memory, disk or system failed; 2 bad arguments or input;
128 and a signal's number (130 Ctrl-C, 141 a closed pipe, 143 TERM) where one ended the work"""


class Ended(KeyboardInterrupt):
    """A signal that ends processes has come: leave as after Ctrl-C."""


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
        used; 128 and the signal's number where Ctrl-C, TERM, HUP or a reader that closed the pipe
        ended the work early. Bad arguments exit with 2, as argparse does.
    """
    _open_streams()
    with _signals():
        try:
            return _run(argv)
        except Ended as ended:
            return 128 + int(ended.args[0])
        except KeyboardInterrupt:
            return 130


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        with contextlib.ExitStack() as arguments.cleanup:
            if sys.stdout is None and getattr(arguments, "output", None) is None:
                raise OSError(errno.EBADF, "is closed; give it, or -o", "standard output")
            arguments.run(arguments)
        print(end="", flush=True)
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


def _open_streams() -> None:
    """Let no file that is opened have the number of a standard stream that is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """End as after Ctrl-C, so that nothing is left behind, where a signal asks for it."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for other in before:  # it is being seen to
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


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
    print(f"unitdot: error: {printable(line)}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments"):
            message += " (several files as one side: a folder of them, or a pattern in quotes)"
        self.exit(2, f"unitdot: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """Describe every command; each sets `run`, a function of the parsed arguments."""
    parser = _Parser(
        prog="unitdot",
        description="Cosine similarity. Without a command: a demonstration on real data.",
        epilog=STATUS,
    )
    parser.add_argument("--version", action="version", version=f"unitdot {unitdot.__version__}")
    parser.set_defaults(run=_run_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_top_k(commands)
    add_pairs(commands)
    add_dedup(commands)
    add_index(commands)
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
