"""Bad input: an error that names the argument, nothing touched, and the next call works."""

import re
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

import unitdot

from ..helpers import (
    ALL,
    MATRIX,
    PAIRED,
    REDUCTIONS,
    assert_same_bits,
    function,
    normal,
    run_python,
)

GOOD = {"X": normal((5, 6), seed=1), "Y": normal((5, 6), seed=2)}
OWN = {"cosine_top_k": {"k": 2}, "cosine_pairs": {"threshold": 0.1}}
EVERY = [*ALL, *REDUCTIONS]


def arrays_of(result):
    return result if isinstance(result, tuple) else (result,)


def refused(name, errors, match, **changes):
    """With these changes the call raises, touches nothing, and the next call works."""
    good = GOOD | OWN.get(name, {})
    arguments = good | changes
    arrays = {key: value for key, value in arguments.items() if isinstance(value, np.ndarray)}
    before = {key: value.copy() for key, value in arrays.items() if value.size < 10**6}
    expected = arrays_of(function(name)(**good))
    with pytest.raises(errors, match=match) as error:
        function(name)(**arguments)
    for key, copy in before.items():
        assert np.array_equal(arrays[key], copy, equal_nan=copy.dtype.kind in "fc")
    for array, again in zip(expected, arrays_of(function(name)(**good)), strict=True):
        assert_same_bits(again, array)
    return str(error.value)


@pytest.mark.parametrize("shape", [(5, 7), (5, 5), (7,), (2, 5, 7), (5, 6 * 2)])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", ALL)
def test_different_feature_counts(name, argument, shape):
    """Both counts are told."""
    message = refused(name, ValueError, r"\b[XY]\b", **{argument: np.ones(shape)})
    assert str(shape[-1]) in message
    assert "6" in message


@pytest.mark.parametrize(
    ("X", "Y", "axis"),
    [
        ((3, 4), (5, 4), 0),
        ((2, 3, 4), (5, 4), 1),
        ((3, 4, 2), (3, 5, 2), 0),
        ((3, 4), (2, 3, 5), 1),
        ((4, 5), (3, 5), -1),
        ((0, 7), (0, 7), 0),
    ],
)
@pytest.mark.parametrize("name", PAIRED)
def test_shapes_are_told_as_they_were_given(name, X, Y, axis):
    message = refused(name, ValueError, r"\bX\b", X=np.ones(X), Y=np.ones(Y), axis=axis)
    assert set(re.findall(r"\([\d, ]+\)", message)) == {str(X), str(Y)}


@pytest.mark.parametrize("name", EVERY)
def test_one_feature_is_not_called_features(name):
    message = refused(name, ValueError, r"\bY has 1 feature \(", Y=np.ones((5, 1)))
    assert "X has 6 (" in message


@pytest.mark.parametrize(
    "empty", [np.ones((5, 0)), np.ones((0, 0)), np.ones(0), [], [[]], [[], []]]
)
@pytest.mark.parametrize("name", EVERY)
def test_zero_features(name, empty):
    refused(name, ValueError, r"\b[XY]\b.*(feature|axis|axes|one vector)", X=empty, Y=empty)


@pytest.mark.parametrize("name", MATRIX)
def test_zero_features_of_a_self_join(name):
    refused(name, ValueError, r"\bX\b.*feature", X=np.ones((5, 0)), Y=None)


@pytest.mark.parametrize("scalar", [1.0, np.float32(2), np.array(3.0), 4])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", EVERY)
def test_scalars(name, argument, scalar):
    refused(name, (TypeError, ValueError), rf"\b{argument}\b", **{argument: scalar})


