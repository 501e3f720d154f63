"""What every kind of frame, column and tensor is held to."""

import numpy as np
import pytest

import unitdot

from ..helpers import assert_same_bits, normal

VECTORS = normal((6, 5), np.float32)


def assert_read_as(argument, rows):
    """Every function takes it for these rows, alone and beside others; the dtype is theirs too."""
    rows = np.asarray(rows)
    expected = unitdot.cosine_similarity(rows)
    assert_same_bits(unitdot.cosine_similarity(argument), expected)
    assert_same_bits(unitdot.cosine_similarity(rows, argument), expected)
    expected = unitdot.paired_cosine_similarity(rows, rows)
    assert_same_bits(unitdot.paired_cosine_similarity(argument, rows), expected)
    if rows.ndim == 2 and len(rows) > 1:
        for array, other in zip(
            unitdot.cosine_top_k(argument, k=1), unitdot.cosine_top_k(rows, k=1), strict=True
        ):
            assert_same_bits(array, other)
        for array, other in zip(
            unitdot.cosine_pairs(rows, argument), unitdot.cosine_pairs(rows, rows), strict=True
        ):
            assert_same_bits(array, other)


def refusal(X, error, *parts, **names):
    """Refused, with all `parts` in the message; what it says to try is tried: {code: result}."""
    with pytest.raises(error) as raised:
        unitdot.cosine_similarity(X)
    message = str(raised.value)
    for part in ("X ", *parts):
        assert part in message
    with pytest.raises(error, match=r"^Y "):
        unitdot.cosine_similarity(np.ones((2, 5)), X)
    _, _, tries = message.partition("; try ")
    codes = tries.split(" or ") if tries else []
    return {code: eval(code, {"X": X, "np": np, **names}) for code in codes}


def assert_remedies(tried, *codes):
    """These are what there was to try, and each is accepted."""
    assert [*tried] == [*codes]
    for result in tried.values():
        assert unitdot.cosine_similarity(result).size
