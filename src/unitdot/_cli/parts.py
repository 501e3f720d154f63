"""Results in a folder of Parquet parts, written as the work goes: what is there stays done.

A part is what some rows find, a fixed number of them: so the parts of work that was stopped and
went on are those of work that was not.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from unitdot._cli import output
from unitdot._cli.choose import InputError, errors_name, import_pyarrow
from unitdot._cli.output import Table
from unitdot._cli.sources import Source

PLAN = "_unitdot.json"  # readers of Parquet folders pass over such names
# multiply-adds of a part of top-k, of a part of pairs; the least rows, and the most numbers
TOP_K_WORK, PAIRS_WORK = 1 << 41, 1 << 43
LEAST_ROWS, MOST_NUMBERS = 4096, 1 << 24
FEATURES = 1 << 10  # that sparse rows have at most, for this


class Folder(NamedTuple):
    """The output is this folder."""

    path: Path

    @classmethod
    def of(cls, text: str) -> Any:
        """A name that ends as those of folders do is one; others are files."""
        return cls(Path(text)) if text.endswith(("/", os.sep)) else Path(text)

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.path / f"part-{number:05d}.parquet"


def check(folder: Folder, force: bool, resume: bool) -> None:
    """Find what is wrong with the folder before the work starts."""
    path = folder.path
    with errors_name(str(path), ".parquet"):
        import_pyarrow()
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(f"{path}: is a file; expected the name of a folder")
    if force and resume:
        raise InputError("--force begins anew, --resume goes on; give one of them")
    if path.is_dir() and not force and not resume and any(path.iterdir()):
        raise InputError(f"{path}: exists; --resume goes on with it, --force replaces its parts")
    if path.is_dir() and resume and any(path.iterdir()) and not (path / PLAN).exists():
        raise InputError(f"{path}: has no {PLAN}, so that nothing was begun there; leave it alone")


def rows_a_part(others: int, features: int, k: int | None) -> int:
    """How many rows are a part's, for so many others: of top-k with this k, or of pairs."""
    work = PAIRS_WORK if k is None else TOP_K_WORK
    rows = max(LEAST_ROWS, work // (others * min(features, FEATURES)))
    return rows if k is None else max(1, min(rows, MOST_NUMBERS // k))


def write(
    folder: Folder,
    force: bool,
    plan: dict[str, Any],
    inputs: Iterable[Source],
    size: int,
    rows: int,
    find: Callable[[range], Table],
) -> None:
    """Write all parts that are not there yet.

    Parameters
    ----------
    folder : Folder
        As accepted by `check`.
    force : bool
        Whether parts that are there are removed.
    plan : dict
        What the parts depend on besides the inputs, as JSON has it.
    inputs : iterable of Source
        Files, which must be the same where the work goes on.
    size, rows : int
        All rows, and those of a part.
    find : callable
        What some of the rows find.
    """
    folder.path.mkdir(exist_ok=True)
    for left in folder.path.glob(".unitdot-*.tmp"):  # of a process that was killed
        left.unlink()
    plan = plan | {"inputs": [*map(_known, inputs)], "rows": size, "rows of a part": rows}
    file = folder.path / PLAN
    if force:
        for old in (file, *folder.path.glob("part-*.parquet")):
            with suppress(FileNotFoundError):
                old.unlink()
    if file.exists():
        _compare(file, plan)
    else:
        with output.writing(file, False) as opened:
            opened.write(json.dumps(plan, indent=1).encode())
    for number, part in enumerate(_parts(size, rows)):
        if not folder.part(number).exists():
            output.write(folder.part(number), find(part), False)


def _parts(size: int, rows: int) -> Iterator[range]:
    for start in range(0, size, rows):
        yield range(start, min(start + rows, size))


def _known(source: Source) -> list[Any]:
    """What tells that a file is the same."""
    status = source.path.stat()
    return [source.name, status.st_size, status.st_mtime_ns]


def _compare(file: Path, plan: dict[str, Any]) -> None:
    """Raise where the work that was begun is not this one."""
    try:
        begun = json.loads(file.read_bytes())
        different = [name for name in plan if begun.get(name) != plan[name]]
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file}: cannot be read; --force begins anew") from error
    if different:
        raise InputError(
            f"{file.parent}: was begun with other {different[0]} "
            f"({begun.get(different[0])} where it is {plan[different[0]]} now); --force begins anew"
        )
