"""`cimport unitdot`: another compiled package gets the bits of cosine_similarity."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import unitdot

from ..helpers import FLOATS, assert_same_bits, normal

pytest.importorskip("Cython")
pytest.importorskip("setuptools")

# what a user would write, but for bare addresses, which compile in half the time of memoryviews
CLIENT = """
# cython: language_level=3
cimport unitdot
from unitdot cimport real

isa = unitdot.instruction_set().decode()

cdef real pair_of(size_t x, size_t y, Py_ssize_t n, real kind) noexcept nogil:
    return unitdot.pair(<const real*> x, <const real*> y, n)

cdef int few_of(size_t x, size_t Y, Py_ssize_t m, Py_ssize_t n, size_t out,
                real kind) except -1 nogil:
    return unitdot.one_to_many(<const real*> x, <const real*> Y, m, n, <real*> out)

cdef int block_of(size_t X, Py_ssize_t n_X, Py_ssize_t stride_X, size_t Y, Py_ssize_t n_Y,
                  Py_ssize_t stride_Y, Py_ssize_t n, size_t out, Py_ssize_t stride,
                  real kind) except -1 nogil:
    return unitdot.block(<const real*> X, n_X, stride_X, <const real*> Y, n_Y, stride_Y, n,
                         <real*> out, stride)

def pair(bint wide, size_t x, size_t y, Py_ssize_t n):
    cdef double cosine
    with nogil:
        if wide:
            cosine = pair_of(x, y, n, <double> 0)
        else:
            cosine = pair_of(x, y, n, <float> 0)
    return cosine

def one_to_many(bint wide, size_t x, size_t Y, Py_ssize_t m, Py_ssize_t n, size_t out):
    with nogil:
        if wide:
            few_of(x, Y, m, n, out, <double> 0)
        else:
            few_of(x, Y, m, n, out, <float> 0)

def block(bint wide, size_t X, Py_ssize_t n_X, Py_ssize_t stride_X, size_t Y, Py_ssize_t n_Y,
          Py_ssize_t stride_Y, Py_ssize_t n, size_t out, Py_ssize_t stride):
    with nogil:
        if wide:
            block_of(X, n_X, stride_X, Y, n_Y, stride_Y, n, out, stride, <double> 0)
        else:
            block_of(X, n_X, stride_X, Y, n_Y, stride_Y, n, out, stride, <float> 0)
"""
BUILD = """
from setuptools import Extension, setup
names = ["client", "neighbours"]
setup(name="client", ext_modules=[Extension(name, [f"{name}.pyx"]) for name in names])
"""
SHAPES = [(1, 1, 1), (3, 5, 127), (1, 300, 64), (2, 700, 96), (70, 90, 768), (9, 60, 4096 + 130)]


DOCS = Path(__file__).parents[2] / "docs" / "cython_api.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a package of somebody else's was built against the installed unitdot."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "client.pyx").write_text(CLIENT)
    (example,) = re.findall("```cython\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (folder / "neighbours.pyx").write_text(example)
    (folder / "setup.py").write_text(BUILD)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    # the very package of these tests, also where it was found by a relative path
    own = {"PYTHONPATH": str(Path(unitdot.__file__).resolve().parent.parent)}
    if os.name == "posix":
        # the optimizer is not what is tested
        own["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} -O0"
    run = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def load(folder, name):
    (library,) = [path for path in folder.glob(f"{name}.*") if path.suffix in (".so", ".pyd")]
    spec = spec_from_file_location(name, library)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def client(folder):
    return load(folder, "client")


def is_wide(X):
    return X.dtype == np.float64


def stride(X):
    """From row to row, in elements."""
    return X.strides[0] // X.itemsize


def block(client, X, Y, out=None):
    out = np.full((len(X), len(Y)), -9, X.dtype) if out is None else out
    sides = (X.ctypes.data, len(X), stride(X), Y.ctypes.data, len(Y), stride(Y))
    client.block(is_wide(X), *sides, X.shape[1], out.ctypes.data, stride(out))
    return out


def pairs(client, X, Y):
    n = X.shape[1]
    addresses = [(x.ctypes.data, y.ctypes.data) for x, y in zip(X, Y, strict=False)]
    return np.array([client.pair(is_wide(X), x, y, n) for x, y in addresses], X.dtype)


def assert_same_as_python(client, X, Y):
    expected = unitdot.cosine_similarity(X, Y, check_finite=False)
    one = np.empty(len(Y), X.dtype)
    client.one_to_many(is_wide(X), X[-1].ctypes.data, Y.ctypes.data, *Y.shape, one.ctypes.data)
    assert_same_bits(block(client, X, Y), expected)
    assert_same_bits(one, expected[-1])
    assert_same_bits(pairs(client, X, Y), expected.diagonal())


def test_the_instruction_set_is_the_one_chosen(client):
    assert client.isa == unitdot.show_config(mode="dicts")["instruction_set"]


def test_the_example_of_the_docs(folder):
    X, Y = normal((600, 33), np.float32), normal((50, 33), np.float32, 1)
    out = np.empty((600, 50), np.float32)
    load(folder, "neighbours").similarities(X, Y, out)
    assert_same_bits(out, unitdot.cosine_similarity(X, Y))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_bits(client, shape, dtype):
    n, m, features = shape
    assert_same_as_python(client, normal((n, features), dtype), normal((m, features), dtype, 1))


@pytest.mark.parametrize("features", [128, 4096, 4097])
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_no_rows(client, n, m, features):
    assert block(client, normal((n, features)), normal((m, features))).shape == (n, m)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_scale_zero_rows_and_nan(client, dtype):
    X, Y = normal((40, 200), dtype), normal((60, 200), dtype, 1)
    X[3], Y[7], Y[9, 5], X[11, 0] = 0, 0, np.nan, np.inf
    X[5] *= np.finfo(dtype).tiny
    Y[50] *= np.finfo(dtype).max / 1000
    assert_same_as_python(client, X, Y)


def test_long_rows(client):
    """More blocks than a pair keeps at a time, and more segments than one."""
    X, Y = normal((2, 20_001)), normal((3, 20_001), seed=1)
    assert_same_as_python(client, X, Y)
    assert_same_as_python(client, X * 1e-200, Y)


def test_several_superblocks(client):
    """A block that is packed in parts, one of which has to be done again."""
    X, Y = normal((2500, 1024)), normal((1500, 1024), seed=1)
    Y[1300] *= 1e200
    assert_same_bits(block(client, X, Y), unitdot.cosine_similarity(X, Y))


def test_rows_need_not_follow_one_another(client):
    X, Y = normal((30, 50))[::2, 3:40], normal((20, 80), seed=1)[:, 10:47]
    out = np.full((15, 33), -9.0)
    block(client, X, Y, out)
    assert_same_bits(out[:, :20], unitdot.cosine_similarity(X, Y))
    assert (out[:, 20:] == -9).all()


def test_many_threads_at_a_time(client):
    X, Y = normal((300, 256), np.float32), normal((200, 256), np.float32, 1)
    expected = unitdot.cosine_similarity(X, Y)

    def work(k):
        first = k % 50
        chunk = X[first : first + 200]
        assert_same_bits(block(client, chunk, Y), expected[first : first + 200])
        assert_same_bits(pairs(client, chunk, Y), expected[first : first + 200].diagonal())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(64)))
