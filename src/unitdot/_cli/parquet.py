"""Parquet files of vectors: a column of lists, or columns of numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from unitdot._cli.choose import Array, InputError, choose, import_parquet
from unitdot._frames import of_arrow
from unitdot._frames.common import UnreadableError
from unitdot._machine import memory

BATCH = 1 << 21  # numbers read at a time, about


def read(path: Path, column: str | None) -> Array:
    """The vectors of a Parquet file, as :func:`unitdot._cli.files.read` says."""
    _, parquet = import_parquet()
    with parquet.ParquetFile(path, memory_map=True) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        lists = [
            f.name for f in schema if of_arrow.is_list(f.type) and _is_number(f.type.value_type)
        ]
        if lists or column is not None:
            name = choose(lists, column, schema.names, "column")
            if name not in lists:
                raise InputError(
                    f"column {name!r} holds {schema.field(name).type}; expected lists of numbers"
                )
            columns = [name]
        else:
            columns = _number_columns(schema)
        # filled batch by batch, so that no second copy of the file is ever held; a file can be
        # far smaller than what it unpacks to
        n_values = _count_values(file.metadata, columns)
        types = [schema.field(name).type for name in columns]
        bits = min((dtype.value_type if lists else dtype).bit_width for dtype in types)
        memory.check(n_values * bits // 8, f"a result of {n_values:,} numbers")
        rows = max(1, min(n_rows, BATCH * n_rows // max(1, n_values)))
        vectors, start = np.empty((0, 0)), 0
        for batch in filter(len, file.iter_batches(rows, columns=columns)):
            part = _list_rows(batch[name], start) if lists else _number_rows(batch, start)
            if not start:
                vectors = memory.empty((n_rows, part.shape[1]), part.dtype)
            if part.shape[1] != vectors.shape[1]:
                raise _ragged(start, part.shape[1], vectors.shape[1])
            vectors[start : start + len(part)] = part
            start += len(part)
    if start != n_rows:
        raise InputError(f"has {start} rows where its metadata say {n_rows}")
    return vectors


def _count_values(metadata: Any, columns: list[str]) -> int:
    """Numbers in these columns, as the file's metadata have it."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return sum(
        group.column(i).num_values
        for i in range(metadata.num_columns)
        if any(f"{metadata.schema.column(i).path}.".startswith(f"{name}.") for name in columns)
        for group in groups
    )


def _is_list(dtype: Any) -> bool:
    return of_arrow.is_list(dtype) and _is_number(dtype.value_type)


def _is_number(dtype: Any) -> bool:
    return of_arrow.number_dtype(dtype) is not None


def _number_columns(schema: Any) -> list[str]:
    """Every column but those of a pandas index; all must hold numbers."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    fields = [field for field in schema if field.name not in index]
    for field in fields:
        if not _is_number(field.type):
            raise InputError(
                f"column {field.name!r} holds {field.type}; expected one column of lists of "
                f"numbers, or columns of numbers only"
            )
    return [field.name for field in fields]


def _list_rows(lists: Any, start: int) -> Array:
    try:
        return of_arrow.of_lists(lists, start=start)
    except UnreadableError as error:
        raise InputError(error.what) from error


def _number_rows(batch: Any, start: int) -> Array:
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if values.null_count:
            row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            raise InputError(f"row {start + row} of column {name!r} is null; expected a number")
    return of_arrow.of_table(batch, "")


def _ragged(row: int, length: int, expected: int) -> InputError:
    return InputError(f"row {row} has {length} numbers where row 0 has {expected}")
