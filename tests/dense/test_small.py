"""Small calls of plain arrays, which have a way of their own: the bits of the other way."""

import itertools
from functools import partial

import numpy as np
import pytest

import unitdot
from unitdot import _similarity

from ..helpers import ALL, FLOATS, INTEGERS, MATRIX, any_values, assert_same_bits, function

SHAPES = [(7,), (1, 7), (3, 7), (20, 7), (130,), (2, 130), (1, 768), (768,), (40, 768)]
DTYPES = [np.float16, *FLOATS, *INTEGERS]


class Spy:
    """Who answered: here, or by the long way."""

    def __init__(self, cosines):
        self.cosines, self.answered, self.off = cosines, [], False

    def __call__(self, *arguments):
        result = None if self.off else self.cosines(*arguments)
        self.answered.append(result is not None)
        return result


@pytest.fixture
def spy(monkeypatch):
    spy = Spy(_similarity.small.cosines)

    class Small:
        cosines = spy

    monkeypatch.setattr(_similarity, "small", Small)
    return spy


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


def both_ways(spy, call, *arguments):
    """The outcome of the short way is that of the long one; whether it was the short one's own."""
    spy.off, spy.answered = False, []
    short = outcome(call, *arguments)
    answered = any(spy.answered)
    spy.off = True
    long = outcome(call, *arguments)
    assert type(short) is type(long)
    if isinstance(long, tuple):
        assert short == long
    else:
        assert_same_bits(short, long)
    return answered


@pytest.mark.parametrize("name", ALL)
def test_shapes(name, spy, isa):
    for X_shape, Y_shape in itertools.product(SHAPES, SHAPES):
        X, Y = any_values(X_shape, np.float32), any_values(Y_shape, np.float32, seed=1)
        fits = X_shape[-1] == Y_shape[-1]
        if name not in MATRIX:
            fits &= len({(1, *X.shape)[-2], (1, *Y.shape)[-2]} - {1}) < 2
        assert both_ways(spy, function(name), X, Y) == fits
    if name in MATRIX:
        for shape in SHAPES:
            assert both_ways(spy, function(name), any_values(shape, np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_dtypes(name, dtype, spy, isa):
    for other in DTYPES:
        X, Y = any_values((3, 40), dtype), any_values((3, 40), other, seed=1)
        X[0], Y[0] = 1, 1
        assert both_ways(spy, function(name), X, Y)
        assert both_ways(spy, function(name), X[1], Y[2])


LAYOUTS = {
    "backwards": lambda X: X[::-1, ::-1],
    "every other": lambda X: X[::2, ::3],
    "Fortran": np.asfortranarray,
    "one row for all": lambda X: np.broadcast_to(X[0], X.shape),
    "one number for all": lambda X: np.broadcast_to(X[0, 0], X.shape),
    "an odd address": lambda X: np.frombuffer(b"x" + X.tobytes(), X.dtype, offset=1).reshape(
        X.shape
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_layouts(name, layout, spy, isa):
    for dtype in (*FLOATS, np.int16):
        X, Y = any_values((20, 60), dtype), any_values((20, 60), dtype, seed=1)
        for A, B in (
            (LAYOUTS[layout](X), LAYOUTS[layout](Y)),
            (LAYOUTS[layout](X), LAYOUTS[layout](Y)[3]),
        ):
            assert both_ways(spy, function(name), A, B)


@pytest.mark.parametrize("name", ALL)
def test_what_is_left_to_the_long_way(name, spy):
    class Array(np.ndarray):
        pass

    X = any_values((4, 6), np.float32)
    other = [
        X.tolist(), X.view(Array), X[None], X[:0], X[:, :0], X.astype(">f4"), None, 3.0,
        X.astype(np.longdouble), X.astype(object), X.astype("U4"), np.float32(2), np.array(2.0),
        np.where(np.eye(4, 6) > 0, np.nan, X), np.where(np.eye(4, 6) > 0, np.inf, X), X * 1e-25,
        np.ones((4, 10**6), np.float32),
    ]  # fmt: skip
    for Y in other:
        if not (Y is None and name in MATRIX):
            assert not both_ways(spy, function(name), X, Y)
            assert not both_ways(spy, function(name), Y, X)
            assert not both_ways(spy, function(name), Y, Y)
    for option in ({"zero": "raise"}, {"dtype": "f8"}, {"n_threads": 1}, {"check_finite": False}):
        assert not both_ways(spy, partial(function(name), **option), X, X)


@pytest.mark.parametrize("name", ALL)
def test_zero_rows(name, spy, isa):
    X = any_values((5, 40), np.float32)
    X[2] = 0
    for arguments in ((X, X.copy()), (X, X), (X[2], X), (X[2], X[2].copy()), (X[2], X[2])):
        assert both_ways(spy, function(name), *arguments)
    if name in MATRIX:
        for rows in (X, X[2], X[2:3]):
            assert both_ways(spy, function(name), rows)


def test_results_are_new_and_arguments_alone():
    X = any_values((3, 8), np.float32)
    before, first = X.copy(), unitdot.cosine_similarity(X)
    first[...] = 5
    second = unitdot.cosine_similarity(X)
    assert second.flags.owndata
    assert second.flags.c_contiguous
    assert (second <= 1).all()
    assert_same_bits(X, before)
