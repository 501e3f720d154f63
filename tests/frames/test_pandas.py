"""Frames, Series and Indexes of pandas."""

import json
import sys

import numpy as np
import pytest

import unitdot
from unitdot._inputs import as_array

from ..helpers import ALL, REDUCTIONS, assert_same_bits, function
from .checks import VECTORS, assert_read_as, assert_remedies, refusal

pd = pytest.importorskip("pandas")

NUMBERS = {
    "bool": np.array([True, False, True]),
    "int8": np.array([1, -2, 3], np.int8),
    "uint64": np.array([1, 2, 2**63], np.uint64),
    "float16": np.array([1, 2.5, -3], np.float16),
    "float32": np.array([1, 2.1, -3], np.float32),
    "float64": np.array([1, 2.1, -3]),
    "Int64": pd.array([1, -2, 3], dtype="Int64"),
    "boolean": pd.array([True, False, True], dtype="boolean"),
    "Float32": pd.array([1, 2.1, -3], dtype="Float32"),
    "Sparse[float64]": pd.arrays.SparseArray([0, 1.5, 0]),
}
ARROW = ["bool[pyarrow]", "int8[pyarrow]", "uint16[pyarrow]", "float[pyarrow]", "double[pyarrow]"]


def numbers(kind):
    if kind in NUMBERS:
        return NUMBERS[kind]
    pytest.importorskip("pyarrow")
    return pd.array([1, 0, 1], dtype=kind)


def in_numpy(column):
    dtype = np.asarray(column).dtype if isinstance(column, np.ndarray) else column.dtype
    return np.asarray(column, getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))


@pytest.mark.parametrize("second", ["float32", "int8", "boolean", "float[pyarrow]"])
@pytest.mark.parametrize("first", [*NUMBERS, *ARROW])
def test_numbers_of_any_two_dtypes(first, second):
    """The dtype they have in common: float32 only if all are, or float16."""
    columns = [numbers(first), numbers(second)]
    values = [in_numpy(column) for column in columns]
    dtypes = {column.dtype for column in values}
    single = dtypes <= {np.dtype("f2"), np.dtype("f4")}
    common = dtypes.pop() if len(dtypes) == 1 else np.float32 if single else np.float64
    frame = pd.DataFrame(dict(zip("ab", columns, strict=True)), index=list("xyz"))
    assert as_array(frame, "X").dtype == common
    assert_read_as(frame, np.stack([column.astype(common) for column in values], axis=1))
    assert_read_as(pd.Series(columns[0], index=list("xyz")), values[0])
    if first != "float16":  # of which pandas has no Index
        assert_read_as(pd.Index(columns[0]), values[0])


