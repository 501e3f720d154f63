"""Clauses 8 and 10: integers and half types are exact; the inputs decide the output's dtype."""

import numpy as np
import pytest

from .. import oracle
from ..helpers import (
    ALL,
    FLOATS,
    INTEGERS,
    LAYOUTS,
    MATRIX,
    accuracy_bound,
    any_values,
    assert_same_bits,
    function,
    normal,
)


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ALL)
def test_integers_equal_their_float64_values(name, dtype, isa):
    """Over the whole range of the dtype; beyond 2^53 as NumPy rounds them."""
    X, Y = any_values((30, 50), dtype, seed=1), any_values((30, 50), dtype, seed=2)
    if X.dtype != bool:
        info = np.iinfo(dtype)
        X[:5], X[5, ::2], Y[3], Y[4] = info.max, info.min, info.max, info.min
        X[6], X[7] = info.max - 1, info.min + 1
    result = function(name)(X, Y)
    assert_same_bits(result, function(name)(X.astype(np.float64), Y.astype(np.float64)))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_do_not_wrap(dtype, isa):
    X = any_values((12, 40), dtype)
    X[:, 0] = True
    exact = oracle.similarity(X.astype(np.float64))
    result = function("cosine_similarity")(X)
    assert exact.errors(result).max() <= accuracy_bound(np.float64, 40)


@pytest.mark.parametrize("other", INTEGERS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, np.float64])
def test_integers_mixed_with_other_dtypes(dtype, other, isa):
    X, Y = any_values((9, 20), dtype, seed=1), any_values((11, 20), other, seed=2)
    as_float64 = function("cosine_similarity")(X.astype(np.float64), Y.astype(np.float64))
    assert_same_bits(function("cosine_similarity")(X, Y), as_float64)


def all_finite_values(dtype):
    values = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):  # as Arm says of a cast of the signalling NaNs
        return values[np.isfinite(values.astype(np.float32))]


@pytest.mark.parametrize("layout", ["C", "Fortran", "strided"])
@pytest.mark.parametrize("one_first", [True, False])
def test_every_half_value_equals_its_float32_value(half, layout, one_first, isa):
    """Beside a 1, x gives x / sqrt(1 + x²), which tells any two values of x apart."""
    values = all_finite_values(half)
    ones = np.ones_like(values)
    X = np.stack([ones, values] if one_first else [values, ones], axis=1)
    axes = np.eye(2, dtype=half)
    result = function("cosine_similarity")(LAYOUTS[layout](X), axes)
    assert_same_bits(result, function("cosine_similarity")(X.astype(np.float32), axes))
    small = abs(values.astype(np.float64)) < 2.0**-13
    assert np.array_equal(result[small, int(one_first)], values[small].astype(np.float32))


