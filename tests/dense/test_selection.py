"""`where`, `groups`: what the full matrix holds where rows may meet, in its bits and order."""

import datetime
import warnings
from decimal import Decimal
from functools import partial

import numpy as np
import pytest

import unitdot
from unitdot import Pairs

from ..helpers import normal
from ..neighbors import assert_same_result, most_similar, reaching, sorted_where

SIZES = [(30, 40, 5, 4), (50, 60, 16, 40), (700, 900, 64, 2)]
both = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
by_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]} x {size[1]}")


def rows(size):
    n, m, n_features, count = size
    rng = np.random.default_rng(n)
    X, Y = (rng.standard_normal((r, n_features)).astype(np.float32).round(1) for r in (n, m))
    X[3], X[5], Y[2] = X[7], 0, X[9]
    return X, Y, rng.integers(count, size=n), rng.integers(count + 1, size=m)


def given(sparse, *matrices):
    if not sparse:
        return matrices
    return tuple(map(pytest.importorskip("scipy.sparse").csr_array, matrices))


@both
@by_size
def test_neighbours(size, sparse, isa):
    X, Y, labels, labels_Y = rows(size)
    n, m = len(X), len(Y)
    A, B = given(sparse, X, Y)
    own, all_own = ~np.eye(n, dtype=bool), np.ones((n, n), bool)
    alike, alike_Y = labels[:, None] == labels, labels[:, None] == labels_Y
    rng = np.random.default_rng(1)
    some, some_Y = (rng.random(length) < 0.3 for length in (n, m))
    shuffled = rng.permutation(np.flatnonzero(some))
    part, even = (np.isin(np.arange(m), range(*ends, 2)) for ends in ((3, 20), (4, 19)))
    for Z, options, may_meet in (
        (None, {"groups": labels}, own & alike),
        (None, {"groups": labels, "include_self": True}, alike),
        (None, {"where": some}, own & some),
        (None, {"where": shuffled, "include_self": True}, all_own & some),
        (None, {"where": shuffled, "groups": labels}, own & some & alike),
        (B, {"groups": (labels, labels_Y)}, alike_Y),
        (B, {"where": some_Y}, np.broadcast_to(some_Y, (n, m))),
        (B, {"where": slice(3, 20, 2)}, np.broadcast_to(part, (n, m))),
        (B, {"where": slice(18, 2, -2), "groups": (labels, labels_Y)}, alike_Y & even),
        (B, {"where": []}, np.zeros((n, m), bool)),
    ):
        S = unitdot.cosine_similarity(A, Z)
        for k in (1, 7, n + 3) if n < 100 else (4,):
            expected = sorted_where(S, k, may_meet)
            found = unitdot.cosine_top_k(A, Z, k, n_threads=2, **options)
            assert_same_result(found, expected)
            assert found.shape == S.shape
            found = unitdot.cosine_top_k(A, Z, k, threshold=0.2, **options)
            assert_same_result(found, reaching(expected, 0.2))


@both
@by_size
def test_pairs(size, sparse, isa):
    X, Y, labels, labels_Y = rows(size)
    A, B = given(sparse, X, Y)
    for Z, groups, may_meet in (
        (None, labels, np.triu(labels[:, None] == labels, 1)),
        (B, (labels, labels_Y), labels[:, None] == labels_Y),
    ):
        S = unitdot.cosine_similarity(A, Z)
        for threshold in (-1, 0.3):
            places = np.nonzero(may_meet & (S.dtype.type(threshold) <= S))
            expected = Pairs(*places, S[places], S.shape)
            found = unitdot.cosine_pairs(A, Z, threshold=threshold, groups=groups, n_threads=2)
            assert_same_result(found, expected)
            assert (found.shape, found.self_join) == (S.shape, Z is None)
            for most in (1, 50, 10**6):
                options = {"threshold": threshold, "groups": groups, "max_pairs": most}
                found = unitdot.cosine_pairs(A, Z, **options)
                assert_same_result(found, most_similar(expected, most))


