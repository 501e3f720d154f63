"""The screen (screen.pxi): 7- or 8-bit integers rule out most outputs, and never one that counts.

Shapes are those that it takes: 96 rows by 512, 64 features, read in place; where neighbours are
wanted, twice the columns that it leaves to the first limits, and 4 (32 + 3072 / features) for each.
From 192 neighbours on, where they are few beside the columns, a sample of Y tells the first limits
(sample.pxi).
"""

import numpy as np
import pytest

import unitdot
from unitdot import _neighbors
from unitdot._machine.dispatch import use_isa

from ..helpers import ISAS, LAYOUTS, SCREENED_ISAS, function, normal, superblocks
from ..neighbors import (
    assert_same_result,
    check_pairs,
    check_top_k,
    pairs_of_matrix,
    start_of_sorted,
)

both = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def with_screen(isa):
    # others have here what they have of fewer rows, and are slow at it
    return pytest.param(isa, marks=() if isa in SCREENED_ISAS else pytest.mark.thorough)


@pytest.fixture(params=map(with_screen, ISAS))
def isa(request):
    with use_isa(request.param):
        yield request.param


def check(X, Y=None, *, thresholds, ks=(1, 2), **options):
    """Both reductions are what the full matrix holds."""
    check_top_k(X, Y, ks=ks, threads=(1, 2), **options)
    check_pairs(X, Y, thresholds=thresholds, threads=(1, 2), **options)


@pytest.mark.parametrize("n_features", [64, 65, 71, 127, 128, 129, 384, 853, 2050, 4096])
@both
def test_features(n_features, dtype, isa):
    n_columns = max(1500, 2 * (3 << 16) // n_features + 5)
    X, Y = normal((101, n_features), dtype), normal((n_columns, n_features), dtype)
    check(X, Y, thresholds=(3 / n_features**0.5, 0.9))


@pytest.mark.parametrize("n_rows", [96, 97, 111, 112, 113, 143, 144, 145])
@pytest.mark.parametrize(
    "n_columns", [3072, 3073, 3095, 3096, 3097, 3103, 3104, 3105, 3127, 3128, 3129]
)
def test_edges_of_tiles(n_rows, n_columns, isa):
    # neighbours: of the columns after the first 512
    X, Y = normal((n_rows, 64), np.float32), normal((n_columns, 64), np.float32)
    # what comes last has a neighbour that comes last
    X[-1] = Y[-1] * np.float32(0.5)
    X[-2] = Y[-2] + Y[-1]
    check(X, Y, thresholds=(0.5,), ks=(1,))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float16, np.int64, ">f4", ">f8"])
def test_rows_that_are_converted(dtype, isa):
    X, Y = ((normal((n, 400)) * 40).astype(dtype) for n in (100, 1100))
    check(X, Y, thresholds=(0.15, 0.9))


def in_records(X):
    """Rows that are a field of records, of an odd number of bytes each."""
    records = np.zeros(len(X), [("name", "S3"), ("row", X.dtype, X.shape[1])])
    records["row"] = X
    return records["row"]


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda a: a[::-1],
        lambda a: np.pad(a, ((0, 0), (1, 6)))[:, 1:-6],
        LAYOUTS["unaligned"],
        in_records,
    ],
    ids=["Fortran", "reversed", "padded rows", "odd addresses", "records"],
)
@both
def test_layouts(layout, dtype, isa):
    X, Y = normal((100, 390), dtype), normal((1100, 390), dtype)
    check(layout(X), layout(Y), thresholds=(0.15,))


@both
def test_self_join_of_several_superblocks(dtype, isa):
    # of few dimensions: of Gaussian rows the bound tells too little
    X = (normal((1100, 12)) @ normal((12, 400), seed=1)).astype(dtype)
    with superblocks(384):
        check(X, thresholds=(0.8, 0.95), ks=(4,))


@both
def test_self_join_that_is_undone(dtype, isa):
    # rows of the second superblock that are too like those of the third
    X = normal((1100, 12)) @ normal((12, 400), seed=1)
    X[[*range(500, 540), *range(800, 1050)]] = X[500] + 1e-3 * normal((290, 400), seed=2)
    with superblocks(384):
        check_top_k(X.astype(dtype), ks=(4,))


@pytest.mark.parametrize("levels", [63, 127])
@both
def test_bound_that_is_reached(levels, dtype, isa):
    # x rounds to (levels ... 0 ...) and y to (0 ... levels ...): their integers are orthogonal, and
    # the cosine is all that rounding left, as much as the bound allows
    half = 200
    for left, share in ((0.49, 0.49), (0.49, 0), (0, 0.49)):
        x = np.repeat([levels, left], half)
        y = np.repeat([share, levels], half)
        cosine = unitdot.cosine_similarity([x], [y])[0, 0]
        others = -(x + y) + normal((1600, 2 * half)) * 4
        X = np.vstack([np.tile(x, (96, 1)) * np.arange(1, 97)[:, None], others[:2]]).astype(dtype)
        Y = np.vstack([others, y]).astype(dtype)
        check(X, Y, thresholds=(cosine * 0.9999, cosine * 1.0001), ks=(1,))