WRONG_VALUES = {
    "ragged": [[1.0, 2.0], [3.0]],
    "ragged deeper": [[[1.0], [2.0]], [[3.0, 4.0]]],
    "string": "vector",
    "list of strings": [["a", "b"], ["c", "d"]],
    "digits": [["1", "2"], ["3", "4"]],
    "bytes": b"vector",
    "objects": np.array([[1, 2], [3, object()]], dtype=object),
    "numbers as objects": np.array([[1, 2], [3, 4]], dtype=object),
    "None inside": [[1.0, None]],
    "huge integers": [[2**70, 1]],
    "complex": np.ones((5, 6), dtype=complex),
    "complex64": np.ones((5, 6), dtype=np.complex64),
    "datetime": np.zeros((5, 6), dtype="M8[s]"),
    "timedelta": np.zeros((5, 6), dtype="m8[s]"),
    "structured": np.zeros((5, 6), dtype=[("a", float)]),
    "dict": {"a": [1.0]},
    "set": {1.0, 2.0},
    "function": len,
}


@pytest.mark.parametrize("value", WRONG_VALUES)
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_numbers(name, argument, value):
    refused(name, (TypeError, ValueError), rf"\b{argument}\b", **{argument: WRONG_VALUES[value]})


@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", EVERY)
def test_frames_with_text_or_missing_values(name, argument):
    pd = pytest.importorskip("pandas")
    for column in (["a", "b"], [1.0, None], pd.array([1, None], dtype="Int64")):
        frame = pd.DataFrame({"number": [1.0, 2.0], "other": column})
        refused(name, (TypeError, ValueError), rf"\b{argument}\b", **{argument: frame})


@pytest.mark.parametrize("name", ALL)
def test_no_matrix_at_all(name):
    refused(name, (TypeError, ValueError), r"\bX\b", X=None)
    if name not in MATRIX:
        refused(name, (TypeError, ValueError), r"\bY\b", Y=None)


@pytest.mark.parametrize(
    "zero", ["", "Zero", "ZERO", "one", "ignore", None, 0, np.nan, True, b"nan", []]
)
@pytest.mark.parametrize("name", EVERY)
def test_unknown_zero(name, zero):
    message = refused(name, (TypeError, ValueError), r"\bzero\b", zero=zero)
    assert all(policy in message for policy in ("zero", "nan", "raise"))


@pytest.mark.parametrize(
    "dtype",
    [
        int,
        np.float16,
        complex,
        object,
        "U4",
        np.longdouble,
        "nonsense",
        ">f4",
        "M8[s]",
        bool,
        3,
        [("a", "f4")],
    ],
)
@pytest.mark.parametrize("name", EVERY)
def test_other_output_dtypes(name, dtype):
    if isinstance(dtype, type) and np.dtype(dtype) == np.float64:
        pytest.skip("long double is float64 here")
    refused(name, (TypeError, ValueError), r"\bdtype\b", dtype=dtype)


@pytest.mark.parametrize(
    ("n_threads", "errors"),
    [
        (0, ValueError),
        (-1, ValueError),
        (-(2**70), ValueError),
        (np.int64(0), ValueError),
        (1.5, (TypeError, ValueError)),
        ("2", (TypeError, ValueError)),
        (True, (TypeError, ValueError)),
        (False, (TypeError, ValueError)),
        (np.True_, (TypeError, ValueError)),
        ([2], (TypeError, ValueError)),
        (np.nan, (TypeError, ValueError)),
    ],
)
@pytest.mark.parametrize("name", EVERY)
def test_n_threads(name, n_threads, errors):
    refused(name, errors, "n_threads", n_threads=n_threads)


