"""Searches by what is kept of the corpus give what searches without give: bits, order and ties."""

from copy import copy

import numpy as np
import pytest

import unitdot
from unitdot import CosineIndex, _neighbors, _options, _prepared
from unitdot._machine import dispatch
from unitdot._machine.dispatch import use_isa
from unitdot._prepared import Prepared

from ..helpers import FUSED_ISAS, ISAS, assert_same_bits

DTYPES = (np.float32, np.float64, np.float16, np.int8)
KINDS = ("axes", "directions", "embeddings")
N, QUERIES = 2100, 9


def make_rows(kind, dtype, n=N, features=136, seed=0):
    """`axes`: no direction has more energy than others; `directions`: few have most of it;
    `embeddings`: in between."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, features))
    if kind == "directions":
        basis = np.random.default_rng(1).standard_normal((8, features))
        rows = rows[:, :8] @ basis + 0.1 * rows
    elif kind == "embeddings":
        rows *= np.linspace(3, 0.2, features) ** 2
    if dtype == np.int8:
        rows *= 120 / np.abs(rows).max()
    return rows.astype(dtype)


def corpus_and_queries(kind, dtype, features=136):
    rows = make_rows(kind, dtype, N + QUERIES, features)
    Y, X = rows[:N].copy(), rows[N:].copy()
    Y[100:140] = Y[3]  # ties
    Y[77] = 0
    X[0], X[1], X[2] = Y[3], 0, -Y[5]
    return Y, X


def options(zero="zero", dtype=None, n_threads=2):
    return _options.check_options((dtype, zero, True, n_threads))


def top_k(X, Y, k, prepared, threshold=None, where=None, **keywords):
    with pytest.MonkeyPatch.context() as monkeypatch:  # however many they are, and want
        monkeypatch.setattr(_prepared, "MOST_PART", 1)
        monkeypatch.setattr(_prepared, "MOST_PART_VNNI", 1)
        return _neighbors.top_k_of(
            X, Y, k, threshold, where, None, False, False, options(**keywords), prepared
        )


def assert_same_neighbours(actual, expected):
    np.testing.assert_array_equal(actual.indices, expected.indices)
    assert_same_bits(actual.similarities, expected.similarities)


def assert_same_pairs(actual, expected):
    for got, right in zip(actual, expected, strict=True):
        assert_same_bits(got, right)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, 131])
@pytest.mark.parametrize("zero", ["zero", "nan"])
def test_top_k_is_that_of_the_rows(isa, dtype, kind, k, zero):
    Y, X = corpus_and_queries(kind, dtype)
    with use_isa(isa):
        prepared = Prepared.of(Y)
        for queries in (X, X[0], X[4:5]):
            found = top_k(queries, Y, k, prepared, zero=zero)
            assert_same_neighbours(found, unitdot.cosine_top_k(queries, Y, k, zero=zero))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["some", "most", "last", "mask"])
def test_only_some_rows_are_found(dtype, kind, where):
    Y, X = corpus_and_queries(kind, dtype)
    chosen = {
        "some": np.arange(0, 2 * 1030, 2)[::-1],
        "most": np.setdiff1d(np.arange(N), [3, 4, 120]),
        "last": slice(N - 1100, None),
        "mask": np.arange(N) % 7 != 3,
    }[where]
    prepared = Prepared.of(Y)
    found = top_k(X, Y, 20, prepared, where=chosen)
    assert_same_neighbours(found, unitdot.cosine_top_k(X, Y, 20, where=chosen))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_few_of_many_rows_are_found(kind, dtype):
    Y = make_rows(kind, dtype, 9000)
    X = make_rows(kind, dtype, 5, seed=2)
    chosen = np.random.default_rng(3).choice(len(Y), 1500, replace=False)
    found = top_k(X, Y, 12, Prepared.of(Y), where=chosen)
    assert_same_neighbours(found, unitdot.cosine_top_k(X, Y, 12, where=chosen))


@pytest.mark.parametrize("isa", FUSED_ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_that_are_met_just_so(isa, kind):
    Y, X = corpus_and_queries(kind, np.float32)
    with use_isa(isa):
        prepared = Prepared.of(Y)
        value = unitdot.cosine_top_k(X[3:], Y, 30).similarities[:, 20].max()
        beside = [np.nextafter(value, np.float32(end)) for end in (-2, 2)]
        for threshold in map(float, (value, *beside, 1, 0, -1)):
            found = top_k(X, Y, 40, prepared, threshold)
            expected = unitdot.cosine_top_k(X, Y, 40, threshold=threshold)
            assert_same_neighbours(found, expected)
            pairs = _neighbors.pairs_of(X, Y, threshold, None, None, False, options(), prepared)
            assert_same_pairs(pairs, unitdot.cosine_pairs(X, Y, threshold=threshold))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("kind", KINDS)
def test_many_queries_and_their_pairs(dtype, kind):
    Y = make_rows(kind, dtype, 3000)
    X = np.concatenate([make_rows(kind, dtype, 500, seed=4), Y[::50]])
    prepared = Prepared.of(Y)
    assert_same_neighbours(top_k(X, Y, 10, prepared), unitdot.cosine_top_k(X, Y, 10))
    for threshold in (0.6, 0.02):  # the first line of heads leaves few, or most
        pairs = _neighbors.pairs_of(X, Y, threshold, None, None, False, options(), prepared)
        assert pairs.n_pairs >= 60
        assert_same_pairs(pairs, unitdot.cosine_pairs(X, Y, threshold=threshold))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("threshold", "queries", "left"), [(0.9, 300, 0), (0.02, 300, 1), (0.02, 100, 0)]
)
def test_pairs_are_left_where_most_rows_are_near(isa, threshold, queries, left, monkeypatch):
    Y = make_rows("embeddings", np.float32, 2000)
    X = make_rows("embeddings", np.float32, queries, seed=4)
    with use_isa(isa):
        kernels, kept = dispatch.kernels(False), []
        find = kernels.pairs
        monkeypatch.setattr(
            kernels,
            "pairs",
            lambda *given, **named: kept.append(named["kept"]) or find(*given, **named),
        )
        prepared = Prepared.of(Y)
        _neighbors.pairs_of(X, Y, threshold, None, None, False, options(), prepared)
    assert [one is None for one in kept] == [False, True][: 1 + left]


@pytest.mark.parametrize("isa", ISAS)
def test_a_search_is_left_where_all_rows_take_less(isa):
    Y = make_rows("directions", np.float32, 30_000, 64)
    with use_isa(isa):
        prepared = Prepared.of(Y)
        for queries, most in ((1, 300), (16, 46), (1000, 5 if isa.endswith("vnni") else 7)):
            for k in (most, most + 1):
                assert prepared.serves(False, options(), len(Y), len(Y), k, queries) == (k == most)
            assert prepared.serves(False, options(), len(Y), len(Y), 0, queries)


@pytest.mark.parametrize("isa", ISAS)
def test_many_queries_of_rows_without_directions_go_without(isa, monkeypatch):
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((24_000, 64)).astype(np.float32)
    X = rng.standard_normal((1001, 64)).astype(np.float32)
    most = 800 if isa.endswith("vnni") else 160 if isa in FUSED_ISAS and "neon" not in isa else 1
    with use_isa(isa):
        kernels, searched = dispatch.kernels(False), []
        find = kernels.top_k

        def counted(*given, **named):
            status = find(*given, **named)
            if named.get("kept") is not None:
                searched.append(not status & kernels.NEEDS_CARE)
            return status

        monkeypatch.setattr(kernels, "top_k", counted)
        index = CosineIndex(Y)
        for queries in (most, most + 1):
            index.top_k(X[:queries], k=1)
    assert searched == [True, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["all", "most"])
@pytest.mark.parametrize("likely", ["few", "many", "more than there is room for"])
@pytest.mark.costly
def test_likely_rows_are_listed(kind, where, likely, isa):
    """Of more rows than distances are kept of: all of a query's neighbours are in its list, or it
    is searched for without."""
    Y = make_rows(kind, np.float32, 66_001)
    X = np.concatenate([make_rows(kind, np.float32, 140, seed=4), Y[::6000]])
    X[3] = 0
    if likely == "many":  # nothing along the directions: all rows are as far away, and few alike
        leading = np.linalg.svd(Y[:2000], full_matrices=False)[2][:64]
        X[:20] = make_rows("axes", np.float32, 20, seed=5)
        X[:20] -= X[:20] @ leading.T @ leading
        X[1:20:2] = Y[1:60_000:6000]  # and beside them some whose lists have all, at distance 0
    elif likely != "few":  # most rows are like most queries, but for those of the sample
        blocks = -(-len(Y) // 64)
        sampled = np.isin(np.arange(len(Y)) // 64, np.arange(16) * blocks // 16)
        noise = 1e-3 * np.random.default_rng(6).standard_normal((len(Y), 1), np.float32)
        Y = np.where(sampled[:, None], Y, Y[0] + noise * Y)
        X[:100] = Y[64:164]
    chosen = None if where == "all" else np.arange(len(Y)) % 3 != 1
    found = top_k(X, Y, 10, Prepared.of(Y), where=chosen)
    assert_same_neighbours(found, unitdot.cosine_top_k(X, Y, 10, where=chosen))


@pytest.mark.parametrize("extreme", [1e-30, 1e30, 1e-42])
@pytest.mark.parametrize("side", ["corpus", "queries"])
def test_rows_of_any_scale(extreme, side):
    Y, X = corpus_and_queries("directions", np.float32)
    rows = Y if side == "corpus" else X
    rows[5] *= np.float32(extreme)
    prepared = Prepared.of(Y)
    assert_same_neighbours(top_k(X, Y, 10, prepared), unitdot.cosine_top_k(X, Y, 10))
    pairs = _neighbors.pairs_of(X, Y, 0.5, None, None, False, options(), prepared)
    assert_same_pairs(pairs, unitdot.cosine_pairs(X, Y, threshold=0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_came_later_and_unlike_the_first(kind):
    first = make_rows(kind, np.float32, 1200)
    others = make_rows("axes", np.float32, 900, seed=5)
    others[:50] = 0
    others[50:60, 1:] = 0  # an axis: one element has it all
    prepared = Prepared.of(first)
    rows = np.concatenate([first, others])
    longer = prepared.extended(rows)
    X = np.concatenate([first[:5], others[45:55], -others[-5:]])
    assert_same_neighbours(top_k(X, rows, 25, longer), unitdot.cosine_top_k(X, rows, 25))
    assert_same_neighbours(top_k(X, first, 25, prepared), unitdot.cosine_top_k(X, first, 25))
    numbers = np.random.default_rng(6).permutation(len(rows))[:1500]
    some = np.ascontiguousarray(rows[numbers])
    assert_same_neighbours(
        top_k(X, some, 25, longer.kept(numbers)), unitdot.cosine_top_k(X, some, 25)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["axes", "directions"])
def test_what_one_machine_prepared_another_searches(dtype, kind):
    Y, X = corpus_and_queries(kind, dtype)
    expected = unitdot.cosine_top_k(X, Y, 10)
    for maker in FUSED_ISAS:
        with use_isa(maker):
            arrays = Prepared.of(Y).arrays()
        for isa in FUSED_ISAS:
            with use_isa(isa):
                opened = Prepared.from_arrays(arrays, *Y.shape, Y.dtype)
                assert_same_neighbours(top_k(X, Y, 10, opened), expected)


@pytest.mark.parametrize("kind", ["axes", "directions"])
def test_integers_as_large_as_there_are(kind, isa):
    """All of a row's length is in coordinates that are cut off: sums of products are at their
    largest, and only just have room."""
    Y = make_rows(kind, np.float32)
    place = np.eye(136, dtype=np.float32)
    if kind == "directions":
        place = Prepared.of(Y).arrays()["directions"]
    for i in range(5):  # other rows than those of the sample
        Y[101 + 2 * i] = place[i] + place[i + 1]
        Y[102 + 2 * i] = -place[i] - place[i + 1]
    X = Y[101:111]
    prepared = Prepared.of(Y)
    for queries in (X[:1], X):
        found = top_k(queries, Y, 3, prepared)
        assert_same_neighbours(found, unitdot.cosine_top_k(queries, Y, 3))


def test_queries_of_another_precision_and_results_of_another_dtype():
    Y, X = corpus_and_queries("directions", np.float32)
    prepared = Prepared.of(Y)
    for queries, dtype in ((X.astype(np.float64), None), (X, np.float64), (X.astype(int), None)):
        found = top_k(queries, Y, 10, prepared, dtype=dtype)
        assert_same_neighbours(found, unitdot.cosine_top_k(queries, Y, 10, dtype=dtype))
    wide = Y.astype(np.float64)
    found = top_k(X, wide, 10, Prepared.of(wide), dtype=np.float32)
    assert_same_neighbours(found, unitdot.cosine_top_k(X, wide, 10, dtype=np.float32))


def test_zero_rows_are_refused_by_name():
    Y, X = corpus_and_queries("directions", np.float32)
    prepared = Prepared.of(Y)
    with pytest.raises(ValueError, match="X"):
        top_k(X, Y, 10, prepared, zero="raise")
    with pytest.raises(ValueError, match="Y"):
        top_k(X[3:], Y, 10, prepared, zero="raise")


@pytest.mark.parametrize("kind", ["axes", "directions"])
def test_whatever_a_file_holds_nothing_crashes(kind):
    Y, X = corpus_and_queries(kind, np.float32)
    arrays = Prepared.of(Y).arrays()
    rng = np.random.default_rng(7)
    for name, array in arrays.items():
        if name == "facts":
            continue
        altered = array.copy()
        view = altered.reshape(-1).view(np.uint8)
        view[:] = rng.integers(256, size=view.shape, dtype=np.uint8)
        opened = Prepared.from_arrays(arrays | {name: altered}, *Y.shape, Y.dtype)
        found = top_k(X, Y, 10, opened)
        assert ((found.indices >= -1) & (found.indices < N)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_instruction_set_prepared_others_search(kind):
    """With the bits of the one that searches: norms without fused multiply-adds are others'."""
    Y, X = corpus_and_queries(kind, np.float32)
    for made in ISAS:
        with use_isa(made):
            prepared, index = Prepared.of(Y), CosineIndex(Y)
            index.add(Y[:50])
        for other in ISAS:
            with use_isa(other):
                served = (made == "baseline") == (other == "baseline")
                assert prepared.serves(False, options(), N, N) == served
                assert_same_neighbours(top_k(X, Y, 10, prepared), unitdot.cosine_top_k(X, Y, 10))
                known, rows = copy(index), np.vstack([Y, Y[:50], X])
                known.add(X)  # norms of both kinds
                for one, corpus in ((index, rows[: N + 50]), (known, rows)):
                    expected = unitdot.cosine_pairs(X, corpus, threshold=0.3)
                    for ours, plain in zip(one.pairs(X, threshold=0.3), expected, strict=True):
                        assert_same_bits(ours, plain)