@pytest.mark.parametrize("n_features", [1, 31, 256, 2048])
@pytest.mark.parametrize("name", ALL)
def test_half_rows_equal_their_float32_rows(half, name, n_features, isa):
    """Rows of every half value, subnormal and largest, in all positions of vectors and blocks."""
    values = np.random.default_rng(0).permutation(all_finite_values(half))
    n_samples = min(len(values) // n_features, 300)
    X = values[: n_samples * n_features].reshape(n_samples, n_features)
    Y = X[::-1]
    result = function(name)(X, Y)
    assert_same_bits(result, function(name)(X.astype(np.float32), Y.astype(np.float32)))
    if name in MATRIX:
        assert_same_bits(function(name)(X), function(name)(X.astype(np.float32)))


def test_half_nonfinite_values_are_refused(half, isa):
    for bad in ("nan", "inf", "-inf"):
        X = np.ones((3, 40), dtype=half)
        X[2, 33] = float(bad)
        with pytest.raises(ValueError, match=r"\bX\b.*\b2\b.*\b33\b"):
            function("cosine_similarity")(X)


@pytest.mark.parametrize("other", [np.float16, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("name", ALL)
def test_half_mixed_with_other_dtypes(half, name, other, isa):
    X, Y = normal((9, 20)).astype(half), any_values((9, 20), other, seed=2)
    wider = np.float32 if other in (np.float16, np.float32) else np.float64
    for A, B in ((X, Y), (Y, X)):
        assert_same_bits(function(name)(A, B), function(name)(A.astype(wider), B.astype(wider)))


OUTPUT = {np.float16: np.float32, np.float32: np.float32, np.float64: np.float64}
OUTPUT |= dict.fromkeys(INTEGERS, np.float64)


@pytest.mark.parametrize("dtype_Y", OUTPUT)
@pytest.mark.parametrize("dtype_X", OUTPUT)
@pytest.mark.parametrize("name", ALL)
def test_output_dtype(name, dtype_X, dtype_Y):
    expected = np.result_type(OUTPUT[dtype_X], OUTPUT[dtype_Y])
    X, Y = np.ones((3, 4), dtype_X), np.ones((3, 4), dtype_Y)
    assert function(name)(X, Y).dtype == expected
    assert function(name)(X[0], Y[0]).dtype == expected
    assert function(name)(X[:0], Y[:0]).dtype == expected


@pytest.mark.parametrize("dtype", OUTPUT)
@pytest.mark.parametrize("name", MATRIX)
def test_output_dtype_of_self_joins(name, dtype):
    assert function(name)(np.ones((3, 4), dtype)).dtype == OUTPUT[dtype]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "values", [[[1, 2], [3, 4]], [[1.0, 2], [3, 4]], [[True, False], [True, True]]]
)
def test_lists_are_float64(name, values):
    assert function(name)(values, values).dtype == np.float64


@pytest.mark.parametrize("dtype", OUTPUT)
@pytest.mark.parametrize("name", ALL)
def test_swapped_byte_order_gives_native_results(name, dtype, isa):
    X, Y = any_values((8, 20), dtype, seed=1), any_values((8, 20), dtype, seed=2)
    swapped = [A.astype(A.dtype.newbyteorder("S")) for A in (X, Y)]
    result = function(name)(*swapped)
    assert result.dtype.isnative
    assert_same_bits(result, function(name)(X, Y))


@pytest.mark.parametrize(
    "dtype", [*FLOATS, "float32", "float64", "f4", "d", np.dtype("float32"), float]
)
@pytest.mark.parametrize("dtype_Y", [np.float16, *FLOATS, np.int16])
@pytest.mark.parametrize("dtype_X", [np.float16, *FLOATS, np.int16])
@pytest.mark.parametrize("name", ALL)
def test_dtype_overrides_the_output(name, dtype_X, dtype_Y, dtype):
    """The computation keeps its dtype, and its result is cast."""
    X, Y = normal((9, 50)) * 5, normal((9, 50), seed=1) * 5
    X, Y = X.astype(dtype_X), Y.astype(dtype_Y)
    result = function(name)(X, Y, dtype=dtype)
    assert_same_bits(result, function(name)(X, Y).astype(dtype))
    assert isinstance(function(name)(X[0], Y[0], dtype=dtype), np.dtype(dtype).type)


@pytest.mark.parametrize(("dtype_in", "dtype_out"), [FLOATS, FLOATS[::-1]])
@pytest.mark.parametrize("shape", [(100, 30), (1, 30), (5, 20_000), (64, 64)])
@pytest.mark.parametrize("name", MATRIX)
def test_dtype_on_every_path(name, shape, dtype_in, dtype_out, isa):
    X, Y = normal(shape, dtype_in), normal((90, shape[1]), dtype_in, seed=1)
    out = np.empty((shape[0], 90), dtype_out)
    for arguments in ((X,), (X, Y)):
        result = function(name)(*arguments, dtype=dtype_out)
        assert_same_bits(result, function(name)(*arguments).astype(dtype_out))
    function(name)(X, Y, out=out, dtype=dtype_out)
    assert_same_bits(out, result)
