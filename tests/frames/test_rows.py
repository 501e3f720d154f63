"""Rows as objects of Python, and what has none."""

import collections
import sys

import numpy as np
import pytest

import unitdot

from ..helpers import run_python
from .checks import VECTORS, assert_read_as, assert_remedies, refusal


def objects(rows):
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


CONTAINERS = {
    "array of objects": lambda rows: objects(list(rows)),
    "dict.values()": lambda rows: {str(i): row for i, row in enumerate(rows)}.values(),
    "deque": collections.deque,
    "list": list,
    "array of lists": lambda rows: objects([row.tolist() for row in rows]),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_vectors_in_containers(container):
    rows = VECTORS.astype(np.float64) if container == "array of lists" else VECTORS
    assert_read_as(CONTAINERS[container](rows), rows)


@pytest.mark.parametrize("wrap", [list, objects, lambda rows: dict(enumerate(rows)).values()])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], [3, 4], [5]], "row 2 has 1 number where row 0 has 2"),
        ([np.ones(1), np.ones(0)], "row 1 has 0 numbers where row 0 has 1"),
        ([np.ones(3), None], "row 1 is null where row 0 has 3"),
        ([None, (1, 2)], "row 0 is null where row 1 has 2"),
    ],
)
def test_vectors_of_different_length(wrap, rows, message):
    assert refusal(wrap(rows), ValueError, message) == {}


def test_masked_arrays():
    masked = np.ma.masked_array(np.ones((3, 2)), [[0, 0], [1, 0], [0, 0]])
    assert_remedies(refusal(masked, TypeError, "masked elements"), "X.filled(0)")
    for rows in (list(masked), tuple(masked), objects(list(masked)), [[masked[0], masked[1]]]):
        tried = refusal(rows, TypeError, "holds arrays with masked elements")
        assert_remedies(tried, "np.ma.stack(list(X)).filled(0)")
    assert_read_as([*masked[:1], *masked[2:]], np.ones((2, 2)))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([None, None], "has 2 missing values, the first at [0]"),
        (np.array([[1, None], [2, 3]], object), "has 1 missing value, the first at [0, 1]"),
    ],
)
def test_missing_values(rows, said):
    assert refusal(rows, ValueError, said) == {}


def test_lists_of_sparse_rows():
    scipy = pytest.importorskip("scipy.sparse") and sys.modules["scipy"]
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csr_array):
        rows = [kind(row[None]) for row in VECTORS]
        for container in (rows, tuple(rows), objects(rows), dict(enumerate(rows)).values()):
            tried = refusal(container, TypeError, "sparse rows", scipy=scipy)
            assert_remedies(tried, "scipy.sparse.vstack(list(X))")


def test_what_can_be_read_only_once():
    for X in ((row for row in VECTORS), iter(VECTORS), map(np.array, VECTORS)):
        assert_remedies(refusal(X, TypeError, type(X).__name__, "only once"), "list(X)")


def test_what_has_no_rows():
    assert refusal({1.0, 2.0}, TypeError, "is a set") == {}
    assert refusal({"a": "text"}, TypeError, "is a dict") == {}
    assert refusal(len, TypeError, "is a builtin_function_or_method") == {}
    vectors = dict(enumerate(VECTORS))
    assert_remedies(refusal(vectors, TypeError, "is a dict"), "X.values()")
    with pytest.raises(TypeError, match=r"^X is None; expected rows"):
        unitdot.paired_cosine_similarity(None, VECTORS)


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1, 2], [3, 4.5]], object),
        np.array([["1", "2"], ["3", "4"]]),
        [["1", "2"], ["3", "4"]],
        [[2**70, 1]],
    ],
)
def test_numbers_in_other_clothes(X):
    tried = refusal(X, TypeError, "expected real numbers")
    assert_remedies(tried, 'np.asarray(X, dtype="float64")')


def test_nothing_is_imported_for_plain_arrays():
    code = """
        import sys
        import unitdot
        unitdot.cosine_similarity([[1.0, 2.0]])
        libraries = {"pandas", "polars", "pyarrow", "torch", "duckdb", "scipy"}
        print(libraries & {name.partition(".")[0] for name in sys.modules})
        """
    run = run_python(code)
    assert run.stdout == "set()\n", run.stderr
