"""The commands ``unitdot top-k``, ``pairs``, ``dedup`` and ``index``: read, compute, write."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import unitdot
from unitdot import _inputs
from unitdot._cli import files, kept, output, parts
from unitdot._cli.choose import Array, InputError, Wanted
from unitdot._cli.files import Rows
from unitdot._cli.output import Table
from unitdot._cli.parts import Folder
from unitdot._cli.sources import TEXT, format_of
from unitdot._cli.sources import find as find_sources
from unitdot._results import Pairs, TopK
from unitdot._selection import put_in_order, without_itself

Result = TypeVar("Result")
# the library's spelling in its errors, and this command line's
SPELLING = {" (or check_finite=False)": "", 'zero="raise"': "--zero raise"}

# options and names that the parts of a result do not depend on
NOT_PLANNED = {
    "cleanup", "corpus", "force", "no_progress", "other", "output", "resume", "run", "threads",
}  # fmt: skip


def add_top_k(commands: Any) -> None:
    """Describe ``unitdot top-k``."""
    parser = commands.add_parser(
        "top-k",
        help="the nearest neighbours of every row",
        description="Find, for every row of QUERIES, the k rows of CORPUS with the largest cosine "
        "similarity. Without QUERIES: for every row of CORPUS, its neighbours among the others.",
        epilog="Without -o, a line of tab-separated columns for each query is printed: its row, "
        "then row in CORPUS and similarity of each neighbour, best first. Rows count from 0, and "
        "stand for themselves unless --id is given. Example: unitdot top-k corpus.parquet "
        "queries.npy -k 5 --id doc -o neighbours.csv",
    )
    _add_inputs(parser, "queries", "the vectors to find neighbours for (default: CORPUS itself)")
    parser.add_argument(
        "-k", type=_positive, default=10, metavar="K", help="neighbours of each row (default: 10)"
    )
    _add_threshold(parser, None, "leave out neighbours less similar, -1 to 1 (default: none)")
    parser.add_argument(
        "--include-self",
        action="store_true",
        help="without QUERIES: let a row be its own neighbour",
    )
    _add_output(
        parser,
        ".npz or .parquet (similarities and indices), or .csv (what is printed), or with a / at "
        "its end a folder of .parquet parts",
        parts=True,
    )
    _add_common(parser)
    parser.set_defaults(run=run_top_k)


def add_pairs(commands: Any) -> None:
    """Describe ``unitdot pairs``."""
    parser = commands.add_parser(
        "pairs",
        help="the pairs of rows at or above a similarity",
        description="Find every pair of rows of CORPUS whose cosine similarity is at least the "
        "threshold: each pair once, with row < column. With OTHER: every pair of a row of CORPUS "
        "and a row (the column) of OTHER.",
        epilog="Without -o, a line of tab-separated columns for each pair is printed: row, column "
        "and similarity, sorted by row and column. Rows count from 0, and stand for themselves "
        "unless --id is given. Example: unitdot pairs 'shards/*.parquet' --threshold 0.95 "
        "-o pairs.csv",
    )
    _add_inputs(parser, "other", "the other side of each pair (default: CORPUS itself)")
    _add_threshold(parser, 0.9, "smallest similarity reported, -1 to 1 (default: 0.9)")
    parser.add_argument(
        "--max-pairs", type=_positive, metavar="N", help="only the N most similar of these pairs"
    )
    _add_output(
        parser,
        ".npz or .parquet (rows, columns, similarities), or .csv (what is printed), or with a / at "
        "its end a folder of .parquet parts",
        parts=True,
    )
    _add_common(parser)
    parser.set_defaults(run=run_pairs)


def add_dedup(commands: Any) -> None:
    """Describe ``unitdot dedup``."""
    parser = commands.add_parser(
        "dedup",
        help="a file without its near-duplicates",
        description="Write the rows of CORPUS with all their columns, in its format and order, "
        "but for those that are near-duplicates: at least as similar as the threshold to an "
        "earlier row that is kept.",
        epilog="Without -o, text is written to standard output; how many rows are kept, to "
        "standard error. Example: unitdot dedup documents.jsonl --threshold 0.95 -o kept.jsonl",
    )
    _add_inputs(parser)
    _add_threshold(parser, None, "similarity of near-duplicates, -1 to 1", required=True)
    parser.add_argument(
        "--clusters",
        action="store_true",
        help="keep all rows, and add a column `cluster`: rows that near-duplicates connect have "
        "the same number",
    )
    _add_output(parser, "of CORPUS's format")
    _add_common(parser)
    parser.set_defaults(run=run_dedup, other=None)


def add_index(commands: Any) -> None:
    """Describe ``unitdot index``."""
    parser = commands.add_parser(
        "index",
        help="a file that is searched without being read",
        description="Write the rows of CORPUS, with their ids, into an index: a file that the "
        "other commands, and CosineIndex.open in Python, take as CORPUS and search at once.",
        epilog="Example: unitdot index documents.parquet --id doc -o documents.unitdot",
    )
    _add_inputs(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT.unitdot", required=True, help="the file to write"
    )
    _add_force(parser)
    parser.set_defaults(run=run_index, other=None, resume=False)


def _add_inputs(parser: argparse.ArgumentParser, other: str = "", other_help: str = "") -> None:
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        help="vectors, one a row: .npy (memory-mapped), .npz (of NumPy, or a sparse matrix of "
        "SciPy), .csv, .tsv, .jsonl (these also with .gz, .zst), .parquet, .arrow, .feather: a "
        "column of lists, or columns of numbers; .unitdot (an index); a folder of such files or a "
        "pattern in quotes: their rows one below the other; or - for standard input",
    )
    if other:
        parser.add_argument("other", nargs="?", metavar=other.upper(), help=other_help)
    both = "; for CORPUS, and given again for " + other.upper() if other else ""
    parser.add_argument(
        "--column",
        metavar="NAME",
        action="append",
        default=[],
        help=f"the column of lists, or the array of an .npz file, that holds the vectors{both}",
    )
    parser.add_argument(
        "--id",
        metavar="NAME",
        action="append",
        default=[],
        help=f"the column of ids, which stand in the output in place of row numbers{both}",
    )
    for option, what in (("--columns", "the features"), ("--drop", "what is no feature")):
        parser.add_argument(
            option,
            metavar="NAMES",
            action="append",
            default=[],
            help=f"{what}: names and patterns of columns of numbers, as in 'id,f*'",
        )


def _add_threshold(
    parser: argparse.ArgumentParser, default: float | None, text: str, required: bool = False
) -> None:
    parser.add_argument(
        "--threshold", type=_similarity, default=default, metavar="S", help=text, required=required
    )


def _add_output(parser: argparse.ArgumentParser, formats: str, parts: bool = False) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Folder.of if parts else Path,
        metavar="OUT",
        help=f"the file to write: {formats}",
    )
    parser.set_defaults(resume=False)
    if parts:
        parser.add_argument(
            "--resume",
            action="store_true",
            help="go on with a folder of parts that something stopped (or begin)",
        )


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_force(parser)
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
    if arguments.other is not None and arguments.include_self:
        raise InputError(
            "--include-self is for CORPUS with itself; leave out QUERIES or the option"
        )
    Y, X = _read(arguments)
    own = X is None and not arguments.include_self
    if arguments.k > Y.X.shape[0] - own and arguments.threshold is None:
        raise InputError(
            f"{Y.name}: has {_inputs.counted(Y.X.shape[0], 'row', 'rows')}, so that a row has "
            f"{_inputs.counted(Y.X.shape[0] - own, 'candidate', 'candidates')}; "
            f"expected at least {arguments.k} (-k)"
        )
    keywords = _keywords(arguments, threshold=arguments.threshold)
    k = arguments.k

    def find(rows: range) -> Table:
        queries = _some(X or Y, rows)
        if len(rows) == (X or Y).X.shape[0]:
            found = _call(
                {"X": queries, "Y": Y},
                lambda: _top_k(X, Y, k, include_self=arguments.include_self, **keywords),
            )
        else:
            found = _call(
                {"X": queries, "Y": Y},
                lambda: _top_k(queries, Y, k + own, **keywords),
            )
            found = TopK(*without_itself(*found, rows.start)) if own else found
        similarities, indices = found.similarities, _named(found.indices, Y)
        numbers = _named(np.arange(rows.start, rows.stop), X or Y)
        header, columns = ["row"], [numbers]
        for i in range(k):
            header += [f"index_{i + 1}", f"similarity_{i + 1}"]
            columns += [indices[:, i], similarities[:, i]]
        arrays = {"similarities": similarities, "indices": indices}
        if (X or Y).ids is not None:
            arrays = {"rows": numbers, **arrays}
        return Table(arrays, header, columns)

    _deliver(arguments, (Y, X), (X or Y).X.shape[0], find)


def run_pairs(arguments: argparse.Namespace) -> None:
    """Find pairs, and write or print them."""
    X, Y = _read(arguments)
    if isinstance(arguments.output, Folder) and arguments.max_pairs:
        raise InputError("--max-pairs is of all pairs; leave it out for a folder of parts")
    keywords = _keywords(arguments, max_pairs=arguments.max_pairs, threshold=arguments.threshold)
    n = X.X.shape[0]

    def pairs(some: Rows, others: Rows | None) -> Pairs:
        return _call({"X": some, "Y": others or some}, lambda: _pairs(some, others, **keywords))

    def find(rows: range) -> Table:
        some = _some(X, rows)
        found: tuple[Array, ...] = pairs(some, Y)
        if Y is None:
            if rows.stop < n:
                after = pairs(some, _some(X, range(rows.stop, n)))
                after.columns[:] += len(rows)
                one, other, values = map(np.concatenate, zip(found, after, strict=True))
                found = put_in_order(one, other, values, len(rows), 0)
            found[1][:] += rows.start
        columns = [_named(found[0] + rows.start, X), _named(found[1], Y or X), found[2]]
        arrays = dict(zip(("rows", "columns", "similarities"), columns, strict=True))
        return Table(arrays, ["row", "column", "similarity"], columns)

    _deliver(arguments, (X, Y), n, find)


def run_dedup(arguments: argparse.Namespace) -> None:
    """Find near-duplicates, and write the rows without them, or with their clusters."""
    X, _ = _read(arguments)
    suffix = X.sources[0].suffix
    if arguments.output is None and suffix not in TEXT:
        raise InputError(
            f"{X.name}: rows of a {suffix} file cannot be printed; give -o OUT{suffix}"
        )
    kept.check(X, arguments.clusters)
    keywords = _keywords(arguments, threshold=arguments.threshold)
    found = _call({"X": X}, lambda: _pairs(X, None, **keywords))
    chosen: Array = found.components() if arguments.clusters else found.keep_first()
    if arguments.output is None:
        sys.stdout.flush()
        kept.write(sys.stdout.buffer, X, chosen, None)
    else:
        compression = format_of(str(arguments.output), [suffix])[1]
        with output.writing(arguments.output, arguments.force) as file:
            kept.write(file, X, chosen, compression)
    n_rows = len(chosen)
    n_kept = int(chosen.max()) + 1 if arguments.clusters else int(np.count_nonzero(chosen))
    words = f"{n_kept:,} clusters of" if arguments.clusters else f"kept {n_kept:,} of"
    print(
        f"unitdot: {words} {n_rows:,} rows (similarity at least {arguments.threshold:g})",
        file=sys.stderr,
    )


def run_index(arguments: argparse.Namespace) -> None:
    """Read rows and ids, and write them as an index."""
    X, _ = _read(arguments)
    index = _call({"Y": X}, lambda: unitdot.CosineIndex(X.X, ids=X.ids, copy=False))
    with output.writing(arguments.output, arguments.force) as file:
        index._write(file)


def _top_k(X: Rows | None, Y: Rows, k: int, **keywords: Any) -> TopK:
    """Neighbours among the rows of Y, by way of the index that they came from."""
    if Y.opened is not None:
        return Y.opened.top_k(None if X is None else X.X, k, **keywords)
    if X is None:
        return unitdot.cosine_top_k(Y.X, k=k, **keywords)
    return unitdot.cosine_top_k(X.X, Y.X, k, **keywords)


def _pairs(X: Rows, Y: Rows | None, **keywords: Any) -> Pairs:
    index = (Y or X).opened
    if index is not None:
        return index.pairs(None if Y is None else X.X, **keywords)
    return unitdot.cosine_pairs(X.X, None if Y is None else Y.X, **keywords)


def _read(arguments: argparse.Namespace) -> tuple[Rows, Rows | None]:
    """Check what can be checked before the work starts, and read CORPUS and the other side."""
    names = [name for name in (arguments.corpus, arguments.other) if name is not None]
    for option in ("column", "id"):
        given = getattr(arguments, option)
        if len(given) > len(names):
            raise InputError(f"--{option} is given {len(given)} times for {len(names)} input(s)")
    if names == ["-", "-"]:
        raise InputError("standard input can be one side only; give the other as a file")
    if arguments.output is None and arguments.force:
        raise InputError("--force is for an output; give one with -o, or leave it out")
    found = [find_sources(name, arguments.cleanup) for name in names]
    suffixes = {sources[0].suffix for sources in found}
    for option in ("column", "id", "columns", "drop"):
        none = {".npy", ".unitdot"} | ({".npz"} if option in ("columns", "drop") else set())
        if getattr(arguments, option) and suffixes <= none:
            raise InputError(f"{names[0]}: has no columns to choose from; leave out --{option}")
    if arguments.resume and not isinstance(arguments.output, Folder):
        raise InputError("--resume is for a folder of parts; give one with -o FOLDER/")
    if isinstance(arguments.output, Folder):
        parts.check(arguments.output, arguments.force, arguments.resume)
    elif arguments.output is not None:
        inputs = [source.path for sources in found for source in sources]
        formats: Sequence[str] = output.FORMATS
        if arguments.run is not run_top_k and arguments.run is not run_pairs:
            formats = (found[0][0].suffix if arguments.run is run_dedup else ".unitdot",)
        output.check(arguments.output, arguments.force, inputs, formats)
    columns, ids = arguments.column, arguments.id
    sides: list[Rows] = []
    for name, sources in zip(names, found, strict=True):
        # what is given once is for both, and what the first had the second need not have
        wanted = Wanted(
            columns[min(len(sides), len(columns) - 1)] if columns else None,
            ids[min(len(sides), len(ids) - 1)] if ids else None,
            arguments.columns,
            arguments.drop,
            strict=not sides or len(ids) > 1,
        )
        like = sides[0] if sides else None
        whole = name if sources[1:] else None
        sides.append(files.read(sources, wanted, like, vector=bool(sides), name=whole))
    if len(sides) > 1 and sides[0].X.shape[1] != sides[1].X.shape[1]:
        raise InputError(
            f"{sides[1].name}: has {_inputs.counted(sides[1].X.shape[1])} where {sides[0].name} "
            f"has {sides[0].X.shape[1]}; expected the same number"
        )
    return sides[0], sides[1] if sides[1:] else None


def _named(rows: Array, side: Rows) -> Array:
    """Row numbers, or the ids of the rows; -1 is none."""
    if side.ids is None:
        return rows
    ids: Array = side.ids[rows]
    none = rows < 0
    if none.any():
        ids[none] = "" if ids.dtype.hasobject else -1
    return ids


def _keywords(arguments: argparse.Namespace, **others: Any) -> dict[str, Any]:
    watched = not arguments.no_progress and sys.stderr.isatty()
    return {
        "zero": arguments.zero,
        "n_threads": arguments.threads,
        "progress": watched and find_spec("tqdm") is not None,
    } | {name: value for name, value in others.items() if value is not None}


def _call(sides: dict[str, Rows], function: Callable[[], Result]) -> Result:
    """Call the library; its errors name files, their rows and options instead of arguments."""
    try:
        return function()
    except (ValueError, TypeError) as error:
        message = str(error)
        for theirs, ours in SPELLING.items():
            message = message.replace(theirs, ours)
        # in one pass, since a file may be called X or Y itself
        side = sides.get(message[:1])

        def place(match: re.Match[str]) -> str:
            if match["name"]:
                return sides[match["name"]].name
            if side is None:
                return match[0]
            if match["row"]:
                return side.place(int(match["row"]))
            names, column = side.features, int(match["column"])
            return f"column {column}" + (f" ({names[column]!r})" if names[1:] else "")

        names = "|".join(sides)
        message = re.sub(
            rf"\b(?:(?P<name>{names})|row (?P<row>\d+)|column (?P<column>\d+))\b", place, message
        )
        raise InputError(message) from error


def _some(side: Rows, rows: range) -> Rows:
    """Some of the rows, which errors name as rows of the whole."""
    if len(rows) == side.X.shape[0]:
        return side
    part = slice(rows.start, rows.stop)
    return side._replace(
        X=side.X[part],
        ids=None if side.ids is None else side.ids[part],
        starts=[start - rows.start for start in side.starts],
        opened=None,
    )


def _deliver(
    arguments: argparse.Namespace,
    sides: tuple[Rows, Rows | None],
    size: int,
    find: Callable[[range], Table],
) -> None:
    """Write or print what so many rows find, all at once or in parts."""
    if isinstance(arguments.output, Folder):
        k = getattr(arguments, "k", None)
        others = (sides[1] or sides[0]).X.shape[0]
        rows = parts.rows_a_part(others, sides[0].X.shape[1], k)
        names = {name for name in vars(arguments) if name not in NOT_PLANNED}
        plan = {"command": "pairs" if k is None else "top-k"}
        plan |= {name: getattr(arguments, name) for name in sorted(names)}
        inputs = [source for side in sides if side is not None for source in side.sources]
        parts.write(arguments.output, arguments.force, plan, inputs, size, rows, find)
    elif arguments.output is not None:
        output.write(arguments.output, find(range(size)), arguments.force)
    else:
        sys.stdout.writelines(output.lines(find(range(size)).columns, "\t"))
