"""What is kept of a corpus's rows: the same however it came about, and never more than it says."""

import numpy as np
import pytest

from unitdot._prepared import Prepared

from ..helpers import assert_same_bits

DTYPES = (np.float32, np.float64, np.float16, np.int8)


def rows_of(dtype, n=300, features=70, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, features)) * 20
    return rows.astype(dtype)


def assert_same(actual, expected):
    assert actual.n_rows == expected.n_rows
    assert actual.arrays().keys() == expected.arrays().keys()
    for name, array in expected.arrays().items():
        assert_same_bits(actual.arrays()[name], array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_growth_gives_what_all_rows_give(dtype):
    rows = rows_of(dtype)
    first = Prepared.of(rows[:100])
    before = {name: array.copy() for name, array in first.arrays().items()}
    second = first.extended(rows[:170])
    assert_same(second.extended(rows), Prepared.of(rows))
    # another branch: what the first one wrote is not its own
    other = np.concatenate([rows[:100], rows_of(dtype, seed=1)])
    assert_same(first.extended(other), Prepared.of(other))
    assert_same(second.extended(rows), Prepared.of(rows))
    for name, array in first.arrays().items():
        assert_same_bits(array, before[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_kept_rows_are_those_alone(dtype):
    rows = rows_of(dtype)
    numbers = np.array([250, 3, 4, 99])
    kept = Prepared.of(rows).kept(numbers)
    assert_same(kept, Prepared.of(rows[numbers]))
    more = np.concatenate([rows[numbers], rows])
    assert_same(kept.extended(more), Prepared.of(more))


@pytest.mark.parametrize("dtype", DTYPES)
def test_saved_arrays_come_back(dtype):
    rows = rows_of(dtype)
    prepared = Prepared.of(rows)
    arrays = {name: array.copy() for name, array in prepared.arrays().items()}
    for array in arrays.values():
        assert array.flags.c_contiguous
        array.flags.writeable = False
    opened = Prepared.from_arrays(arrays, len(rows), rows.shape[1], rows.dtype)
    assert_same(opened, prepared)
    assert opened.nbytes == sum(array.nbytes for array in arrays.values())
    more = np.concatenate([rows, rows])
    assert_same(opened.extended(more), Prepared.of(more))


def test_saved_arrays_that_are_wrong_are_named():
    rows = rows_of(np.float32)
    arrays = Prepared.of(rows).arrays()
    for name, array in arrays.items():
        for wrong in (array[:-1], array.astype(np.float16), array[None], None):
            changed = arrays | {name: wrong}
            if wrong is None:
                del changed[name]
            with pytest.raises(ValueError, match=f"'{name}'"):
                Prepared.from_arrays(changed, len(rows), rows.shape[1], rows.dtype)
    with pytest.raises(ValueError, match="'else'"):
        Prepared.from_arrays(arrays | {"else": rows}, len(rows), rows.shape[1], rows.dtype)
    every_other = np.repeat(arrays["norm2"], 2)[::2]
    with pytest.raises(ValueError, match="'norm2' does not lie in one piece"):
        Prepared.from_arrays(arrays | {"norm2": every_other}, len(rows), rows.shape[1], rows.dtype)
