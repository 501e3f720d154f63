"""Sparse input that is wrong, empty, not finite, zero, or whose result is too large."""

import re
import sys

import numpy as np
import pytest

import unitdot
from unitdot._machine import memory
from unitdot._sparse import functions as sparse_functions
from unitdot._sparse import inputs as sparse_inputs

from ..helpers import FLOATS, PEAK, assert_same_bits, run_python, seconds_to_interrupt
from .data import INDEX_DTYPES, csr, everything, pairs, random_rows, sparse, top_k

CALLS = {
    "cosine_similarity": unitdot.cosine_similarity,
    "sparse output": lambda X, Y, **k: unitdot.cosine_similarity(X, Y, dense_output=False, **k),
    "cosine_distances": unitdot.cosine_distances,
    "paired_cosine_similarity": unitdot.paired_cosine_similarity,
    "top-k": lambda X, Y, **k: top_k(X, Y, 2, **k),
    "pairs": lambda X, Y, **k: pairs(X, Y, 0.3, **k),
    "all pairs": lambda X, Y, **k: pairs(X, Y, -1, **k),
}
GOOD = csr(random_rows(8, 6))


def spoiled(part, at, value, index_dtype=np.int32, kind="csr_array"):
    matrix = getattr(sparse, kind)(GOOD)
    for name in ("indices", "indptr"):
        setattr(matrix, name, getattr(matrix, name).astype(index_dtype))
    getattr(matrix, part)[at] = value
    return matrix


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "csr_matrix", "bsr_array"])
@pytest.mark.parametrize("index_dtype", INDEX_DTYPES)
@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        ("indices", 3, 8),
        ("indices", -1, 2**31 - 1),
        ("indices", 0, -1),
        ("indptr", 0, 1),
        ("indptr", 0, -1),
        ("indptr", 3, 0),
        ("indptr", 2, 2**30),
        ("indptr", -1, 1000),
        ("indptr", -1, -5),
    ],
)
@pytest.mark.parametrize("argument", ["X", "Y"])
@pytest.mark.parametrize("call", CALLS)
def test_broken_structure(call, argument, part, at, value, index_dtype, kind):
    arguments = {"X": GOOD, "Y": GOOD} | {argument: spoiled(part, at, value, index_dtype, kind)}
    with pytest.raises(ValueError, match=rf"\b{argument}\.{part}\b|\b{argument}\b"):
        CALLS[call](**arguments)


