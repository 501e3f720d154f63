"""Clause 7: NaN and infinity are refused before any output, or, unchecked, stay in their row."""

import re

import numpy as np
import pytest

import unitdot

from ..helpers import ALL, FLOATS, MATRIX, PAIRED, assert_same_bits, function, normal

BAD = [np.nan, np.inf, -np.inf]
PLACES = [(0, 0), (0, 36), (7, 1), (16, 35), (29, 0), (29, 36)]  # in 30 rows of 37


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16])
@pytest.mark.parametrize("name", ALL)
def test_error_names_argument_row_and_column(name, dtype, argument, bad, place, isa):
    arguments = dict(zip("XY", normal((2, 30, 37), dtype), strict=True))
    arguments[argument][place] = bad
    with pytest.raises(ValueError, match=rf"\b{argument}\b") as error:
        function(name)(**arguments)
    assert re.findall(r"\b\d+\b", str(error.value)) == [str(i) for i in place]


@pytest.mark.parametrize("place", [(1, 2), (4, 0), (3, 1, 2), (0, 4, 1), (1, 0, 3, 2)])
@pytest.mark.parametrize("name", PAIRED)
def test_error_names_the_place_in_the_caller_s_own_axes(name, place):
    Y = normal([i + 2 for i in place])
    Y[place] = np.nan
    for axis in range(-Y.ndim, Y.ndim):
        with pytest.raises(ValueError, match=r"\bY holds\b") as error:
            function(name)(np.ones_like(Y), Y, axis=axis)
        assert re.findall(r"\b\d+\b", str(error.value)) == [str(i) for i in place]


@pytest.mark.parametrize("place", [(4,), (3, 1), (0, 2), (1, 3, 2)])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", ALL)
def test_an_argument_of_fewer_axes_is_named_by_these_alone(name, argument, place):
    own = normal([i + 2 for i in place])
    arguments = dict.fromkeys("XY", np.ones((1, 3, *own.shape))) | {argument: own}
    keywords = [{"axis": axis} for axis in (*range(-own.ndim, 0), 0)]
    if name in MATRIX:
        keywords = [{}, {"out": np.empty_like(function(name)(**arguments))}]
    own[place] = np.nan
    for given in keywords:
        with pytest.raises(ValueError, match=rf"\b{argument} holds\b") as error:
            function(name)(**arguments, **given)
        assert re.findall(r"\b\d+\b", str(error.value)) == [str(i) for i in place]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", ALL)
def test_the_first_in_row_order_is_named(name, order, isa):
    """The first row, and in it the first column, in whatever order the memory is read."""
    X, Y = normal((2, 30, 3000))
    X = np.asarray(X, order=order)
    X[21, 2000] = X[21, 2999] = X[22, 0] = X[29, 1] = np.nan
    with pytest.raises(ValueError, match=r"\bX\b.*\b21\b.*\b2000\b"):
        function(name)(X, Y)


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("Y_is", ["None", "X"])
@pytest.mark.parametrize("shape", [(30, 37), (4, 20_000), (800, 40)])
def test_self_join_names_its_argument(name, Y_is, shape, isa):
    X = normal(shape)
    place = (shape[0] - 1, shape[1] - 2)
    X[place] = np.inf
    with pytest.raises(ValueError, match=r"\bX\b.*\b{}\b.*\b{}\b".format(*place)):
        function(name)(X, None if Y_is == "None" else X)


@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("shape", [(30, 37), (4, 20_000), (800, 40)])
@pytest.mark.parametrize("name", MATRIX)
def test_nothing_is_written(name, shape, argument, isa):
    arguments = dict(zip("XY", normal((2, *shape), np.float32), strict=True))
    arguments[argument][-1, -1] = np.nan
    out = np.full((shape[0], shape[0]), 7, dtype=np.float32)
    with pytest.raises(ValueError, match=rf"\b{argument}\b"):
        function(name)(**arguments, out=out, n_threads=2)
    assert (out == 7).all()


