"""An index and what it should hold: each change is made to both, or to neither.

What can be wrong about a change, is now and then; then it must be refused, and nothing changes.
"""

from typing import Any, NamedTuple

import numpy as np

import unitdot

from ..helpers import assert_same_bits
from . import dense, sparse

SIZES = (  # rows, features: panels are kept of 1024 rows of 64 features and more
    *((5, 3), (1, 1), (0, 2), (40, 8), (17, 64), (129, 33), (3, 300)),
    *((1030, 64), (1300, 72), (1300, 130), (1900, 64)),
)
TEXTS = ("", "a", "bb", "\N{SNOWMAN}", "\udc80", "x" * 70)


class Held(NamedTuple):
    """`rows`: as an array or CSR; `ids`: a list or None."""

    index: unitdot.CosineIndex
    rows: Any
    ids: list | None

    @property
    def n(self):
        """The number of rows."""
        return self.rows.shape[0]


def make(c):
    """A new one; None where it was refused, rightly."""
    n, d = c.pick(SIZES)
    if c.byte() % 16 == 1:
        d = 0
    in_sparse = c.byte() % 3 == 1
    side = sparse.side(c, (max(1, min(n, 200)), max(1, d))) if in_sparse else dense.side(c, (n, d))
    rows = sparse.plain(side.value) if side.sparse else side.value
    ids, values, error = (None, None, None)
    if c.byte() % 2:
        kind = c.pick((int, str))
        ids, values, error = new_ids(c, rows.shape[0], [], kind)
    errors = side.error, error, None if rows.shape[1] else ValueError
    before = [memory.tobytes() for memory in side.buffers]
    index = changed(errors, unitdot.CosineIndex, side.given, ids=ids, copy=c.byte() % 2 == 0)
    assert [memory.tobytes() for memory in side.buffers] == before
    if index is None:
        return None
    return Held(index, rows, values)


def changed(errors, call, *arguments, **options):
    """What the call gives; None where it is refused, as it must be."""
    errors = tuple(error for error in errors if error)
    try:
        result = call(*arguments, **options)
    except Exception as exception:
        if not isinstance(exception, errors):
            raise
        return None
    assert not errors, f"expected {errors}"
    return True if result is None else result


def new_ids(c, n, there, kind):
    """(argument, values, error): ids for n rows, none of which is there yet, if they are good."""
    rng = np.random.default_rng(c.below(1 << 16))
    taken = set(there)
    values = []
    while len(values) < n:
        number = int(rng.integers(-(1 << 40), 1 << 40))
        text = f"{TEXTS[number % len(TEXTS)]}{number if number % 4 else ''}"
        if kind is str:
            while text in taken:
                text += "'"
        if (value := number if kind is int else text) not in taken:
            values.append(value)
            taken.add(value)
    if kind is int and n and c.byte() % 4 == 1 and not taken & {-(1 << 63), (1 << 63) - 1}:
        values[0] = c.pick((-(1 << 63), (1 << 63) - 1))
    as_array = c.byte() % 2 and "\udc80" not in "".join(map(str, values))
    given = np.array(values, np.int64 if kind is int else "U") if as_array else values
    what = c.below(12)
    if what == 0:
        return [*values, 5 if kind is int else "5"], None, ValueError
    if what == 1 and n and (n > 1 or there):
        again = there[0] if there else values[-1]
        return [again, *values[1:]], None, ValueError
    if what == 2 and n > 1:
        return [*values[:-1], c.pick((1.5, b"x", "y" if kind is int else 7))], None, TypeError
    if what == 3 and n:
        return [*values[:-1], c.pick((None, float("nan")))], None, (ValueError, TypeError)
    if what == 4 and n and kind is int:
        return [*values[:-1], 1 << 64], None, ValueError
    return given, values, None