def test_broken_parts():
    for part, value in (
        ("data", np.ones(3)),
        ("indices", np.zeros(2, np.int32)),
        ("indices", GOOD.indices.astype(float)),
        ("indptr", GOOD.indptr[:-2]),
    ):
        matrix = GOOD.copy()
        setattr(matrix, part, value)
        with pytest.raises(ValueError, match=rf"X\.{part}|X\.data"):
            unitdot.cosine_similarity(matrix)
    coo = sparse.coo_array(GOOD.copy())
    coo.coords = tuple(at.copy() for at in coo.coords)
    coo.coords[1][0] = 77
    with pytest.raises(ValueError, match=r"X.*77"):
        unitdot.cosine_similarity(coo)


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "dia"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_values_in_the_other_byte_order(dtype, kind):
    """SciPy makes no such matrix, but holds one whose values were set so."""
    native = sparse.csr_array(np.eye(6, 8) + np.eye(6, 8, 2)).astype(dtype).asformat(kind)
    swapped = native.copy()
    swapped.data = data = native.data.astype(native.dtype.newbyteorder())
    assert_same_bits(unitdot.cosine_similarity(swapped), unitdot.cosine_similarity(native))
    assert swapped.data is data


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("call", CALLS)
def test_not_finite(call, dtype, bad):
    X = random_rows(30, 9, 0.5, dtype=dtype)
    X[12, 3], X[12, 7], X[20, 1] = bad, bad, bad
    arguments = ((csr(X), csr(X[:, ::-1])), "X"), ((csr(X[:12]), csr(X)), "Y"), ((X, GOOD), "X")
    for (left, right), name in arguments[:2]:
        if call.startswith("paired") and name == "Y":
            continue
        with pytest.raises(ValueError, match=rf"\b{name}\b.*row 12, column 3\b"):
            CALLS[call](left, right)
    reverse = csr(X)
    reverse.indices, reverse.data = reverse.indices.copy(), reverse.data.copy()
    for i in range(30):
        row = slice(*reverse.indptr[i : i + 2])
        reverse.indices[row] = reverse.indices[row][::-1].copy()
        reverse.data[row] = reverse.data[row][::-1].copy()
    reverse.has_sorted_indices = False
    with pytest.raises(ValueError, match=r"\bX\b.*row 12, column 3\b"):
        CALLS[call](reverse, csr(X))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_unchecked_they_stay_in_their_row(bad):
    X = random_rows(30, 9, 0.5)
    expected = unitdot.cosine_similarity(csr(X))
    X[12, 3] = bad
    matrix = csr(X)
    S = unitdot.cosine_similarity(matrix, check_finite=False)
    others = np.arange(30) != 12
    assert_same_bits(S[np.ix_(others, others)], expected[np.ix_(others, others)])
    assert np.isnan(S[12]).all()
    assert np.isnan(S[:, 12]).all()
    product = unitdot.cosine_similarity(matrix, dense_output=False, check_finite=False)
    assert_same_bits(np.where(product.toarray() == 0, 0, product.toarray()), S)
    assert np.isnan(unitdot.cosine_distances(matrix, check_finite=False)[12, 12])
    similarities, indices = top_k(matrix, None, 29, check_finite=False)
    assert (indices[others, -1] == 12).all()
    assert np.isnan(similarities[others, -1]).all()
    assert np.isfinite(similarities[others, :-1]).all()
    for threshold in (-1, 0.2):
        rows, columns, _ = pairs(matrix, None, threshold, check_finite=False)
        assert 12 not in rows
        assert 12 not in columns


@pytest.mark.parametrize("call", CALLS)
def test_zero_raise(call):
    X = np.eye(6)
    X[4] = 0
    explicit = csr(np.eye(6))
    explicit.data[4] = 0
    for matrix in (csr(X), explicit):
        for arguments, name in (((matrix, csr(np.eye(6))), "X"), ((csr(np.eye(6)), matrix), "Y")):
            with pytest.raises(ValueError, match=rf"\b{name}\b.*zero row, row 4\b"):
                CALLS[call](*arguments, zero="raise")


@pytest.mark.parametrize("dtype", FLOATS)
def test_zero_policies(dtype):
    X = random_rows(70, 9, 0.4, dtype=dtype)
    X[[3, 68]] = 0
    for right in (None, X[::-1].copy()):
        matrix = None if right is None else csr(right)
        for zero in ("zero", "nan"):
            for name in ("cosine_similarity", "cosine_distances"):
                sparse_result = getattr(unitdot, name)(csr(X), matrix, zero=zero)
                dense = getattr(unitdot, name)(X, right, zero=zero)
                np.testing.assert_allclose(sparse_result, dense, rtol=0, atol=1e-6)
            S = unitdot.cosine_similarity(csr(X), matrix, zero=zero)
            product = unitdot.cosine_similarity(csr(X), matrix, dense_output=False, zero=zero)
            np.testing.assert_array_equal(product.toarray(), S)
            assert product.nnz == np.count_nonzero(S)
            similarities, indices = top_k(csr(X), matrix, 69, zero=zero)
            np.testing.assert_array_equal(np.take_along_axis(S, indices, 1), similarities)
            if zero == "nan":
                assert not np.isnan(similarities[0, :-3]).any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_empty(dtype):
    none, some = sparse.csr_array((0, 6), dtype=dtype), csr(random_rows(8, 6, dtype=dtype))
    for left, right in ((none, some), (some, none), (none, none), (none, None)):
        shape = left.shape[0], (left if right is None else right).shape[0]
        assert unitdot.cosine_similarity(left, right).shape == shape
        assert unitdot.cosine_similarity(left, right, dense_output=False).shape == shape
        assert all(len(a) == 0 for a in pairs(left, right))
    nothing = sparse.csr_array((5, 6), dtype=dtype)
    assert (unitdot.cosine_similarity(nothing, some) == 0).all()
    assert unitdot.cosine_similarity(some, nothing, dense_output=False).nnz == 0
    assert np.array_equal(top_k(nothing, None, 2)[1][:3], [[1, 2], [0, 2], [0, 1]])
    assert len(everything(nothing)[9]) == 0