@both
def test_largest_integers(dtype, isa):
    # sums as large as they can be
    X, Y = np.sign(normal((100, 4096))), np.sign(normal((600, 4096), seed=1))
    X[:4], Y[:4] = 1, [[1], [-1], [1], [-1]]
    check(X.astype(dtype), Y.astype(dtype), thresholds=(0.99, -0.99), ks=(1,))


@pytest.mark.parametrize("sign", [1, -1])
@both
def test_outliers(sign, dtype, isa):
    # one large element leaves the others too few of the integers' levels
    X, Y = normal((100, 96)), normal((4100, 96))
    X[:, 3] = 60
    Y[:, 3] = 55 * sign
    check(X.astype(dtype), Y.astype(dtype), thresholds=(sign * 0.97, sign * 0.98))


def likeness(kind):
    """600 rows beside 2000: of those, some 330 in a row are too like the first ones to screen."""
    X, Y = normal((600, 400)), normal((2000, 400))
    X[:300] = X[0] + X[:300] * 1e-3
    alike = {
        "first": slice(0, 330),
        "later": slice(1000, 1330),
        "last": slice(1670, 2000),
        "all": slice(0, 2000),
        "few": slice(0, 2000, 33),
    }[kind]
    Y[alike] = X[0] + Y[alike] * 1e-3
    return X, Y


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["first", "later", "last", "all", "few"])
@both
def test_rows_too_like_to_screen(kind, dtype, isa):
    X, Y = (a.astype(dtype) for a in likeness(kind))
    with superblocks(240):
        check(X, Y, thresholds=(0.5, 0.999_999), ks=(1, 5, 11))
        check(Y, X, thresholds=(0.5,), ks=(1,))


@both
def test_equal_rows(dtype, isa):
    X = np.repeat(normal((60, 400)), 50, axis=0).astype(dtype)
    rng = np.random.default_rng(0)
    check(X[rng.permutation(3000)[:200]], rng.permutation(X), thresholds=(1, 0.9), ks=(1, 5))
    check(np.ones((200, 400), dtype), np.ones((3000, 400), dtype), thresholds=(1,), ks=(1, 5))


@pytest.mark.parametrize("threshold", [-1, 0, 1])
@both
def test_thresholds(threshold, dtype, isa):
    X, Y = normal((120, 64), dtype), normal((900, 64), dtype)
    X[5] = -Y[7]
    X[6] = Y[8]
    check_pairs(X, Y, thresholds=(threshold,), threads=(1, 2))
    check_pairs(Y, thresholds=(threshold,), threads=(1, 2))


@both
def test_thresholds_that_are_values(dtype, isa):
    X, Y = normal((120, 200), dtype), normal((900, 200), dtype)
    values = np.sort(unitdot.cosine_similarity(X, Y), axis=None)[-400::80]
    check_pairs(X, Y, thresholds=[*values, *np.nextafter(values, dtype(1))])


@pytest.mark.parametrize("zero", ["zero", "nan"])
@both
def test_zero_rows(zero, dtype, isa):
    X, Y = normal((120, 128), dtype), normal((4700, 128), dtype)
    X[::5] = 0
    Y[1::2] = 0
    check(X, Y, thresholds=(-0.1, 0, 0.3), ks=(1, 3), zero=zero)


@pytest.mark.costly
@pytest.mark.parametrize(("place", "n_columns"), [(0, 2400), (700, 2400), (-1, 12_000)])
@pytest.mark.parametrize("scale", [1e-30, 1e30, np.nan, np.inf])
def test_care_in_any_superblock(scale, place, n_columns, isa):
    for of_X in (True, False):
        # at the end of many rows: in a superblock after the first that is screened
        X, Y = normal((120, 1100), np.float32), normal((n_columns, 1100), np.float32)
        array = X if of_X else Y
        array[place % len(array)] *= np.float32(scale)
        S = unitdot.cosine_similarity(X, Y, check_finite=False)
        found = unitdot.cosine_top_k(X, Y, 3, check_finite=False, n_threads=1)
        assert_same_result(found, start_of_sorted(S, 3))
        pairs = unitdot.cosine_pairs(X, Y, threshold=0.1, check_finite=False, n_threads=1)
        assert_same_result(pairs, pairs_of_matrix(S, 0.1, False))
        if not np.isfinite(scale):
            for name, own in (
                ("cosine_top_k", {"k": 1}),
                ("cosine_pairs", {"threshold": 1}),
            ):
                with pytest.raises(ValueError, match="NaN or an infinity"):
                    function(name)(X, Y, **own)


@both
def test_output_in_the_other_dtype(dtype, isa):
    X, Y = normal((120, 128), dtype), normal((4700, 128), dtype)
    for other in (np.float32, np.float64):
        check(X, Y, thresholds=(0.3, 0.45), ks=(1, 3), dtype=other)