@pytest.mark.parametrize("first", ["float32", "Float32", "Int64", "boolean", "float[pyarrow]"])
def test_the_result_has_scikit_learns_dtype(first):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    for second in ("bool", "float64", "Int64", "double[pyarrow]"):
        frame = pd.DataFrame({"a": numbers(first), "b": numbers(second)})
        expected = pairwise.cosine_similarity(frame)
        result = unitdot.cosine_similarity(frame)
        assert result.dtype == expected.dtype
        assert np.allclose(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_one_dtype_of_numpys_is_not_copied(dtype):
    frame = pd.DataFrame(VECTORS.astype(dtype))
    assert np.shares_memory(as_array(frame, "X", True), frame.to_numpy())


@pytest.mark.parametrize("kind", ["Int64", "boolean", "Float32", "float[pyarrow]", "bool[pyarrow]"])
def test_missing_values_are_told_by_column(kind):
    frame = pd.DataFrame({"whole": [1.0, 2.0, 3.0], "some": numbers(kind), 7: numbers(kind)})
    frame.loc[[0, 2], "some"] = frame.loc[1, 7] = None
    remedies = "X.dropna()", *(() if "bool" in kind else ("X.fillna(0)",))
    refusal(frame, ValueError, "missing values: 2 in 'some', 1 in 7;")
    assert_remedies(refusal(frame[["whole", 7]], ValueError, "1 in 7"), *remedies)
    assert_remedies(refusal(frame["some"], ValueError, "has 2 missing values;"), "X.dropna()")


def test_missing_values_that_are_nan():
    frame = pd.DataFrame({"a": [1.0, None, 3.0], "b": [1.0, -np.inf, np.inf], "c": [1, 2, 3]})
    refusal(frame, ValueError, "missing values: 1 in 'a';")
    for part in (frame[["a", "c"]], frame[["a"]].astype(np.float32)):
        tried = refusal(part, ValueError, "missing values: 1 in 'a';")
        assert_remedies(tried, "X.dropna()", "X.fillna(0)")
    allowed = unitdot.cosine_similarity(frame, check_finite=False)
    assert_same_bits(allowed, unitdot.cosine_similarity(frame.to_numpy(), check_finite=False))


BAD = {
    "str": ["a", "b", "c"],
    "datetime64": pd.date_range("2020-01-01", periods=3),
    "timedelta64": pd.to_timedelta([1, 2, 3], unit="s"),
    "category": pd.Categorical(["u", "v", "u"]),
    "object": [object(), 2, "c"],
    "complex128": [1j, 2, 3],
}


@pytest.mark.parametrize("kind", BAD)
def test_columns_that_hold_no_numbers_are_told(kind):
    frame = pd.DataFrame({"a": [1.0, 2, 3], "b c": BAD[kind], "d": [True, False, True]})
    tried = refusal(frame, TypeError, "'b c' (", kind, "expected numbers and bools")
    assert_remedies(tried, "X.drop(columns=['b c'])")
    assert refusal(frame["b c"], TypeError, "is a column of", kind) == {}
    assert refusal(frame[["b c"]], TypeError, "'b c' (") == {}


def test_many_columns_that_hold_no_numbers():
    frame = pd.DataFrame({i: ["x", "y"] for i in range(40)} | {"a": [1, 2]})
    tried = refusal(frame, TypeError, "7 (", "and 32 more; expected")
    assert_remedies(tried, "X[['a']]")


TWICE = {"a": 1.0, "b": "x", "c": 2, "d": "y"}


@pytest.mark.parametrize(
    "labels",
    [
        ["x"] * 4,
        ["x", "x", "y", "z"],
        ["x", pd.Timestamp("2020-01-01"), "y", "z"],
        ["w", "x", "y", float("nan")],
        pd.MultiIndex.from_tuples([("x", "y")] * 4),
    ],
)
def test_labels_that_do_not_tell_columns_apart(labels):
    """Twice the same, or nothing that is written in an expression: by their places."""
    frame = pd.DataFrame([[*TWICE.values()]] * 3)
    frame.columns = labels
    tried = refusal(frame, TypeError, "that do not hold numbers")
    assert_remedies(tried, "X.iloc[:, [0, 2]]")
    assert_same_bits(as_array(tried["X.iloc[:, [0, 2]]"], "X"), np.array([[1.0, 2.0]] * 3))
    frame = pd.concat([frame, pd.DataFrame({"e": list(VECTORS[:3])}), frame, frame], axis=1)
    tried = refusal(frame, TypeError, "'e' (object)")
    assert_remedies(tried, "X.iloc[:, 4]", "X.iloc[:, [0, 2, 5, 7, 9, 11]]")
    assert_same_bits(as_array(tried["X.iloc[:, 4]"], "X"), VECTORS[:3])
    wide = pd.concat([frame.iloc[:, :3]] * 5, axis=1)
    bad = "[1, 4, 7, 10, 13]"
    tried = refusal(wide, TypeError, "that do not hold numbers")
    assert_remedies(tried, f"X.iloc[:, [i for i in range(15) if i not in {bad}]]")


def test_columns_without_numbers_beside_missing_values():
    for values in ([1.0, None, 3.0], numbers("Int64").copy()):
        frame = pd.DataFrame({"a": values, "b": list("xyz"), "c": [1, 2, 3]})
        frame.loc[1, "a"] = None
        tried = refusal(frame, TypeError, "'b' (str)" if pd.__version__ >= "3" else "'b' (")
        assert_remedies(tried, "X.drop(columns=['b']).dropna()")


def test_numbers_in_other_clothes():
    for values in (["1", "2.5"], [1, 2.5]):
        column = pd.Series(values, dtype=object)
        tried = refusal(column, TypeError, "is a column of object")
        assert_remedies(tried, 'X.astype("float64")')
    texts = pd.Series(["[1, 2]", "[3, 4.5]"])
    assert_remedies(refusal(texts, TypeError, "vectors", json=json), "X.map(json.loads)")


WRAP = {
    "lists": lambda rows: [row.tolist() for row in rows.astype(np.float64)],
    "tuples": lambda rows: [tuple(row.tolist()) for row in rows.astype(np.float64)],
    "arrays": list,
    "Series": lambda rows: [pd.Series(row, index=list("vwxyz")) for row in rows],
}


@pytest.mark.parametrize("wrap", WRAP)
def test_columns_of_vectors(wrap):
    values = WRAP[wrap](VECTORS)
    column = pd.Series([None, *values], dtype=object)[1:]
    rows = VECTORS.astype(np.float64) if wrap in ("lists", "tuples") else VECTORS
    assert_read_as(column, rows)
    assert_read_as(column.to_frame("embedding"), rows)
    assert_read_as(column.array, rows)


def test_a_column_of_vectors_beside_others():
    frame = pd.DataFrame({"id": range(6), "title": list("abcdef"), "embedding": list(VECTORS)})
    tried = refusal(frame, TypeError, "'embedding' (object)")
    assert_remedies(tried, "X['embedding']", "X.drop(columns=['title', 'embedding'])")
    assert_same_bits(as_array(tried["X['embedding']"], "X"), VECTORS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], [3, 4], [5]], "row 2 has 1 number where row 0 has 2"),
        ([[1], [], [5]], "row 1 has 0 numbers where row 0 has 1"),
        ([[], [1, 2]], "row 1 has 2 numbers where row 0 has 0"),
        ([np.ones(3), None, np.ones(3)], "row 1 is null where row 0 has 3; try X.dropna()"),
        ([None, [1, 2], np.nan], "row 0 is null where row 1 has 2; try X.dropna()"),
        ([pd.NA, [1, 2]], "row 0 is null where row 1 has 2; try X.dropna()"),
    ],
)
def test_vectors_of_different_length(rows, message):
    for column in (pd.Series(rows, dtype=object), pd.DataFrame({"e": rows})):
        tried = refusal(column, ValueError, message)
        assert_remedies(tried, *["X.dropna()"] * ("null" in message))


