"""The commands ``unitdot top-k`` and ``unitdot pairs``: read, compute, write."""

import argparse
import math
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import unitdot
from unitdot import _inputs
from unitdot._cli import files, output
from unitdot._cli.choose import InputError
from unitdot._cli.output import Table

Result = TypeVar("Result")
# the library's spelling in its errors, and this command line's
SPELLING = {" (or check_finite=False)": "", 'zero="raise"': "--zero raise"}


def add_top_k(commands: Any) -> None:
    """Describe ``unitdot top-k``."""
    parser = commands.add_parser(
        "top-k",
        help="the nearest neighbours of every row",
        description="Find, for every row of QUERIES, the k rows of CORPUS with the largest cosine "
        "similarity. Without QUERIES: for every row of CORPUS, its neighbours among the others.",
        epilog="Without -o, a line of tab-separated columns for each query is printed: its row, "
        "then row in CORPUS and similarity of each neighbour, best first. Rows count from 0.",
    )
    _add_inputs(parser, "QUERIES", "the vectors to find neighbours for (default: CORPUS itself)")
    parser.add_argument(
        "-k", type=_positive, default=10, metavar="K", help="neighbours of each row (default: 10)"
    )
    parser.add_argument(
        "--include-self",
        action="store_true",
        help="without QUERIES: let a row be its own neighbour",
    )
    _add_common(parser, "similarities and indices")
    parser.set_defaults(run=run_top_k)


def add_pairs(commands: Any) -> None:
    """Describe ``unitdot pairs``."""
    parser = commands.add_parser(
        "pairs",
        help="the pairs of rows at or above a similarity",
        description="Find every pair of rows of CORPUS whose cosine similarity is at least the "
        "threshold: each pair once, with row < column.",
        epilog="Without -o, a line of tab-separated columns for each pair is printed: row, column "
        "and similarity, sorted by row and column. Rows count from 0.",
    )
    _add_inputs(parser)
    parser.add_argument(
        "--threshold",
        type=_similarity,
        default=0.9,
        metavar="S",
        help="smallest similarity reported, -1 to 1 (default: 0.9)",
    )
    _add_common(parser, "rows, columns and similarities")
    parser.set_defaults(run=run_pairs)


def _add_inputs(parser: argparse.ArgumentParser, other: str = "", other_help: str = "") -> None:
    parser.add_argument(
        "corpus",
        type=Path,
        metavar="CORPUS",
        help="a file of vectors, one a row: .npy (memory-mapped), .npz (of NumPy, or a sparse "
        "matrix of SciPy), .parquet (a column of lists, or columns of numbers) or .csv",
    )
    if other:
        parser.add_argument("queries", type=Path, nargs="?", metavar=other, help=other_help)
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the column of a .parquet file, or the array of an .npz file, that holds the vectors, "
        "where there are several",
    )


def _add_common(parser: argparse.ArgumentParser, fields: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help=f"the file to write: .npz or .parquet ({fields}), or .csv (the printed table)",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--zero",
        choices=("zero", "nan", "raise"),
        default="zero",
        help="what rows of zeros give: similarity 0 (default), NaN, or an error",
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="threads to use (default: all that help)"
    )
    parser.add_argument(
        "--no-progress", action="store_true", help="no progress bar, even on a terminal"
    )


def _positive(text: str) -> int:
    number = int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return number


def _similarity(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not -1 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from -1 to 1")
    return number


def run_top_k(arguments: argparse.Namespace) -> None:
    """Find neighbours, and write or print them."""
    corpus, queries = arguments.corpus, arguments.queries
    if queries is not None and arguments.include_self:
        raise InputError(
            "--include-self is for CORPUS with itself; leave out QUERIES or the option"
        )
    _check(arguments, [corpus] if queries is None else [corpus, queries])
    Y = files.read(corpus, arguments.column)
    X = Y if queries is None else files.read(queries, arguments.column)
    if X.shape[1] != Y.shape[1]:
        raise InputError(
            f"{queries}: has {_inputs.counted(X.shape[1])} where {corpus} has {Y.shape[1]}; "
            f"expected the same number"
        )
    own = queries is None and not arguments.include_self
    if arguments.k > Y.shape[0] - own:
        raise InputError(
            f"{corpus}: has {_inputs.counted(Y.shape[0], 'row', 'rows')}, so that a row has "
            f"{_inputs.counted(Y.shape[0] - own, 'candidate', 'candidates')}; "
            f"expected at least {arguments.k} (-k)"
        )
    names = {"X": corpus if queries is None else queries, "Y": corpus}
    found = _call(
        names,
        lambda: unitdot.cosine_top_k(
            X,
            None if queries is None else Y,
            k=arguments.k,
            include_self=arguments.include_self,
            **_keywords(arguments),
        ),
    )
    similarities, indices = found.similarities, found.indices
    header, columns = ["row"], [np.arange(len(indices))]
    for i in range(arguments.k):
        header += [f"index_{i + 1}", f"similarity_{i + 1}"]
        columns += [indices[:, i], similarities[:, i]]
    arrays = {"similarities": similarities, "indices": indices}
    _deliver(arguments, Table(arrays, header, columns))


def run_pairs(arguments: argparse.Namespace) -> None:
    """Find pairs, and write or print them."""
    corpus = arguments.corpus
    _check(arguments, [corpus])
    X = files.read(corpus, arguments.column)
    found = _call(
        {"X": corpus},
        lambda: unitdot.cosine_pairs(X, threshold=arguments.threshold, **_keywords(arguments)),
    )
    columns = [found.rows, found.columns, found.similarities]
    arrays = dict(zip(("rows", "columns", "similarities"), columns, strict=True))
    _deliver(arguments, Table(arrays, ["row", "column", "similarity"], columns))


def _check(arguments: argparse.Namespace, inputs: list[Path]) -> None:
    """Find what can be found before the work starts."""
    if arguments.column is not None and not {".npz", ".parquet"} & {
        p.suffix.lower() for p in inputs
    }:
        raise InputError(f"{inputs[0]}: has no columns to choose from; leave out --column")
    if arguments.output is not None:
        output.check(arguments.output, arguments.force, inputs)
    elif arguments.force:
        raise InputError("--force is for an output; give one with -o, or leave it out")


def _keywords(arguments: argparse.Namespace) -> dict[str, Any]:
    watched = not arguments.no_progress and sys.stderr.isatty()
    return {
        "zero": arguments.zero,
        "n_threads": arguments.threads,
        "progress": watched and find_spec("tqdm") is not None,
    }


def _call(names: dict[str, Path], function: Callable[[], Result]) -> Result:
    """Call the library; its errors name files and options instead of arguments."""
    try:
        return function()
    except (ValueError, TypeError) as error:
        message = str(error)
        for theirs, ours in SPELLING.items():
            message = message.replace(theirs, ours)
        # in one pass, since a file may be called X or Y itself
        message = re.sub(rf"\b({'|'.join(names)})\b", lambda match: str(names[match[0]]), message)
        raise InputError(message) from error


def _deliver(arguments: argparse.Namespace, table: Table) -> None:
    if arguments.output is not None:
        output.write(arguments.output, table, arguments.force)
    else:
        sys.stdout.writelines(output.lines(table.columns, "\t"))