@pytest.mark.parametrize("reading", ["as they are", "swapped", "strided", "halves", "integers"])
def test_small_groups_beside_large_ones(reading, isa):
    """The former one thread's each, rows read where they lie; most of the pairs are cut off."""
    rng = np.random.default_rng(7)
    labels = np.where(rng.random(1500) < 0.3, -100, 5 + rng.integers(100, size=1500))
    labels = labels.astype(np.int8)
    X = rng.integers(-9, 10, (1500, 131)).astype(np.float32)
    X[rng.integers(1500, size=400)] = X[:400]
    if reading == "swapped":
        X = X.astype(">f4")
    elif reading == "strided":
        X = np.repeat(X, 2, axis=1)[:, ::2]
    elif reading in ("halves", "integers"):
        X = X.astype(np.float16 if reading == "halves" else np.int8)
    else:
        X[::50] *= np.float32(1e-25)
    S = unitdot.cosine_similarity(X)
    alike = labels[:, None] == labels
    expected = sorted_where(S, 7, alike & ~np.eye(1500, dtype=bool))
    assert_same_result(unitdot.cosine_top_k(X, k=7, groups=labels, n_threads=2), expected)
    places = np.nonzero(np.triu(alike, 1) & (S >= 0))
    for most in (100, 3000):
        found = unitdot.cosine_pairs(X, threshold=0, groups=labels, max_pairs=most, n_threads=2)
        assert_same_result(found, most_similar(Pairs(*places, S[places], S.shape), most))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_that_are_values_of_large_groups(dtype, isa):
    """One group after the other is searched with the threshold as it was given."""
    X, labels = normal((900, 64), dtype), np.arange(900) % 3
    S = unitdot.cosine_similarity(X)
    own = np.triu(labels[:, None] == labels, 1)
    for threshold in np.sort(S[own])[-40::4]:
        found = unitdot.cosine_pairs(X, threshold=float(threshold), groups=labels)
        assert found.n_pairs == np.count_nonzero(own & (threshold <= S))


def test_rows_that_need_care_and_zero_rows():
    """In groups of their own and in others."""
    X, _, labels, _ = rows(SIZES[0])
    X[::4] *= np.float32(1e-30)
    found = unitdot.cosine_top_k(X, k=5, groups=labels, zero="nan")
    S = unitdot.cosine_similarity(X, zero="nan")
    for i in range(len(X)):
        others = np.flatnonzero((labels == labels[i]) & (np.arange(len(X)) != i))
        expected = others[np.argsort(-S[i, others], kind="stable")][:5]
        assert found.indices[i, : len(expected)].tolist() == expected.tolist()
    with pytest.raises(ValueError, match="X has a zero row, row 5"):
        unitdot.cosine_pairs(X, groups=labels, zero="raise")
    Y = normal((60, 130)).astype(np.float32)
    Y[55] *= np.float32(1e-30)  # met after pairs are found, which are then found once more
    groups = np.zeros(5), np.zeros(60)
    assert len(unitdot.cosine_pairs(Y[:5], Y, threshold=-1, groups=groups).rows) == 300
    X[11, 2] = np.nan
    for groups in (labels, np.arange(len(X))):
        with pytest.raises(ValueError, match="X holds a NaN or an infinity at row 11, column 2"):
            unitdot.cosine_top_k(X, groups=groups)


def test_a_row_whose_label_is_on_one_side_is_checked():
    X, Y = normal((4, 3)), normal((5, 3))
    Y[4, 1] = np.inf
    for function in (unitdot.cosine_top_k, unitdot.cosine_pairs):
        with pytest.raises(ValueError, match="Y holds a NaN or an infinity at row 4, column 1"):
            function(X, Y, groups=([0, 0, 1, 1], [0, 0, 0, 1, 2]))


def test_progress_ends_with_all_that_is_to_be_done():
    X, _, labels, _ = rows(SIZES[0])
    many = normal((1500, 8))  # whose lists leave no room for both rows of a product
    for search in (
        partial(unitdot.cosine_top_k, X, groups=labels),
        partial(unitdot.cosine_pairs, X, groups=labels),
        partial(unitdot.cosine_top_k, many, k=700, groups=np.arange(1500) < 1490, n_threads=1),
    ):
        calls = []
        search(progress=lambda *call, calls=calls: calls.append(call))
        done, total = zip(*calls, strict=True)
        assert list(done) == sorted(done)
        assert done[-1] == total[-1] == total[0]


