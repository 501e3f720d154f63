"""Frames and Series of polars."""

import numpy as np
import pytest

from unitdot._inputs import as_array

from ..helpers import assert_same_bits
from .checks import VECTORS, assert_read_as, assert_remedies, refusal

pl = pytest.importorskip("polars")

NUMBERS = {
    pl.Boolean: [True, False, True],
    pl.Int8: [1, -2, 3],
    pl.UInt64: [1, 2, 2**63],
    pl.Float32: [1, 2.1, -3],
    pl.Float64: [1, 2.1, -3],
}
KINDS = [*NUMBERS]


@pytest.mark.parametrize("second", [pl.Boolean, pl.Float32])
@pytest.mark.parametrize("first", KINDS)
def test_numbers_of_any_two_dtypes(first, second):
    columns = [pl.Series(name, NUMBERS[d], dtype=d) for name, d in (("a", first), ("b", second))]
    values = [column.to_numpy() for column in columns]
    common = values[0].dtype if first == second else np.dtype(np.float64)
    frame = pl.DataFrame(columns)
    assert as_array(frame, "X").dtype == common
    assert_read_as(frame, np.stack([column.astype(common) for column in values], axis=1))
    assert_read_as(columns[0], values[0])


def test_missing_values_are_told_by_column():
    frame = pl.DataFrame({"a": [1, None, None], "b c": [1.0, 2.0, None], "d": [1, 2, 3]})
    tried = refusal(frame, ValueError, "missing values: 2 in 'a', 1 in 'b c';")
    assert_remedies(tried, "X.drop_nulls()", "X.fill_null(0)")
    tried = refusal(frame["a"], ValueError, "has 2 missing values;")
    assert_remedies(tried, "X.drop_nulls()")
    bools = pl.DataFrame({"a": [True, None]})
    assert_remedies(refusal(bools, ValueError, "1 in 'a'"), "X.drop_nulls()")


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["u", "v", "w"]),
        pl.Series(["u", "v", "u"], dtype=pl.Categorical),
        pl.Series([1, 2, 3], dtype=pl.Date),
        pl.Series([1, 2, 3], dtype=pl.Decimal(10, 2)),
        pl.Series([1, 2, 3], dtype=pl.Int128),
        pl.Series([{"x": 1}] * 3),
        pl.Series([["t"], ["u"], ["v"]]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_columns_that_hold_no_numbers_are_told(column):
    frame = pl.DataFrame({"a": [1.0, 2, 3], "b c": column})
    tried = refusal(frame, TypeError, f"'b c' ({column.dtype}); expected numbers and bools")
    assert_read_as(tried["X.drop(['b c'])"], [[1.0], [2], [3]])
    assert refusal(column, TypeError, f"is a column of {column.dtype}") == {}


def test_many_columns_that_hold_no_numbers():
    frame = pl.DataFrame({str(i): ["x", "y"] for i in range(40)} | {"a": [1, 2]})
    tried = refusal(frame, TypeError, "'7' (String) and 32 more; expected")
    assert_remedies(tried, "X.select(['a'])")


def test_a_lazy_frame():
    frame = pl.DataFrame({"a": [1.0, 2], "b": [3.0, 4]})
    assert_remedies(refusal(frame.lazy(), TypeError, "LazyFrame"), "X.collect()")


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.Array(pl.Float32, 5), pl.Object])
def test_columns_of_vectors(kind):
    column = pl.Series("e", list(VECTORS), dtype=kind)
    assert_read_as(column, VECTORS)
    if kind != pl.Object:
        assert_read_as(column.to_frame(), VECTORS)
        assert_read_as(column[2:], VECTORS[2:])
        assert_read_as(pl.concat([column, column], rechunk=False), np.vstack([VECTORS, VECTORS]))
        first, again = (as_array(part, "X") for part in (column, column[1:]))
        assert again.ctypes.data - first.ctypes.data == first.strides[0], "copied"
    frame = pl.DataFrame({"id": list(range(6)), "t": list("abcdef"), "e": column})
    tried = refusal(frame, TypeError, f"'e' ({column.dtype})")
    if kind != pl.Object:
        assert_same_bits(as_array(tried["X['e']"], "X"), VECTORS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], [3, 4], [5]], "row 2 has 1 number where row 0 has 2"),
        ([[1], [], [5]], "row 1 has 0 numbers where row 0 has 1"),
        ([[1, 2], None, [3, 4]], "row 1 is null where row 0 has 2"),
        ([None, [1, 2]], "row 0 is null where row 1 has 2"),
        ([[1, 2], [3, None]], "holds a null in row 1; expected numbers"),
    ],
)
def test_vectors_with_something_missing(rows, message):
    columns = [pl.Series("e", rows, dtype=pl.List(pl.Int64))]
    if "null" in message:
        columns.append(columns[0].cast(pl.Array(pl.Int64, 2)))
    for column in [*columns, *(column.to_frame() for column in columns)]:
        tried = refusal(column, ValueError, message)
        assert_remedies(tried, *["X.drop_nulls()"] * ("is null" in message))


@pytest.mark.parametrize("rows", [[], [[], []]])
def test_columns_without_features(rows):
    assert refusal(pl.Series(rows, dtype=pl.List(pl.Float32)), ValueError, "0 features") == {}


def test_as_many_columns_of_numbers_as_of_texts():
    frame = pl.DataFrame({f"{i}": [i, i + 1] if i % 2 else ["x", "y"] for i in range(20)})
    tried = refusal(frame, TypeError, "and 2 more; expected numbers")
    assert_remedies(tried, "X[:, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]]")
