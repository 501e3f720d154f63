"""A prepared corpus is searched to the same bits, order and ties as one that is not."""

import numpy as np
import pytest

import unitdot
from unitdot import _options
from unitdot._sparse import functions as sparse_functions
from unitdot._sparse import inputs as sparse_inputs
from unitdot._sparse.prepared import Prepared

from ..helpers import FLOATS, assert_same_bits
from .data import csr, random_rows, sparse
from .test_reductions import DATA


def search(prepared, X, Y, k, threshold=None, **options):
    options = _options.Options(**{**_options.DEFAULTS._asdict(), **options})
    return sparse_functions.top_k(X, Y, k, threshold, False, None, options, prepared=prepared)


def check(prepared, X, Y, k, **options):
    found = search(prepared, X, Y, k, **options)
    for result, expected in zip(found, unitdot.cosine_top_k(X, Y, k, **options), strict=False):
        assert_same_bits(result, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", DATA)
def test_searches(data, dtype):
    Y = csr(DATA[data](dtype))
    prepared = Prepared.of(Y)
    for other in FLOATS:
        X = csr(DATA[data](other)[::-3])
        for k in (1, min(5, Y.shape[0])):
            check(prepared, X[:1], Y, k)
            check(prepared, X, Y, k)
            check(prepared, X, Y, k, zero="nan")
            check(prepared, X, Y, k, threshold=0.4)
            check(prepared, X.toarray(), Y, k)
    check(prepared, Y, None, 2)


def test_a_corpus_that_grows_keeps_its_full_blocks(monkeypatch):
    def blocks_of(rows, *_):
        return [(i, min(50, rows.shape[0] - i)) for i in range(0, rows.shape[0], 50)]

    monkeypatch.setattr("unitdot._kernels.sparse.blocks_of", blocks_of)
    whole = csr(random_rows(260, 300))
    X, prepared, blocks = whole[::7], None, []
    for n in (120, 121, 150, 260):
        prepared = Prepared.of(whole[:n], prepared)
        check(prepared, X, whole[:n], 3)
        assert [block in blocks for block in prepared.blocks()[: len(blocks)]] == [
            block.stop - block.first == 50 for block in blocks
        ]
        blocks = prepared.blocks()


@pytest.mark.parametrize("every", [False, True])
def test_no_block_is_made_twice(every, monkeypatch):
    """Whether a search goes by bounds or by all scores."""
    monkeypatch.setattr(
        "unitdot._sparse.search._search_is_slower", lambda *_: (every, prepared.blocks()[0])
    )
    Y = csr(random_rows(400, 30))
    prepared = Prepared.of(Y)
    expected = unitdot.cosine_top_k(Y[:100], Y, 3)
    prepared.blocks()
    monkeypatch.setattr("unitdot._kernels.sparse.Index", None)
    found = search(prepared, Y[:100], Y, 3)
    for a, b in zip(found, expected, strict=False):
        assert_same_bits(a, b)


def test_threads_follow_the_entries_that_a_search_meets(monkeypatch):
    monkeypatch.setattr("unitdot._machine.threads.available_threads", lambda: 2)
    # all share the first feature, so hardly any is as frequent as the mean
    Y = sparse.hstack([np.ones((4000, 1)), sparse.eye_array(4000)], format="csr")
    prepared = Prepared.of(Y)

    def threads(X, n_threads=None):
        options = _options.DEFAULTS._replace(n_threads=n_threads)
        return sparse_functions._prepare(X, Y, options, prepared=prepared).threads

    assert threads(Y[:100]) == 1  # lists that are not made
    rows = prepared.rows(False)
    assert prepared.blocks()
    assert prepared.products(rows) == 4000 * 4000 + 4000
    assert [threads(Y[:n]) for n in (1, 10, 100)] == [1, 1, 2]
    assert threads(Y[:100], 1) == 1


def test_more_features_than_are_numbered_are_not_prepared():
    Y = csr(random_rows(5, 4))
    Y.resize(5, sparse_inputs.NUMBERED + 1)
    assert Prepared.of(Y) is None
    Y.resize(5, sparse_inputs.NUMBERED)
    check(Prepared.of(Y), Y[:2], Y, 3)


def test_what_is_wrong_is_refused_as_ever():
    Y = csr(np.vstack([random_rows(6, 4, 1.0), np.zeros((1, 4))]))
    prepared = Prepared.of(Y)
    with pytest.raises(ValueError, match=r"Y has 4 features .* where X has 3 "):
        search(prepared, csr(random_rows(2, 3)), Y, 1)
    with pytest.raises(ValueError, match=r"X holds .* row 1, column 2"):
        search(prepared, csr([[1.0, 0, 2, 0], [1, 0, np.nan, 0]]), Y, 1)
    with pytest.raises(ValueError, match=r"Y .* row 6"):
        search(prepared, Y[:1], Y, 1, zero="raise")
