"""Frames and columns of vectors of three libraries: each with the array of the same numbers,
and the errors that it may be refused with (none: it must be read).
"""

import os

import numpy as np
import pandas
import pyarrow

POLARS = "UNITDOT_FUZZ_NO_POLARS" not in os.environ  # sanitize.py
if POLARS:
    import polars

NUMPY = ("f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?")
NAMES = ("Float32", "Float64", "Float32", "Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32",
         "Int64", "UInt64", "Boolean")  # fmt: skip


def table(c, n, d):
    """Columns of numbers, each of a dtype of its own, the dtype in common, and where holes are."""
    rng = np.random.default_rng(c.below(1 << 16))
    every = c.pick((True, False, False))
    first = c.below(len(NUMPY))
    kinds = [first if every else c.below(len(NUMPY)) for _ in range(d)]
    arrays = [rng.integers(0, 5, n).astype(NUMPY[kind]) for kind in kinds]
    holes = [np.zeros(n, bool) for _ in kinds]
    if n and c.byte() % 3 == 1:
        holes[c.below(d)][c.below(n)] = True
    return kinds, arrays, holes


def together(arrays):
    """As one matrix, of the dtype that they have in common."""
    dtypes = {array.dtype for array in arrays}
    single = {np.dtype("f2"), np.dtype("f4")}
    common = dtypes.pop() if len(dtypes) == 1 else np.dtype("f4" if dtypes <= single else "f8")
    return np.stack([array.astype(common) for array in arrays], axis=1)


def strange(c, n):
    """Now and then a column of something else, or None."""
    if c.byte() % 8 != 1:
        return None
    return c.pick((["x"] * n, [{}] * n, np.zeros(n, "M8[s]"), [1.5] * n))


def pandas_frame(c, n, d):
    """Of NumPy's dtypes, pandas' own, Arrow's, and sparse ones."""
    kinds, arrays, holes = table(c, n, d)
    styles, errors = [c.pick(("numpy", "nullable", "arrow", "sparse")) for _ in kinds], []
    if c.byte() % 2:
        styles = [styles[0]] * d
    columns = {}
    for i, (kind, array, hole, style) in enumerate(zip(kinds, arrays, holes, styles, strict=True)):
        column = pandas.Series(array)
        if style == "numpy" and array.dtype.kind == "f":
            column[hole] = np.nan
        elif style == "numpy":
            hole[:] = False
        elif style == "nullable":
            own = NAMES[kind].lower() if NAMES[kind] == "Boolean" else NAMES[kind]
            arrays[i] = array.astype("f4") if array.dtype == "f2" else array
            column = column.astype(own)
            column[hole] = pandas.NA
        elif style == "arrow":
            column = pandas.Series(
                pandas.arrays.ArrowExtensionArray(pyarrow.array(array, mask=hole))
            )
        elif array.dtype.kind == "f":
            column[hole] = np.nan
            column = column.astype(pandas.SparseDtype(array.dtype, array.dtype.type(0)))
        else:
            hole[:] = False
            column = column.astype(pandas.SparseDtype(array.dtype, array.dtype.type(0)))
        columns[f"c{i}"] = column
        if hole.any():
            errors.append(ValueError)
    other = strange(c, n)
    if other is not None and n:
        columns["other"] = pandas.Series(other, dtype=object)
        errors += [TypeError, ValueError] if not errors else [TypeError]
    frame = pandas.DataFrame(columns)
    if c.byte() % 4 == 1:
        order = c.pick((slice(None, None, -1), slice(1, None), slice(None, None, 2)))
        frame, arrays = frame.iloc[order], [array[order] for array in arrays]
        if errors:
            errors = [*errors, None]
    return settled(frame, together(arrays), errors)


def settled(given, value, errors):
    """Without the mark that what is wrong may have been cut off: then it is not looked at."""
    return (given, value, [e for e in errors if e]) if None not in errors else (
        (np.zeros((1, 1)), np.zeros((1, 1)), [])
    )  # fmt: skip


def polars_frame(c, n, d):
    """Of numbers, with nulls."""
    _, arrays, holes = table(c, n, d)
    columns, errors = [], []
    for i, (array, hole) in enumerate(zip(arrays, holes, strict=True)):
        whole = polars.Series(f"c{i}", array)
        column = whole.zip_with(polars.Series(~hole), polars.Series([None], dtype=whole.dtype))
        columns.append(column if hole.any() else whole)
        errors += [ValueError] * bool(hole.any())
    other = strange(c, n)
    if other is not None and n and isinstance(other, list) and other[0] != 1.5:
        columns.append(polars.Series("other", other))
        errors.append(TypeError)
    frame = polars.DataFrame(columns)
    if c.byte() % 4 == 1 and not errors:
        frame = polars.concat([frame, frame], rechunk=False)
        arrays = [np.concatenate([array, array]) for array in arrays]
    return frame, together(arrays), errors


