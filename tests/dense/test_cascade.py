"""The cascade (heads.pxi): distances along a few directions rule out most outputs, and never one
that counts, whatever the directions are.

Shapes are those that the screen takes (test_screen.py); heads are forced, since such small work
would not be worth their making.
"""

from contextlib import contextmanager

import numpy as np
import pytest

import unitdot
from unitdot import TopK
from unitdot._machine.dispatch import active_isa, kernels

from ..helpers import SCREENED_ISAS, normal
from ..neighbors import assert_same_result, check_pairs, check_top_k, reaching, sorted_matrix

both = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# lines of 64 coordinates, and how many words of four of them are compared in batches
steps = pytest.mark.parametrize(
    ("lines", "words"),
    [(1, 4), (1, 6), (1, 8), (1, 14), (1, 16), (2, 10), (2, 32), (3, 16), (3, 32)],
)


@contextmanager
def heads(dtype, lines=1, words=8, directions=None, used=True):
    """Heads wherever there is a screen; `used`: and they are."""
    if used and active_isa() not in SCREENED_ISAS:
        pytest.skip("this instruction set has no screen")
    module = kernels(dtype == np.float64)
    module.force_heads(lines, words, directions)
    try:
        yield
        assert module.headed() > 0 or not used
    finally:
        module.force_heads(0, 0)


def low_rank(n, rank, n_features=200, seed=0):
    """Rows of so few dimensions: heads along them are as far apart as the rows."""
    return normal((n, rank), seed=seed) @ normal((rank, n_features), seed=1)


def leading(X, lines):
    """The best directions, so that no call has to find them anew."""
    return np.linalg.svd(X.astype(float), full_matrices=False)[2][: 64 * lines]


def check(X, Y=None, *, thresholds=(), ks=(1, 3), **options):
    check_top_k(X, Y, ks=ks, threads=(1, 2), **options)
    check_pairs(X, Y, thresholds=thresholds, threads=(1, 2), **options)


def values_near(S, *quantiles):
    """Values of the matrix, and the numbers next to them on both sides."""
    values = np.quantile(S, quantiles, method="nearest")
    near = [t for v in values for t in (np.nextafter(v, S.dtype.type(-1)), v, np.nextafter(v, 1))]
    return [float(t) for t in near]


@steps
@both
def test_limits_that_are_values_of_the_matrix(lines, words, dtype, isa):
    X, Y = (low_rank(n, 12, seed=n).astype(dtype) for n in (130, 1500))
    X[3], Y[7] = Y[8] * 2, -Y[9]
    with heads(dtype, lines, words, leading(Y, lines)):
        S = unitdot.cosine_similarity(X, Y)
        check(X, Y, thresholds=values_near(S, 0.5, 0.9, 0.999, 1))


@steps
@both
def test_self_joins(lines, words, dtype, isa):
    X = low_rank(1300, 9).astype(dtype)
    X[5] = X[1200]
    with heads(dtype, lines, words, leading(X, lines)):
        S = unitdot.cosine_similarity(X)
        check(X, thresholds=values_near(S, 0.98, 0.9999))


@pytest.mark.parametrize("n_rows", [96, 97, 111, 113, 145])
@pytest.mark.parametrize("n_columns", [1535, 1536, 1537, 1585])
@both
def test_edges_of_tiles(n_rows, n_columns, dtype, isa):
    X, Y = (low_rank(n, 20, 64, seed=n).astype(dtype) for n in (n_rows, n_columns))
    X[-1], Y[-1] = Y[-2], X[-2] * 3
    with heads(dtype, 1, 6):
        check(X, Y, thresholds=(0.6, 0.99), ks=(1,))


@pytest.mark.parametrize("n_features", [64, 65, 127, 129, 384, 1030])
@both
def test_features(n_features, dtype, isa):
    X, Y = (low_rank(n, 30, n_features, seed=n).astype(dtype) for n in (100, 1400))
    with heads(dtype, 2 if n_features > 128 else 1, 10):
        check(X, Y, thresholds=(0.3, 0.7))