@pytest.mark.parametrize("where", [slice(None, None, 2), slice(None, None, -2), slice(5, 5)])
def test_slices(where):
    Y, X = corpus_and_queries("embeddings", np.float32)
    found = unitdot.CosineIndex(Y).top_k(X, 3, where=where)
    assert_same_neighbours(found, unitdot.cosine_top_k(X, Y, 3, where=np.arange(N)[where]))


@pytest.mark.parametrize("kind", ["axes", "embeddings"])
def test_coordinates_that_are_all_rounded_apart(kind, isa):
    """Two rows that are all but one, whose integers in the last line are as far apart as the errors
    of both rows add up to: none of these may be left out."""
    for parts in ((-0.01, 0.01), (-1.01, -0.49)):  # a query may have even integers
        find_what_is_rounded_apart(kind, parts)


def find_what_is_rounded_apart(kind, parts):
    Y = make_rows(kind, np.float64, features=264)
    arrays = Prepared.of(Y).arrays()
    if kind == "axes":
        directions, rounded = np.eye(264), slice(0, 263)
    else:
        directions, rounded = arrays["directions"], slice(-64, None)
        assert len(directions) == 128
    unit, level = arrays["units"][-1], 24 if kind == "axes" else 12
    level -= parts[1] == 0.01 and 0.5
    sides = np.where(np.arange(len(directions)) % 2, 1, -1)  # so that norms are about the same
    rows = []
    for part in parts:
        along = np.zeros(len(directions))
        along[rounded] = (level + part * sides[rounded]) * unit
        row = np.linalg.solve(directions @ directions.T, along) @ directions
        # the rest of the norm lies where nothing else does
        rest = np.eye(264)[263] if kind == "axes" else np.linalg.svd(directions)[2][-1]
        rows.append(row + np.sqrt(1 - row @ row) * rest)
    X, Y[1] = np.array(rows[:1]), rows[1]  # which is not in the sample
    prepared = Prepared.of(Y)
    assert_same_bits(prepared.arrays()["units"], arrays["units"])
    similarity = float(unitdot.cosine_similarity(X, Y)[0, 1])
    assert similarity > 0.999
    for queries in (1, 8):  # one by one, and some at a time
        x = X.repeat(queries, axis=0)
        found = _neighbors.pairs_of(x, Y, similarity, None, None, False, options(), prepared)
        assert_same_pairs(found, unitdot.cosine_pairs(x, Y, threshold=similarity))
        assert found.n_pairs == queries
    assert top_k(X, Y, 1, prepared, similarity).indices == 1


