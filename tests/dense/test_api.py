"""The public API: signatures, vectors and stacks, broadcasting, other containers, empty inputs."""

import inspect
import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unitdot

from ..helpers import ALL, FLOATS, INTEGERS, MATRIX, PAIRED, assert_same_bits, function, normal

COMMON = {"dtype": None, "zero": "zero", "check_finite": True, "n_threads": None}
REQUIRED = inspect.Parameter.empty
# (positional parameters, keyword-only parameters)
SIGNATURES = {
    "cosine_similarity": ({"X": REQUIRED, "Y": None, "dense_output": True}, {"out": None} | COMMON),
    "cosine_distances": ({"X": REQUIRED, "Y": None}, {"out": None} | COMMON),
    "paired_cosine_similarity": ({"X": REQUIRED, "Y": REQUIRED}, {"axis": -1} | COMMON),
    "paired_cosine_distances": ({"X": REQUIRED, "Y": REQUIRED}, {"axis": -1} | COMMON),
}


@pytest.mark.parametrize("name", ALL)
def test_signature(name):
    parameters = inspect.signature(function(name)).parameters.values()
    positional, keywords = (
        {p.name: p.default for p in parameters if p.kind is kind}
        for kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    )
    assert (list(positional.items()), keywords) == (
        list(SIGNATURES[name][0].items()),
        SIGNATURES[name][1],
    )
    assert len(positional) + len(keywords) == len(parameters)


@pytest.mark.parametrize("name", [*ALL, "show_config"])
def test_public_and_documented(name):
    assert name in unitdot.__all__
    assert function(name).__doc__


@pytest.mark.parametrize("name", MATRIX)
def test_positional_arguments_as_in_sklearn(name):
    X, Y = normal((2, 5, 4))
    expected = function(name)(X, Y)
    assert_same_bits(function(name)(X=X, Y=Y), expected)
    if name == "cosine_similarity":
        for dense_output in (True, False):  # for dense inputs it changes nothing
            assert_same_bits(function(name)(X, Y, dense_output), expected)
    with pytest.raises(TypeError):
        function(name)(X, Y, True, None)


# what is dropped or broadcast: as np.matmul(X, Yᵀ)
@pytest.mark.parametrize(
    ("shape_X", "shape_Y", "shape"),
    [
        ((6,), (6,), ()),
        ((6,), (4, 6), (4,)),
        ((4, 6), (6,), (4,)),
        ((1, 6), (6,), (1,)),
        ((4, 6), (5, 6), (4, 5)),
        ((2, 4, 6), (5, 6), (2, 4, 5)),
        ((4, 6), (2, 5, 6), (2, 4, 5)),
        ((2, 4, 6), (2, 5, 6), (2, 4, 5)),
        ((2, 4, 6), (1, 5, 6), (2, 4, 5)),
        ((3, 1, 4, 6), (2, 5, 6), (3, 2, 4, 5)),
        ((3, 2, 4, 6), (6,), (3, 2, 4)),
        ((6,), (3, 2, 4, 6), (3, 2, 4)),
        ((0, 4, 6), (5, 6), (0, 4, 5)),
        ((2, 0, 6), (5, 6), (2, 0, 5)),
    ],
)
@pytest.mark.parametrize("name", MATRIX)
def test_vectors_and_stacks_as_matmul(name, shape_X, shape_Y, shape):
    X, Y = normal(shape_X, seed=1), normal(shape_Y, seed=2)
    result = function(name)(X, Y)
    assert result.shape == shape
    rows_X, rows_Y = np.atleast_2d(X), np.atleast_2d(Y)
    leading = np.broadcast_shapes(rows_X.shape[:-2], rows_Y.shape[:-2])
    rows_X = np.broadcast_to(rows_X, leading + rows_X.shape[-2:])
    rows_Y = np.broadcast_to(rows_Y, leading + rows_Y.shape[-2:])
    expected = np.empty((*leading, rows_X.shape[-2], rows_Y.shape[-2]))
    for i in np.ndindex(leading):
        expected[i] = function(name)(rows_X[i], rows_Y[i])
    assert_same_bits(result, expected.reshape(shape))


