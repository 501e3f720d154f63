"""Results, printed or written: an output file is there as a whole or not at all."""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from unitdot._cli.choose import Array, InputError, errors_name, import_pyarrow
from unitdot._cli.sources import format_of
from unitdot._machine import disk, memory

FORMATS = (".npz", ".parquet", ".csv")
LINES = 1 << 13  # turned to text at a time


class Table(NamedTuple):
    """A result: the arrays that Python has, and the columns that lines of text have.

    Attributes
    ----------
    arrays : dict of str to ndarray
        All of the same length, 1-D or 2-D.
    header : sequence of str
        Names of `columns`.
    columns : list of ndarray
        Of the same length, 1-D; integers, floats or (as objects) strings.
    """

    arrays: dict[str, Array]
    header: list[str]
    columns: list[Array]


def check(
    path: Path, force: bool, inputs: Iterable[Path], formats: Sequence[str] = FORMATS
) -> None:
    """Find what is wrong with an output before the work starts.

    Parameters
    ----------
    path : Path
        Where the output is to be.
    force : bool
        Whether an existing file may be replaced.
    inputs : iterable of Path
        Files that are being read, which may not.
    formats : sequence of str
        The suffixes that there are.

    Raises
    ------
    InputError
        For an unknown suffix, a missing folder, an existing file; the message names it.
    """
    suffix, compression = format_of(str(path), formats)
    if compression and formats == FORMATS:
        raise InputError(f"{path}: ends in {path.suffix}; expected {', '.join(FORMATS)}")
    if suffix in (".parquet", ".arrow") or compression:
        with errors_name(str(path), suffix):
            import_pyarrow()
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.is_dir() and not path.is_symlink():
        raise InputError(f"{path}: is a folder; expected the name of a file (or {path}/ for parts)")
    for other in inputs:
        if path.exists() and other.exists() and path.samefile(other):
            raise InputError(f"{path}: is an input; expected another name for the output")
    if not force and os.path.lexists(path):
        raise _exists(path)


def _exists(path: Path) -> InputError:
    return InputError(f"{path}: exists; --force replaces it")


@contextmanager
def writing(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """Write a file that is there as a whole or not at all.

    Parameters
    ----------
    path : Path
        As accepted by `check`.
    force : bool
        Whether an existing file is replaced.
    """
    try:
        with disk.writing(path, force) as file:
            yield file
    except FileExistsError as error:
        raise _exists(path) from error


def write(path: Path, table: Table, force: bool) -> None:
    """Write a result in the format of its file's suffix; arguments as for `writing`."""
    with writing(path, force) as file:
        _WRITERS[path.suffix.lower()](file, table)


def lines(columns: list[Array], separator: str) -> Iterator[str]:
    """Lines of text; floats in the fewest digits that give their bits back.

    With commas strings are quoted as CSV has it; with tabs, what is not printable is escaped.
    """
    for start in range(0, len(columns[0]), LINES):
        texts = (_texts(column[start : start + LINES], separator) for column in columns)
        for fields in zip(*texts, strict=True):
            yield separator.join(fields) + "\n"


def _texts(column: Array, separator: str) -> list[str]:
    texts: list[str] = column.astype(str).tolist()
    if not column.dtype.hasobject:
        return texts
    if separator == ",":
        return [_quoted(text) for text in texts]
    # ids are parts of files, and could tell a terminal what to do
    return [printable(text) for text in texts]


def _quoted(text: str) -> str:
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def printable(text: str) -> str:
    """The text, with all that is not printable as in Python's strings."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _write_npz(file: IO[bytes], table: Table) -> None:
    write_npz(file, table.arrays)


def write_npz(file: IO[bytes], arrays: dict[str, Array]) -> None:
    """Write arrays; strings get the length of the longest."""
    # numpy.savez, but for NumPy 1's leaving its archive open where the disk is full
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            if array.dtype.hasobject:
                longest = max(map(len, array.flat), default=0)
                memory.check(4 * longest * array.size, f"{name} as an array of strings")
                array = array.astype(f"U{longest or 1}")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_parquet(file: IO[bytes], table: Table) -> None:
    pa = import_pyarrow()
    import pyarrow.parquet as parquet

    columns = {
        name: pa.array(array, pa.string() if array.dtype.hasobject else None)
        if array.ndim == 1
        else pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
        for name, array in table.arrays.items()
    }
    parquet.write_table(pa.table(columns), file)


def _write_csv(file: IO[bytes], table: Table) -> None:
    file.write((",".join(table.header) + "\n").encode())
    file.writelines(line.encode(errors="surrogateescape") for line in lines(table.columns, ","))


_WRITERS: dict[str, Any] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
