"""Sparse rows of an index: by feature once they are searched, and kept so as they grow."""

import numpy as np

import unitdot

from ..helpers import assert_same_bits
from ..sparse.data import csr, random_rows
from ..sparse.test_reductions import DATA


def check(index, X, Y, k):
    for result, expected in zip(index.top_k(X, k), unitdot.cosine_top_k(X, Y, k), strict=True):
        assert_same_bits(result, expected)


def test_searches_use_what_the_first_one_made():
    Y = csr(DATA["clustered"](np.float64))
    index = unitdot.CosineIndex(Y)
    before = index.nbytes
    check(index, Y[:3], Y, 4)
    made = index._state.rows.by_feature.blocks()
    assert index.nbytes >= before + 8 * Y.nnz
    check(index, Y[5:], Y, 1)
    for result, expected in zip(index.top_k(k=2), unitdot.cosine_top_k(Y, k=2), strict=True):
        assert_same_bits(result, expected)
    assert index._state.rows.by_feature.blocks() is made


def test_what_was_full_is_kept_as_it_grows(monkeypatch):
    def blocks_of(rows, *_):
        return [(i, min(50, rows.shape[0] - i)) for i in range(0, rows.shape[0], 50)]

    monkeypatch.setattr("unitdot._kernels.sparse.blocks_of", blocks_of)
    Y = csr(random_rows(170, 60))
    index = unitdot.CosineIndex(Y[:120])
    check(index, Y[:5], Y[:120], 3)
    full = index._state.rows.by_feature.blocks()[:2]
    index.add(Y[120:125])
    index.add(Y[125:])
    check(index, Y[:5], Y, 3)
    assert index._state.rows.by_feature.blocks()[:2] == full
    index.remove(0)
    check(index, Y[:5], Y[1:], 3)