@pytest.mark.parametrize("name", ALL)
def test_n_threads_of_other_integer_types(name):
    expected = function(name)(**GOOD)
    for n_threads in (1, 2, 16, np.int64(2), np.uint8(3)):
        assert_same_bits(function(name)(**GOOD, n_threads=n_threads), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", EVERY)
def test_nonfinite(name, argument, value):
    bad = GOOD[argument].copy()
    bad[3, 4] = value
    refused(name, ValueError, rf"\b{argument}\b.*\b3\b.*\b4\b", **{argument: bad})
    refused(name, ValueError, rf"\b{argument}\b.*\b3\b.*\b4\b", **{argument: bad.tolist()})


@pytest.mark.parametrize(
    ("n_X", "n_Y"),
    [(10**7, 10**7), (2**33, 2**33), (2**32, 2**31), (2**40, 2**40), (2**62, 5), (6, 2**61)],
)
@pytest.mark.parametrize("name", MATRIX)
def test_results_that_no_memory_holds(name, n_X, n_Y):
    """Sizes that overflow 64 bits, in elements or bytes, or only the machine; inputs are views."""
    X, Y = (np.broadcast_to(np.uint8(1), (n, 1)) for n in (n_X, n_Y))
    start = time.perf_counter()
    refused(name, MemoryError, None, X=X, Y=Y)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("shape", [(2**62, 1), (2**40, 8)])
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        *((name, "X") for name in (*MATRIX, "cosine_top_k")),
        *((name, "XY") for name in (*MATRIX, *PAIRED, "cosine_pairs")),
        ("cosine_top_k", "Xy"),
        *((name, "xY") for name in (*MATRIX, *PAIRED, "cosine_pairs")),
    ],
)
def test_giants_on_every_path(name, sides, shape, monkeypatch):
    """Rows without end in a few bytes: the library's own error, or so many pairs that end in it."""
    for module in ("memory", "system"):
        monkeypatch.setattr(f"unitdot._machine.{module}.available_bytes", lambda: 2**26)
    giant, few = np.broadcast_to(np.uint8(1), shape), np.ones((10, shape[1]), np.uint8)
    arguments = [{"X": giant, "Y": giant, "x": few[:1], "y": few}[side] for side in sides]
    with pytest.raises(MemoryError, match=r"GiB|pairs found so far") as error:
        function(name)(*arguments)
    assert error.type is MemoryError


@pytest.mark.parametrize("name", PAIRED)
def test_giants_of_broadcast_axes(name):
    X = np.broadcast_to(np.uint8(1), (2**40, 8))
    refused(name, MemoryError, "GiB", X=X[:, None], Y=X[None])
    X = np.broadcast_to(np.uint8(1), (3, 2**61))
    refused(name, MemoryError, "too many", X=X[:, None], Y=X[None, :2])
    refused(name, ValueError, "broadcast", X=X, Y=X[:2])


@pytest.mark.skipif(np.finfo(np.longdouble).bits == 64, reason="float64 by another name")
def test_giants_that_would_be_copied():
    X = np.broadcast_to(np.longdouble(1), (2**40, 1))
    refused("cosine_similarity", MemoryError, r"\bX in float64.*GiB", X=X)


