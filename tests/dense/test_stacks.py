"""Stacks of matrices: what a call for each of them gives, bit by bit, and as it fails."""

import numpy as np
import pytest

import unitdot

from ..helpers import ALL, MATRIX, PAIRED, any_values, assert_same_bits, function, normal

SHAPES = [(5, 4, 16), (40, 3, 130), (3, 2, 20, 33), (300, 1, 7), (2, 0, 5), (0, 4, 5), (70, 17, 3)]
LAYOUTS = {
    "C": lambda X: X,
    "Fortran": np.asfortranarray,
    "backwards": lambda X: X[::-1, ..., ::-1],
    "axes in another order": lambda X: np.moveaxis(np.moveaxis(X, 0, -2).copy(), -2, 0),
    "an odd address": lambda X: np.frombuffer(b"x" + X.tobytes(), X.dtype, -1, 1).reshape(X.shape),
}


def one_by_one(name, X, Y, **options):
    """A call for each matrix."""
    X, Y = (np.broadcast_to(A, (*np.broadcast_shapes(X.shape[:-2], Y.shape[:-2]), *A.shape[-2:]))
            for A in (X, Y))  # fmt: skip
    lead = X.shape[:-2]
    results = [function(name)(X[i], Y[i], **options) for i in np.ndindex(lead)]
    return np.stack(results).reshape(*lead, *results[0].shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_every_layout(name, layout, dtype, isa):
    for shape in SHAPES:
        if np.prod(shape):
            X, Y = (LAYOUTS[layout](any_values(shape, dtype, seed=i)) for i in (1, 2))
            assert_same_bits(function(name)(X, Y), one_by_one(name, X, Y))
            if name in MATRIX:
                expected = [function(name)(A) for A in X.reshape(-1, *X.shape[-2:])]
                assert_same_bits(
                    function(name)(X), np.stack(expected).reshape(*shape[:-1], shape[-2])
                )


@pytest.mark.parametrize("name", ALL)
def test_options(name, isa):
    X, Y = normal((50, 6, 20), np.float32), normal((6, 20), np.float32, seed=1)
    X[7, 3] = Y[2] = 0
    for options in ({"zero": "nan"}, {"dtype": "f8"}, {"n_threads": 3}, {"check_finite": False}):
        assert_same_bits(function(name)(X, Y, **options), one_by_one(name, X, Y, **options))
    if name in MATRIX:
        out = np.full((50, 6, 12), 7, np.float32)[..., ::2]
        assert function(name)(X, Y, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), one_by_one(name, X, Y))
        assert_same_bits(function(name)(X), np.stack([function(name)(A) for A in X]))


@pytest.mark.parametrize("name", ALL)
def test_rows_of_any_scale_among_others(name, isa):
    X = normal((60, 5, 20))
    X[3, 2] *= 1e-200
    X[40] *= 2.0**600
    assert_same_bits(function(name)(X, X[::-1]), one_by_one(name, X, X[::-1]))


@pytest.mark.parametrize("name", ALL)
def test_errors_name_the_first_place(name):
    X, Y = normal((30, 5, 20)), normal((30, 5, 20), seed=1)
    X[20, 1, 3], Y[9, 4, 7], Y[9, 4, 2] = np.nan, np.inf, np.nan
    with pytest.raises(ValueError, match=r"^Y holds .* matrix 9, row 4, column 2;"):
        function(name)(X, Y)
    X, Y = normal((30, 5, 20)), normal((30, 5, 20), seed=1)
    X[20, 1] = Y[20, 0] = 0
    with pytest.raises(ValueError, match=r"^X has a zero row, matrix 20, row 1, "):
        function(name)(X, Y, zero="raise")
    if name in MATRIX:
        X[29, 0, 0] = np.nan
        out = np.full((30, 5, 5), 7.0)
        with pytest.raises(ValueError, match="matrix 29"):
            function(name)(X, Y, out=out)
        assert (out == 7).all()


@pytest.mark.parametrize("options", [{}, {"zero": "nan"}, {"dtype": "f8"}])
@pytest.mark.parametrize("name", PAIRED)
def test_broadcast_axes_of_paired_rows(name, options, isa):
    """Axes of one side alone meet those of the other as in the full matrix: the same bits."""
    whole = function(name.removeprefix("paired_"))
    X, Y = normal((3, 40, 50), np.float32), normal((3, 30, 50), np.float32, seed=1)
    X[1, 7] = Y[1, 3] = 0
    expected = whole(X, Y, **options)
    assert_same_bits(function(name)(X[:, :, None], Y[:, None], **options), expected)
    assert_same_bits(
        function(name)(X[:, None], Y[:, :, None], **options), np.swapaxes(expected, 1, 2).copy()
    )
    rows = X[1]
    assert_same_bits(
        function(name)(rows[:, None], rows[None], **options), whole(rows, rows.copy(), **options)
    )
    assert_same_bits(
        function(name)(rows[:, None, None, :], Y[None], **options),
        np.stack([whole(rows, A, **options) for A in Y], axis=1),
    )
    first_X, first_Y = np.moveaxis(X, -1, 0)[..., None], np.moveaxis(Y, -1, 0)[:, :, None]
    assert_same_bits(function(name)(first_X, first_Y, axis=0), whole(X, Y))


def test_errors_of_broadcast_axes():
    X, Y = normal((4, 1, 6)), normal((1, 5, 6), seed=1)
    X[2, 0, 3] = np.nan
    with pytest.raises(ValueError, match=r"^X holds .* matrix 2, row 0, column 3;"):
        unitdot.paired_cosine_similarity(X, Y)
    X[2, 0, 3], Y[0, 4, 1] = 1, np.inf
    with pytest.raises(ValueError, match=r"^Y holds .* matrix 0, row 4, column 1;"):
        unitdot.paired_cosine_similarity(X, Y)


def test_many_matrices_are_told_in_parts(monkeypatch):
    monkeypatch.setattr("unitdot._calls.PLACES", 7)
    X = normal((5, 8, 3, 20))
    expected = [[unitdot.cosine_similarity(matrix) for matrix in part] for part in X]
    assert_same_bits(unitdot.cosine_similarity(X), np.array(expected))