def labels_of_every_kind():
    texts = ["b", "a", "b", "c", "a", "b"]
    yield texts
    yield np.array(texts)
    yield np.array(texts, "S")
    yield np.array([texts], object)[0]
    yield np.array([1.5, -0.5, 1.5, 0, -0.5, 1.5])
    yield np.array([5, -5, 5, 0, -5, 5], np.int8)
    yield np.array([4, 5, 4, 0, 5, 4], np.uint64) + np.uint64(2**64 - 6)
    yield np.array([3, 1, 3, 2, 1, 3], "datetime64[D]")
    yield [("b", 1), 7, ("b", 1), None.__class__, 7.0, ("b", 1)]
    pandas = pytest.importorskip("pandas")
    yield pandas.Series(texts)
    yield pandas.Series(texts, dtype="category")
    yield pandas.array([2, 1, 2, 9, 1, 2], dtype="Int64")
    yield pytest.importorskip("pyarrow").array(texts)


def test_labels_of_every_kind():
    X = normal((6, 3))
    expected = unitdot.cosine_top_k(X, k=2, groups=[2, 1, 2, 9, 1, 2])
    assert expected.indices[[1, 3]].tolist() == [[4, -1], [-1, -1]]
    for labels in labels_of_every_kind():
        assert_same_result(unitdot.cosine_top_k(X, k=2, groups=labels), expected)


def test_times_of_other_units_are_equal_where_they_are_the_same_moment():
    days = np.array([3, 1, 3, 2], "datetime64[D]")
    X, Y = normal((4, 3)), normal((3, 3), seed=1)
    for times in (days.astype("datetime64[ns]"), days.astype("datetime64[s]")):
        found = unitdot.cosine_top_k(X, Y, k=1, groups=(times, days[1:]))
        assert found.indices.ravel().tolist() == [1, 0, 1, 2]
        found = unitdot.cosine_pairs(X, Y, threshold=-1, groups=(days, times[1:]))
        assert (found.rows.tolist(), found.columns.tolist()) == ([0, 1, 2, 3], [1, 0, 1, 2])


def test_durations_of_other_units_are_equal_where_they_last_as_long():
    seconds = np.array([3, 1, 3, 2], "timedelta64[s]")
    X, Y = normal((4, 3)), normal((3, 3), seed=1)
    for unit in ("ms", "ns"):
        durations = seconds.astype(f"timedelta64[{unit}]")
        found = unitdot.cosine_top_k(X, Y, k=1, groups=(durations, seconds[1:]))
        assert found.indices.ravel().tolist() == [1, 0, 1, 2]
    months = seconds.astype(int).astype("timedelta64[M]")  # are no number of seconds
    found = unitdot.cosine_top_k(X, Y, k=1, groups=(months, seconds[1:]))
    assert (found.indices == -1).all()


def test_times_that_the_other_unit_cannot_hold_are_refused():
    days = np.array(["2000-01-01", "3000-01-01"], "datetime64[D]")
    moments = days[[0, 0]].astype("datetime64[ns]")  # which end in 2262
    X = normal((2, 3))
    message = r"groups\[0\] holds 3000-01-01 in row 1, .*range of datetime64\[ns\].*of one dtype"
    with pytest.raises(ValueError, match=message):
        unitdot.cosine_top_k(X, X.copy(), k=1, groups=(days, moments))


@pytest.mark.parametrize(
    "others",
    [
        [datetime.date(2000, 1, 1), datetime.date(2000, 1, 2)],
        [np.datetime64("2000-01-01"), np.datetime64("2000-01-02")],
        ["2000-01-01", "2000-01-02"],
        np.array([10957, 10958]),
    ],
)
@pytest.mark.parametrize("unit", ["D", "ns"])
@pytest.mark.parametrize("first", [False, True])
def test_times_beside_labels_of_another_kind_are_refused(others, unit, first):
    times = np.array(["2000-01-01", "2000-01-02"], f"datetime64[{unit}]")
    groups = [others, times] if first else [times, others]
    X, Y = normal((2, 3)), normal((2, 3), seed=1)
    with pytest.raises(
        TypeError, match=r"expected labels of one kind; try numpy.asarray\(groups"
    ) as told:
        unitdot.cosine_top_k(X, Y, k=1, groups=tuple(groups))
    if unit == "D" or not isinstance(others, np.ndarray):
        remedy = str(told.value).rpartition("; try ")[2]
        groups[not first] = eval(remedy, {"numpy": np, "groups": groups})
        found = unitdot.cosine_top_k(X, Y, k=1, groups=tuple(groups))
        assert found.indices.ravel().tolist() == [0, 1]