@pytest.mark.parametrize("name", MATRIX)
def test_large_self_joins_and_stacks(name):
    X = np.broadcast_to(np.float32(1), (10**7, 2))
    refused(name, MemoryError, None, X=X, Y=None)
    X = np.broadcast_to(np.float32(1), (10**6, 1, 10**4, 2))
    refused(name, MemoryError, None, X=X, Y=X[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the memory")
@pytest.mark.parametrize("name", MATRIX)
def test_results_larger_than_this_machine(name):
    """Four times the memory: Linux may overcommit it, so the size must be checked beforehand.

    So many features that only a little of the result could be written before the time is up.
    """
    code = f"""
        import os, numpy as np, unitdot
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        X = np.broadcast_to(np.ones(20_000), (int((4 * memory / 8) ** 0.5), 20_000))
        try:
            unitdot.{name}(X, X[:])
        except MemoryError:
            print("refused")
        """
    run = run_python(code, timeout=15)
    assert run.stdout == "refused\n", run.stderr


@pytest.mark.parametrize("shape", [(5, 7), (5, 5), (1, 12)])
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_different_feature_counts_of_matrices(name, argument, shape):
    message = refused(name, ValueError, r"\b[XY]\b", **{argument: np.ones(shape)})
    assert str(shape[1]) in message
    assert "6" in message


@pytest.mark.parametrize(
    ("name", "argument", "shape"),
    [
        ("cosine_top_k", "X", (2, 5, 6)),
        ("cosine_top_k", "Y", (2, 5, 6)),
        ("cosine_top_k", "Y", (6,)),
        ("cosine_pairs", "X", (2, 5, 6)),
        ("cosine_pairs", "X", (6,)),
        ("cosine_pairs", "Y", (1, 1, 5, 6)),
        ("cosine_pairs", "Y", (6,)),
    ],
)
def test_what_is_no_matrix(name, argument, shape):
    message = refused(name, ValueError, rf"\b{argument}\b.*ax[ei]s", **{argument: np.ones(shape)})
    assert str(shape) in message


def test_one_vector_with_itself():
    refused("cosine_top_k", ValueError, r"\bX\b.*\bY\b", X=np.ones(6), Y=None)


@pytest.mark.parametrize(
    ("k", "errors"),
    [
        (0, ValueError),
        (-1, ValueError),
        (6, ValueError),
        (2**70, ValueError),
        (np.int64(6), ValueError),
        (1.0, TypeError),
        (np.float64(2), TypeError),
        ("2", TypeError),
        (True, TypeError),
        (None, TypeError),
        ([2], TypeError),
    ],
)
def test_k(k, errors):
    refused("cosine_top_k", errors, r"\bk\b", k=k)


@pytest.mark.parametrize(
    ("rows", "k", "include_self"),
    [(5, 5, False), (5, 6, True), (1, 1, False), (0, 1, False), (0, 1, True)],
)
def test_k_beyond_the_candidates(rows, k, include_self):
    candidates = max(0, rows - (not include_self))
    X, match = GOOD["X"][:rows], rf"\bk is {k}\b.*\b{candidates} candidates"
    refused("cosine_top_k", ValueError, match, X=X, Y=None, k=k, include_self=include_self)


@pytest.mark.parametrize("value", [None, 1, 0, "yes", [], np.nan])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("cosine_top_k", "include_self"),
        ("cosine_similarity", "dense_output"),
        *((name, "check_finite") for name in EVERY),
    ],
)
def test_flags(name, argument, value):
    refused(name, TypeError, argument, **{argument: value})


@pytest.mark.parametrize("Y_is", ["Y", "X"])
def test_include_self_is_for_one_set_of_rows(Y_is):
    refused("cosine_top_k", ValueError, "include_self", Y=GOOD[Y_is], include_self=True, k=1)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_one_axis_is_not_called_axes(name):
    refused(name, ValueError, r"\bY has 1 axis \(", Y=GOOD["Y"][0])


@pytest.mark.parametrize(
    ("threshold", "errors"),
    [
        (np.nan, ValueError),
        (np.float32("nan"), ValueError),
        (np.inf, ValueError),
        (-(10**400), ValueError),
        (np.nextafter(1, 2), ValueError),
        (np.nextafter(np.float32(-1), np.float32(-2)), ValueError),
        ("0.9", TypeError),
        (None, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        (0.5j, TypeError),
        ([0.5], TypeError),
        (np.array([0.5, 0.6]), TypeError),
    ],
)
def test_threshold(threshold, errors):
    refused("cosine_pairs", errors, "threshold", threshold=threshold)


@pytest.mark.parametrize(
    ("threshold", "count"), [(1, 0), (np.int8(-1), 25), (Fraction(-1), 25), (np.float16(1), 0)]
)
def test_any_real_threshold(threshold, count):
    assert len(unitdot.cosine_pairs(**GOOD, threshold=threshold).rows) == count


@pytest.mark.parametrize("progress", [None, 1, 0, "bar", [], np.nan])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_progress(name, progress):
    refused(name, TypeError, "progress", progress=progress)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        *((name, argument) for name in (*MATRIX, "cosine_pairs") for argument in "XY"),
        ("cosine_top_k", "Y"),
    ],
)
def test_nonfinite_against_no_rows(name, bad, argument):
    """The result would be empty, and the argument is still bad."""
    arguments = {"X": GOOD["X"][:0], "Y": GOOD["Y"][:0]}
    arguments[argument] = GOOD[argument] * bad
    refused(name, ValueError, rf"\b{argument}\b.*NaN", **arguments)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the memory")
def test_top_k_larger_than_any_memory():
    X = np.broadcast_to(np.float32(1), (10**7, 2))
    refused("cosine_top_k", MemoryError, "shape", X=X, Y=None, k=10**6)
