"""Frames, and columns of vectors: the bits of the same numbers as an array, or an error."""

import unitdot

from ..helpers import assert_same_bits
from . import columns
from .selection import outcome

KINDS = (
    columns.pandas_frame,
    columns.polars_frame if columns.POLARS else columns.pandas_frame,
    columns.arrow_table,
    columns.pandas_vectors,
    columns.polars_vectors if columns.POLARS else columns.pandas_vectors,
    columns.arrow_vectors,
)


def check(c):
    """A frame in place of an array, in one of the functions."""
    n, d = c.pick((1, 2, 5, 17, 40, 0)), c.pick((1, 2, 3, 7, 16))
    given, value, errors = c.pick(KINDS)(c, n, d)
    question = c.pick(("alone", "beside", "paired", "top_k", "pairs", "index"))
    found, raised = outcome(ask, question, given, value)
    if raised is not None or errors:
        assert isinstance(raised, tuple(errors)), f"expected {errors}, got {raised!r}"
        return
    for array, expected in zip(found, ask(question, value, value), strict=True):
        assert_same_bits(array, expected)


def ask(question, given, value):
    """Arrays that a function gives of it."""
    if question == "beside":
        return [unitdot.cosine_similarity(given, given)]
    if question == "paired":
        return [unitdot.paired_cosine_distances(given, given)]
    if question == "top_k":
        return unitdot.cosine_top_k(given, k=1, threshold=-1)
    if question == "pairs":
        return unitdot.cosine_pairs(given, threshold=0.5)
    if question == "index":
        index = unitdot.CosineIndex(given)
        index.add(given)
        return [index[:], *index.top_k(k=1, threshold=-1)]
    return [unitdot.cosine_similarity(given)]
