"""Arrays, tables and batches of pyarrow, and what DuckDB gives."""

import numpy as np
import pytest

import unitdot
from unitdot._inputs import as_array

from ..helpers import assert_same_bits
from .checks import VECTORS, assert_read_as, assert_remedies, refusal

pa = pytest.importorskip("pyarrow")

KINDS = [pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()]


@pytest.mark.parametrize("second", [pa.bool_(), pa.float32()], ids=str)
@pytest.mark.parametrize("first", KINDS, ids=str)
def test_numbers_of_any_two_dtypes(first, second):
    values = [np.array([1, 0, 1], d.to_pandas_dtype()) for d in (first, second)]
    columns = [pa.array(v, d) for v, d in zip(values, (first, second), strict=True)]
    dtypes = {column.dtype for column in values}
    single = dtypes <= {np.dtype("f2"), np.dtype("f4")}
    common = dtypes.pop() if len(dtypes) == 1 else np.float32 if single else np.float64
    rows = np.stack([column.astype(common) for column in values], axis=1)
    table = pa.table(columns, names=["a", "b"])
    assert as_array(table, "X").dtype == common
    assert_read_as(table, rows)
    assert_read_as(table.to_batches()[0], rows)
    assert_read_as(pa.concat_tables([table, table]), np.vstack([rows, rows]))
    assert_read_as(columns[0], values[0])
    assert_read_as(table["a"], values[0])


def test_a_pandas_index_is_no_feature():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(VECTORS, columns=list("abcde"), index=[5, 3, 1, 9, 7, 8])
    assert_read_as(pa.Table.from_pandas(frame), VECTORS)


def test_a_name_that_is_there_twice():
    lists = pa.array(list(VECTORS[:3]), pa.list_(pa.float32(), 5))
    table = pa.table([pa.array([1, None, 3]), lists, pa.array(["u", "v", "w"])], names=["x"] * 3)
    tried = refusal(table, TypeError, "'x' (string)")
    assert_remedies(tried, "X.column(1)", "X.select([0]).drop_null()")
    assert_same_bits(as_array(tried["X.column(1)"], "X"), VECTORS[:3])


def test_missing_values_are_told_by_column():
    table = pa.table({"a": [1, None, None], "b c": [1.0, 2.0, None], "d": [1, 2, 3]})
    tried = refusal(table, ValueError, "missing values: 2 in 'a', 1 in 'b c';")
    assert_remedies(tried, "X.drop_null()")
    for column in (table["a"], table["a"].chunk(0)):
        assert_remedies(refusal(column, ValueError, "has 2 missing values;"), "X.drop_null()")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["u", "v", "w"]),
        pa.array(["u", "v", "u"]).dictionary_encode(),
        pa.array([1, 2, 3], pa.date32()),
        pa.array([1, 2, 3], pa.decimal128(10, 2)),
        pa.array([{"x": 1}] * 3),
        pa.array([["t"], ["u"], ["v"]]),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_that_hold_no_numbers_are_told(column):
    table = pa.table({"a": [1.0, 2, 3], "b c": column})
    tried = refusal(table, TypeError, f"'b c' ({column.type}); expected numbers and bools")
    assert_read_as(tried["X.drop_columns(['b c'])"], [[1.0], [2], [3]])
    assert refusal(column, TypeError, f"is a column of {column.type}") == {}


def test_many_columns_that_hold_no_numbers():
    table = pa.table({str(i): ["x", "y"] for i in range(40)} | {"a": [1, 2]})
    tried = refusal(table, TypeError, "'7' (string) and 32 more; expected")
    assert_remedies(tried, "X.select(['a'])")


LISTS = {
    "list": pa.list_(pa.float32()),
    "large_list": pa.large_list(pa.float32()),
    "fixed_size_list": pa.list_(pa.float32(), 5),
    "list of float64": pa.list_(pa.float64()),
    "list of uint8": pa.list_(pa.uint8(), 5),
}