@pytest.mark.parametrize("size", [-1, 5])
def test_arrow_lists_are_not_copied(size):
    pa = pytest.importorskip("pyarrow")
    lists = pa.array(list(VECTORS), pa.list_(pa.float32(), size))
    column = pd.Series(lists, dtype=pd.ArrowDtype(lists.type))[2:]
    assert_read_as(column, VECTORS[2:])
    assert_read_as(column.to_frame("e"), VECTORS[2:])
    assert np.shares_memory(as_array(column, "X"), lists.values.to_numpy())
    column.iloc[1] = None
    message = "row 1 is null where row 0 has 5"
    assert_remedies(refusal(column, ValueError, message), "X.dropna()")


@pytest.mark.parametrize("name", [*ALL, *REDUCTIONS])
def test_columns_beside_sparse_matrices(name):
    sparse = pytest.importorskip("scipy.sparse").csr_array(VECTORS)
    column, own = pd.Series(list(VECTORS)), {"cosine_top_k": {"k": 2}}.get(name, {})
    pairs = ((sparse, column), (sparse, VECTORS)), ((column, sparse), (VECTORS, sparse))
    for given, arrays in pairs:
        result, expected = (function(name)(*pair, **own) for pair in (given, arrays))
        assert all(map(np.array_equal, result, expected))


def test_as_many_columns_of_numbers_as_of_texts():
    frame = pd.DataFrame({f"{i}": [i, i + 1] if i % 2 else ["x", "y"] for i in range(20)})
    tried = refusal(frame, TypeError, "and 2 more; expected numbers")
    assert_remedies(tried, "X.iloc[:, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]]")


def test_a_column_of_sparse_rows():
    scipy = pytest.importorskip("scipy.sparse") and sys.modules["scipy"]
    column = pd.Series([scipy.sparse.csr_array(row[None]) for row in VECTORS])
    tried = refusal(column, TypeError, "sparse rows", scipy=scipy)
    assert_remedies(tried, "scipy.sparse.vstack(list(X))")
