"""What is kept of a corpus's rows: the same however it came about, and checked when it is read."""

import numpy as np
import pytest

from unitdot._prepared import Prepared

from ..helpers import assert_same_bits

DTYPES = (np.float32, np.float64, np.float16, np.int8)
START = 1100  # rows, of which more than norms is kept


def rows_of(dtype, kind="directions", n=1500, features=70, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, features))
    if kind == "directions":
        rows = rows[:, :5] @ np.random.default_rng(1).standard_normal((5, features)) + 0.05 * rows
    return (rows * 10).astype(dtype)


def assert_same(actual, expected):
    assert actual.n_rows == expected.n_rows
    assert actual.arrays().keys() == expected.arrays().keys()
    for name, array in expected.arrays().items():
        assert_same_bits(actual.arrays()[name], array)


@pytest.mark.parametrize("kind", ["directions", "axes"])
@pytest.mark.parametrize("rare", [None, np.nan, 1e30], ids=["", "nan", "scaled"])
def test_nothing_is_kept_of_what_was_in_memory(kind, rare, monkeypatch):
    """Files would have it, and bytes of their own each time."""
    rows = rows_of(np.float32, kind)
    if rare is not None:
        rows[7] *= rare
    expected = Prepared.of(rows)
    empty = np.empty

    def written(shape, dtype=float):
        array = empty(shape, dtype)
        array.view(np.uint8)[...] = 0xCD
        return array

    monkeypatch.setattr(np, "empty", written)
    assert_same(Prepared.of(rows), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["directions", "axes"])
def test_growth_in_steps_is_growth_at_once(dtype, kind):
    rows = rows_of(dtype, kind)
    first = Prepared.of(rows[:START])
    before = {name: array.copy() for name, array in first.arrays().items()}
    second = first.extended(rows[: START + 70])
    at_once = Prepared.of(rows[:START]).extended(rows)
    assert_same(second.extended(rows), at_once)
    # another branch: what the first one wrote is not its own
    other = np.concatenate([rows[:START], rows_of(dtype, kind, seed=3)])
    assert_same(first.extended(other), Prepared.of(rows[:START]).extended(other))
    assert_same(second.extended(rows), at_once)
    for name, array in first.arrays().items():
        assert_same_bits(array, before[name])


@pytest.mark.parametrize("kind", ["directions", "axes"])
def test_what_is_a_cache_line_long_lies_in_one(kind):
    prepared = Prepared.of(rows_of(np.float32, kind))
    longer = prepared.extended(np.concatenate([rows_of(np.float32, kind)] * 3))
    for made in (prepared, longer, longer.kept(np.arange(1200))):
        arrays = made.whole()
        assert arrays["panels"].ctypes.data % 64 == 0
        assert arrays["lines"].ctypes.data % 64 == 0


@pytest.mark.parametrize("kind", ["directions", "axes"])
def test_kept_rows_are_those_alone(kind):
    rows = rows_of(np.float32, kind)
    prepared = Prepared.of(rows)
    order = np.random.default_rng(4).permutation(len(rows))
    turned = prepared.kept(order)
    assert_same(turned.kept(np.argsort(order)), prepared)
    some = prepared.kept(order[:99])
    assert_same(some, turned.kept(np.arange(99)))
    none = prepared.kept(order[:0])
    assert none.n_rows == 0
    assert_same_bits(none.extended(rows).arrays()["panels"], prepared.arrays()["panels"])
    more = np.concatenate([rows[order[:99]], rows])
    assert_same_bits(some.extended(more).arrays()["norm2"], Prepared.of(more).arrays()["norm2"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["directions", "axes"])
def test_saved_arrays_come_back(dtype, kind):
    rows = rows_of(dtype, kind)
    prepared = Prepared.of(rows)
    arrays = {name: array.copy() for name, array in prepared.arrays().items()}
    for array in arrays.values():
        assert array.flags.c_contiguous
        array.flags.writeable = False
    opened = Prepared.from_arrays(arrays, len(rows), rows.shape[1], rows.dtype)
    assert_same(opened, prepared)
    assert opened.nbytes == sum(array.nbytes for array in arrays.values())
    more = np.concatenate([rows, rows])
    assert_same(opened.extended(more), prepared.extended(more))


@pytest.mark.parametrize("features", [64, 65, 384, 1000])
@pytest.mark.parametrize("kind", ["directions", "axes"])
def test_what_is_kept_is_a_third_of_the_rows(kind, features):
    rows = rows_of(np.float32, kind, 20_000, features)
    assert Prepared.of(rows).nbytes <= 0.35 * rows.nbytes


def test_saved_arrays_that_are_wrong_are_named():
    rows = rows_of(np.float32)
    arrays = Prepared.of(rows).arrays()
    shape = len(rows), rows.shape[1], rows.dtype
    assert arrays["facts"][1] == 1
    for name, array in arrays.items():
        for wrong in (array[:-1], array.view(np.uint8), array[None], None):
            changed = arrays | {name: wrong}
            if wrong is None:
                del changed[name]
            with pytest.raises(ValueError, match=f"'{name}'"):
                Prepared.from_arrays(changed, *shape)
    for facts in ([0, 4, 16], [0, -1, 16], [0, 1, 15], [0, 0, 17], [0, 2**40, 2**40]):
        with pytest.raises(ValueError, match="'facts'"):
            Prepared.from_arrays(arrays | {"facts": np.array(facts)}, *shape)
    with pytest.raises(ValueError, match="'else'"):
        Prepared.from_arrays(arrays | {"else": rows}, *shape)
    every_other = np.repeat(arrays["norm2"], 2)[::2]
    with pytest.raises(ValueError, match="'norm2' does not lie in one piece"):
        Prepared.from_arrays(arrays | {"norm2": every_other}, *shape)


def test_saved_rows_of_more_features_than_there_may_be_are_refused():
    features = 8200
    words = features // 4
    with pytest.raises(ValueError, match="'facts'"):
        Prepared.from_arrays({"facts": np.array([0, 0, words])}, 1, features, np.float32)