def test_times_beside_durations_are_refused():
    X, count = normal((2, 3)), np.arange(2)
    groups = count.astype("datetime64[s]"), count.astype("timedelta64[s]")
    message = r"has datetime64\[s\]; expected labels of one kind$"
    with pytest.raises(TypeError, match=message):
        unitdot.cosine_pairs(X, X.copy(), groups=groups)
    nothing = unitdot.cosine_pairs(X[:0], X, threshold=-1, groups=([], groups[0]))
    assert nothing.n_pairs == 0


def test_units_that_no_unit_holds_are_refused():
    X, count = normal((2, 3)), np.arange(2)
    groups = count.astype("datetime64[D]"), count.view("datetime64[as]")
    with pytest.raises(ValueError, match=r"\[D\] and datetime64\[as\], which no unit holds"):
        unitdot.cosine_pairs(X, X.copy(), groups=groups)


def needs_a_unit():
    """Whether NumPy hashes no duration without one; older ones do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later ones will have none
        try:
            hash(np.timedelta64(1))
        except ValueError:
            return True
    return False


@pytest.mark.skipif(not needs_a_unit(), reason="these are labels as others")
@pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")
@pytest.mark.parametrize("second", [None, "s", "M"])
@pytest.mark.parametrize("kind", [list, tuple, partial(np.array, dtype=object)])
def test_durations_without_a_unit_are_refused_with_what_to_do(kind, second):
    units = [] if second is None else [second]
    labels = kind([np.timedelta64(1), np.timedelta64(2, *units), np.timedelta64(1)])
    X, Y = normal((3, 3)), normal((3, 3), seed=1)
    expected = r"\.timedelta64\(1\) in row 0, which has no unit; expected one, or an array"
    for other in (None, Y):
        groups = labels if other is None else (np.array([2, 1, 2], "m8"), labels)
        with pytest.raises(TypeError, match=expected) as told:
            unitdot.cosine_pairs(X, other, threshold=-1, groups=groups)
        message = str(told.value)
        assert message.startswith("groups[1] holds" if other is Y else "groups holds")
        mended = eval(message.rpartition("; try ")[2], {"numpy": np, "groups": groups})
        groups = mended if other is None else (groups[0], mended)
        found = unitdot.cosine_pairs(X, other, threshold=-1, groups=groups)
        pairs = [(0, 2)] if other is None else [(0, 1), (1, 0), (1, 2), (2, 1)]
        assert list(zip(found.rows, found.columns, strict=True)) == pairs
    for beside in ("a", np.timedelta64(1, "D")):  # no array holds both
        bad = [np.timedelta64(1), np.timedelta64(1, "M"), beside]
        with pytest.raises(TypeError, match=f"{expected} of durations$"):
            unitdot.cosine_pairs(X, groups=bad)
    with pytest.raises(TypeError, match=r"ids holds .* in row 0; expected hashables$"):
        unitdot.CosineIndex(X, ids=list(labels))
    with pytest.raises(TypeError, match=r"groups holds array.* in row 0; expected hashables$"):
        unitdot.cosine_pairs(X, groups=[np.array([1], "m8")] * 3)


def test_integers_of_128_bits():
    """Of polars, which gives them to no array."""
    polars = pytest.importorskip("polars")
    X, Y = normal((4, 3)), normal((3, 3), seed=1)
    for name in ("Int128", "UInt128"):
        if hasattr(polars, name):
            labels = polars.Series([2**100, 1, 2**100, 3], dtype=getattr(polars, name))
            found = unitdot.cosine_pairs(X, threshold=-1, groups=labels)
            assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])
            found = unitdot.cosine_top_k(X, Y, k=1, groups=(labels, [3, 2**100, 1]))
            assert found.indices.ravel().tolist() == [1, 2, 1, 0]
            missing = polars.Series([1, None], dtype=getattr(polars, name))
            with pytest.raises(ValueError, match="groups holds None in row 1; expected labels"):
                unitdot.cosine_pairs(X[:2], groups=missing)
            index = unitdot.CosineIndex(X[1:3], ids=labels[1:2].append(labels[3:]))
            assert index.ids.tolist() == [1, 3]


def test_nanoseconds_of_times_of_the_day_are_not_lost():
    """Python's times have none: what differs by some was equal."""
    polars = pytest.importorskip("polars")
    groups = polars.Series([1_000, 1_001, 1_000, 2_000]).cast(polars.Time)
    with pytest.raises(ValueError, match=r"groups holds .*; try groups\.to_physical\(\)$") as error:
        unitdot.cosine_pairs(normal((4, 3)), threshold=-1, groups=groups)
    remedy = str(error.value).rpartition("try ")[2]
    for good in (eval(remedy), polars.Series([1_000, 2_000, 1_000, 3_000]).cast(polars.Time)):
        found = unitdot.cosine_pairs(normal((4, 3)), threshold=-1, groups=good)
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])