@pytest.mark.parametrize(
    ("shape_X", "shape"),
    [
        ((6,), ()),
        ((4, 6), (4, 4)),
        ((2, 4, 6), (2, 4, 4)),
        ((1, 6, 999), (1, 6, 6)),
        ((3, 2, 1, 6), (3, 2, 1, 1)),
    ],
)
@pytest.mark.parametrize("name", MATRIX)
def test_self_joins_of_vectors_and_stacks(name, shape_X, shape):
    X = normal(shape_X)
    result = function(name)(X)
    assert result.shape == shape
    assert_same_bits(result, function(name)(X, X.copy()))


@pytest.mark.parametrize("shapes", [((2, 4, 6), (3, 5, 6)), ((2, 2, 4, 6), (3, 1, 5, 6))])
@pytest.mark.parametrize("name", MATRIX)
def test_stacks_that_do_not_broadcast(name, shapes):
    with pytest.raises(ValueError, match=r"\b(X|Y)\b"):
        function(name)(*map(np.ones, shapes))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ALL)
def test_two_vectors_give_a_numpy_scalar(name, dtype):
    result = function(name)(*normal((2, 6), dtype))
    assert type(result) is dtype


@pytest.mark.parametrize(
    ("shape_X", "shape_Y", "axis"),
    [
        ((7, 6), (7, 6), -1),
        ((7, 6), (7, 6), 0),
        ((7, 6), (6,), -1),
        ((6,), (7, 6), -1),
        ((7, 6), (1, 6), 1),
        ((4, 1, 6), (1, 5, 6), -1),
        ((4, 1, 6), (5, 6), 2),
        ((4, 6, 5), (4, 6, 5), 1),
        ((4, 6, 5), (4, 6, 1), -2),
        ((6, 4, 5), (6, 4, 5), 0),
        ((6, 4, 5), (6, 1, 5), -3),
        ((0, 6), (6,), -1),
        ((6,), (6,), 0),
    ],
)
@pytest.mark.parametrize("name", PAIRED)
def test_paired_broadcasts_and_reduces_axis(name, shape_X, shape_Y, axis):
    X, Y = normal(shape_X, seed=1), normal(shape_Y, seed=2)
    result = function(name)(X, Y, axis=axis)
    wide_X, wide_Y = (np.moveaxis(A, axis, -1) for A in np.broadcast_arrays(X, Y))
    assert result.shape == wide_X.shape[:-1]
    rows_X, rows_Y = (A.reshape(-1, A.shape[-1]) for A in (wide_X, wide_Y))
    expected = [function(name)(x, y) for x, y in zip(rows_X, rows_Y, strict=True)]
    assert_same_bits(result, np.reshape(np.array(expected, dtype=np.float64), result.shape))


@pytest.mark.parametrize("axis", [2, -3, 100])
@pytest.mark.parametrize("name", PAIRED)
def test_paired_axis_out_of_range(name, axis):
    with pytest.raises(ValueError, match="axis"):  # np.exceptions.AxisError is one
        function(name)(np.ones((3, 4)), np.ones((3, 4)), axis=axis)


@pytest.mark.parametrize("axis", [None, 0.5, "0", (0, 1)])
@pytest.mark.parametrize("name", PAIRED)
def test_paired_axis_of_another_type(name, axis):
    with pytest.raises((TypeError, ValueError), match="axis"):
        function(name)(np.ones((3, 4)), np.ones((3, 4)), axis=axis)


@pytest.mark.parametrize("shapes", [((7, 6), (5, 6)), ((4, 2, 6), (4, 3, 6))])
@pytest.mark.parametrize("name", PAIRED)
def test_paired_shapes_that_do_not_broadcast(name, shapes):
    with pytest.raises(ValueError, match=r"\b(X|Y)\b"):
        function(name)(*map(np.ones, shapes))


