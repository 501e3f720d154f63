"""Tensors of PyTorch, and arrays of JAX, CuPy, dask and xarray."""

import sys
import types

import numpy as np
import pytest

import unitdot
from unitdot._inputs import as_array

from ..helpers import assert_same_bits
from .checks import VECTORS, assert_read_as, assert_remedies, refusal


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "bool"])
def test_tensors_are_read_in_place(dtype, torch):
    tensor = torch.from_numpy(VECTORS * 10).to(getattr(torch, dtype))
    rows = tensor.numpy()
    for part in (slice(None), slice(2, 5), (slice(None), slice(None, None, 2))):
        assert_read_as(tensor[part], rows[part])
        assert np.shares_memory(as_array(tensor[part], "X"), rows)


def test_bfloat16_is_read_in_place(torch):
    tensor = torch.from_numpy(VECTORS).bfloat16()
    for part in (tensor, tensor[1:, ::2], tensor.T, tensor[0]):
        array = as_array(part, "X")
        assert array.ctypes.data == part.data_ptr()
        assert_same_bits(unitdot.cosine_similarity(part), unitdot.cosine_similarity(part.float()))
    mixed = unitdot.cosine_similarity(tensor, VECTORS)
    assert_same_bits(mixed, unitdot.cosine_similarity(tensor.float(), VECTORS))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lists_of_tensors(dtype, torch):
    rows = torch.from_numpy(VECTORS).to(getattr(torch, dtype))
    result = unitdot.cosine_similarity(list(rows))
    assert_same_bits(result, unitdot.cosine_similarity(rows))
    recording = list(rows.requires_grad_())
    tried = refusal(recording, TypeError, "records gradients", torch=torch)
    assert_remedies(tried, "torch.stack(list(X)).detach()")


def test_tensors_that_must_be_converted(torch):
    rows = torch.from_numpy(VECTORS)
    recording = torch.nn.Parameter(rows)
    tried = refusal(recording, TypeError, "is a tensor that records gradients")
    assert_remedies(tried, "X.detach()")
    tried = refusal(rows.to_sparse(), TypeError, "is a sparse tensor")
    assert_remedies(tried, "X.to_dense()")
    tried = refusal(rows.to(torch.float8_e4m3fn), TypeError, "torch.float8_e4m3fn")
    assert_remedies(tried, "X.float()")
    negative = torch.imag(torch.complex(rows, rows).conj())
    assert_read_as(negative, -VECTORS)


def test_a_tensor_on_another_device(torch):
    """One that says so, where there is no GPU: only the error can be tested."""
    with pytest.importorskip("torch._subclasses.fake_tensor").FakeTensorMode():
        tensor = torch.ones((6, 5), device="cuda:0")
    with pytest.raises(TypeError, match=r"^X is a tensor that is on the device cuda:0.*X.cpu"):
        unitdot.cosine_similarity(tensor)
    with pytest.raises(TypeError, match=r"X.detach\(\).cpu\(\)$"):
        unitdot.cosine_similarity(tensor.requires_grad_())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_without_rows_or_data(torch):
    rows = torch.from_numpy(VECTORS)
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.nested_tensor([rows[0], rows[1, :2]], layout=layout)
        assert not refusal(nested, TypeError, "is a nested tensor")
    assert not refusal(rows.to("meta"), TypeError, "is on the device meta, which has no data")


def test_cupy(monkeypatch):
    """Without a GPU: a stand-in that refuses as CuPy does."""

    class ndarray:  # noqa: N801
        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed")

        def get(self):
            return VECTORS

    ndarray.__module__ = "cupy"
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    assert_remedies(refusal(ndarray(), TypeError, "GPU"), "X.get()")


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    assert_read_as(jnp.asarray(VECTORS), VECTORS)
    half = jnp.asarray(VECTORS, jnp.bfloat16)
    result = unitdot.cosine_similarity(half)
    assert_same_bits(result, unitdot.cosine_similarity(np.asarray(half, np.float32)))
    for dtype in ("float8_e4m3fn", "int4"):
        tried = refusal(jnp.asarray(VECTORS, dtype), TypeError, f"(dtype {dtype})")
        assert_remedies(tried, 'np.asarray(X, dtype="float64")')


def test_dask():
    da = pytest.importorskip("dask.array")
    assert_read_as(da.from_array(VECTORS, chunks=2), VECTORS)


def test_xarray():
    xr = pytest.importorskip("xarray")
    array = xr.DataArray(VECTORS, dims=("text", "feature"))
    assert_read_as(array, VECTORS)
    dataset = xr.Dataset({"a": array, "b c": array + 1})
    assert_remedies(refusal(dataset, TypeError, "Dataset"), "X['a']", "X['b c']")