@pytest.mark.parametrize("kind", ["Series", "Index", "array"])
def test_nanoseconds_of_times_of_the_day_in_pandas_are_not_lost(kind):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")

    def column(values):
        times = pandas.arrays.ArrowExtensionArray(pyarrow.array(values, pyarrow.time64("ns")))
        return times if kind == "array" else getattr(pandas, kind)(times)

    X = normal((4, 3))
    groups = column([1_000, 1_001, 1_000, 2_000])
    with pytest.raises(ValueError, match=r"groups holds .*; try groups\.astype") as error:
        unitdot.cosine_pairs(X, threshold=-1, groups=groups)
    remedy = str(error.value).rpartition("try ")[2]
    for good in (eval(remedy), column([1_000, 2_000, 1_000, 3_000])):
        found = unitdot.cosine_pairs(X, threshold=-1, groups=good)
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match=r"holds (<NA>|nan) in row 1"):
        unitdot.cosine_pairs(X, groups=column([1_000, None, 1_000, 2_000]))


@pytest.mark.parametrize("kind", ["array", "chunked", "list", "narwhals"])
def test_nanoseconds_of_times_of_the_day_in_arrow_are_told(kind):
    pyarrow = pytest.importorskip("pyarrow")
    narwhals = pytest.importorskip("narwhals") if kind == "narwhals" else None

    def column(values, unit="ns"):
        times = pyarrow.array(values, pyarrow.time64(unit))
        if kind == "list":
            return list(times)
        times = times if kind == "array" else pyarrow.chunked_array([times[:1], times[1:]])
        return times if narwhals is None else narwhals.from_native(times, series_only=True)

    X, Y = normal((4, 3)), normal((2, 3), seed=1)
    groups = column([1_000, 1_001, 1_000, 2_000])
    with pytest.raises(ValueError, match=r"groups.* holds times .*; try .*\.cast") as error:
        unitdot.cosine_pairs(X, threshold=-1, groups=groups)
    remedy = str(error.value).rpartition("try ")[2]
    for good in (eval(remedy), column([1_000, 2_000, 1_000, 3_000]), column([1, 2, 1, 3], "us")):
        found = unitdot.cosine_pairs(X, threshold=-1, groups=good)
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match=r"holds None in row 1"):
        unitdot.cosine_pairs(X, groups=column([1_000, None, 1_000, 2_000]))
    # the other side's times may have another unit
    groups = groups, column([2, 1], "us")
    with pytest.raises(ValueError, match=r", and nanoseconds for the other side, too$") as error:
        unitdot.cosine_pairs(X, Y, threshold=-1, groups=groups)
    remedy = str(error.value).rpartition("try ")[2].partition(", and")[0]
    good = eval(remedy), eval(remedy.replace("[0]", "[1]"))
    found = unitdot.cosine_pairs(X, Y, threshold=-1, groups=good)
    assert (found.rows.tolist(), found.columns.tolist()) == ([0, 2, 3], [1, 1, 0])


def test_times_of_the_day_meet_whosever_they_are():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    X = normal((2, 3))
    ns = pyarrow.array([3_600_000_000_000, 7_200_000_000_000], pyarrow.time64("ns"))
    every = [ns.cast(unit) for unit in ("time64[ns]", "time64[us]", "time32[ms]", "time32[s]")]
    every += [list(times) for times in every]
    every += [pandas.Series(pandas.arrays.ArrowExtensionArray(ns)), polars.Series(ns)]
    for times in every:
        for groups in ((times, [datetime.time(2), datetime.time(1)]), (ns, times[::-1])):
            found = unitdot.cosine_pairs(X, X, threshold=-1, groups=groups)
            assert (found.rows.tolist(), found.columns.tolist()) == ([0, 1], [1, 0])


