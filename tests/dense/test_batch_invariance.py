"""Clause 5: the value for a pair of rows is the same bits in any batch, and on every path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitdot._machine.dispatch import use_isa

from ..helpers import (
    ALL,
    FLOATS,
    FUSED_ISAS,
    LAYOUTS,
    MATRIX,
    PAIRED,
    any_values,
    assert_same_bits,
    function,
    normal,
)

# around one and several tiles, vectors, panels
SIZES = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 23, 24, 25, 47, 48, 49, 95, 97)
# around vectors, cache lines and blocks of features
N_FEATURES = (1, 2, 7, 15, 16, 17, 127, 128, 129, 255, 257, 511, 513, 1025, 2049, 4095, 4096, 4097)
MANY_FEATURES = (5000, 8193, 12_289)
WHOLE_RUNS = (32, 96, 224, 384, 2048, 2080)  # rows that can be read in place, and one too long
DTYPES = (*FLOATS, np.float16, np.bool_, np.int8, np.uint16, np.int64, np.uint64)


def small_enough(n_features):
    """All sizes for few features; for many, those that tell paths apart in little time."""
    return SIZES if n_features < 200 else SIZES[::3] if n_features < 2000 else (1, 7, 17, 25)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES + MANY_FEATURES)
def test_slices_have_the_bits_of_the_whole(n_features, dtype, isa):
    sizes = small_enough(n_features)
    X = normal((sizes[-1], n_features), dtype, seed=1)
    Y = normal((sizes[-1], n_features), dtype, seed=2)
    similarity = function("cosine_similarity")
    whole, self_join = similarity(X, Y), similarity(X)
    for n in sizes:
        assert_same_bits(similarity(X[:n], Y), whole[:n])
        assert_same_bits(similarity(X, Y[-n:]), whole[:, -n:])
        assert_same_bits(similarity(X[:n], Y[:n]), whole[:n, :n])
        assert_same_bits(similarity(X[-n:], Y[:1]), whole[-n:, :1])
        assert_same_bits(similarity(X[:1], Y[-n:]), whole[:1, -n:])
        assert_same_bits(similarity(X[-n:]), self_join[-n:, -n:])
        assert_same_bits(similarity(X[:n], X), self_join[:n])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", N_FEATURES + MANY_FEATURES + WHOLE_RUNS)
@pytest.mark.parametrize("name", MATRIX)
def test_paired_and_single_pairs_have_the_bits_of_the_matrix(name, n_features, dtype, isa):
    n = small_enough(n_features)[-1]
    X, Y = normal((n, n_features), dtype, seed=1), normal((n, n_features), dtype, seed=2)
    diagonal = np.diagonal(function(name)(X, Y))
    paired = function(f"paired_{name}")
    assert_same_bits(paired(X, Y), diagonal)
    for i in (0, n // 2, n - 1):
        assert_same_bits(function(name)(X[i], Y[i]), diagonal[i])
        assert_same_bits(paired(X[i], Y[i]), diagonal[i])
        assert_same_bits(paired(X[i:], Y[i:]), diagonal[i:])


# exponents: too small to stay unscaled; just not; of what else is in the rows. tiny * small has
# lost bits, divided by rest^2 it would be a common number.
TINY_SMALL_REST = {np.float32: (-90, -49, -18), np.float64: (-585, -484, -146)}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", WHOLE_RUNS)
def test_a_tiny_element_anywhere_in_rows_read_in_place(n_features, dtype, isa):
    """Its product would lose bits if its row were not scaled: it may be overlooked in no lane."""
    n = 37
    tiny, small, rest = np.ldexp(dtype(1.2345), TINY_SMALL_REST[dtype])
    X, Y = np.zeros((n, n_features), dtype), np.zeros((n, n_features), dtype)
    X[:, 0] = Y[:, 1] = rest
    rng = np.random.default_rng(n_features)
    for turn in range(12):
        i, k = rng.integers(n), rng.integers(2, n_features)
        A, B = X.copy(), Y.copy()
        A[i, k], B[i, k] = (tiny, small) if turn % 2 else (small, tiny)
        matrix = function("cosine_similarity")(A[:, ::-1][:, ::-1], B)
        assert 0 < matrix[i, i] == pytest.approx(tiny / rest * (small / rest), abs=0)
        assert_same_bits(function("paired_cosine_similarity")(A, B), np.diagonal(matrix))
        assert_same_bits(function("cosine_similarity")(A[i : i + 1], B), matrix[i : i + 1])
        assert_same_bits(function("cosine_similarity")(A, B[i : i + 1]), matrix[:, i : i + 1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_tiny_element_of_few_rows_with_many_features(side, dtype, isa):
    tiny, small, rest = np.ldexp(dtype(1.2345), TINY_SMALL_REST[dtype])
    for i, k in ((0, 2), (2, 12_345), (4, 19_999)):
        rows = np.zeros((2, 5, 20_000), dtype)
        rows[[0, 1], :, [0, 1]] = rest
        rows[:, i, k] = (tiny, small) if side == 0 else (small, tiny)
        matrix = function("cosine_similarity")(*rows)
        assert 0 < matrix[i, i] == pytest.approx(tiny / rest * (small / rest), abs=0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_features", [20_000, 119_547])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_few_rows_with_many_features(n_threads, n_features, dtype, isa):
    """These may be split over the features, and keep the bits of what is split over the rows."""
    X = normal((40, n_features), dtype)
    similarity = function("cosine_similarity")
    whole = similarity(X, n_threads=1)
    few = X[-6:]
    assert_same_bits(similarity(few, n_threads=n_threads), whole[-6:, -6:])
    assert_same_bits(similarity(few, few[:3].copy(), n_threads=n_threads), whole[-6:, -6:-3])
    assert_same_bits(similarity(few[0], few[1], n_threads=n_threads), whole[-6, -5])
    assert_same_bits(similarity(few[None], n_threads=n_threads), whole[None, -6:, -6:])


@pytest.mark.parametrize("layout_Y", ["C", "Fortran", "byte-swapped-strided"])
@pytest.mark.parametrize("layout_X", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [37, 700])
def test_layouts(layout_X, layout_Y, dtype, n_features, isa):
    X, Y = any_values((19, n_features), dtype, seed=1), any_values((26, n_features), dtype, seed=2)
    laid_X, laid_Y = LAYOUTS[layout_X](X), LAYOUTS[layout_Y](Y)
    assert np.array_equal(laid_X, X)
    similarity, paired = function("cosine_similarity"), function("paired_cosine_similarity")
    assert_same_bits(similarity(laid_X, laid_Y), similarity(X, Y))
    assert_same_bits(similarity(laid_X), similarity(X))
    assert_same_bits(paired(laid_X, laid_Y[:19]), paired(X, Y[:19]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_layouts_of_every_function(name, layout, isa):
    X, Y = normal((30, 90), seed=1), normal((30, 90), seed=2)
    assert_same_bits(function(name)(LAYOUTS[layout](X), LAYOUTS[layout](Y)), function(name)(X, Y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 65), (33, 1), (1, 1)])
def test_broadcast_views(shape, dtype, isa):
    """Strides of zero along the rows, the features, or both."""
    X = np.broadcast_to(any_values(shape, dtype), (33, 65))
    Y = any_values((20, 65), dtype, seed=2)
    similarity = function("cosine_similarity")
    assert_same_bits(similarity(X, Y), similarity(X.copy(), Y))
    assert_same_bits(similarity(Y, X), similarity(Y, X.copy()))
    assert_same_bits(similarity(X), similarity(X.copy()))
    paired = function("paired_cosine_similarity")
    assert_same_bits(paired(X[:20], Y), paired(X[:20].copy(), Y))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, np.int16])
def test_memory_mapped(mode, dtype, tmp_path, isa):
    X, Y = any_values((40, 129), dtype, seed=1), any_values((9, 129), dtype, seed=2)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    similarity = function("cosine_similarity")
    assert_same_bits(similarity(mapped), similarity(X))
    assert_same_bits(similarity(mapped[3:, ::2], Y[:, ::2]), similarity(X[3:, ::2], Y[:, ::2]))
    assert type(similarity(mapped)) is np.ndarray


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MATRIX)
def test_row_order(name, dtype, isa):
    X, Y = normal((70, 300), dtype, seed=1), normal((101, 300), dtype, seed=2)
    rng = np.random.default_rng(0)
    order_X, order_Y = rng.permutation(70), rng.integers(101, size=130)
    whole = function(name)(X, Y)
    shuffled = function(name)(X[order_X], Y[order_Y])
    assert_same_bits(shuffled, whole[np.ix_(order_X, order_Y)])
    self_join = function(name)(X[order_X])
    assert_same_bits(self_join, function(name)(X)[np.ix_(order_X, order_X)])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("n_X", "n_Y", "n_features"),
    [
        (300, 200, 400),
        (1, 4000, 384),
        (4000, 1, 384),
        (300, None, 400),
        (5, 6, 30_000),
        (700, 500, 3),
    ],
)
def test_threads(n_X, n_Y, n_features, dtype, isa):
    """Enough work for several threads, in every shape that is divided in its own way."""
    X = normal((n_X, n_features), dtype, seed=1)
    Y = None if n_Y is None else normal((n_Y, n_features), dtype, seed=2)
    for name in MATRIX:
        alone = function(name)(X, Y, n_threads=1)
        for n_threads in (2, 3, 4, None):
            assert_same_bits(function(name)(X, Y, n_threads=n_threads), alone)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5000, 300), (3, 200_000), (40_000, 3)])
@pytest.mark.parametrize("name", PAIRED)
def test_threads_paired(name, shape, dtype, isa):
    X, Y = normal((2, *shape), dtype)
    alone = function(name)(X, Y, n_threads=1)
    for n_threads in (2, 3, 4, None):
        assert_same_bits(function(name)(X, Y, n_threads=n_threads), alone)


@pytest.mark.skipif(len(FUSED_ISAS) < 2, reason="one instruction set with fused multiply-add here")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("n_samples", "n_features"), [(1, 1), (9, 2), (50, 17), (97, 384), (40, 4097), (6, 20_000)]
)
@pytest.mark.parametrize("name", ALL)
def test_instruction_sets_agree(name, n_samples, n_features, dtype):
    X = normal((n_samples, n_features), dtype, seed=1)
    Y = normal((n_samples, n_features), dtype, seed=2)
    X[-1] *= np.finfo(dtype).smallest_normal  # some of it subnormal
    results = {}
    for name_of_isa in FUSED_ISAS:
        with use_isa(name_of_isa):
            results[name_of_isa] = function(name)(X, Y)
    for result in results.values():
        assert_same_bits(result, results[FUSED_ISAS[0]])


def test_real_data_in_blocks(embeddings, isa):
    """A large matrix equals its blocks of odd sizes, threads and all."""
    X = embeddings[:600].astype(np.float32)
    whole = function("cosine_similarity")(X)
    for block in (1, 67, 256):
        for start in range(0, 600, 199):
            rows = slice(start, start + block)
            assert_same_bits(function("cosine_similarity")(X[rows], X), whole[rows])


@given(data=st.data(), seed=st.integers(0, 2**32), dtype=st.sampled_from(FLOATS))
def test_any_selection_layout_and_threads(data, seed, dtype, isa):
    n, m = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    n_features = data.draw(st.one_of(st.integers(1, 40), st.integers(1, 1500)))
    X, Y = normal((n, n_features), dtype, seed), normal((m, n_features), dtype, seed + 1)
    rows_X = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=30))
    rows_Y = data.draw(st.lists(st.integers(0, m - 1), min_size=1, max_size=30))
    layout_X, layout_Y = (data.draw(st.sampled_from(sorted(LAYOUTS))) for _ in "XY")
    name = data.draw(st.sampled_from(sorted(MATRIX)))
    part = function(name)(
        LAYOUTS[layout_X](X[rows_X]),
        LAYOUTS[layout_Y](Y[rows_Y]),
        n_threads=data.draw(st.sampled_from([1, 2, 4, None])),
    )
    assert_same_bits(part, function(name)(X, Y)[np.ix_(rows_X, rows_Y)])