@pytest.mark.parametrize("call", CALLS)
def test_wrong_shapes_and_dtypes(call):
    with pytest.raises(ValueError, match=r"Y has 5 features.*X has 6"):
        CALLS[call](GOOD, csr(np.eye(8, 5)))
    with pytest.raises(ValueError, match=r"X has 0 features"):
        CALLS[call](sparse.csr_array((8, 0)), sparse.csr_array((8, 0)))
    with pytest.raises(TypeError, match=r"Y holds .*complex"):
        CALLS[call](GOOD, GOOD.astype(complex))
    with pytest.raises(ValueError, match=r"Y has 3 axes"):
        CALLS[call](GOOD, np.ones((2, 8, 6)))


def test_too_large_a_result_is_refused(monkeypatch):
    """Counted before it is filled, and the message says how large it would be."""
    X = csr(np.ones((3000, 1), np.float32))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(memory, "UNCHECKED", 1 << 16)
    for call, entries in (
        (lambda: unitdot.cosine_similarity(X, dense_output=False), "9000000 entries"),
        (lambda: pairs(X, None, 0), "4498500 pairs"),
        (lambda: pairs(X, None, 0.5), "pairs or more"),
        (lambda: unitdot.cosine_similarity(X), "3000, 3000"),
        (lambda: top_k(X, None, 100), "3000, 100"),
    ):
        with pytest.raises(MemoryError, match=rf"{re.escape(entries)}.*needs .* GiB"):
            call()


@pytest.mark.parametrize(("dtype", "entry"), [(np.float32, 20), (np.float64, 16)])
@pytest.mark.parametrize("n", [3, 300])
def test_top_k_is_refused_where_its_arrays_together_are_too_large(n, dtype, entry, monkeypatch):
    """Of a neighbour two numbers of 64 bits, and the copy in float32 that is given."""
    X, Y = csr(random_rows(n, 30, dtype=dtype)), csr(random_rows(300, 30, dtype=dtype))
    room, expected = n * 20 * entry, top_k(X, Y, 20)
    monkeypatch.setattr(memory, "UNCHECKED", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    for a, b in zip(top_k(X, Y, 20), expected, strict=True):
        assert_same_bits(a, b)
    room -= 1
    with pytest.raises(MemoryError, match=r"top-k with k = 20 needs .* GiB"):
        top_k(X, Y, 20)


@pytest.mark.parametrize("read", [csr, np.asarray], ids=["sparse", "dense"])
@pytest.mark.parametrize(
    "options",
    [{"groups": np.arange(300)}, {"where": [], "include_self": True}],
    ids=["groups", "where"],
)
def test_top_k_of_some_is_refused_before_its_arrays_are_filled(read, options, monkeypatch):
    """Each of these has room alone, and nobody meets another."""
    X, k = read(random_rows(300, 30)), 40
    monkeypatch.setattr(memory, "UNCHECKED", 0)
    room = 2 * 300 * k * 16
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    assert (unitdot.cosine_top_k(X, k=k, **options).indices == -1).all()
    room = room // 2 - 1
    with pytest.raises(MemoryError, match=rf"top-k with k = {k} needs .* GiB"):
        unitdot.cosine_top_k(X, k=k, **options)


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize(("threshold", "negative"), [(0, False), (-0.5, False), (-1, True)])
def test_pairs_that_all_count_are_refused_before_they_are_counted(
    threshold, negative, zero, monkeypatch
):
    """20,000 million pairs: counting them would take minutes."""
    monkeypatch.setattr(sparse_functions.kernels, "find_above", None)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 36)
    X = csr(np.array([[1.0], [-1.0 if negative else 1.0]]))
    arrays = np.tile(X.data, 10**5), np.zeros(2 * 10**5, np.int32), np.arange(2 * 10**5 + 1)
    X = sparse.csr_array(arrays, shape=(2 * 10**5, 1))
    for Y, entries in ((None, "19999900000 pairs"), (X[: 10**5], "20000000000 pairs")):
        with pytest.raises(MemoryError, match=rf"{entries} needs .* GiB"):
            unitdot.cosine_pairs(X, Y, threshold=threshold, zero=zero)