class ArrayInterface:
    """A container that NumPy reads through __array__, as it reads polars and torch."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


CONTAINERS = {
    "list": np.ndarray.tolist,
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
    "list of arrays": list,
    "__array__": ArrayInterface,
    "memoryview": memoryview,
    "masked array without masks": np.ma.masked_array,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ALL)
def test_array_likes(name, container):
    X, Y = normal((2, 6, 5))
    wrap = CONTAINERS[container]
    result = function(name)(wrap(X), wrap(Y))
    assert type(result) is np.ndarray
    assert_same_bits(result, function(name)(X, Y))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("name", ALL)
def test_pandas(name, dtype):
    pd = pytest.importorskip("pandas")
    X, Y = (np.arange(30).reshape(2, 3, 5) % 7).astype(dtype)
    frames = [pd.DataFrame(A, index=list("abc")) for A in (X, Y)]
    result = function(name)(*frames)
    assert type(result) is np.ndarray
    assert_same_bits(result, function(name)(X, Y))
    if dtype is not np.bool_:  # pandas makes objects of bool beside float
        mixed = frames[0].astype({0: np.float64})
        assert_same_bits(function(name)(mixed, frames[1]), function(name)(X.astype(float), Y))
    series = function(name)(pd.Series(X[0]), pd.Series(Y[0]))
    assert_same_bits(series, function(name)(X[0], Y[0]))


@pytest.mark.parametrize("name", ALL)
def test_other_array_interfaces(name):
    polars, torch = (pytest.importorskip(module) for module in ("polars", "torch"))
    X, Y = normal((2, 6, 5), np.float32)
    for wrap in (polars.DataFrame, torch.from_numpy):
        assert_same_bits(function(name)(wrap(X), wrap(Y)), function(name)(X, Y))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("name", MATRIX)
def test_no_rows(name, sizes, dtype, isa):
    X, Y = np.ones((sizes[0], 3), dtype), np.ones((sizes[1], 3), dtype)
    assert_same_bits(function(name)(X, Y), np.empty(sizes, dtype))
    out = np.empty(sizes, dtype)
    assert function(name)(X, Y, out=out) is out
    assert_same_bits(function(name)(X), np.ones((len(X), len(X)), dtype) * (name[-1] == "y"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", PAIRED)
def test_no_pairs(name, dtype, isa):
    X = np.ones((0, 3), dtype)
    assert_same_bits(function(name)(X, X), np.empty(0, dtype))


@pytest.mark.parametrize("name", ALL)
def test_arguments_are_left_alone(name, isa):
    X, Y = normal((2, 40, 50)) * 1e200
    before = X.copy(), Y.copy()
    function(name)(X, Y)
    assert_same_bits(X, before[0])
    assert_same_bits(Y, before[1])


@given(data=st.data())
def test_any_leading_axes_as_matmul(data):
    """Shapes of stacks, against NumPy's own rule."""
    axes = st.lists(st.sampled_from([1, 2]), max_size=2).map(tuple)
    n_features = data.draw(st.integers(1, 5))
    shapes = [(*data.draw(axes), *data.draw(axes)[:1], n_features) for _ in "XY"]
    X, Y = (normal(shape, seed=i) for i, shape in enumerate(shapes))
    expected = np.matmul(X, Y.T if Y.ndim == 1 else np.swapaxes(Y, -1, -2))
    norms_X, norms_Y = (np.linalg.norm(A, axis=-1) for A in (X, Y))
    expected /= (
        (norms_X if Y.ndim == 1 or X.ndim == 0 else norms_X[..., None]) if X.ndim > 1 else norms_X
    )
    expected /= norms_Y[..., None, :] if X.ndim > 1 and Y.ndim > 1 else norms_Y
    result = function("cosine_similarity")(X, Y)
    assert result.shape == expected.shape
    assert np.allclose(result, expected, rtol=0, atol=1e-14)


def test_show_config_prints():
    with redirect_stdout(io.StringIO()) as printed:
        assert unitdot.show_config() is None
    config = unitdot.show_config(mode="dicts")
    assert unitdot.__version__ == config["version"]
    for value in (config["version"], config["instruction_set"], str(config["threads"])):
        assert value in printed.getvalue()


def test_show_config_dicts():
    config = unitdot.show_config(mode="dicts")
    assert config.keys() >= {"version", "instruction_set", "instruction_sets", "openmp", "threads"}
    assert config["instruction_set"] in config["instruction_sets"]
    assert type(config["openmp"]) is bool
    assert type(config["threads"]) is int
    assert config["threads"] >= 1


def test_show_config_refuses_other_modes():
    with pytest.raises(ValueError, match="mode"):
        unitdot.show_config(mode="yaml")


def test_version_is_that_of_the_distribution():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("unitdot")
    except PackageNotFoundError:
        pytest.skip("unitdot runs from a build, not installed")
    assert unitdot.__version__ == installed
