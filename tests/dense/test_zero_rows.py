"""Clause 6: one policy for zero rows: similarity 0, NaN, or an error that names the first."""

import re

import numpy as np
import pytest

from ..helpers import (
    ALL,
    FLOATS,
    INTEGERS,
    MATRIX,
    PAIRED,
    any_values,
    assert_same_bits,
    function,
    normal,
)

ZERO_ROWS = [2, 9, 16]  # of 17
AS_ZERO = {name: 0 if "similarity" in name else 1 for name in ALL}


def with_zero_rows(dtype=np.float64, seed=0, n_features=21):
    X = any_values((17, n_features), dtype, seed)
    X[:, 0] = 1
    X[ZERO_ROWS] = 0
    if np.dtype(dtype).kind == "f":
        X[ZERO_ROWS[1]] = -0.0
    return X


def other_rows(n_samples=17):
    return np.setdiff1d(np.arange(n_samples), ZERO_ROWS)


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, *INTEGERS])
@pytest.mark.parametrize(("zero", "value"), [("zero", None), ("nan", np.nan)])
@pytest.mark.parametrize("name", MATRIX)
def test_matrix(name, zero, value, dtype, isa):
    X, Y = with_zero_rows(dtype), any_values((30, 21), dtype, seed=1)
    Y[:, 0] = 1
    value = AS_ZERO[name] if value is None else value
    for swapped in (False, True):
        result = function(name)(Y, X, zero=zero).T if swapped else function(name)(X, Y, zero=zero)
        assert np.array_equal(result[ZERO_ROWS], np.full((3, 30), value), equal_nan=True)
        keep = other_rows()
        assert_same_bits(result[keep], function(name)(X[keep], Y, zero="raise"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("Y_is", ["None", "X"])
def test_self_join(name, zero, dtype, Y_is, isa):
    X = with_zero_rows(dtype)
    result = function(name)(X, None if Y_is == "None" else X, zero=zero)
    value = AS_ZERO[name] if zero == "zero" else np.nan
    expected = np.full((3, 17), value)
    if name == "cosine_distances" and zero == "zero":
        expected[np.arange(3), ZERO_ROWS] = (
            0  # a row is at no distance from itself, as in scikit-learn
        )
    assert np.array_equal(result[ZERO_ROWS], expected, equal_nan=True)
    assert np.array_equal(result[:, ZERO_ROWS], expected.T, equal_nan=True)
    keep = other_rows()
    assert_same_bits(result[np.ix_(keep, keep)], function(name)(X[keep]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("zero", ["zero", "nan"])
def test_zero_rows_of_copies_are_at_distance_one(zero, dtype, isa):
    """Only a row and itself are at no distance: in a copy it is another row."""
    X = with_zero_rows(dtype)
    result = function("cosine_distances")(X, X.copy(), zero=zero)
    assert np.array_equal(
        result[ZERO_ROWS], np.full((3, 17), 1 if zero == "zero" else np.nan), True
    )


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, *INTEGERS])
@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("name", PAIRED)
def test_paired(name, zero, dtype, isa):
    X, Y = with_zero_rows(dtype), np.roll(with_zero_rows(dtype, seed=1), 7, axis=0)
    zero_X, zero_Y = (~A.any(axis=1) for A in (X, Y))
    assert (zero_X & zero_Y).any()
    assert (zero_X ^ zero_Y).any()
    result = function(name)(X, Y, zero=zero)
    is_zero = zero_X | zero_Y
    value = AS_ZERO[name] if zero == "zero" else np.nan
    assert np.array_equal(result[is_zero], np.full(is_zero.sum(), value), equal_nan=True)
    assert_same_bits(result[~is_zero], function(name)(X[~is_zero], Y[~is_zero], zero="raise"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("zero", ["zero", "nan"])
def test_vectors(name, zero, dtype, isa):
    x, y = np.zeros(5, dtype), np.ones(5, dtype)
    expected = AS_ZERO[name] if zero == "zero" else np.nan
    for arguments in ((x, y), (y, x), (x, x.copy())):
        assert np.array_equal(function(name)(*arguments, zero=zero), expected, equal_nan=True)


@pytest.mark.parametrize("n_features", [1, 40, 30_000])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, np.int32])
@pytest.mark.parametrize("name", ALL)
def test_raise_names_argument_and_first_row(name, argument, dtype, n_features, isa):
    X, Y = np.ones((17, n_features), dtype), with_zero_rows(dtype, n_features=n_features)
    Y[5, -1] = 1
    arguments = (X, Y) if argument == "Y" else (Y, X)
    with pytest.raises(ValueError, match=rf"\b{argument}\b") as error:
        function(name)(*arguments, zero="raise")
    assert re.findall(r"\b\d+\b", str(error.value)) == [str(ZERO_ROWS[0])]


@pytest.mark.parametrize("name", MATRIX)
def test_raise_in_a_self_join_names_its_argument(name, isa):
    X = with_zero_rows()
    for Y in (None, X):
        with pytest.raises(ValueError, match=r"\bX\b.*\b2\b"):
            function(name)(X, Y, zero="raise")


@pytest.mark.parametrize("name", ALL)
def test_raise_names_no_axes_that_the_argument_lacks(name):
    X, Y = np.ones((2, 4, 3)), np.ones((4, 3))
    Y[2] = 0
    with pytest.raises(ValueError, match="Y has a zero row, row 2, whose"):
        function(name)(X, Y, zero="raise")
    with pytest.raises(ValueError, match="Y has a zero row, whose"):
        function(name)(X, Y[2], zero="raise")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", PAIRED)
def test_raise_names_the_place_in_the_caller_s_own_axes(name, axis):
    place = [1, 3, 2]
    place[axis] = slice(None)
    Y = normal((3, 5, 4))
    Y[tuple(place)] = 0
    words = {0: "row 3, column 2", 1: "matrix 1, row :, column 2", 2: "matrix 1, row 3,"}[axis]
    with pytest.raises(ValueError, match=f"Y has a zero row, .*{words}"):
        function(name)(np.ones_like(Y), Y, axis=axis, zero="raise")


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("n_samples", [17, 900])
def test_raise_comes_before_any_output(name, n_samples, isa):
    X, Y = normal((n_samples, 50)), normal((n_samples, 50), seed=1)
    Y[-1] = 0
    out = np.full((n_samples, n_samples), 7.0)
    with pytest.raises(ValueError, match=rf"\bY\b.*\b{n_samples - 1}\b"):
        function(name)(X, Y, zero="raise", out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
def test_rows_whose_squares_underflow_are_not_zero(name, dtype, isa):
    X = np.full((3, 4), np.finfo(dtype).smallest_subnormal)
    expected = 1 if "similarity" in name else 0
    assert (function(name)(X, X.copy(), zero="raise") == expected).all()


@pytest.mark.parametrize("name", ALL)
def test_one_element_makes_a_row_nonzero(name, isa):
    """Wherever it stands: panels, vectors and blocks of features have their edges."""
    X = np.eye(130, dtype=np.float32)[:, ::-1]
    function(name)(X, X.copy(), zero="raise")
    X = np.zeros((3, 9000))
    X[[0, 1, 2], [0, 4096, 8999]] = 5e-324
    function(name)(X, X.copy(), zero="raise")
