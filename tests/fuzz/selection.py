"""Reductions among the rows that a filter, labels and a threshold leave, and what is made of them.

The answer is that of the full matrix, sorted or compared where rows may meet.
"""

import numpy as np

import unitdot
from unitdot._machine.dispatch import use_isa

from ..helpers import FUSED_ISAS, ISAS
from ..neighbors import (
    assert_same_result,
    most_similar,
    pairs_of_matrix,
    reaching,
    sorted_where,
)
from . import dense, results, sparse
from .answers import plain, second
from .functions import refusal, sizes
from .labels import groups_of

COMMON = ("dtype", "zero", "check_finite")


def check(c):
    """Neighbours or pairs, and what is made of them."""
    n, m, d = sizes(c, most_features=300)
    kinds = c.pick(("dd", "dd", "ss", "sd", "ds"))
    make = {"d": dense.side, "s": sparse.side}
    X = make[kinds[0]](c, (max(1, n) if kinds[0] == "s" else n, max(1, d)))
    alone = kinds[0] == kinds[1] and c.byte() % 2 == 0
    Y = None if alone else make[kinds[1]](c, (max(1, m), max(1, d)))
    options = common_options(c)
    top_k = c.byte() % 2 == 0
    own, may_meet, errors = choose(c, len(X.value), len(second(X, Y).value), alone, top_k)
    question = "cosine_top_k" if top_k else "cosine_pairs"
    errors.append(refusal(X, Y, question, options))
    arguments = [side.given for side in (X, Y) if side is not None]
    with use_isa(c.pick(FUSED_ISAS or ISAS)):
        found, raised = outcome(getattr(unitdot, question), *arguments, **own, **options)
    if raised is not None or any(errors):
        expected = tuple(error for error in errors if error)
        left_out = "where" in own and not may_meet.all()  # rows that nobody meets may go unread
        if raised is not None or not left_out:
            assert isinstance(raised, expected), f"expected {expected}, got {raised!r}"
        return
    S = plain("cosine_similarity", X, Y, {key: options[key] for key in COMMON})
    expected = answer(S, question, own, may_meet, alone)
    assert_same_result(found, expected)
    assert found.shape == S.shape
    if top_k:
        results.of_top_k(c, found, S)
    else:
        results.of_pairs(c, found)


def common_options(c):
    """Those that every function has."""
    return {
        "dtype": c.pick((None, None, np.float32, "float64")),
        "zero": c.pick(("zero", "zero", "nan", "raise")),
        "check_finite": c.byte() % 4 != 1,
        "n_threads": c.pick((1, 2, None, 3)),
    }


def choose(c, n, m, alone, top_k, filters=True):
    """What a reduction of n by m rows takes, which rows may meet, and the errors it deserves."""
    own, errors = {}, []
    may_meet = np.ones((n, m), bool)
    if c.byte() % 2:
        own["groups"], met, error = groups_of(c, n, m, alone)
        may_meet &= True if error else met
        errors.append(error)
    if filters and top_k and c.byte() % 2:
        own["where"], chosen, error = where_of(c, m)
        may_meet &= True if error else chosen
        errors.append(error)
    if not top_k or c.byte() % 2:
        own["threshold"] = c.pick((0.9, 0.5, 1e-6, 0, -1, 1, 0.75, -0.5, 0.1, 0.25, 1.5))
        errors.append(ValueError if own["threshold"] > 1 else None)
    if top_k:
        own["k"] = c.below(4) + 1 if c.byte() % 2 else c.below(140)
        own["include_self"] = alone and c.byte() % 2 == 1
        candidates = m - (alone and not own["include_self"])
        free = not own.keys().isdisjoint(("groups", "where", "threshold"))
        errors.append(None if own["k"] >= 1 and (free or own["k"] <= candidates) else ValueError)
        if alone and not own["include_self"]:
            may_meet &= ~np.eye(n, dtype=bool)
    elif c.byte() % 2:
        own["max_pairs"] = c.pick((1, 2, 3, 10, 100, 10**6, 0))
        errors.append(None if own["max_pairs"] else ValueError)
    return own, may_meet, errors


def where_of(c, n):
    """A filter of n rows, the mask that it means, and the error that it deserves."""
    rng = np.random.default_rng(c.below(1 << 16))
    chosen = rng.random(n) < c.pick((0.5, 0.1, 0.9, 0, 1))
    numbers = np.flatnonzero(chosen)
    what = c.below(9)
    if what == 0:
        return chosen, chosen, None
    if what == 1:
        return chosen.tolist(), chosen, None
    if what == 2:
        numbers = rng.permutation(np.concatenate([numbers, numbers[::2]]))
        return numbers.astype(c.pick((np.int64, np.int32, np.uint64, np.int16))), chosen, None
    if what == 3:
        return numbers.tolist(), chosen, None
    if what == 4:
        ends = [c.pick((None, 0, 1, 5, n // 2, n, n + 3, -1, -4)) for _ in range(2)]
        part = slice(*ends, c.pick((None, 1, 2, -1, -3)))
        return part, np.isin(np.arange(n), np.arange(n)[part]), None
    if what == 5:
        return np.append(chosen, True), None, ValueError
    if what == 6:
        return np.append(numbers, c.pick((n, -1, 1 << 62))), None, ValueError
    if what == 7:
        return np.append(numbers, 0.0), None, TypeError
    return np.ascontiguousarray(chosen.repeat(2))[::2], chosen, None


def outcome(call, *arguments, **options):
    """(what it gives, None), or (None, what it raises)."""
    try:
        return call(*arguments, **options), None
    except Exception as exception:
        return None, exception


def answer(S, question, own, may_meet, alone):
    """What of the full matrix is to be found."""
    if question == "cosine_top_k":
        if S.ndim == 1:
            S = S[None]
        found = sorted_where(S, own["k"], may_meet)
        return reaching(found, own["threshold"]) if "threshold" in own else found
    found = pairs_of_matrix(np.where(may_meet, S, np.nan), own["threshold"], same=alone)
    return most_similar(found, own["max_pairs"]) if "max_pairs" in own else found