def test_elements_of_arrow_are_equal_to_what_they_stand_for():
    pyarrow = pytest.importorskip("pyarrow")
    X = normal((3, 3))
    texts = pyarrow.array(["a", "b", "c"])
    for labels in (
        texts, texts.dictionary_encode(), pyarrow.array([1, 2, 3]), pyarrow.array([1.5, 2.5, 3.5]),
        pyarrow.array([1, 2, 3], pyarrow.timestamp("ns", "UTC")), pyarrow.array([b"a", b"b", b"c"]),
    ):  # fmt: skip
        for other in (list(labels)[::-1], np.asarray(labels)[::-1], labels[::-1]):
            found = unitdot.cosine_pairs(X, X, threshold=-1, groups=(list(labels), other))
            assert (found.rows.tolist(), found.columns.tolist()) == ([0, 1, 2], [2, 1, 0])
    # which are hashable only as they are, or which Arrow does not put together
    compute = pytest.importorskip("pyarrow.compute")
    pandas = pytest.importorskip("pandas")
    lists, encoded = pyarrow.array([[1], [2], [1]]), compute.run_end_encode([1, 2, 1])
    intervals = pyarrow.array(pandas.Series(pandas.interval_range(0, 2)).take([0, 1, 0]))
    periods = pyarrow.array(pandas.Series(pandas.period_range("2020", periods=2)).take([0, 1, 0]))
    for labels in (
        list(lists), list(encoded), list(intervals), [texts[0], pyarrow.scalar(1), texts[0]],
        periods, pyarrow.chunked_array([periods]), list(periods),
    ):  # fmt: skip
        found = unitdot.cosine_pairs(X, threshold=-1, groups=labels)
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])


def test_elements_of_arrow_are_equal_to_what_they_stand_for_beside_others():
    pyarrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    compute = pytest.importorskip("pyarrow.compute")
    X = normal((3, 3))
    texts = pyarrow.array(["a", "b", "c"])
    numbers = [pyarrow.scalar(1), pyarrow.scalar(2, "int32"), 3]
    days = pyarrow.array([1, 2, 3], "date32")
    times = pyarrow.array([1, 2, 3], "time64[us]")
    for labels, other in (
        ([texts[0], "b", texts[2]], texts),
        ([texts[0], texts[1], pyarrow.scalar("c", "large_string")], ["a", "b", "c"]),
        (numbers, [1, 2, 3]),
        (np.array(numbers, object), pandas.Series([1, 2, 3])),
        (pandas.Series(list(texts), dtype=object), list(texts)),
        (list(times.dictionary_encode()), times),
        (list(days.dictionary_encode()), days),
        (list(days.dictionary_encode()), np.array([1, 2, 3], "datetime64[D]")),
        (list(compute.run_end_encode(texts)), texts),
    ):
        found = unitdot.cosine_pairs(X, X, threshold=-1, groups=(labels, other[::-1]))
        assert (found.rows.tolist(), found.columns.tolist()) == ([0, 1, 2], [2, 1, 0])


def test_nanoseconds_in_dictionaries_and_beside_others_are_told():
    pyarrow = pytest.importorskip("pyarrow")
    X = normal((3, 3))
    times = pyarrow.array([1_000, 1_001, 1_000], "time64[ns]")
    for groups in (times.dictionary_encode(), list(times.dictionary_encode())):
        with pytest.raises(ValueError, match=r"groups.* holds times .*; try .*\.cast") as error:
            unitdot.cosine_pairs(X, threshold=-1, groups=groups)
        good = eval(str(error.value).rpartition("try ")[2])
        found = unitdot.cosine_pairs(X, threshold=-1, groups=good)
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match="holds times of the day with nanoseconds"):
        unitdot.cosine_pairs(X, groups=[*times[:2], datetime.time(1)])


def test_frames_are_no_labels():
    """Whatever their columns are called."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (pandas.DataFrame, polars.DataFrame):
        with pytest.raises(ValueError, match=r"groups has shape \(3, 2\); expected \(3,\)"):
            unitdot.cosine_pairs(normal((3, 3)), groups=frame({"type": [1, 2, 3], "dtype": 1}))


def test_both_sides_are_told_of_nanoseconds():
    """One side of numbers would meet nothing of the other's times."""
    polars = pytest.importorskip("polars")
    times = polars.Series([1_001, 2_000, 3_000]).cast(polars.Time)
    with pytest.raises(
        ValueError, match=r"groups\[1\]\.to_physical\(\), and nanoseconds for the oth"
    ):
        unitdot.cosine_pairs(normal((2, 3)), normal((3, 3)), groups=(times[1:], times))


