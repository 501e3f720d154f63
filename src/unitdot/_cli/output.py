"""Results, printed or written: an output file is there as a whole or not at all."""

import os
import secrets
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from unitdot._cli.choose import Array, InputError, errors_name, import_parquet, known_suffix

FORMATS = {
    ".npz": "NumPy arrays",
    ".parquet": "a Parquet table",
    ".csv": "the table that is printed without -o, with commas and a header",
}
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
        Of the same length, 1-D; integers or floats.
    """

    arrays: dict[str, Array]
    header: list[str]
    columns: list[Array]


def check(path: Path, force: bool, inputs: Iterable[Path]) -> None:
    """Find what is wrong with an output before the work starts.

    Parameters
    ----------
    path : Path
        Where the output is to be.
    force : bool
        Whether an existing file may be replaced.
    inputs : iterable of Path
        Files that are being read, which may not.

    Raises
    ------
    InputError
        For an unknown suffix, a missing folder, an existing file; the message names it.
    """
    suffix = known_suffix(path, FORMATS)
    if suffix == ".parquet":
        with errors_name(path):
            import_parquet()
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.is_dir() and not path.is_symlink():
        raise InputError(f"{path}: is a folder; expected the name of a file")
    for other in inputs:
        if path.exists() and other.exists() and path.samefile(other):
            raise InputError(f"{path}: is an input; expected another name for the output")
    _check_new(path, force)


def _check_new(path: Path, force: bool) -> None:
    if not force and os.path.lexists(path):
        raise InputError(f"{path}: exists; --force replaces it")


def write(path: Path, table: Table, force: bool) -> None:
    """Write a result in the format of its file's suffix.

    It is written beside `path` under another name, brought to the disk, and renamed. So a
    symbolic link is replaced and not followed, and whatever stops the work (a full disk,
    Ctrl-C) leaves at `path` what was there.

    Parameters
    ----------
    path : Path
        As accepted by `check`.
    table : Table
        What to write.
    force : bool
        Whether an existing file is replaced.
    """
    # not named after `path`, whose name may be as long as names can be
    beside = path.parent / f".unitdot-{secrets.token_hex(8)}.tmp"
    try:
        with beside.open("xb") as file:
            _WRITERS[path.suffix.lower()](file, table)
            file.flush()
            os.fsync(file.fileno())
        _publish(beside, path, force)
    except BaseException as error:
        with suppress(FileNotFoundError):
            beside.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def _publish(beside: Path, path: Path, force: bool) -> None:
    """Give the file its name; without `force` never in place of another, made just now or not."""
    if not force:
        try:
            os.link(beside, path)  # which unlike a renaming refuses a name that exists
        except (OSError, NotImplementedError):  # it exists, or there are no hard links here
            _check_new(path, force)
        else:
            beside.unlink()
            return
    os.replace(beside, path)


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where the system lets folders be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lines(columns: list[Array], separator: str) -> Iterator[str]:
    """Lines of text; floats in the fewest digits that give their bits back."""
    for start in range(0, len(columns[0]), LINES):
        texts = (column[start : start + LINES].astype(str).tolist() for column in columns)
        for fields in zip(*texts, strict=True):
            yield separator.join(fields) + "\n"


def _write_npz(file: IO[bytes], table: Table) -> None:
    # numpy.savez, but for NumPy 1's leaving its archive open where the disk is full
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in table.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_parquet(file: IO[bytes], table: Table) -> None:
    pa, parquet = import_parquet()
    columns = {
        name: pa.array(array)
        if array.ndim == 1
        else pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
        for name, array in table.arrays.items()
    }
    parquet.write_table(pa.table(columns), file)


def _write_csv(file: IO[bytes], table: Table) -> None:
    header = ",".join(table.header) + "\n"
    file.writelines(line.encode() for line in chain([header], lines(table.columns, ",")))


_WRITERS: dict[str, Any] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