@pytest.mark.parametrize(
    ("rows", "threshold", "options"),
    [
        ([[1, 0], [-1, 0]], 0, {}),  # below the threshold
        ([[1, 0], [0, 0]], -1, {"zero": "nan"}),
        ([[1, 0], [np.nan, 0]], -1, {"check_finite": False}),
    ],
)
def test_pairs_are_counted_where_some_may_not_reach_the_threshold(
    rows, threshold, options, monkeypatch
):
    X = csr(np.repeat(np.array(rows, float), [1, 2999], axis=0))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 15)
    monkeypatch.setattr(memory, "UNCHECKED", 1 << 14)
    Y = csr(np.array(rows[:1], float))
    assert len(pairs(X, Y, threshold, **options)[0]) == 1


MEMORY = """
    import numpy as np, unitdot
    from scipy import sparse

    rows, each = 400_000, 20
    starts = np.arange(0, rows * each + 1, each, dtype=np.{integer})
    indices = np.arange(rows * each, dtype=np.{integer}) % 1000
    indices.reshape(rows, each).sort()
    X = sparse.csr_array((np.ones(rows * each, np.float32), indices, starts), shape=(rows, 1000))
    X.has_canonical_format, Y = True, X[:5].copy()
    unitdot.{first_call}
    forget_peak()
    before = peak()
    result = unitdot.{call}
    print(peak() - before)
    """


@pytest.mark.costly
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
@pytest.mark.parametrize("integer", ["int32", "int64"])
@pytest.mark.parametrize(
    "call",
    [
        "cosine_similarity(X, Y, n_threads=1)",
        "paired_cosine_similarity(X, Y[:1], n_threads=1)",
        "cosine_top_k(X, Y, 2, n_threads=1)",
        "cosine_pairs(X, Y, threshold=0.95, n_threads=1)",
    ],
)
def test_csr_is_read_where_it_is(call, integer):
    """8 million entries, of 8 or 12 bytes, in 400,000 rows: the indices alone are 30 or 61 MiB."""
    first_call = call.replace("X,", "X[:9],")
    run = run_python(PEAK + MEMORY.format(call=call, first_call=first_call, integer=integer))
    assert run.returncode == 0, run.stderr
    # norms, row starts and results take 13 to 29 MiB
    assert float(run.stdout) < 36


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_bitmaps_of_many_features_take_little_memory():
    """One for each of the 14,900 features, that 268 of 32,768 rows have, would take 58 MiB."""
    setup = """
    rows, each, features = 1 << 15, 122, 14_900
    starts = np.arange(0, rows * each + 1, each, dtype=np.int32)
    indices = np.arange(rows * each, dtype=np.int32) % features
    indices.reshape(rows, each).sort()
    Y = sparse.csr_array((np.ones(rows * each, np.float32), indices, starts), (rows, features))
    Y.has_canonical_format, X = True, Y[:5].copy()
    unitdot.cosine_similarity(X, X, dense_output=False)
    forget_peak()
    before = peak()
    unitdot.cosine_similarity(X, Y, dense_output=False, n_threads=1)
    print(peak() - before)
    """
    head = "\n    import numpy as np, unitdot\n    from scipy import sparse\n"
    run = run_python(PEAK + head + setup)
    assert run.returncode == 0, run.stderr
    # the rows by feature take 31 MiB
    assert float(run.stdout) < 31 + 8 + 16


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
@pytest.mark.parametrize(
    "call", ["cosine_similarity(X, X[:6000])", "cosine_top_k(X)", "cosine_pairs(X, threshold=0.6)"]
)
def test_long_work_can_be_interrupted(call):
    setup = """
import scipy.sparse as sp
X = sp.random_array((60_000, 300), density=0.05, rng=0).tocsr()
"""
    assert seconds_to_interrupt(setup, f"unitdot.{call}", after=0.7) < 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_a_join_that_prunes_little_can_be_interrupted():
    setup = """
import scipy.sparse as sp
X = sp.random_array((20_000, 3000), density=0.02, format="csr", rng=0)
"""
    assert seconds_to_interrupt(setup, "unitdot.cosine_pairs(X, threshold=0.2)", after=1) < 2