@pytest.mark.parametrize("where", [None, [0, 2], slice(3)])
def test_a_pair_of_labels_without_queries_is_refused_whatever_is_left_out(where):
    index = unitdot.CosineIndex(np.eye(4))
    for search in (index.pairs, index.top_k):
        with pytest.raises(TypeError, match="groups is a pair without a Y"):
            search(where=where, groups=([0] * 4, [0] * 4))


def test_coordinates_beyond_the_largest_integer(isa):
    """Cut off at the same place of a query and of a row, whose integers need not be the same."""
    rng = np.random.default_rng(0)
    features, many, beyond = 136, 100, 127.2  # in units of the integers
    norm2 = many * beyond * beyond
    Y = rng.integers(102, 116, (2048, features))
    # of integers, and all of one norm, or nearly: rounding leaves next to nothing
    while (wrong := abs(more := (Y * Y).sum(axis=1) - norm2) > 60).any():
        column = rng.integers(features)
        Y[wrong, column] = np.clip(Y[wrong, column] - np.sign(more[wrong]), 60, 115)
    Y = (Y * rng.choice([-1, 1], Y.shape)).astype(np.float32)
    Y[0, 0] = 1270 / 11  # the largest of the rows that tell the unit, which is 1
    Y[1001] = 0
    Y[1001, :many] = beyond
    found = unitdot.CosineIndex(Y).top_k(Y[1001:1002], 1)
    assert found.indices == 1001
    assert found.similarities == 1