def test_what_both_sides_are_told_of_nanoseconds_holds_for_other_units():
    """Numbers of microseconds would meet none of nanoseconds."""
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    groups = [
        pandas.Series(pandas.arrays.ArrowExtensionArray(pyarrow.array(values, f"time64[{unit}]")))
        for values, unit in (([1, 2_000], "ns"), ([2, 9, 3], "us"))
    ]
    with pytest.raises(ValueError, match="and nanoseconds for the other side, too") as error:
        unitdot.cosine_pairs(normal((2, 3)), normal((3, 3)), groups=tuple(groups), threshold=-1)
    remedy = str(error.value).rpartition("try ")[2].partition(", and")[0]
    both = eval(remedy), eval(remedy.replace("groups[0]", "groups[1]"))
    found = unitdot.cosine_pairs(normal((2, 3)), normal((3, 3)), groups=both, threshold=-1)
    assert (found.rows.tolist(), found.columns.tolist()) == ([1], [0])


@pytest.mark.parametrize("name", ["Time", "Int128"])
def test_dtypes_of_others_that_have_the_names_of_polars(name):
    class Column:
        dtype = name

        def to_numpy(self):
            return np.array([1, 2, 1])

    found = unitdot.cosine_pairs(normal((3, 3)), threshold=-1, groups=Column())
    assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])


def test_columns_of_narwhals():
    """Which is what scikit-learn has for frames; a dtype has the name that it has in polars."""
    narwhals, polars = pytest.importorskip("narwhals"), pytest.importorskip("polars")
    X = normal((3, 3))

    def column(series):
        return narwhals.from_native(series, series_only=True)

    series = polars.Series([1_000, 2_000, 1_000])
    for good in (series, series.cast(polars.Time), series.cast(polars.Int128)):
        found = unitdot.cosine_pairs(X, threshold=-1, groups=column(good))
        assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])
    groups = column((series + 1).cast(polars.Time))
    with pytest.raises(ValueError, match="with nanoseconds") as error:
        unitdot.cosine_pairs(X, threshold=-1, groups=groups)
    found = unitdot.cosine_pairs(
        X, threshold=-1, groups=eval(str(error.value).rpartition("try ")[2])
    )
    assert (found.rows.tolist(), found.columns.tolist()) == ([0], [2])


def test_labels_that_are_missing_in_other_ways():
    X = normal((3, 3))
    with pytest.raises(
        ValueError, match=r"groups holds Decimal\('sNaN'\) in row 1; expected labels"
    ):
        unitdot.cosine_pairs(X, groups=[Decimal(1), Decimal("sNaN"), Decimal(1)])
    pyarrow = pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"groups holds .* in row 1; expected labels"):
        unitdot.cosine_pairs(X, groups=list(pyarrow.array([1, None, None])))


def test_what_gives_no_array_of_labels_is_refused():
    class Frame:
        def __init__(self, error):
            self.error = error

        def to_numpy(self):
            raise self.error

    X = normal((3, 2))
    with pytest.raises(TypeError, match="groups cannot be read as an array: no such; expected a"):
        unitdot.cosine_pairs(X, groups=Frame(NotImplementedError("no such")))
    with pytest.raises(MemoryError, match=r"^no more$"):
        unitdot.cosine_pairs(X, groups=Frame(MemoryError("no more")))


@both
def test_no_rows_are_in_no_groups(sparse):
    (X,) = given(sparse, np.zeros((0, 3)))
    for threshold in (0.5, -1):
        found = unitdot.cosine_pairs(X, threshold=threshold, groups=[])
        assert (found.n_pairs, found.shape) == (0, (0, 0))
        found = unitdot.cosine_pairs(X, X, threshold=threshold, groups=([], []))
        assert (found.n_pairs, found.shape) == (0, (0, 0))
    assert unitdot.cosine_top_k(X, k=2, threshold=0.5, groups=[]).indices.shape == (0, 2)