def add(c, held):
    """More rows."""
    n, d = c.pick((1, 2, 0, 3, 50, 700)), held.rows.shape[1]
    d += c.byte() % 16 == 1
    in_sparse = hasattr(held.rows, "tocsr") != (c.byte() % 16 == 1)
    if in_sparse:
        side = sparse.side(c, (max(1, min(n, 50)), d))
        new = sparse.plain(side.value)
    else:
        side = dense.side(c, (d,) if n == 1 and c.byte() % 2 else (n, d))
        if c.byte() % 2 and not hasattr(held.rows, "tocsr"):  # of the dtype that is held
            with np.errstate(all="ignore"):
                cast = side.value.astype(held.rows.dtype)
            side = dense.Side(cast, cast, ())
        new = np.atleast_2d(side.value)
    wrong = in_sparse != hasattr(held.rows, "tocsr") or not holds(held.rows.dtype, new.dtype)
    kind = str if held.ids and isinstance(held.ids[0], str) else int
    ids, values, id_error = None, None, None
    if (held.ids is not None) != (c.byte() % 16 == 1):
        ids, values, id_error = new_ids(c, new.shape[0], held.ids or [], kind)
    errors = (
        side.error,
        id_error,
        TypeError if wrong else None,
        ValueError if new.shape[1] != held.rows.shape[1] else None,
        ValueError if (ids is None) != (held.ids is None) else None,
    )
    if changed(errors, held.index.add, side.given, ids) is None:
        return held
    if in_sparse:
        rows = sparse.plain(np.concatenate([held.rows.toarray(), new.toarray()]))
        rows = rows.astype(held.rows.dtype)
    else:
        rows = np.concatenate([held.rows, new.astype(held.rows.dtype)])
    return Held(held.index, rows, None if held.ids is None else held.ids + values)


def holds(dtype, other):
    """Whether an index of one dtype takes in rows of another."""
    if dense.BFLOAT16 in (dtype, other):
        return dtype == other
    return np.can_cast(other, dtype)


def remove(c, held):
    """Some rows, by their numbers or their ids."""
    n = held.n
    rng = np.random.default_rng(c.below(1 << 16))
    gone = np.flatnonzero(rng.random(n) < c.pick((0.1, 0.5, 0, 0.02, 0.9, 1)))
    if c.byte() % 2 and held.ids is not None:
        ids, errors = [held.ids[i] for i in gone], []
        if c.byte() % 8 == 1:
            missing = "not there" if isinstance(next(iter(held.ids), 1), str) else -3
            ids, errors = [*ids, missing], [ValueError, TypeError]
        elif len(ids) == 1 and c.byte() % 2:
            ids = ids[0]
        options = {"ids": ids}
    else:
        given, gone, errors = row_numbers(c, n, gone)
        options = {"rows": given}
    if c.byte() % 16 == 1:
        other = {"ids": [1]} if "rows" in options else {"rows": 0}
        # rows that are None are none: ids of another kind are what is wrong then
        options, errors = c.pick(({}, options | other)), [ValueError, TypeError]
    if held.ids is None and "ids" in options:
        errors = [ValueError]
    if changed(errors, held.index.remove, **options) is None:
        return held
    keep = np.ones(n, bool)
    keep[gone] = False
    ids = held.ids and [value for value, kept in zip(held.ids, keep, strict=True) if kept]
    return Held(held.index, held.rows[np.flatnonzero(keep)], ids)


def row_numbers(c, n, gone):
    """(argument, the numbers that it means, errors)."""
    what = c.below(8)
    if what == 0:
        mask = np.zeros(n, bool)
        mask[gone] = True
        return mask, gone, []
    if what == 1:
        part = slice(*(c.pick((None, 0, 1, 3, -2, n + 5)) for _ in range(2)), c.pick((None, 2, -1)))
        return part, np.arange(n)[part], []
    if what == 2:
        return np.append(gone, c.pick((n, -n - 1))), None, [ValueError]
    if what == 3:
        return c.pick((1.5, "a", [0.5], None)), None, [TypeError, ValueError]
    if what == 4 and n:
        return -1, np.array([n - 1]), []
    if what == 5:
        return np.zeros(n + 1, bool), None, [ValueError]
    turned = np.where(np.arange(len(gone)) % 3 == 0, gone - n, gone)
    return turned.tolist() if what == 6 else turned, gone, []


def check_holds(held):
    """The index says that it has what it should have."""
    index, rows = held.index, held.rows
    assert index.shape == rows.shape
    assert len(index) == rows.shape[0]
    assert index.dtype.newbyteorder("=") == rows.dtype
    assert index.nbytes >= 0
    assert f"shape={rows.shape}" in repr(index)
    if held.ids is None:
        assert index.ids is None
    else:
        assert index.ids.tolist() == held.ids
    for part in (slice(None), slice(None, None, -2), np.arange(rows.shape[0]) % 3 == 0):
        found, expected = index[part], rows[part]
        if hasattr(rows, "tocsr"):
            found, expected = found.toarray(), expected.toarray()
        assert_same_bits(found.astype(rows.dtype), expected)
