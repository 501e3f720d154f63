"""Top-k of rows with themselves where not all of them can have lists: block by block, the bits of
the sorted matrix."""

import numpy as np
import pytest

import unitdot
from unitdot._machine.dispatch import kernels

from ..helpers import FLOATS, SCREENED_ISAS, blocks, normal
from ..neighbors import assert_same_result, check_top_k, start_of_sorted

by_dtype = pytest.mark.parametrize("dtype", FLOATS)
BLOCK = 96  # whole groups of every instruction set


def rows(n, features=70, seed=0):
    """Of few dimensions; rows of all blocks that are equal, and zero rows."""
    X = normal((n, 9), seed=seed) @ normal((9, features), seed=1)
    X[7::50] = X[7]
    X[[5, n // 2, n - 4]] = 0
    return X


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("n", [97, 192, 193, 530])
@by_dtype
def test_blocks(n, zero, dtype, isa):
    with blocks(BLOCK):
        check_top_k(rows(n).astype(dtype), ks=(1, 10, n - 2, n - 1), threads=(1, 2), zero=zero)


@by_dtype
def test_ties_of_all_blocks(dtype, isa):
    """Nothing but the order of the columns tells who is kept; blocks do not meet in that order."""
    X = np.sign(normal((500, 3))).astype(dtype)
    with blocks(BLOCK):
        check_top_k(X, ks=(1, 40, 150), threads=(1, 2))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float16])
def test_other_dtypes(dtype, isa):
    X = (4 * normal((400, 70))).astype(dtype)
    with blocks(BLOCK):
        check_top_k(X, ks=(1, 20), threads=(1, 2))


@pytest.mark.parametrize("given", [np.float32, np.float64])
@by_dtype
def test_output_in_the_other_dtype(given, dtype, isa):
    """What rests in the results is what is compared: of few values, rounded."""
    X = rows(400).astype(given)
    with blocks(BLOCK):
        check_top_k(X, ks=(1, 25), threads=(1, 2), dtype=dtype)


@pytest.mark.parametrize("place", [3, 200, 399])
@by_dtype
def test_care_in_any_block(place, dtype, isa):
    X = rows(400).astype(dtype)
    X[place + (place == 200)] *= dtype(1e-30 if dtype == np.float32 else 1e-300)
    with blocks(BLOCK):
        check_top_k(X, ks=(1, 25), threads=(1, 2))


def many(n=3000):
    """Rows of few directions, 30 around each of some: the screen and heads rule out all others."""
    X = np.tile(normal((n // 30, 24)), (30, 1)) + 0.3 * normal((n, 24), seed=1)
    return (X @ normal((24, 384), seed=2)).astype(np.float32)


@pytest.mark.parametrize("lines", [0, 1, 2])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_by_the_screen_and_by_heads(lines, n_threads, isa):
    X = many()
    S = unitdot.cosine_similarity(X)
    np.fill_diagonal(S, -2)
    expected = start_of_sorted(S, 5)
    module = kernels(False)
    module.force_heads(lines, 8 if lines else 0)
    try:
        with blocks(1000):
            found = unitdot.cosine_top_k(X, k=5, n_threads=n_threads)
        assert module.headed() > 0 or not (lines and isa in SCREENED_ISAS)
    finally:
        module.force_heads(0, 0)
    assert_same_result(found, expected)


def test_rows_too_like_to_screen(isa):
    """Superblocks of any block are undone, and what rows had from others is not lost."""
    X = (1 + 0.05 * normal((2500, 64))).astype(np.float32)
    whole = unitdot.cosine_top_k(X, k=5)
    with blocks(768):
        assert_same_result(unitdot.cosine_top_k(X, k=5), whole)
        assert_same_result(unitdot.cosine_top_k(X, k=5, threshold=-1), whole)


def test_groups(isa):
    """Large groups go block by block, each; their rows stand apart."""
    X = rows(1200).astype(np.float32)
    labels = np.arange(1200) % 3
    whole = unitdot.cosine_top_k(X, k=15, groups=labels)
    calls = []
    with blocks(BLOCK):
        found = unitdot.cosine_top_k(
            X, k=15, groups=labels, progress=lambda *call: calls.append(call)
        )
    assert_same_result(found, whole)
    assert calls[-1] == (3 * 400 * 401 // 2,) * 2


def test_progress_ascends_to_half_of_the_matrix():
    calls = []
    with blocks(BLOCK):
        unitdot.cosine_top_k(rows(700), k=3, progress=lambda *call: calls.append(call))
    done, totals = zip(*calls, strict=True)
    assert set(totals) == {700 * 701 // 2}
    assert list(done) == sorted(set(done))
    assert done[-1] == totals[-1]


@pytest.mark.parametrize(("k", "halves"), [(100, True), (190, False)])
def test_blocks_are_used_where_lists_are_many_and_not_long(k, halves):
    """Lists of all rows do not fit; the longer ones would move too often for what that saves."""
    totals = set()
    unitdot.cosine_top_k(
        normal((10_000, 256), np.float32), k=k, n_threads=1,
        progress=lambda done, total: totals.add(total),
    )  # fmt: skip
    assert totals == {10_000 * 10_001 // 2 if halves else 10_000**2}