def arrow_table(c, n, d):
    """A table, or a batch, in one piece or several."""
    _, arrays, holes = table(c, n, d)
    columns = [
        pyarrow.array(array, mask=hole if hole.any() else None)
        for array, hole in zip(arrays, holes, strict=True)
    ]
    errors = [ValueError for hole in holes if hole.any()]
    other = strange(c, n)
    if other is not None and n and other[0] != 1.5:
        columns.append(pyarrow.array(other))
        errors.append(TypeError)
    make = c.pick((pyarrow.table, pyarrow.record_batch))
    found = make(columns, names=[f"c{i}" for i in range(len(columns))])
    if errors:
        return found, together(arrays), errors
    if c.byte() % 2:
        start = c.below(n + 1)
        found, arrays = found.slice(start), [array[start:] for array in arrays]
    if make is pyarrow.table and c.byte() % 2:
        found = pyarrow.concat_tables([found, found])
        arrays = [np.concatenate([array, array]) for array in arrays]
    return found, together(arrays), errors


def vectors(c, n, d):
    """A matrix, and for each row whether it lacks, has a hole, or is longer than the others."""
    rng = np.random.default_rng(c.below(1 << 16))
    value = rng.integers(0, 5, (n, d)).astype(c.pick(NUMPY))
    bad = [None] * n
    if n > 1 and c.byte() % 3 == 1:
        bad[c.below(n)] = c.pick(("null", "hole", "longer"))
    rows = [spoiled(row.tolist(), what) for row, what in zip(value, bad, strict=True)]
    return value, rows, [ValueError] if any(bad) else []


def spoiled(row, what):
    """The row as it is, or as it should not be."""
    if what == "null":
        return None
    if what == "hole":
        return [None, *row[1:]]
    return [*row, row[0]] if what == "longer" else row


def pandas_vectors(c, n, d):
    """A Series of lists or arrays, or a frame of it."""
    value, rows, errors = vectors(c, n, d)
    how = c.pick(("lists", "arrays", "arrow"))
    if how == "arrow":
        kind = pyarrow.list_(pyarrow.from_numpy_dtype(value.dtype))
        stored = pandas.arrays.ArrowExtensionArray(pyarrow.array(rows, kind))
        column = pandas.Series(stored)
    else:
        whole = how == "arrays" and not errors
        column = pandas.Series([*value] if whole else rows, dtype=object)
        if not whole:
            value = np.asarray(value.tolist())
    if errors or not n:
        errors = [TypeError, ValueError]
    if c.byte() % 4 == 1:
        return column.iloc[::-1], value[::-1], errors
    if c.byte() % 4 == 1 and how != "arrow":
        return column.to_frame(), value, errors
    return column, value, errors


def polars_vectors(c, n, d):
    """A Series of lists or of arrays."""
    value, rows, errors = vectors(c, n, d)
    inner = polars.Series(value.reshape(-1)).dtype
    fixed = c.byte() % 2 and all(row is None or len(row) == d for row in rows)
    column = polars.Series("v", rows, dtype=polars.Array(inner, d) if fixed else polars.List(inner))
    if not n and not fixed:
        return column, value, [ValueError]
    if c.byte() % 4 == 1 and not errors and n:
        column, value = column.append(column.clone()), np.concatenate([value, value])
        start = c.below(n)
        column, value = column.slice(start), value[start:]
    if c.byte() % 4 == 1:
        return column.to_frame(), value, errors
    return column, value, errors


def arrow_vectors(c, n, d):
    """Lists of any kind, in one piece or several."""
    value, rows, errors = vectors(c, n, d)
    inner = pyarrow.from_numpy_dtype(value.dtype)
    kinds = [pyarrow.list_(inner), pyarrow.large_list(inner)]
    if all(row is None or len(row) == d for row in rows):
        kinds.append(pyarrow.list_(inner, d))
    column = pyarrow.array(rows, c.pick(kinds))
    if not n and not hasattr(column.type, "list_size"):
        return column, value, [ValueError]
    if not errors and c.byte() % 2:
        start = c.below(n + 1)
        parts = [column.slice(start), column.slice(0, start)]
        column, value = pyarrow.chunked_array(parts), np.concatenate([value[start:], value[:start]])
    return column, value, errors