NAN, NAT = float("nan"), np.datetime64("NaT", "s")
SOME = np.ma.masked_equal([1, 0, 2], 0)
BAD = {
    "length": ({"groups": [0, 1]}, ValueError, r"groups has shape \(2,\); expected \(3,\)"),
    "NaN": ({"groups": [1.0, NAN, 2.0]}, ValueError, r"groups holds nan in row 1; expected labels"),
    "None": ({"groups": ["a", "b", None]}, ValueError, "groups holds None in row 2"),
    "NaT": ({"groups": np.array([NAT, NAT, NAT])}, ValueError, "groups holds None in row 0"),
    "masked": (
        {"groups": SOME},
        TypeError,
        "groups is an array with masked elements, the first in p",
    ),
    "one masked": ({"groups": list(SOME)}, ValueError, "groups holds masked in row 1"),
    "unhashable": ({"groups": [[1], [2], [3]]}, TypeError, r"\[1\] in row 0; expected hashables"),
    "mask": ({"where": [True, False]}, ValueError, r"where is a mask of shape \(2,\); expected"),
    "beyond": ({"where": [0, 3]}, ValueError, "where holds 3 in place 1; expected 0 to 2"),
    "negative": ({"where": [-1]}, ValueError, "where holds -1 in place 0"),
    "some masked": ({"where": SOME}, TypeError, r"masked .* place 1; .* try where.compressed\(\)"),
    "masked mask": ({"where": SOME > 0}, TypeError, r"masked .*; try where.filled\(False\)"),
    "floats": ({"where": [0.5]}, TypeError, "where has dtype float64"),
}


@both
@pytest.mark.parametrize("bad", BAD)
def test_bad_selections(bad, sparse):
    options, error, message = BAD[bad]
    (X,) = given(sparse, normal((3, 2)))
    with pytest.raises(error, match=message):
        unitdot.cosine_top_k(X, k=1, **options)
    if "groups" in options:
        with pytest.raises(error, match=message.replace("groups", r"groups\[1\]")):
            unitdot.cosine_pairs(X, X, groups=([0, 0, 0], options["groups"]))
        with pytest.raises(TypeError, match=r"expected \(groups_X, groups_Y\) beside a Y"):
            unitdot.cosine_top_k(X, X, k=1, groups=np.zeros(3))
        with pytest.raises(TypeError, match="groups is a pair without a Y; expected a label for"):
            unitdot.cosine_top_k(X, k=1, groups=(np.zeros(3), np.zeros(3)))


def test_masked_rows_are_chosen_as_the_error_says():
    X = normal((3, 2))
    for where, rows in ((SOME, [1, 2]), (SOME > 0, [0, 2])):
        with pytest.raises(TypeError) as raised:
            unitdot.cosine_top_k(X, k=1, where=where)
        remedy = str(raised.value).partition("; try ")[2]
        found = unitdot.cosine_top_k(X, k=2, where=eval(remedy, {"where": where}))
        assert_same_result(found, unitdot.cosine_top_k(X, k=2, where=rows))


def test_missing_labels_of_pandas():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="groups holds <NA> in row 1"):
        unitdot.cosine_pairs(normal((2, 3)), groups=pandas.array(["a", None], dtype="string"))


def test_many_groups_are_one_call(monkeypatch):
    """Not one call of the kernels for each."""
    from unitdot._machine import dispatch

    calls = []
    kernels = dispatch.kernels(True)

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(kernels, name)

    monkeypatch.setattr(dispatch, "kernels", lambda wide: Counting())
    unitdot.cosine_top_k(normal((4000, 3)), k=1, groups=np.arange(4000) // 2)
    assert calls.count("top_k") == 1


@pytest.mark.parametrize("search", [unitdot.cosine_top_k, unitdot.cosine_pairs])
def test_many_groups_of_sparse_rows_are_one_search(monkeypatch, search):
    """Where a threshold is above 0: not a matrix for each of them."""
    sparse = pytest.importorskip("scipy.sparse")
    from unitdot._sparse import functions

    calls = []
    take = functions._taking
    monkeypatch.setattr(functions, "_taking", lambda *given: calls.append(given) or take(*given))
    X = sparse.csr_array(normal((400, 3)))
    search(X, threshold=0.5, groups=np.arange(400) // 2)
    assert not calls
    search(X, threshold=0, groups=np.arange(400) // 2)
    assert calls