@both
def test_rows_an_ulp_apart(dtype, isa):
    X = normal((400, 100), dtype)
    Y = np.repeat(X, 4, axis=0)
    Y[1::4] = np.nextafter(Y[1::4], 9)
    Y[2::4, 17] = np.nextafter(Y[2::4, 17], 9)
    with heads(dtype):
        values = np.unique(unitdot.cosine_similarity(X[:40], Y)[:, :160])[-3:]
        check(X, Y, thresholds=(1, *map(float, values)), ks=(1, 5))


def turned(n, words):
    """Directions that batches of several lines turn into the axes."""
    H = np.ones((1, 1))
    while words > 16 and len(H) < words // 4:
        H = np.kron([[1, 1], [1, -1]], H) / 2**0.5
    axes = np.eye(n, n + 64)
    axes[: 16 * len(H)] = np.kron(H, np.eye(16)) @ axes[: 16 * len(H)]
    return axes


def unlucky(coordinates, apart, units):
    """Two unit rows, with a tail in common, whose first `coordinates` are all rounded away from one
    another, by nearly half a unit each: their distance grows by all that it can."""
    less = 0.5 - apart / (2 * units[0] * coordinates**0.5) if apart < units[0] else 0.49
    low, high = 1 + less, 2 - less if apart < units[0] else 3 - less
    rows = np.zeros((2, len(units) + 64))
    rows[0, :coordinates] = np.tile([high, low], coordinates // 2) * units[:coordinates]
    rows[1, :coordinates] = np.tile([low, high], coordinates // 2) * units[:coordinates]
    rows[:, -1] = (1 - (rows[0] ** 2).sum()) ** 0.5
    return rows


# which bar the coordinates fill: of the batches, of the first line, of several lines
@pytest.mark.parametrize(
    ("lines", "words", "coordinates"),
    [(1, 8, 32), (1, 16, 64), (1, 8, 64), (2, 32, 128), (2, 8, 128), (3, 16, 192), (3, 32, 192)],
)
@pytest.mark.parametrize("apart", [2.4e-4, 1])  # 1: a unit and a little
@both
def test_every_coordinate_rounded_the_wrong_way(lines, words, coordinates, apart, dtype, isa):
    """|q - t| is all that the bound allows for: no error may be left out of it."""
    levels = 127 if isa == "avx512vnni" else 63
    rng = np.random.default_rng(5)
    X, Y = (rng.standard_normal((n, lines * 64 + 64)) for n in (110, 1500))
    # of each line one coordinate is so much: 0.8 times that are as many units as there are levels
    largest = np.repeat([0.5, 0.45, 0.4][:lines], 64)
    for rows in X, Y:
        at = np.tile(np.eye(64, dtype=bool), (len(rows) // 64 + 1, lines))[: len(rows)]
        rows[:, :-64] = np.where(at, largest, 0.02 * rows[:, :-64])
        rest = 1 - (rows[:, :-64] ** 2).sum(axis=1)
        rows[:, -64:] *= (rest**0.5 / np.linalg.norm(rows[:, -64:], axis=1))[:, None]
    if words > 16:
        largest[:128] = 0.5  # lines of a batch have the same unit
    X *= -1  # and so is far from all of Y
    X[70], Y[1203] = unlucky(coordinates, apart, 0.8 * largest / levels)
    X, Y = X.astype(dtype), Y.astype(dtype)
    same = np.vstack([np.repeat(X[70:71], 20, axis=0), Y])  # whose limits are 1, but not the last
    with heads(dtype, lines, words, turned(lines * 64, words)):
        threshold = unitdot.cosine_similarity(X, Y)[70, 1203]
        check_pairs(X, Y, thresholds=[float(threshold)])
        found = unitdot.cosine_top_k(same, k=1, threshold=threshold, n_threads=1)
    expected = sorted_matrix(unitdot.cosine_similarity(same), own=False)
    assert expected.indices[1223, 0] == 0
    assert_same_result(found, reaching(TopK(*(a[:, :1] for a in expected)), threshold))


@both
def test_every_element_rounded_the_wrong_way(dtype, isa):
    """Rows go along directions in integers of 16 bits: two, all of whose elements are rounded away
    from one another by nearly half of 2^-14, seem further apart than they are."""
    levels, step = (127, 1) if isa == "avx512vnni" else (63, 2)
    largest = step / 512 * levels / 0.8  # so that an integer stands for step / 512
    walsh = np.ones((1, 1))
    while len(walsh) < 1024:
        walsh = np.kron([[1, 1], [1, -1]], walsh)
    walsh = walsh[:64] / 32
    rng = np.random.default_rng(5)
    X, Y = (rng.standard_normal((n, 128)) for n in (110, 1500))
    for rows in X, Y:
        at = np.tile(np.eye(64, dtype=bool), (len(rows) // 64 + 1, 1))[: len(rows)]
        # all others are whole steps: no error of theirs leaves room
        rows[:, :64] = np.where(at, largest, np.rint(10 / step * rows[:, :64]) * step / 512)
        rest = 1 - (rows[:, :64] ** 2).sum(axis=1)
        rows[:, 64:] *= (rest**0.5 / np.linalg.norm(rows[:, 64:], axis=1))[:, None]
    X, Y = (np.hstack([rows[:, :64] @ walsh, rows[:, 64:]]) for rows in (-X, Y))
    for row, element in (X[70], -59.51), (Y[1203], 59.51):
        row[:1024], row[1024:] = element / 2**14, 0
        row[-1] = (1 - (row**2).sum()) ** 0.5
    X, Y = X.astype(dtype), Y.astype(dtype)
    with heads(dtype, 1, 8, np.hstack([walsh, np.zeros((64, 64))])):
        threshold = unitdot.cosine_similarity(X, Y)[70, 1203]
        check_pairs(X, Y, thresholds=[float(threshold)])


@pytest.mark.parametrize("words", [12, 16])
@both
def test_heads_a_step_apart(words, dtype, isa):
    """Most coordinates round up together between rows that are all but equal."""
    shift = np.linspace(0, 0.003, 1500)[:, None]
    X = (np.ones((1500, 64)) / 8 + np.repeat([1, -3], [48, 16]) * shift).astype(dtype)
    with heads(dtype, 1, words, np.eye(64)):
        check(X[:700:3], X, thresholds=(1 - 1e-6, 1 - 4e-7), ks=(1,))


def difficult(kind, n, dtype):
    X = low_rank(n, 40, 130, seed=n)
    if kind == "one huge element":
        X[:, 5] = 300
    elif kind == "few nonzeros":
        X[np.random.default_rng(n).random(X.shape) > 0.03] = 0
        X[:, 0] += 1e-3
    elif kind == "constant":
        X[:] = np.sign(X[:, :1]) * np.linspace(1, 2, n)[:, None]
    elif kind == "another space later":
        X[n // 2 :] = normal((n - n // 2, 130), seed=n + 1)
        X[: n // 2, 65:], X[n // 2 :, :65] = 0, 0
    elif kind == "zero rows":
        X[::3] = 0
    elif kind == "scales":
        X *= 2.0 ** np.random.default_rng(n).integers(-20, 20, (n, 1))
    elif kind == "care":
        X[n // 2] *= 1e-25
    return X.astype(dtype)


@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize(
    "kind",
    [
        "one huge element",
        "few nonzeros",
        "constant",
        "another space later",
        "zero rows",
        "scales",
        "care",
    ],
)
@both
def test_difficult_rows(kind, zero, dtype, isa):
    X, Y = difficult(kind, 120, dtype), difficult(kind, 1400, dtype)
    with heads(dtype, 1, 8, used=kind != "care"):
        S = unitdot.cosine_similarity(X, Y, zero=zero)
        S = S[~np.isnan(S)]
        check(X, Y, thresholds=[*values_near(S, 0.95, 0.999), 0, -0.1], zero=zero)
        check(Y, thresholds=[0.9], ks=(2,), zero=zero)


def bad(kind, n_features):
    B = np.linalg.qr(normal((n_features, n_features)))[0][:64]
    return {
        "not orthonormal": lambda: B + 1e-3 * normal(B.shape, seed=2),
        "too long": lambda: B * 7,
        "equal": lambda: np.repeat(B[:4], 16, axis=0),
        "nothing": lambda: B * 0,
        "not numbers": lambda: np.where(np.arange(64)[:, None] == 9, np.nan, B),
        "infinite": lambda: np.where(np.arange(64)[:, None] == 9, np.inf, B),
    }[kind]()


@pytest.mark.parametrize(
    "kind", ["not orthonormal", "too long", "equal", "nothing", "not numbers", "infinite"]
)
@both
def test_bad_directions(kind, dtype, isa):
    X, Y = (normal((n, 70), dtype, seed=n) for n in (110, 1400))
    X[:50] = Y[:50] + 0.2 * X[:50]
    with heads(dtype, 1, 8, bad(kind, 70), used=kind not in ("not numbers", "infinite")):
        S = unitdot.cosine_similarity(X, Y)
        check(X, Y, thresholds=values_near(S, 0.9, 0.9999))


@both
def test_rows_that_the_sample_has_not_seen(dtype, isa):
    """Some whose heads are cut off, since those of the sample are far smaller."""
    X, Y = (low_rank(n, 50, 130, seed=n) for n in (120, 1500))
    spike = np.linalg.svd(Y, full_matrices=False)[2][0] * 1e4
    X[[7, 50]] += spike
    Y[[601, 602, 1203]] += spike
    X, Y = X.astype(dtype), Y.astype(dtype)
    with heads(dtype, 1, 6):
        S = unitdot.cosine_similarity(X, Y)
        check(X, Y, thresholds=values_near(S, 0.9, 0.9999))


@pytest.mark.parametrize("same", [True, False])
@both
def test_heads_that_rule_out_too_little(same, dtype, isa):
    """The superblock is undone and goes by the screen, not by heads again and again."""
    X = normal((1300, 64), dtype)
    Y = None if same else normal((1400, 64), dtype, seed=1)
    best = unitdot.cosine_top_k(X, Y, k=3)
    with heads(dtype, 1, 4):
        assert_same_result(unitdot.cosine_top_k(X, Y, k=3, threshold=0.1), reaching(best, 0.1))


def test_results_that_are_dense_go_without_heads(isa):
    """One superblock of three tells that almost all has to be computed."""
    X = (1 + 0.01 * normal((66_000, 64))).astype(np.float32)
    with heads(np.float32, 1, 16):
        assert unitdot.cosine_pairs(X[:96], X, threshold=0.5).n_pairs == 96 * 66_000
        assert kernels(False).headed() == 1


@both
def test_it_chooses_by_itself_and_leaves_no_trace(dtype, isa):
    X = np.vstack([low_rank(6000, 24, 128, seed=3), low_rank(3000, 24, 128, seed=3) + 1e-3])
    X = (X + 0.2 * normal(X.shape)).astype(dtype)
    Y = np.vstack([X, X, X])  # fewer would not be worth directions, whatever these rule out
    module = kernels(dtype == np.float64)
    with heads(dtype, 0, 0):
        found = unitdot.cosine_pairs(X, threshold=0.98)
        headed = module.headed()
        few = unitdot.cosine_top_k(X[:4095], Y, k=5)
        assert module.headed() == headed
        best = unitdot.cosine_top_k(X[:4096], Y, k=5)
        assert module.headed() > headed
        headed = module.headed()
        limited = unitdot.cosine_top_k(X, k=5, threshold=0.98)  # which is known beforehand
        assert module.headed() > headed
    with heads(dtype, 1, 16, np.full((64, 128), np.nan), used=False):  # so there are none
        assert_same_result(unitdot.cosine_pairs(X, threshold=0.98), found)
        for found_with, queries in ((few, X[:4095]), (best, X[:4096])):
            assert_same_result(unitdot.cosine_top_k(queries, Y, k=5), found_with)
        assert_same_result(unitdot.cosine_top_k(X, k=5, threshold=0.98), limited)
        assert module.headed() == 0
    assert headed > 0
