"""The rows of files with all their columns: those that are kept, or all with their clusters."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import IO, Any

import numpy as np

from unitdot._cli import sources, tables
from unitdot._cli.choose import Array, InputError, errors_name, import_pyarrow, listed
from unitdot._cli.files import WRITTEN_BFLOAT16, Rows
from unitdot._cli.output import write_npz
from unitdot._cli.sources import Source

NAME = "cluster"
PART = 1 << 22  # bytes of an array written at a time, about
ROWS = 1 << 15  # of a table read and written at a time


def check(rows: Rows, clusters: bool) -> None:
    """Find what cannot be written before the work starts."""
    first, *others = rows.sources
    plain = first.suffix in (".npy", ".unitdot")
    if clusters and (plain or not isinstance(rows.X, np.ndarray)):
        raise InputError(f"{rows.name}: has no columns that --clusters could add one to")
    if others and first.suffix in (".npz", ".unitdot"):
        raise InputError(
            f"{rows.name}: several {first.suffix} files; expected one, or several .npy files"
        )
    if plain or first.suffix == ".npz":
        return
    names = _names(first)
    if clusters and NAME in names:
        raise InputError(f"{first.name}: has a column {NAME!r} already, as --clusters would add")
    for other in others if first.suffix != ".jsonl" else ():
        if _names(other) != names:
            raise InputError(
                f"{other.name}: has the columns {listed(_names(other))} where {first.name} has "
                f"{listed(names)}; expected the same, in the same order"
            )


def _names(source: Source) -> list[str]:
    with errors_name(source.name, source.what), tables.opened(source) as table:
        return list(table.types)


def write(file: IO[bytes], rows: Rows, chosen: Array, compression: str | None) -> None:
    """Write rows in the format that they came in.

    Parameters
    ----------
    file : file object
        Where to.
    rows : Rows
        As `check` accepts them.
    chosen : ndarray of shape (n_rows,)
        Which rows are kept, of bool; or the clusters of all, of integers.
    compression : str or None
        Of text.
    """
    first = rows.sources[0]
    with errors_name(rows.name, first.what):
        if first.suffix == ".npy":
            _write_npy(file, rows.X, chosen)
        elif first.suffix == ".npz":
            _write_npz(file, first, rows.X, chosen)
        elif rows.opened is not None:
            index = copy(rows.opened)
            index.remove(~chosen)
            index._write(file)
        elif first.suffix in sources.TEXT:
            with _packing(file, compression) as out:
                out.writelines(
                    line.encode("utf-8", "surrogateescape") for line in _lines(rows, chosen)
                )
        else:
            _write_batches(file, rows, chosen)


def _write_npy(file: IO[bytes], X: Array, chosen: Array) -> None:
    X = X if X.dtype.names is None else X.view(WRITTEN_BFLOAT16)
    numbers = np.flatnonzero(chosen)
    header = {
        "descr": np.lib.format.dtype_to_descr(X.dtype),
        "fortran_order": False,
        "shape": (len(numbers), X.shape[1]),
    }
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, PART // (X.shape[1] * X.itemsize))
    for start in range(0, len(numbers), step):
        file.write(X[numbers[start : start + step]].tobytes())


def _write_npz(file: IO[bytes], source: Source, X: Any, chosen: Array) -> None:
    if not isinstance(X, np.ndarray):
        import scipy.sparse

        scipy.sparse.save_npz(file, X[chosen])
        return
    with np.load(source.path, allow_pickle=False) as archive:
        arrays = dict(archive)
    if chosen.dtype != bool:
        arrays[NAME] = chosen
    else:
        for name, array in arrays.items():
            if array.shape[:1] == chosen.shape:
                arrays[name] = array[chosen]
    write_npz(file, arrays)


@contextmanager
def _packing(file: IO[bytes], compression: str | None) -> Iterator[Any]:
    if compression is None:
        yield file
        return
    pa = import_pyarrow()
    file.flush()
    # a stream of pyarrow closes what it writes to
    same = os.fdopen(os.dup(file.fileno()), "wb")
    stream: Any = pa.CompressedOutputStream(pa.PythonFile(same, "w"), compression)
    with io.BufferedWriter(stream) as out:
        yield out


def _lines(rows: Rows, chosen: Array) -> Iterator[str]:
    """The kept records of text as they stand there; or all, with their clusters."""
    adding, done = chosen.dtype != bool, 0
    for source in rows.sources:
        delimiter = tables.DELIMITERS.get(source.suffix)
        header = delimiter is not None and tables.names_of(source, delimiter)[1]
        for record in _records(source, delimiter):
            line = record.rstrip("\r\n")
            end = record[len(line) :] or "\n"
            if header:
                header = False
                if source is rows.sources[0]:
                    yield line + f"{delimiter}{NAME}" * adding + end
            elif done == len(chosen):
                raise InputError(f"has more than the {done:,} records that were read")
            else:
                if adding and delimiter is None:
                    line = f'{line.rstrip()[:-1]}, "{NAME}": {chosen[done]}}}'
                elif adding:
                    line += f"{delimiter}{chosen[done]}"
                if adding or chosen[done]:
                    yield line + end
                done += 1
    if done != len(chosen):
        raise InputError(f"has {done:,} records where {len(chosen):,} were read")


def _records(source: Source, delimiter: str | None) -> Iterator[str]:
    """Records with their line ends, and the line breaks in their fields; no empty ones."""
    with source.open() as file:
        if delimiter is None:
            yield from (
                line.decode("utf-8", "surrogateescape")
                for line in tables.json_lines(file)
                if line.strip()
            )
            return
        lines = list[str]()
        with io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text:

            def taken() -> Iterator[str]:
                for line in text:
                    lines.append(line)
                    yield line

            for fields in csv.reader(taken(), delimiter=delimiter):
                if fields:
                    yield "".join(lines)
                lines.clear()


def _write_batches(file: IO[bytes], rows: Rows, chosen: Array) -> None:
    pa = import_pyarrow()
    import pyarrow.ipc as ipc
    import pyarrow.parquet as parquet

    start, schema = 0, None
    writer: Any = None
    for source in rows.sources:
        with tables.opened(source) as table:
            for batch in table.batches(dict.fromkeys(table.types, "any"), ROWS):
                batch.validate(full=True)
                labels = pa.array(chosen[start : start + len(batch)])
                start += len(batch)
                part = pa.Table.from_batches([batch])
                part = (
                    part.filter(labels)
                    if chosen.dtype == bool
                    else part.append_column(NAME, labels)
                )
                if schema is None:
                    schema = part.schema
                    writer = (
                        parquet.ParquetWriter(file, schema)
                        if source.suffix == ".parquet"
                        else (ipc.new_stream if tables.is_stream(source) else ipc.new_file)(
                            file, schema
                        )
                    )
                writer.write_table(part.cast(schema))
    writer.close()