@pytest.mark.parametrize("kind", LISTS)
def test_columns_of_vectors(kind):
    dtype = LISTS[kind].value_type.to_pandas_dtype()
    rows = (
        VECTORS.astype(dtype) if dtype != np.uint8 else np.arange(1, 31, dtype="u1").reshape(6, 5)
    )
    column = pa.array(list(rows), LISTS[kind])
    table = pa.table({"e": column})
    for whole in (column, table, table["e"], table.to_batches()[0]):
        assert_read_as(whole, rows)
        part = whole[2:5] if whole is not table else table.slice(2, 3)
        assert_read_as(part, rows[2:5])
        assert np.shares_memory(as_array(part, "X"), column.values.to_numpy())
    assert_read_as(pa.concat_tables([table, table]), np.vstack([rows, rows]))
    table = pa.table({"id": range(6), "e": column})
    tried = refusal(table, TypeError, f"'e' ({column.type})")
    assert_same_bits(as_array(tried["X['e']"], "X"), rows)


def test_tensors_of_one_axis():
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS)
    assert_read_as(column, VECTORS)
    assert_read_as(pa.table({"e": pa.chunked_array([column, column])}), np.vstack([VECTORS] * 2))
    deeper = pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS.reshape(3, 2, 5))
    refusal(deeper, TypeError, "fixed_shape_tensor")


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
    column = pa.array(rows, pa.list_(pa.int64()))
    columns = [column, pa.chunked_array([column[:1], column[1:]]), pa.table({"e": column})]
    if "null" in message:
        columns.append(pa.array(rows, pa.list_(pa.int64(), 2)))
    for column in columns:
        tried = refusal(column, ValueError, message)
        assert_remedies(tried, *["X.drop_null()"] * ("is null" in message))


@pytest.mark.parametrize("rows", [[], [[], []]])
def test_columns_without_features(rows):
    assert refusal(pa.array(rows, pa.list_(pa.float32())), ValueError, "0 features") == {}


@pytest.mark.parametrize("kind", ["FLOAT[5]", "FLOAT[]"])
def test_duckdb(kind):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE texts (id INTEGER, e {kind})")
    connection.executemany("INSERT INTO texts VALUES (?, ?)", list(enumerate(VECTORS.tolist())))
    query = "SELECT e FROM texts ORDER BY id"
    assert_read_as(connection.sql(query).df(), VECTORS)
    for _ in range(2):
        assert_same_bits(as_array(connection.sql(query).arrow(), "X"), VECTORS)
    assert_remedies(refusal(connection.sql(query), TypeError, "DuckDB"), "X.df()")


def test_a_stream_is_read_once():
    table = pa.table({"e": list(VECTORS)})
    stream = table.to_reader()
    assert_same_bits(as_array(stream, "X"), VECTORS)
    refusal(stream, ValueError, "has no rows", "only once")
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS)  # of which no table is empty
    assert_same_bits(as_array(pa.table({"e": tensors}).to_reader(), "X"), VECTORS)


def test_what_a_stream_holds_is_refused_before_it_is_read():
    table = pa.table({"e": list(VECTORS), "id": range(6), "text": list("abcdef")})
    for code in ("X.read_all()['e']", "X.read_all().drop_columns(['e', 'text'])"):
        stream = table.to_reader()
        with pytest.raises(TypeError) as raised:
            unitdot.cosine_similarity(stream)
        assert code in str(raised.value).partition("; try ")[2].split(" or ")
        assert unitdot.cosine_similarity(eval(code, {"X": stream})).shape == (6, 6)
    missing = pa.table({"a": [1, None]}).to_reader()
    with pytest.raises(
        ValueError, match=r"1 in 'a'; expected none .* only once: of a new one, keep"
    ):
        unitdot.cosine_similarity(missing)


def test_as_many_columns_of_numbers_as_of_texts():
    frame = pa.table({f"{i}": [i, i + 1] if i % 2 else ["x", "y"] for i in range(20)})
    tried = refusal(frame, TypeError, "and 2 more; expected numbers")
    assert_remedies(tried, "X.select([1, 3, 5, 7, 9, 11, 13, 15, 17, 19])")