@pytest.mark.parametrize(
    ("name", "own"), [("cosine_top_k", {"k": 3}), ("cosine_pairs", {"threshold": 0.5})]
)
def test_progress_where_the_screen_gives_up(name, own):
    X, Y = (a.astype(np.float32) for a in likeness("later"))
    calls = []
    with superblocks(240):
        function(name)(X, Y, **own, progress=lambda *now: calls.append(now), n_threads=1)
    done = [now[0] for now in calls]
    assert done == sorted(set(done))
    assert calls[-1] == (len(X) * len(Y),) * 2


FEATURES, COLUMNS = 200, 25_100  # enough for 200 neighbours


def too_high(step=13, alike=100):
    """A sample of every `step`-th row of Y has far more rows like X than the others have."""
    X, Y = normal((100, FEATURES)), normal((COLUMNS, FEATURES))
    X += 3
    Y[: step * alike : step] += 3
    return X, Y


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["random", "sorted", "too high", "zero rows", "equal"])
@both
def test_limits_that_are_expected(kind, dtype, isa):
    X, Y = normal((100, FEATURES)), normal((COLUMNS, FEATURES))
    if kind == "sorted":
        Y = Y[np.argsort(Y @ X[0])]
    elif kind == "too high":
        X, Y = too_high()
    elif kind == "zero rows":
        X[::7], Y[::3] = 0, 0
    elif kind == "equal":
        X[:50], Y[::2] = X[0], X[0]
    X, Y = X.astype(dtype), Y.astype(dtype)
    check_top_k(X, Y, ks=(192, 193, 200), threads=(1, 2))
    check_top_k(X, Y, ks=(200,), zero="nan")
    other = np.float64 if dtype == np.float32 else np.float32
    check_top_k(X, Y, ks=(200,), dtype=other)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_row_that_is_short_of_what_was_expected(missing, isa):
    # the sample's 41st is the limit of 200; so many rows of the others reach it
    k, step, limit = 200, 13, 41
    X, Y = normal((100, FEATURES), np.float32) + 3, normal((COLUMNS, FEATURES), np.float32)
    Y[: step * limit : step] = Y[1 : step * (k - limit - missing) : step] = 1
    check_top_k(X, Y, ks=(k,))


def test_few_limits_are_too_high(monkeypatch, isa):
    redone = []
    monkeypatch.setattr(_neighbors._Watch, "again", lambda watch, count: redone.append(count))
    unitdot.cosine_top_k(normal((500, FEATURES)), normal((COLUMNS, FEATURES)), k=200)
    assert not redone
    unitdot.cosine_top_k(*too_high(), k=200)
    assert redone or isa not in SCREENED_ISAS


def check_some_rows(X, Y, k, rows, found):
    """Some rows of `found` are those of the sorted matrix; Y None: without the rows themselves."""
    S = unitdot.cosine_similarity(X[rows], X if Y is None else Y)
    if Y is None:
        S[np.arange(len(rows)), rows] = -2
    assert_same_result(type(found)(*(array[rows] for array in found)), start_of_sorted(S, k))


def test_limits_that_are_expected_of_a_join_with_itself(isa):
    # more lists than are kept at a time
    X = normal((28_500, 128), np.float32)
    rows = np.r_[:5, 12, 13, 26, 12_000, 28_490:28_500]
    check_some_rows(X, None, 192, rows, unitdot.cosine_top_k(X, k=192, n_threads=2))


def test_limits_that_are_expected_of_one_row_more_than_have_lists(isa):
    # limits are read of rows that there are
    X, Y = normal((519, 256), np.float32), normal((85_000, 256), np.float32)
    found = unitdot.cosine_top_k(X, Y, 1000, n_threads=1)
    check_some_rows(X, Y, 1000, np.r_[0, 516:519], found)


@pytest.mark.costly
@pytest.mark.parametrize("misses", [1, 2, 3])
def test_limits_that_are_too_high_now_and_then(misses, isa):
    # in the first of several superblocks of X, or more
    X, Y = normal((700, 256), np.float32), normal((24_000, 256), np.float32)
    X[: 200 * misses] += 3
    Y[: 13 * 100 : 13] += 3
    calls = []
    with superblocks(240):
        found = unitdot.cosine_top_k(
            X, Y, 200, n_threads=1, progress=lambda *now: calls.append(now)
        )
    check_some_rows(X, Y, 200, np.r_[:3, 300:303, 697:700], found)
    done = [now[0] for now in calls]
    assert done == sorted(set(done))
    assert calls[-1] == (len(X) * len(Y),) * 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_limits_that_are_expected_of_rows_that_are_not_finite(bad):
    X, Y = normal((100, FEATURES), np.float32), normal((COLUMNS, FEATURES), np.float32)
    Y[5], Y[26, 3] = bad, bad
    X[7, 1] = bad
    check_top_k(X, Y, ks=(200,), check_finite=False)
    with pytest.raises(ValueError, match=r"X holds .* row 7, column 1"):
        unitdot.cosine_top_k(X, Y, 200)


def test_progress_where_a_limit_was_too_high():
    X, Y = (a.astype(np.float32) for a in too_high())
    calls = []
    unitdot.cosine_top_k(X, Y, 200, progress=lambda *now: calls.append(now), n_threads=1)
    done = [now[0] for now in calls]
    assert done == sorted(set(done))
    assert calls[-1] == (len(X) * len(Y),) * 2
