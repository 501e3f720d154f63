"""Reductions by heads, which are forced upon inputs that are too small to have any of their own.

Shapes are those that the screen takes; rows are near few directions, so that heads rule out much.
"""

from contextlib import contextmanager

import numpy as np

import unitdot
from unitdot._machine.dispatch import kernels, use_isa

from ..helpers import FUSED_ISAS, ISAS
from ..neighbors import assert_same_result
from . import dense
from .answers import compute_dtype
from .selection import answer, choose, common_options

SHAPES = ((96, 512), (97, 600), (120, 1030), (520, 520), (96, 1537), (130, 640))
FEATURES = (64, 65, 72, 127, 128, 129, 200)
DTYPES = (*map(np.dtype, "fdebBhi"), dense.BFLOAT16)


def check(c):
    """Neighbours or pairs, by heads and by the full matrix."""
    n, m = c.pick(SHAPES)
    d = c.pick(FEATURES)
    alone = c.byte() % 3 == 1
    X, Y = matrices(c, (m if alone else n, m), d, alone)
    options = common_options(c) | {"check_finite": True}
    if options["zero"] == "raise":
        options["zero"] = "nan"
    top_k = c.byte() % 2 == 0
    own, may_meet, errors = choose(c, len(X), m, alone, top_k)
    if any(errors):
        return
    S = unitdot.cosine_similarity(X, Y, **options)
    if "threshold" in own and c.byte() % 2 == 0:
        own["threshold"] = threshold_of(c, S, own["threshold"])
    question = "cosine_top_k" if top_k else "cosine_pairs"
    expected = answer(S, question, own, may_meet, alone)
    sides = (X,) if alone else (X, Y)
    index = None
    if c.byte() % 4 == 1:
        index = unitdot.CosineIndex(sides[-1])
        sides = (None,) if alone else (X,)
    search = getattr(index or unitdot, question if index is None else question[len("cosine_") :])
    wide = compute_dtype(X, X if alone else Y) == np.float64
    with use_isa(c.pick(FUSED_ISAS or ISAS)), heads(c, kernels(wide), d):
        found = search(*sides, **own, **options)
    assert_same_result(found, expected)


@contextmanager
def heads(c, module, d):
    """Of some lines, along directions that are found or given, good or bad."""
    lines = c.pick((1, 2, 3))
    words = c.pick((4, 6, 8, 14, 16) if lines == 1 else (10, 16, 32, 8, 24))
    directions = None
    if c.byte() % 3 == 1:
        rng = np.random.default_rng(c.below(1 << 16))
        directions = rng.standard_normal((64 * lines, d))
        if c.byte() % 2 and 64 * lines <= d:
            directions = np.linalg.qr(directions.T)[0].T.copy()
        directions *= c.pick((1, 1, 7, 1e-3, 0, np.inf))
    module.force_heads(lines, words, directions)
    try:
        yield
    finally:
        module.force_heads(0, 0)


def matrices(c, shape, d, alone):
    """Rows near a few directions, equal and nearly equal ones, zero rows and opposite ones."""
    dtype = c.pick(DTYPES)
    rng = np.random.default_rng(c.below(1 << 16))
    rank, noise = c.pick((9, 3, 20, 40, 64)), c.pick((0, 0.1, 0.01, 1))
    basis = rng.standard_normal((rank, d)) * np.linspace(1, 0.2, rank)[:, None]
    sides = []
    for n in shape[1:] if alone else shape:
        rows = rng.standard_normal((n, rank)) @ basis + noise * rng.standard_normal((n, d))
        style = c.below(6)
        if style == 1:
            rows = rows[rng.integers(n, size=n)]
        elif style == 2:
            rows = rows[rng.integers(9, size=n)] + 1e-6 * rows
        elif style == 3:
            rows *= 2.0 ** rng.integers(-20, 20, (n, 1))
        elif style == 4:
            rows[rng.random(rows.shape) < 0.8] = 0
        if dtype.kind in "iu":
            rows = np.clip(np.rint(rows * c.pick((1, 20))), -128, 127)
        with np.errstate(all="ignore"):
            rows = rows.astype(np.int8 if dtype.kind == "u" else dtype).astype(dtype)
        dense.special_rows(c, rows)
        rows[~np.isfinite(rows.astype("d")).all(axis=1)] = 0
        sides.append(rows)
    if not alone:
        sides[0][:9] = sides[1][:9]
    return sides[0], None if alone else sides[1]


def threshold_of(c, S, otherwise):
    """A value of the matrix, or a number beside one."""
    values = S[np.abs(S) <= 1]
    if not values.size:
        return otherwise
    value = np.quantile(values, c.pick((0.99, 0.5, 0.9, 0.999, 1)), method="nearest")
    return float(c.pick((value, np.nextafter(value, -1), np.nextafter(value, 1))))