def test_duplicates_whose_sum_is_not_finite():
    arrays = np.array([1e308, 1e308, 1.0]), np.array([0, 0, 1]), np.array([0, 2, 3])
    X = sparse.csr_array(arrays, shape=(2, 2))
    for function in (unitdot.cosine_similarity, top_k, pairs):
        with pytest.raises(ValueError, match=r"\bX\b.*duplicate.*not finite"):
            function(X) if function is not top_k else top_k(X, k=1)


def test_out_in_an_array_of_the_input():
    X = sparse.csr_array(np.ones((4, 4)))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for name in ("data", "indices"):
        out = getattr(X, name).view(np.float64).reshape(4, 4)
        with pytest.raises(ValueError, match=r"out shares memory with X"):
            unitdot.cosine_similarity(X, out=out)


def test_names_and_progress_where_the_sparse_side_comes_first():
    X, Y = sparse.csr_array(np.eye(5, 10)), np.ones((5, 20))
    with pytest.raises(ValueError, match=r"Y has 20 features.*X has 10"):
        unitdot.cosine_pairs(X, Y)
    told = []
    unitdot.cosine_pairs(X, Y[:3, :10], progress=lambda *now: told.append(now))
    assert told[-1] == (5, 5)


def test_too_many_features_beside_dense_input():
    features = 2**31 + 5
    arrays = np.ones(2), np.array([0, 2**31 + 1]), np.array([0, 1, 2])
    Y = sparse.csr_array(arrays, shape=(2, features))
    with pytest.raises(ValueError, match=r"2147483653 features.*2\*\*31"):
        unitdot.cosine_similarity(np.empty((0, features), np.int8), Y)


def test_shapes_are_told_as_they_were_given():
    S = csr(random_rows(4, 6))
    for X, Y in ((S, np.ones(5)), (np.ones(5), S), (S, [1.0, 2, 3]), (S, np.ones((2, 3)))):
        shapes = (re.escape(f"(shape {np.shape(side)})") for side in (Y, X))
        with pytest.raises(ValueError, match="{} where X has . {}".format(*shapes)):
            unitdot.cosine_similarity(X, Y)
    for Y in (S[:3], S[:3].toarray().tolist()):
        with pytest.raises(ValueError, match=r"Y has 3 rows \(shape \(3, 6\)\) where X has 4 \("):
            unitdot.paired_cosine_similarity(S, Y)


def test_an_index_that_was_bad_when_it_was_checked_and_is_good_again():
    """Another thread has written to it meanwhile."""
    with pytest.raises(ValueError, match=r"X.indices is written to by another thread; expected 0"):
        sparse_inputs._raise_structure(np.array([0, 1]), np.array([0, 2]), 3, "X")


@pytest.mark.parametrize("threshold", [-1, 0, 0.5])
def test_pairs_of_no_rows(threshold):
    nothing = csr(np.empty((0, 4)))
    for X, Y in ((nothing, np.ones((3, 4))), (np.ones((3, 4)), nothing), (nothing, nothing)):
        assert [len(part) for part in unitdot.cosine_pairs(X, Y, threshold=threshold)] == [0, 0, 0]


@pytest.mark.parametrize("shape", [(2**62, 1), (2**60, 1)])
@pytest.mark.parametrize("call", CALLS)
def test_giants_beside_sparse_rows(call, shape):
    """Rows without end in a few bytes, whose norms alone are more than there is memory."""
    giant = np.broadcast_to(np.int8(1), shape)
    entries = np.ones(3), np.zeros(3, np.int64), np.arange(4)
    rows = sparse.csr_array(entries, shape=(3, shape[1]))
    for X, Y in ((giant, rows), (rows, giant)):
        expected = r"GiB|rows; expected|shape \("
        with pytest.raises((MemoryError, ValueError), match=expected) as error:
            CALLS[call](X, Y)
        assert (error.type is MemoryError) == ("GiB" in str(error.value))
