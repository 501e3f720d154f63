"""Labels of every kind, good and bad, and which rows have equal ones."""

import numpy as np
import pandas

FAMILIES = {
    "numbers": ("integers", "list", "floats", "bools", "wide", "series"),
    "texts": ("texts", "fixed", "category", "objects"),
    "bytes": ("bytes",),
    "tuples": ("tuples",),
    "times": ("times",),
}


def groups_of(c, n, m, alone):
    """Labels for n rows, or for n and m; the matrix of which have equal ones; the error."""
    family = c.pick((*FAMILIES, "numbers", "numbers", "texts"))
    count = c.pick((2, 3, 9, 60, 1))
    sides = [labels(c, rows, family, count) for rows in ((n,) if alone else (n, m))]
    given = tuple(side[0] for side in sides)
    errors = [side[2] for side in sides if side[2]]
    if c.byte() % 32 == 1:  # labels of one side beside two, and the other way round
        wrong = (given[0], given[0]) if alone else given[0]
        if n > 2 and (alone or not (isinstance(wrong, list) and len(wrong) == 2)):
            return wrong, None, (TypeError, *errors)
    if errors:
        return given[0] if alone else given, None, tuple(errors)
    number = {}
    codes = [
        np.array([number.setdefault(label, len(number)) for label in side[1]], int)
        for side in sides
    ]
    meet = codes[0][:, None] == codes[-1]
    return (given[0] if alone else given), meet, None


def labels(c, n, family, count):
    """(argument, the values that it holds, the error that it deserves)."""
    rng = np.random.default_rng(c.below(1 << 16))
    codes = rng.integers(count, size=n) - (count // 2 if family == "numbers" else 0)
    given, values = make(c, c.pick(FAMILIES[family]), codes)
    bad = c.below(24)
    if bad == 0:
        longer = given[:-1] if n else [0]
        return longer, None, ValueError
    if bad == 1 and n:  # missing
        spoiled = list(values)
        spoiled[c.below(min(n, 256))] = c.pick(
            (None, float("nan"), np.datetime64("NaT", "s"), pandas.NA)
        )
        return spoiled, None, ValueError
    if bad == 2 and n:
        spoiled = list(values)
        spoiled[c.below(min(n, 256))] = c.pick(([1], {}, {1}))
        return spoiled, None, TypeError
    if bad == 3 and n and family == "numbers":
        spoiled = np.array(codes, float)
        spoiled[c.below(min(n, 256))] = np.nan
        return c.pick((spoiled, pandas.Series(spoiled))), None, ValueError
    return given, values, None


def make(c, kind, codes):
    """Labels of that kind, one for each number; and their values, equal where Python says so."""
    numbers = codes.tolist()
    texts = [f"{'x' * (i % 3)}{i}" for i in numbers]
    if kind == "integers":
        dtype = np.dtype(c.pick(("i1", "i8", "i4", ">i4", "u8", "u1")))
        shifted = codes - min(numbers, default=0) if dtype.kind == "u" else codes
        if c.byte() % 4 == 1 and dtype.itemsize == 8:  # far apart
            shifted = shifted * (1 << 55)
        return shifted.astype(dtype), shifted.astype(dtype).tolist()
    if kind == "list":
        mixed = [float(i) if i % 2 else i for i in numbers]
        return mixed, mixed
    if kind == "floats":
        halves = (codes / 2).astype(c.pick(("f8", "f4", "f2")))
        halves[::2] *= -1  # of zeros too
        return halves, halves.tolist()
    if kind == "bools":
        return codes > 0, (codes > 0).tolist()
    if kind == "wide":
        wide = [i * 10**30 for i in numbers]
        return wide, wide
    if kind == "series":
        dtype = c.pick(("int32", "Int64", "float64", "Float32", "int64[pyarrow]"))
        return pandas.Series(codes).astype(dtype), numbers
    if kind == "fixed":
        return np.array(texts, "U5"), texts
    if kind == "category":
        dtype = c.pick(("category", "string", "str", "object"))
        return pandas.Series(texts, dtype=dtype), texts
    if kind == "objects":
        objects = np.empty(len(texts), object)
        objects[:] = texts
        return objects, texts
    if kind == "bytes":
        return np.array(texts, "S6"), texts
    if kind == "tuples":
        tuples = [(i, "a") for i in numbers]
        return tuples, tuples
    if kind == "times":
        times = codes.astype(c.pick(("datetime64[D]", "datetime64[s]")))
        return times, times.astype("datetime64[s]").tolist()
    return texts, texts
