"""Dense matrices of every dtype and scale, lying anyhow in memory."""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = (*map(np.dtype, "fde"), BFLOAT16, *map(np.dtype, "g?bBhHiIlL"))
SENTINEL = 0xA5


class Side(NamedTuple):
    """One argument: what is given, what it holds, and the memory that must not change."""

    given: Any
    value: np.ndarray  # C-contiguous, native, features last
    buffers: tuple
    error: type[Exception] | None = None  # what it must be refused with
    sparse: bool = False


def lay_out(c, values):
    """(buffer, view): the same values under any strides, in just the memory that these need."""
    dtype, shape = values.dtype, values.shape
    if dtype.itemsize > 1 and dtype.kind in "iuf" and c.byte() % 4 == 1:
        dtype = dtype.newbyteorder()
    order = c.byte() % values.ndim if values.ndim else 0
    axes = list(range(order, values.ndim)) + list(range(order))  # outermost first
    steps = [c.pick((1, 1, 1, 2, 3, -1, -2)) for _ in shape]
    strides, reach = [0] * values.ndim, dtype.itemsize
    for axis in reversed(axes):
        strides[axis] = reach * steps[axis]
        reach += max(0, shape[axis] - 1) * abs(strides[axis])
    start = c.pick((0, 0, 0, 1, 2, 5))
    first = start - sum(min(0, s) * max(0, n - 1) for s, n in zip(strides, shape, strict=True))
    buffer = np.full(start + reach, SENTINEL, np.uint8)
    view = np.ndarray(shape, dtype, buffer, first if values.size else 0, strides)
    view[...] = values
    return buffer, view


def numbers(c, shape, dtype):
    """Values: small integers that tie, normal ones, rows of any scale, or any bits at all."""
    style = c.below(6)
    rng = np.random.default_rng(c.below(1 << 16))
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if style in (0, 1):
        low = -3 if dtype.kind != "u" else 0
        return rng.integers(low, 4, shape).astype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    values = rng.standard_normal(shape)
    if style >= 4:
        span = {"e": 14, "g": 1000, "d": 1000}.get(dtype.char, 120)
        values *= 2.0 ** rng.integers(-span, span // 2, (*shape[:-1], 1))
    if style == 5:
        values[rng.random(shape) < 0.7] = 0
    with np.errstate(all="ignore"):
        values = values.astype(dtype)
    return np.where(np.isfinite(values), values, 0).astype(dtype)


def special_rows(c, values):
    """Zero, equal, opposite and not finite rows, here and there."""
    if not values.size:
        return
    rows = values.reshape(-1, values.shape[-1])  # a view: values are contiguous
    for _ in range(c.below(4)):
        i, j = c.below(len(rows)), c.below(len(rows))
        what = c.below(8)
        if what == 0:
            rows[i] = 0
        elif what == 1:
            rows[i] = rows[j]
        elif what == 2 and values.dtype.kind not in "ub":
            rows[i] = -rows[j]
        elif what == 3 and values.dtype.kind not in "iub":
            rows[i, c.below(min(rows.shape[1], 65536))] = c.pick((np.nan, np.inf, -np.inf))
        elif what == 4 and values.dtype.kind not in "iub":
            rows[i] = np.where(rows[i] != 0, ml_dtypes.finfo(values.dtype).smallest_subnormal, 0)


def side(c, shape, axis=-1):
    """An argument of this shape, features on `axis`."""
    dtype = c.pick(DTYPES)
    # an axis that is broadcast has stride 0
    stretched = [c.byte() % 16 == 1 for _ in shape]
    own = tuple(min(n, 1) if wide else n for n, wide in zip(shape, stretched, strict=True))
    values = np.ascontiguousarray(numbers(c, own, dtype))
    special_rows(c, values)
    if dtype.char == "g" and np.finfo(dtype).nmant == 63:  # 10 bytes; no-one writes the other ones
        values.view(np.uint8).reshape(*own, dtype.itemsize)[..., 10:] = 0
    buffer, view = lay_out(c, np.moveaxis(values, -1, axis))
    view = np.broadcast_to(view, np.moveaxis(np.empty(shape, "b"), -1, axis).shape)
    if c.rarely():
        view.flags.writeable = False
    value = np.ascontiguousarray(np.broadcast_to(values, shape))
    return Side(view, value.astype("d") if dtype.char == "g" else value, (buffer,))
