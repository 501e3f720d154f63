"""cosine_top_k and cosine_pairs hold the very bits of the full matrix, in its order (clause 5)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import unitdot

from ..helpers import FLOATS, INTEGERS, LAYOUTS, any_values, function, normal, superblocks
from ..neighbors import (
    CHECKS,
    assert_same_result,
    check_top_k,
    few,
    pairs_of_matrix,
    sorted_matrix,
    start_of_sorted,
)

ROWS = 101  # two of the widest tiles, and a little
by_name = pytest.mark.parametrize("name", CHECKS)
by_dtype = pytest.mark.parametrize("dtype", FLOATS)


def clustered(seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((5, 20))
    return centres[rng.integers(5, size=ROWS)] + 1e-3 * rng.standard_normal((ROWS, 20))


def with_zero_rows(seed=0):
    X = normal((ROWS, 20), seed=seed)
    X[[0, 17, 50, 51, ROWS - 1]] = 0
    return X


DATA = {
    "random": lambda seed: normal((ROWS, 20), seed=seed),
    "clustered": clustered,
    "duplicated": lambda seed: np.tile(normal((9, 20), seed=seed), (12, 1))[:ROWS],
    "few values": lambda seed: np.sign(normal((ROWS, 3), seed=seed)),
    "equal": lambda seed: np.full((ROWS, 20), 0.7),
    "multiples": lambda seed: normal((ROWS, 1), seed=seed) * np.linspace(1, 2, 20),
    "zero": lambda seed: np.zeros((ROWS, 20)),
    "zero rows": with_zero_rows,
}


# ---- the reference


def slow_order(row):
    """Indices of a row, best first, NaN last: a sort by a key that says so."""
    return sorted(range(len(row)), key=lambda j: (row[j] != row[j], -row[j], j))


SMALL_MATRIX = np.array([[0.5, np.nan, 0.5, 1.0], [np.nan, np.nan, -1.0, 0.0], [0, -0.0, 0, 0]])


@pytest.mark.parametrize("own", [True, False])
def test_reference_of_top_k(own):
    for S in (SMALL_MATRIX, np.round(normal((40, 40)), 1).astype(np.float32)):
        similarities, indices = sorted_matrix(S, own)
        for i, row in enumerate(S.tolist()):
            order = [j for j in slow_order([-2 if s != s else s for s in row]) if own or j != i]
            assert indices[i].tolist() == order
            assert np.array_equal(similarities[i], S[i, order], equal_nan=True)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("decimals", [1, 9])  # ties, and none
@pytest.mark.parametrize("k", [1, 9, 50])
def test_reference_of_the_first_ones(k, decimals, own):
    S = np.round(normal((90, 300)), decimals)
    S[3:60, ::7] = S[5, 20:] = S[6] = np.nan  # some, most and all of a row
    S[7] = 0.5
    S[:9, :9], S[10, 10] = S.max(), -9
    for matrix in (S, S.astype(np.float32)):
        whole = sorted_matrix(matrix, own)
        assert_same_result(
            start_of_sorted(matrix, k, own), type(whole)(*(array[:, :k] for array in whole))
        )


def test_reference_of_top_k_by_hand():
    assert sorted_matrix(SMALL_MATRIX).indices.tolist() == [
        [3, 0, 2, 1],
        [3, 2, 0, 1],
        [0, 1, 2, 3],
    ]
    assert sorted_matrix(SMALL_MATRIX[:, :3], own=False).indices.tolist() == [
        [2, 1],
        [2, 0],
        [0, 1],
    ]


@pytest.mark.parametrize("same", [True, False])
def test_reference_of_pairs(same):
    S = np.round(normal((30, 30)), 1)
    S[3, 4] = np.nan
    for threshold in (-np.inf, 0.1, 0.3, 5):
        expected = [
            (i, j, S[i, j])
            for i in range(30)
            for j in range(30)
            if S[i, j] >= threshold and (i < j or not same)
        ]
        found = pairs_of_matrix(S, threshold, same)
        assert list(zip(*(array.tolist() for array in found), strict=True)) == expected


def test_reference_tells_one_wrong_place():
    """A comparison that any result passes would prove nothing."""
    X = normal((20, 3))
    top_k, pairs = unitdot.cosine_top_k(X, k=5), unitdot.cosine_pairs(X, threshold=0.1)
    for result in (top_k, pairs):
        for part in range(len(result)):
            wrong = [array.copy() for array in result]
            value = wrong[part].flat[3]
            wrong[part].flat[3] = np.nextafter(value, 9) if value.dtype.kind == "f" else value + 1
            with pytest.raises(AssertionError):
                assert_same_result(type(result)(*wrong), result)


# ---- values


@by_dtype
@pytest.mark.parametrize("data", DATA)
@by_name
def test_self_join(name, data, dtype, isa):
    X = DATA[data](1).astype(dtype)
    CHECKS[name](X)
    CHECKS[name](X, X, threads=(2,), **few(name, 0.5))


@by_dtype
@pytest.mark.parametrize("data", DATA)
@by_name
def test_two_matrices(name, data, dtype, isa):
    X, Y = DATA[data](1)[:29].astype(dtype), DATA[data](2).astype(dtype)
    Y[::7] = X[np.arange(len(Y[::7])) % 29]
    CHECKS[name](X, Y)
    CHECKS[name](Y, X, threads=(2,), **few(name, 0.5))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@by_name
def test_real_data(name, dtype, embeddings, isa):
    X = embeddings[::7].astype(dtype)
    CHECKS[name](X, **few(name, 0.7))
    CHECKS[name](X[:50], X[30:], **few(name, 0.7))


@pytest.mark.parametrize("dtype", [np.float16, *INTEGERS, "bfloat16"])
@by_name
def test_every_dtype(name, dtype, isa):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    X, Y = any_values((30, 9), dtype, 1), any_values((53, 9), dtype, 2)
    CHECKS[name](X, Y)
    CHECKS[name](Y)
    CHECKS[name](X, normal((53, 9), np.float64), **few(name, 0.5))


@pytest.mark.parametrize(
    ("given_dtype", "dtype"), [(np.float32, np.float64), (np.float64, np.float32)]
)
@pytest.mark.parametrize("data", DATA)
@by_name
def test_other_output_dtype(name, data, given_dtype, dtype, isa):
    """Order and threshold are those of the values that are returned."""
    X, Y = DATA[data](1).astype(given_dtype), DATA[data](2).astype(given_dtype)
    CHECKS[name](X, dtype=dtype)
    CHECKS[name](X, Y, dtype=dtype)


@by_name
def test_values_that_round_to_one_number_are_ties(name, isa):
    """Different in float64 and equal in float32: the smaller index first, all at the threshold."""
    query, Y = np.array([[1.0, 0.0]]), np.ones((60, 2))
    Y[:, 1] = 1 + np.arange(60)[::-1] * 1e-12
    assert len(np.unique(unitdot.cosine_similarity(query, Y))) == 60
    assert len(np.unique(unitdot.cosine_similarity(query, Y, dtype=np.float32))) == 1
    CHECKS[name](query, Y, dtype=np.float32)
    Y[::3, 1] += 1e-6
    CHECKS[name](query, Y, dtype=np.float32)


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.1, 1 / 3, -0.6])
@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [(np.float32, None), (np.float32, np.float64), (np.float64, None), (np.float64, np.float32)],
)
def test_threshold_is_rounded_to_the_dtype_of_the_result(given_dtype, dtype, threshold, isa):
    """0.6 in float32 is more than 0.6: only in float32 does it reach the threshold for certain."""
    angles = np.arccos(threshold) + np.arange(-200, 200) * 4e-9
    Y = np.column_stack([np.cos(angles), np.sin(angles)]).astype(given_dtype)
    Y[7] = np.array([3, 4]) if threshold > 0 else np.array([-3, 4])
    X = np.array([[1, 0]], given_dtype)
    S = unitdot.cosine_similarity(X, Y, dtype=dtype)[0]
    expected = [j for j in range(400) if float(S[j]) >= float(S.dtype.type(threshold))]
    assert 0 < len(expected) < 400
    found = unitdot.cosine_pairs(X, Y, threshold=threshold, dtype=dtype)
    assert found.columns.tolist() == expected
    assert found.similarities.dtype == S.dtype


@by_dtype
@pytest.mark.parametrize("zero", ["zero", "nan"])
@by_name
def test_zero_rows(name, zero, dtype, isa):
    X, Y = with_zero_rows(1).astype(dtype), with_zero_rows(2).astype(dtype)
    CHECKS[name](X, zero=zero)
    CHECKS[name](X[15:60], Y, zero=zero)
    CHECKS[name](np.zeros((7, 20), dtype), Y, zero=zero)


@pytest.mark.parametrize("argument", ["X", "Y"])
@by_name
def test_zero_rows_are_refused(name, argument, isa):
    arguments = {"X": normal((20, 7)), "Y": normal((30, 7))}
    arguments[argument][[11, 13]] = 0
    with pytest.raises(ValueError, match=rf"\b{argument}\b.*zero row.*\b11\b"):
        function(name)(**arguments, zero="raise")


@by_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@by_name
def test_unchecked_nan_comes_last_and_pairs_with_nothing(name, bad, dtype, isa):
    X, Y = normal((30, 20), dtype, 1), normal((ROWS, 20), dtype, 2)
    for rows in ([], [12], range(30)):
        X[rows, 3] = bad
        for columns in ([], [0, 1, 48, ROWS - 1], range(5, ROWS), range(ROWS)):
            unsound = Y.copy()
            unsound[columns, -1] = bad
            CHECKS[name](X, unsound, check_finite=False)
        CHECKS[name](X, check_finite=False)


@by_dtype
@pytest.mark.parametrize("n_features", [1, 3, 64, 128, 129, 4096, 4097, 5000, 9000])
@by_name
def test_few_and_many_features(name, n_features, dtype, isa):
    n, m = (40, 90) if n_features < 1000 else (13, 50)
    X, Y = normal((n, n_features), dtype, 1), normal((m, n_features), dtype, 2)
    CHECKS[name](X, Y)
    CHECKS[name](Y)


@by_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@by_name
def test_layouts(name, layout, dtype, isa):
    X, Y = normal((27, 19), dtype, 1), normal((60, 19), dtype, 2)
    lay = LAYOUTS[layout]
    for arguments in ((X, Y), (Y,)):
        laid = [lay(array) for array in arguments]
        before = [array.copy() for array in laid]
        CHECKS[name](*laid)
        assert all(map(np.array_equal, laid, before))


@by_name
def test_memory_mapped(name, tmp_path):
    X, Y = normal((27, 130), np.float32, 1), normal((300, 130), np.float32, 2)
    np.save(tmp_path / "Y.npy", Y)
    mapped = np.load(tmp_path / "Y.npy", mmap_mode="r")
    CHECKS[name](X, mapped)
    CHECKS[name](mapped)


@pytest.mark.parametrize("n_features", [1, 20])
@by_name
def test_one_row(name, n_features, isa):
    x, Y = normal((1, n_features), seed=1), normal((ROWS, n_features), seed=2)
    CHECKS[name](x, Y)
    CHECKS[name](Y, x)
    CHECKS[name](x, x.copy())


# ---- rows that need care, and many superblocks

SCALES = {np.float32: (1e-30, 1e30), np.float64: (1e-300, 1e290)}


# superblocks of so many rows of X by as many of Y
SHAPES = {
    "Y streams past X": (960, (9, 16), (4000, 16)),
    "Y streams past X, two blocks": (960, (5, 130), (2500, 130)),
    "superblocks of both": (96, (330, 300), (260, 300)),
    "superblocks and segments": (48, (110, 4200), (70, 4200)),
}


@by_dtype
@pytest.mark.parametrize("careful", ["X", "Y", "both"])
@pytest.mark.parametrize("shape", SHAPES)
@by_name
def test_superblocks(name, shape, careful, dtype, isa):
    """The first row that needs care stands late: what was done before must neither get lost nor
    be counted twice."""
    superblock, shape_X, shape_Y = SHAPES[shape]
    X, Y = normal(shape_X, dtype, 1), normal(shape_Y, dtype, 2)
    for A, argument in ((X, "X"), (Y, "Y")):
        if careful in (argument, "both"):
            low, high = SCALES[dtype]
            A[-3] *= dtype(low)
            A[-2] *= dtype(high)
    threshold = 2.5 / X.shape[1] ** 0.5  # so many standard deviations of the cosine
    with superblocks(superblock):
        CHECKS[name](X, Y, threads=(1, 2), **few(name, threshold))


@by_dtype
@pytest.mark.parametrize("careful", [False, True])
@by_name
def test_superblocks_of_a_self_join(name, careful, dtype, isa):
    X = normal((200, 4200), dtype)
    if careful:
        X[-3] *= dtype(SCALES[dtype][0])
    with superblocks(96):
        CHECKS[name](X, threads=(1, 2), **few(name, 0.04))


@by_dtype
def test_lists_of_some_rows_at_a_time(dtype, isa):
    """So large a k that the lists of all rows do not fit: the corpus is read several times."""
    check_top_k(normal((300, 3), dtype, 1), normal((3000, 3), dtype, 2), ks=(2500, 3000))


# angles of the corpus to a query, in the order of its rows: what a list is cut down by a sample of
ORDERS = {
    "random": lambda m: np.random.default_rng(0).permutation(m),
    "ever nearer": lambda m: np.arange(m)[::-1],
    "ever farther": np.arange,
    "one angle": np.zeros,
    "few angles": lambda m: np.arange(m) % 7,
    "every 12th near": lambda m: np.where(np.arange(m) % 12 == 0, 0, 1 + np.arange(m)),
}


@pytest.mark.costly
@by_dtype
@pytest.mark.parametrize("order", ORDERS)
def test_long_lists(order, dtype, isa):
    m = 6000
    angles = ORDERS[order](m) / m
    Y = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    X = normal((70, 2), dtype)
    X[0] = 1, 0
    check_top_k(X, Y, ks=(350, 700, 1500), threads=(1, 2, 2))
    check_top_k(Y[:1200], ks=(350, 700), threads=(2,))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(5, 700, 40), (200, 190, 300), (3, 3, 20_000)])
@by_name
def test_threads(name, shape, n_threads, isa):
    n, m, n_features = shape
    X, Y = normal((n, n_features), np.float32, 1), normal((m, n_features), np.float32, 2)
    CHECKS[name](X, Y, threads=(n_threads,))
    CHECKS[name](Y, threads=(n_threads,))


@st.composite
def small_integers(draw):
    """Few values, so that ties, equal rows and zero rows are common."""
    n_features = draw(st.integers(1, 5))
    dtype = draw(st.sampled_from([np.int8, np.float16, np.float32, np.float64]))
    elements = st.integers(-2, 2).map(dtype)

    def rows(most):
        shape = st.tuples(st.integers(1, most), st.just(n_features))
        return hnp.arrays(dtype, shape, elements=elements)

    X, Y = draw(rows(60)), draw(st.none() | rows(120))
    return (np.repeat(X, 2, axis=0) if Y is None else X), Y


@by_name
@given(problem=small_integers(), zero=st.sampled_from(["zero", "nan"]), data=st.data())
def test_any_small_rows(name, isa, problem, zero, data):
    dtype = data.draw(st.sampled_from([None, np.float32, np.float64]))
    X, Y = problem
    values = {
        "cosine_top_k": ("ks", st.integers(1, len(X if Y is None else Y) - (Y is None) or 1)),
        "cosine_pairs": ("thresholds", st.sampled_from([-1, 0, 0.5, 0.75**0.5, 1])),
    }
    keyword, value = values[name]
    CHECKS[name](X, Y, zero=zero, dtype=dtype, **{keyword: [data.draw(value)]})


@by_name
@given(data=st.data())
def test_any_floats(name, isa, data):
    """Any finite numbers, rows of any scale."""
    dtype = data.draw(st.sampled_from(FLOATS))
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(allow_nan=False, allow_infinity=False, width=width)
    X = data.draw(hnp.arrays(dtype, st.tuples(st.integers(2, 9), st.just(3)), elements=elements))
    CHECKS[name](X)
    CHECKS[name](X[:2], X)


def test_cosines_far_below_minus_one_are_minus_one(isa):
    """Sums of 16,384 equal products err by more than a quick comparison allows for."""
    d = 16384
    for a, b in (
        (1.2616121768951416, 1.29849112033844),
        (1.891209363937378, 1.7755639553070068),
        (1.6038055419921875, 1.1126328706741333),
    ):
        X, Y = np.full((8, d), a, np.float32), np.full((480, d), -b, np.float32)
        assert (unitdot.cosine_similarity(X, Y) == -1).all()
        assert len(unitdot.cosine_pairs(X, Y, threshold=-1).rows) == 8 * 480
        top = unitdot.cosine_top_k(X, Y, 10, n_threads=2)
        np.testing.assert_array_equal(top.indices, np.tile(np.arange(10), (8, 1)))
