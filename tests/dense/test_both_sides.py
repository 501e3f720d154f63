"""What blocks that meet others know beforehand: neighbours of both sides from the same products,
floors, below which nothing counts, and heads that were made once."""

import pickle

import numpy as np
import pytest

import unitdot
from unitdot import TopK, _options
from unitdot._machine.dispatch import kernels
from unitdot._neighbors import pairs_of, top_k_of, top_k_of_both
from unitdot._prepared import Prepared, constants_for_joins

from ..helpers import FLOATS, LAYOUTS, SCREENED_ISAS, normal, superblocks
from ..neighbors import assert_same_result, pairs_of_matrix, start_of_sorted

by_dtype = pytest.mark.parametrize("dtype", FLOATS)


def rows(n, features=70, seed=0):
    """Of few dimensions, so that much is ruled out; equal rows and zero rows among them."""
    X = normal((n, 9), seed=seed) @ normal((9, features), seed=1)
    X[[3, n // 2, n - 1]] = (normal((1, 9), seed=2) @ normal((9, features), seed=1))[0]
    X[[5, n - 4]] = 0
    return X


def expected(S, k, floors, best=None):
    """The k best of every row that reach its floor; `best`: those without floors."""
    similarities, indices = start_of_sorted(S, k) if best is None else best
    if floors is not None:
        kept = np.isnan(floors)[:, None] | (similarities >= floors[:, None])
        similarities, indices = np.where(kept, similarities, np.nan), np.where(kept, indices, -1)
    return TopK(similarities.astype(S.dtype), indices)


def floors_of(S, k):
    """Values that rows have and numbers next to these, and none."""
    floors = np.sort(S, axis=1)[:, [-min(k, S.shape[1]), -1]].astype(float)
    floors = np.where(np.arange(len(S)) % 3 == 0, floors[:, 1], floors[:, 0])
    floors[1::4] = np.nextafter(floors[1::4].astype(S.dtype), S.dtype.type(2))
    return floors


def check(X, Y, k, threads=(1, 2), **keywords):
    S = unitdot.cosine_similarity(X, Y, **keywords)
    of_X, of_Y = floors_of(S, k), floors_of(S.T, k)
    best = [start_of_sorted(matrix, k) for matrix in (S, S.T)]
    with_nan = [np.where(np.arange(len(f)) % 7 == 2, np.nan, f) for f in (of_X, of_Y)]
    for floors in (None, (of_X, of_Y), with_nan):
        for n_threads in threads:
            how = _options.check_options((S.dtype, keywords.get("zero", "zero"), True, n_threads))
            joined = None if floors is None else np.concatenate(floors)
            found = top_k_of_both(X, Y, k, None, how, joined)
            of_sides = zip(found, (S, S.T), best, floors or (None, None), strict=True)
            for result, matrix, first, own in of_sides:
                assert result.shape == matrix.shape
                assert_same_result(result, expected(matrix, k, own, first))
            if floors is not None:
                one = top_k_of(X, Y, k, None, None, None, False, False, how, None, floors[0])
                assert_same_result(one, expected(S, k, floors[0], best[0]))


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("shape", [(60, 90), (130, 61), (97, 1500), (1100, 700)])
@by_dtype
def test_both_sides(shape, k, zero, dtype, isa):
    X, Y = (rows(n, seed=n).astype(dtype) for n in shape)
    check(X, Y, k, zero=zero)


@pytest.mark.parametrize("lines", [1, 3])
@by_dtype
def test_by_heads(lines, dtype, isa):
    X, Y = (rows(n, 200, seed=n).astype(dtype) for n in (700, 1300))
    module = kernels(dtype == np.float64)
    module.force_heads(lines, 8)
    try:
        check(X, Y, 5)
        assert module.headed() > 0 or isa not in SCREENED_ISAS
    finally:
        module.force_heads(0, 0)


def test_floors_between_numbers(isa):
    """Of float64, right above values of float32, which are not enough then."""
    X, Y = (rows(n, 64, seed=n).astype("f4") for n in (150, 700))
    S = unitdot.cosine_similarity(X, Y)
    floors = np.nextafter(np.sort(S, axis=1)[:, -3].astype(float), 2)
    how = _options.check_options((None, "zero", True, 2))
    found = top_k_of(X, Y, 5, None, None, None, False, False, how, None, floors)
    assert_same_result(found, expected(S, 5, floors))


def test_several_superblocks(isa):
    with superblocks(200):
        check(rows(700, 130).astype("f4"), rows(500, 130, seed=1).astype("f4"), 4, threads=(1,))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["f4", "f2", "i1"])
def test_layouts_and_storage(layout, kind, isa):
    X, Y = ((rows(n, 65, seed=n) * 3).astype(kind) for n in (140, 600))
    check(LAYOUTS[layout](X), LAYOUTS[layout](Y), 3)


def test_float32_of_float64(isa):
    X, Y = (rows(n, 64, seed=n).round() for n in (150, 700))
    check(X, Y, 8, dtype=np.float32)


@by_dtype
def test_rows_that_need_care(dtype, isa):
    X, Y = (rows(n, seed=n).astype(dtype) for n in (300, 900))
    X[200] *= dtype(2.0**-120 if dtype == np.float32 else 2.0**-900)
    check(X, Y, 4)
    check(Y, X, 4)


def test_lists_that_take_too_much_memory():
    how = _options.check_options((None, "zero", True, 1))
    X = rows(300, 8)
    assert top_k_of_both(X, X, 299, None, how) is not None
    assert top_k_of_both(X, X, 301, None, how) is None
    assert top_k_of_both(np.tile(X, (6, 1)), np.tile(X, (6, 1)), 299, None, how) is None


# ---- heads that were made before


def pickled(prepared):
    """What another process gets, whose buffers lie anywhere."""
    buffers = []
    blob = pickle.dumps(prepared, 5, buffer_callback=buffers.append)
    assert len(blob) < 1000  # all else goes without a copy
    apart = [LAYOUTS["unaligned"](np.frombuffer(buffer, "u1")) for buffer in buffers]
    return pickle.loads(blob, buffers=[memoryview(array) for array in apart])


@pytest.fixture
def forced(isa):
    """Heads of two lines wherever there is a screen; the module's counter of their use."""
    modules = kernels(False), kernels(True)
    for module in modules:
        module.force_heads(2, 8)
    yield lambda wide: modules[wide].headed() > 0 or isa not in SCREENED_ISAS
    for module in modules:
        module.force_heads(0, 0)


def heads_of(X, Y):
    sample = np.concatenate([X, Y, X])[:1500]
    constants = constants_for_joins(sample, 0.9)
    if constants is None:  # no screen with these instructions
        return None
    return tuple(pickled(Prepared.along(constants, rows)) for rows in (X, Y))


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("shape", [(600, 1201), (1439, 700)])
@pytest.mark.parametrize("kind", ["f4", "f8", "f2"])
def test_heads_that_were_made_before(kind, shape, zero, forced):
    X, Y = (rows(n, 130, seed=n).astype(kind) for n in shape)
    heads = heads_of(X, Y)
    S, T = unitdot.cosine_similarity(X, Y, zero=zero), unitdot.cosine_similarity(X, zero=zero)
    floors = np.concatenate([floors_of(S, 5), floors_of(S.T, 5)])
    best = expected(S, 5, None)
    both = expected(S, 5, floors[: len(X)]), expected(S.T, 5, floors[len(X) :])
    pairs = {limit: [pairs_of_matrix(M, limit, M is T) for M in (S, T)] for limit in (0.7, 1)}
    for n_threads in (1, 2):
        how = _options.check_options((None, zero, True, n_threads))
        found = top_k_of_both(X, Y, 5, None, how, floors, heads)
        assert_same_result(found[0], both[0])
        assert_same_result(found[1], both[1])
        found = top_k_of(X, Y, 5, None, None, None, False, False, how, None, None, heads)
        assert_same_result(found, best)
        for limit, (of_both, of_X) in pairs.items():
            found = pairs_of(X, Y, limit, None, None, False, how, None, heads)
            assert_same_result(found, of_both)
            alone = None if heads is None else (heads[0],) * 2
            found = pairs_of(X, None, limit, None, None, False, how, None, alone)
            assert_same_result(found, of_X)
    assert forced(kind == "f8")


def test_heads_are_those_that_are_given(forced):
    """With heads of other rows pairs are missed: nothing else was looked at."""
    X, Y = (rows(n, 130, seed=n).astype("f4") for n in (600, 1201))
    heads = heads_of(X, Y)
    if heads is None:
        pytest.skip("no screen, and no heads")
    how = _options.check_options((None, "zero", True, 1))
    other = Prepared.along(heads[0]._constants, normal(X.shape, "f4", seed=9))
    found = pairs_of(X, Y, 0.9, None, None, False, how, None, (other, heads[1]))
    assert 0 <= len(found.rows) < len(unitdot.cosine_pairs(X, Y, threshold=0.9).rows) // 2


@pytest.mark.parametrize("bad", ["care", "NaN"])
def test_heads_of_rows_that_need_care_are_not_used(bad, forced):
    X, Y = (rows(n, 130, seed=n).astype("f4") for n in (600, 1201))
    Y[77] *= np.float32(2.0**-120)
    if bad == "NaN":
        Y[700, 3] = np.nan
    heads = heads_of(X, Y)
    how = _options.check_options((None, "zero", True, 2))
    if bad == "NaN":
        with pytest.raises(
            ValueError, match=r"^Y holds a NaN or an infinity at row 700, column 3;"
        ):
            pairs_of(X, Y, 0.9, None, None, False, how, None, heads)
    else:
        found = pairs_of(X, Y, 0.9, None, None, False, how, None, heads)
        assert_same_result(found, pairs_of_matrix(unitdot.cosine_similarity(X, Y), 0.9, False))
