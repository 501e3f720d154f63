"""out=: written in place and returned, however it lies in memory; refused where it does not fit."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import unitdot

from ..helpers import FLOATS, MATRIX, assert_same_bits, function, normal

SENTINEL = -7.0

# for n rows and m columns: the shape of a buffer, and the view of it that is passed as out
OUTS = {
    "C": lambda n, m: ((n, m), lambda B: B),
    "Fortran": lambda n, m: ((m, n), lambda B: B.T),
    "padded rows": lambda n, m: ((n, m + 7), lambda B: B[:, 3:-4]),
    "strided": lambda n, m: ((3 * n, 2 * m), lambda B: B[1::3, ::2]),
    "strided Fortran": lambda n, m: ((3 * m, 2 * n), lambda B: B[1::3, ::2].T),
    "reversed": lambda n, m: ((n, m), lambda B: B[::-1, ::-1]),
    "inner axis of three": lambda n, m: ((n, 2, m), lambda B: B[:, 1]),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", [(1, 40), (40, 1), (30, 50), (97, 33), (1, 1)])
@pytest.mark.parametrize("layout", OUTS)
@pytest.mark.parametrize("name", MATRIX)
def test_out_is_written_in_place(name, layout, sizes, dtype, isa):
    X, Y = normal((sizes[0], 70), dtype, seed=1), normal((sizes[1], 70), dtype, seed=2)
    shape, view = OUTS[layout](*sizes)
    buffer = np.full(shape, SENTINEL, dtype)
    out = view(buffer)
    assert function(name)(X, Y, out=out) is out
    assert_same_bits(out, function(name)(X, Y))
    out[...] = SENTINEL
    assert (buffer == SENTINEL).all(), "written beside out"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_samples", [2, 33, 150])
@pytest.mark.parametrize("layout", OUTS)
@pytest.mark.parametrize("name", MATRIX)
def test_out_of_a_self_join(name, layout, n_samples, dtype, isa):
    X = normal((n_samples, 70), dtype)
    shape, view = OUTS[layout](n_samples, n_samples)
    buffer = np.full(shape, SENTINEL, dtype)
    out = view(buffer)
    assert function(name)(X, out=out) is out
    assert_same_bits(out, function(name)(X))
    out[...] = SENTINEL
    assert (buffer == SENTINEL).all(), "written beside out"


@pytest.mark.parametrize("layout", ["C", "Fortran", "strided"])
@pytest.mark.parametrize("shape", [(5, 20_000), (1, 40_000)])
def test_out_of_few_rows_with_many_features(shape, layout, isa):
    X, Y = normal((2, *shape))
    buffer_shape, view = OUTS[layout](shape[0], shape[0])
    out = view(np.full(buffer_shape, SENTINEL))
    function("cosine_similarity")(X, Y, out=out)
    assert_same_bits(out, function("cosine_similarity")(X, Y))


@pytest.mark.parametrize(
    ("shape_X", "shape_Y"),
    [((6,), (6,)), ((6,), (4, 6)), ((4, 6), (6,)), ((2, 4, 6), (5, 6)), ((3, 1, 4, 6), (2, 5, 6))],
)
@pytest.mark.parametrize("name", MATRIX)
def test_out_of_vectors_and_stacks(name, shape_X, shape_Y):
    X, Y = normal(shape_X), normal(shape_Y, seed=1)
    expected = np.asarray(function(name)(X, Y))
    for order in "CF":
        out = np.empty(expected.shape, order=order)
        assert function(name)(X, Y, out=out) is out
        assert_same_bits(out, expected)


@pytest.mark.parametrize("name", MATRIX)
def test_out_takes_the_dtype_asked_for(name):
    X, Y = normal((2, 5, 6))
    out = np.empty((5, 5), np.float32)
    assert function(name)(X, Y, dtype=np.float32, out=out) is out
    assert_same_bits(out, function(name)(X, Y, dtype=np.float32))


def overlapping():
    """X, Y and an out that shares elements with one of them."""
    square = normal((5, 5))
    buffer = normal(70)
    X, out = buffer[:30].reshape(5, 6), buffer[28:53].reshape(5, 5)
    return {
        "is X": (square, normal((5, 5)), square),
        "is Y": (normal((5, 5)), square, square),
        "is X of a self-join": (square, None, square),
        "transposed": (square, None, square.T),
        "one element": (X, normal((5, 6)), out),
        "one element of Y": (normal((5, 6)), X, out),
    }


@pytest.mark.parametrize("case", overlapping())
@pytest.mark.parametrize("name", MATRIX)
def test_overlap_is_refused(name, case):
    X, Y, out = overlapping()[case]
    before = X.copy(), out.copy()
    with pytest.raises(ValueError, match=r"\bout\b"):
        function(name)(X, Y, out=out)
    assert_same_bits(X, before[0])
    assert_same_bits(out, before[1])


@pytest.mark.parametrize("name", MATRIX)
def test_neighbours_in_one_buffer_do_not_overlap(name):
    buffer = normal((8, 14))
    X, out = buffer[:, :6], buffer[:, 6:]
    expected = function(name)(X.copy())
    assert_same_bits(function(name)(X, out=out), expected)


def read_only(shape, dtype=np.float64):
    out = np.full(shape, SENTINEL, dtype)
    out.flags.writeable = False
    return out


# for X of 5 rows and Y of 4, float64
REFUSED = {
    "fewer rows": lambda: np.full((4, 4), SENTINEL),
    "transposed": lambda: np.full((4, 5), SENTINEL),
    "flat": lambda: np.full(20, SENTINEL),
    "extra axis": lambda: np.full((1, 5, 4), SENTINEL),
    "broadcastable": lambda: np.full((5, 1), SENTINEL),
    "float32": lambda: np.full((5, 4), SENTINEL, np.float32),
    "int64": lambda: np.full((5, 4), -7, np.int64),
    "float16": lambda: np.full((5, 4), SENTINEL, np.float16),
    "complex": lambda: np.full((5, 4), SENTINEL, complex),
    "object": lambda: np.full((5, 4), SENTINEL, object),
    "byte-swapped": lambda: np.full((5, 4), SENTINEL, np.dtype(float).newbyteorder("S")),
    "read-only": lambda: read_only((5, 4)),
    "rows on top of one another": lambda: as_strided(np.full(4, SENTINEL), (5, 4), (0, 8)),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", MATRIX)
def test_out_that_does_not_fit(name, case):
    X, Y, out = normal((5, 6)), normal((4, 6)), REFUSED[case]()
    with pytest.raises(ValueError, match=r"\bout\b"):
        function(name)(X, Y, out=out)
    assert (out == SENTINEL).all()


@pytest.mark.parametrize("out", [[[0.0] * 4] * 5, "out", 1.0, True, np.float64(1)])
@pytest.mark.parametrize("name", MATRIX)
def test_out_that_is_no_array(name, out):
    with pytest.raises((TypeError, ValueError), match=r"\bout\b"):
        function(name)(normal((5, 6)), normal((4, 6)), out=out)


def test_out_must_have_the_dtype_asked_for():
    X = normal((5, 6))
    with pytest.raises(ValueError, match=r"\bout\b"):
        function("cosine_similarity")(X, dtype=np.float32, out=np.empty((5, 5)))


@pytest.mark.parametrize("kind", [np.recarray, np.matrix])
def test_out_of_a_subclass(kind):
    X = np.arange(12.0).reshape(4, 3)
    out = np.empty((4, 4)).view(kind)
    assert unitdot.cosine_similarity(X, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), unitdot.cosine_similarity(X))