def test_finite_sums_that_overflow_are_no_error(isa):
    """The check is of the elements: squares and sums of finite elements may well overflow."""
    X = np.full((5, 300), np.finfo(np.float32).max)
    assert (function("cosine_similarity")(X) == 1).all()
    X = np.full((5, 300), np.finfo(np.float16).max)
    assert (function("cosine_similarity")(X) == 1).all()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", [(0, 0), (13, 36), (29, 20)])
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16])
@pytest.mark.parametrize("name", ALL)
def test_unchecked_they_stay_in_their_row(name, dtype, place, bad, isa):
    X, Y = normal((2, 30, 37), dtype)
    expected = function(name)(X, Y, check_finite=False)
    assert_same_bits(expected, function(name)(X, Y))
    X[place] = bad
    result = function(name)(X, Y, check_finite=False)
    others = np.arange(30) != place[0]
    assert_same_bits(result[others], expected[others])
    if np.isnan(bad):
        assert np.isnan(result[place[0]]).all()
    if name in MATRIX:
        swapped = function(name)(Y, X, check_finite=False)
        assert_same_bits(swapped[:, others], function(name)(Y, X[others]))


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("dtype", FLOATS)
def test_unchecked_in_a_self_join(name, dtype, isa):
    X = normal((30, 37), dtype)
    expected = function(name)(X)
    X[5, 5], X[6, 6] = np.nan, np.inf
    result = function(name)(X, check_finite=False)
    others = np.setdiff1d(np.arange(30), [5, 6])
    assert_same_bits(result[np.ix_(others, others)], expected[np.ix_(others, others)])
    elsewhere = np.arange(30) != 5
    assert np.isnan(result[5, elsewhere]).all()
    assert np.isnan(result[elsewhere, 5]).all()


@pytest.mark.parametrize("name", PAIRED)
def test_long_unchecked_pairs(name, isa):
    X, Y = normal((2, 3, 50_000))
    expected = function(name)(X, Y)
    X[1, 49_999] = np.nan
    result = function(name)(X, Y, check_finite=False)
    assert np.isnan(result[1])
    assert_same_bits(result[[0, 2]], expected[[0, 2]])


def test_stacks_are_checked_whole(isa):
    X = normal((2, 3, 4, 5))
    X[1, 2, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"\bX\b"):
        function("cosine_similarity")(X)


@pytest.mark.parametrize("n_samples", [1, 2, 20])
def test_an_infinite_row_has_no_distance_to_itself(n_samples, isa):
    X = np.ones((n_samples, 3))
    X[-1, 0] = np.inf
    distances = unitdot.cosine_distances(X, check_finite=False)
    np.testing.assert_array_equal(
        distances, unitdot.cosine_distances(X, X.copy(), check_finite=False)
    )
    assert np.isnan(distances[-1, -1])


def test_empty_results_check_their_input_too():
    with pytest.raises(ValueError, match=r"\bX\b.*row 0, column 1"):
        unitdot.cosine_similarity([[1.0, np.nan]], np.empty((0, 2)))
    with pytest.raises(ValueError, match=r"\bX\b.*zero row"):
        unitdot.cosine_similarity([[0.0, 0.0]], np.empty((0, 2)), zero="raise")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("shape_X", "shape_Y"), [((0, 4), (1, 4)), ((0, 4), (4,)), ((0, 3, 4), (3, 4))]
)
def test_both_sides_are_checked_where_the_result_is_empty(name, shape_X, shape_Y):
    Y = np.ones(shape_Y)
    Y[..., 2] = np.nan
    for X in np.ones(shape_X), np.ones(shape_X, np.float32):
        with pytest.raises(ValueError, match=r"^Y holds a NaN or an infinity at .*column 2;"):
            function(name)(X, Y)
        with pytest.raises(ValueError, match=r"^X holds a NaN or an infinity at .*column 2;"):
            function(name)(Y, X)
        assert function(name)(X, Y, check_finite=False).size == 0


@pytest.mark.parametrize("corpus", ["dense", "csr_array", "coo_array"])
@pytest.mark.parametrize("name", [*ALL, "cosine_top_k"])
def test_a_vector_has_no_rows_to_name(name, corpus):
    M = np.eye(4)
    if corpus != "dense":
        M = getattr(pytest.importorskip("scipy.sparse"), corpus)(M)
    more = {"k": 2} if name == "cosine_top_k" else {}
    v = np.array([1.0, 1.0, np.nan, 1.0])
    with pytest.raises(ValueError, match=r"^X holds a NaN or an infinity at column 2; "):
        function(name)(v, M, **more)
    with pytest.raises(ValueError, match=r"^X has a zero row, whose cosine"):
        function(name)(np.zeros(4), M, zero="raise", **more)
