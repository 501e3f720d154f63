"""A call of a function that gives similarities, or of a reduction as it is without a selection.

A call in some layout, thread count and instruction set must give the bits of the plain call (C
order, one thread), and the plain call what the oracle says; or be refused, with the right error.
Neither may touch memory that is not its own.
"""

import numpy as np

from unitdot._machine.dispatch import use_isa

from ..helpers import FUSED_ISAS, ISAS, function
from . import dense, sparse
from .answers import (
    COMMON,
    FULL,
    PAIRED,
    compare,
    compare_with_oracle,
    lead_shape,
    plain,
    result_dtype,
    second,
)

NAMES = (*FULL, *PAIRED, "cosine_top_k", "cosine_pairs")
ROWS = (1, 2, 3, 7, 8, 9, 16, 17, 24, 25, 47, 48, 49, 50, 97, 130, 0)
FEATURES = (1, 2, 3, 8, 16, 31, 32, 33, 64, 127, 128, 129, 260, 1000, 4097, 4300, 0)
MOST = 1 << 17  # multiply-adds of a call, about


def check(c):
    """One call."""
    name = c.pick(NAMES)
    X, Y, axis = sides(c, name)
    options = {
        "dtype": c.pick((None, None, np.float32, "float64")),
        "zero": c.pick(("zero", "zero", "nan", "raise")),
        "check_finite": c.byte() % 4 != 1,
        "n_threads": c.pick((1, 2, None, 3)),
    }
    error = refusal(X, Y, name, options)
    own, own_error = own_options(c, name, X, Y, axis)
    isa = c.pick(FUSED_ISAS or ISAS)
    buffer, out = None, None
    if name in FULL and own.get("dense_output", True) and not error and c.byte() % 2:
        buffer, out, own_error = output(c, X, Y, options)
        own["out"] = out
    error = error or own_error
    arguments = [side.given for side in (X, Y) if side is not None]
    buffers = [*X.buffers, *(Y.buffers if Y else ()), *([] if buffer is None else [buffer])]
    before = [memory.tobytes() for memory in buffers]
    raised = result = None
    try:
        with use_isa(isa):
            result = function(name)(*arguments, **options, **own)
    except Exception as exception:
        raised = exception
    if raised is None and out is not None:
        assert result is out
        result = out.copy()
        out[...] = 0  # as it was: what else lies in the buffer must be so too
    assert [memory.tobytes() for memory in buffers] == before
    if raised is not None or error is not None:
        assert isinstance(raised, error or ()), f"expected {error}, got {raised!r}"
        return
    common = {key: options[key] for key in COMMON}
    compare(c, name, X, Y, result, own, common)
    if "baseline" in ISAS and c.rarely():
        question = name if name in FULL + PAIRED else "cosine_similarity"
        with use_isa("baseline"):
            compare_with_oracle(c, question, X, Y, plain(question, X, Y, common), common)


def own_options(c, name, X, Y, axis):
    """What only this function takes, and the error that it deserves, or None."""
    if name == "cosine_top_k":
        k = c.below(4) + 1 if c.byte() % 2 else c.below(140)
        include_self = c.byte() % 2 == 1 and Y is None
        candidates = len(second(X, Y).value) - (Y is None and not include_self)
        error = None if 1 <= k <= candidates else ValueError
        return {"k": k, "include_self": include_self}, error
    if name == "cosine_pairs":
        thresholds = (0.9, 0.5, 1e-6, 0, -1, 1, 0.75, -0.5, 0.1, 0.25)
        return {"threshold": c.pick(thresholds)}, None
    if name == "cosine_similarity":
        return {"dense_output": c.byte() % 2 == 0}, None
    return ({"axis": axis} if axis != -1 else {}), None


def sides(c, name):
    """X, Y (None: left out) and the axis of the features."""
    kinds = c.pick(("dd", "dd", "dd", "ss", "sd", "ds"))
    if "s" in kinds:
        n, m, d = sizes(c, most_features=300)
        m = (m if c.rarely() else n) if name in PAIRED else m
        make = {"d": dense.side, "s": sparse.side}
        X = make[kinds[0]](c, (max(1, n), max(1, d)))
        alone = name not in PAIRED and kinds == "ss" and c.byte() % 2
        other = max(1, d) if not c.rarely() else d + 1
        return X, None if alone else make[kinds[1]](c, (max(1, m), other)), -1
    n, m, d = sizes(c)
    leads = ((), (), ())
    axis = -1
    shape_X, shape_Y = (n, d), (m, d if not c.rarely() else d + 1)
    if name in PAIRED:
        shape_Y = c.pick(((n, d), (n, d), (1, d), (d,), shape_Y))
    if name in FULL + PAIRED and c.byte() % 4 == 1:
        leads = c.pick((((2,), (2,)), ((2, 1), (3,)), ((), (2,)), ((0,), (1,)), ((2,), (3,))))
        shape_X, shape_Y = (*leads[0], *shape_X), (*leads[1], *shape_Y)
    if name in PAIRED and len(shape_X) == len(shape_Y) and c.byte() % 4 == 1:
        axis = c.below(len(shape_X))
    if c.byte() % 8 == 1 and axis == -1:
        shape_X = shape_X[-1:]
    if c.byte() % 16 == 1 and axis == -1:
        shape_Y = shape_Y[-1:]
    X = dense.side(c, shape_X, axis)
    alone = name not in PAIRED and c.byte() % 2
    return X, None if alone else dense.side(c, shape_Y, axis), axis


def sizes(c, most_features=None):
    """Rows of X and Y, and features, that keep a call small."""
    d = c.pick(FEATURES)
    d = d if most_features is None else min(d, most_features)
    n, m = c.pick(ROWS), c.pick(ROWS)
    while n * m * d > MOST:
        n, m = (n + 1) // 2, (m + 1) // 2
    return n, m, d


def refusal(X, Y, name, options):
    """The error that the arguments deserve, or None."""
    reductions = name not in FULL + PAIRED
    for side in (X, second(X, Y)):
        if side.error:
            return side.error
    x, y = X.value, second(X, Y).value
    if reductions and (y.ndim != 2 or x.ndim > 2 or (x.ndim < 2 and name == "cosine_pairs")):
        return ValueError
    if x.shape[-1] != y.shape[-1] or x.shape[-1] == 0:
        return ValueError
    try:
        lead_shape(name, x, y)
    except ValueError:
        return ValueError
    for value in (x, y):  # both, though a side without rows leaves nothing to compute
        rows = value.astype(np.float64).reshape(-1, value.shape[-1])
        if options["check_finite"] and not np.isfinite(rows).all():
            return ValueError
        if options["zero"] == "raise" and (rows == 0).all(axis=1).any():
            return ValueError
    return None


def output(c, X, Y, options):
    """(buffer, array) for the result, in any layout, and the error that it deserves, or None."""
    x, y = X.value, second(X, Y).value
    shape, dtype = lead_shape(FULL[0], x, y), result_dtype(x, y, options)
    wrong = c.pick((None, None, None, "shape", "dtype", "read-only"))
    if wrong == "shape":
        shape = (*shape, 1)
    elif wrong == "dtype":
        dtype = np.dtype("f4" if dtype == np.float64 else "f8")
    buffer, out = dense.lay_out(c, np.zeros(shape, dtype))
    if wrong == "read-only":
        out.flags.writeable = False
    return buffer, out, ValueError if wrong or out.dtype != dtype else None
