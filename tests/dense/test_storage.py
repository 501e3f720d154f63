"""Clause 12: half types give the bits of the same values in float32, integers those in float64.

Sizes are those that tell apart the loops that read rows in place, as they are stored, and those
that convert them (queries.pxi, paired.pxi).
"""

import numpy as np
import pytest

from unitdot import cosine_pairs, cosine_similarity, cosine_top_k, paired_cosine_similarity

from ..helpers import LAYOUTS, any_values, assert_same_bits
from ..neighbors import assert_same_result

STORED = ["float16", "bfloat16", "int8", "uint8", "bool", "int16"]
N_FEATURES = [1, 45, 64, 384, 1000, 2080]


def dtype_of(name):
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def extremes_of(dtype):
    """The values at the ends of the dtype's range, and the smallest ones."""
    if dtype.kind == "b":
        return [False, True]
    if dtype.kind in "iu":
        return [np.iinfo(dtype).min, np.iinfo(dtype).max, 1]
    if dtype == np.float16:
        return [65504, -65504, 2.0**-24, 2.0**-14]
    return [3.3895313892515355e38, -3.3895313892515355e38, 2.0**-133, 2.0**-126]


def rows(n, n_features, dtype, seed, extreme=False):
    """Rows of all values, or of those at the ends; with a zero row and zeros here and there."""
    rng = np.random.default_rng(seed)
    X = any_values((n, n_features), dtype, seed)
    if extreme:
        X = rng.choice(np.array(extremes_of(dtype), dtype), (n, n_features))
        for i, value in enumerate(extremes_of(dtype)):
            X[i] = value
    X[rng.random((n, n_features)) < 0.05] = 0
    X[n // 2] = 0
    return X


def widened(X):
    """The same values in the dtype of the computation."""
    return X.astype(np.float64 if X.dtype.kind in "biu" else np.float32)


def check(X, Y):
    """All of X with all of Y, a row or a few of X, X with itself, and pairs of rows."""
    wide_X, wide_Y = widened(X), widened(Y)
    S = cosine_similarity(wide_X, wide_Y)
    for n in (1, 2, 3, len(X)):
        assert_same_bits(cosine_similarity(X[:n], Y), S[:n])
    assert_same_bits(cosine_similarity(X), cosine_similarity(wide_X))
    n = min(len(X), len(Y))
    assert_same_bits(paired_cosine_similarity(X[:n], Y[:n]), np.diagonal(S))


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("n_features", N_FEATURES)
@pytest.mark.parametrize("name", STORED)
def test_every_path(name, n_features, extreme, isa):
    dtype = dtype_of(name)
    check(*(rows(n, n_features, dtype, n, extreme) for n in (53, 75)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STORED)
def test_layouts(name, layout, isa):
    dtype = dtype_of(name)
    if "swapped" in layout and (dtype.byteorder == "|" or name == "bfloat16"):
        pytest.skip("of one byte, or of one byte order")
    X, Y = rows(20, 96, dtype, 1), rows(30, 96, dtype, 2)
    S = cosine_similarity(X, Y)
    X, Y = LAYOUTS[layout](X), LAYOUTS[layout](Y)
    for n in (1, 2, 20):
        assert_same_bits(cosine_similarity(X[:n], Y), S[:n])
    assert_same_bits(paired_cosine_similarity(X, Y[:20]), np.diagonal(S))


@pytest.mark.parametrize("name", ["float16", "int8"])
def test_memory_maps_from_an_odd_byte_on(name, tmp_path, isa):
    X = rows(40, 64, dtype_of(name), 1)
    (tmp_path / "rows").write_bytes(b"?" + X.tobytes())
    mapped = np.memmap(tmp_path / "rows", X.dtype, "r", offset=1, shape=X.shape)
    for n in (1, 40):
        assert_same_bits(cosine_similarity(mapped[:n], mapped), cosine_similarity(X[:n], X))
    assert_same_bits(paired_cosine_similarity(mapped, mapped), paired_cosine_similarity(X, X))


@pytest.mark.parametrize("name", STORED)
def test_one_row_of_many(name, isa):
    """Of more than a thread's first tasks, and of a number that no vector divides."""
    Y = rows(4099, 160, dtype_of(name), 1)
    S = cosine_similarity(widened(Y[7:9]), widened(Y))
    for threads in (1, 2):
        assert_same_bits(cosine_similarity(Y[7:8], Y, n_threads=threads), S[:1])
        assert_same_bits(cosine_similarity(Y[7:9], Y, n_threads=threads), S)


@pytest.mark.parametrize("name", STORED)
def test_neighbours_and_pairs(name, isa):
    """By the screen; uint8 and bool without, in the end: their rows are all much alike."""
    X, Y = rows(101, 97, dtype_of(name), 1), rows(3000, 97, dtype_of(name), 2)
    Y[10::31] = X[: len(Y[10::31])]
    Y[::2, 0] = 0
    wide_X, wide_Y = widened(X), widened(Y)
    assert_same_result(cosine_top_k(X, Y, k=3), cosine_top_k(wide_X, wide_Y, k=3))
    assert_same_result(cosine_top_k(Y, k=2), cosine_top_k(wide_Y, k=2))
    for threshold in (0.3, 0.99):
        assert_same_result(
            cosine_pairs(X, Y, threshold=threshold),
            cosine_pairs(wide_X, wide_Y, threshold=threshold),
        )
    assert_same_result(cosine_pairs(Y, threshold=0.99), cosine_pairs(wide_Y, threshold=0.99))


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_sums_of_many_features_need_more_than_32_bits(dtype, n, isa):
    info = np.iinfo(dtype)
    Y = np.full((18, 131_077), info.min, dtype)
    Y[1::3], Y[2::3, ::2] = info.max, info.max
    wide = widened(Y)
    assert_same_bits(cosine_similarity(Y[:n], Y), cosine_similarity(wide[:n], wide))
    assert_same_bits(cosine_similarity(Y), cosine_similarity(wide))
    assert_same_bits(
        paired_cosine_similarity(Y, Y[::-1]), paired_cosine_similarity(wide, wide[::-1])
    )


def test_a_tiny_bfloat_anywhere_in_rows_read_in_place(isa):
    """Its product with a small one would lose bits: it may be overlooked in no lane."""
    tiny, small, rest = np.ldexp(1.203125, (-90, -49, -18))
    for place in range(2, 96, 5):
        X, Y = np.zeros((37, 96), np.float32), np.zeros((37, 96), np.float32)
        X[:, 0] = Y[:, 1] = rest
        i = place % 37
        X[i, place], Y[i, place] = (tiny, small) if place % 2 else (small, tiny)
        X, Y = X.astype(dtype_of("bfloat16")), Y.astype(dtype_of("bfloat16"))
        wide_X, wide_Y = widened(X), widened(Y)
        S = cosine_similarity(wide_X, wide_Y)
        assert S[i, i] > 0
        assert_same_bits(cosine_similarity(X[i], Y), S[i])
        assert_same_bits(cosine_similarity(X, Y), S)
        assert_same_bits(paired_cosine_similarity(X, Y), np.diagonal(S))
