"""An index answers as the plain functions do with the same rows."""

import numpy as np
import pytest

import unitdot
from tests.helpers import LAYOUTS, assert_same_bits, normal
from tests.index import data


@pytest.mark.parametrize("kind", data.KINDS)
@pytest.mark.parametrize("n", [1, 5, 300])
def test_bits_of_the_plain_functions(isa, kind, n):
    Y = data.rows(n, kind=kind)
    data.assert_same_answers(unitdot.CosineIndex(Y), Y, data.queries(kind=kind))


def test_bits_of_many_rows(isa, embeddings):
    """Enough of them that most of the work is left out."""
    Y = embeddings.astype(np.float32)
    data.assert_same_answers(unitdot.CosineIndex(Y), Y, Y[:40] + Y[1:41], k=10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("copy", [True, False])
def test_rows_in_any_layout(layout, copy):
    Y = LAYOUTS[layout](normal((50, 24), np.float32))
    index = unitdot.CosineIndex(Y, copy=copy)
    data.assert_same_answers(index, Y, data.queries())
    assert_same_bits(np.ascontiguousarray(index[:], np.float32), np.asarray(Y, np.float32))
    assert np.shares_memory(index[:], Y) is not copy


@pytest.mark.parametrize("where", ["mask", "numbers", "slice", "none"])
@pytest.mark.parametrize("kind", ["float32", "sparse64"])
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_filters_are_masks_of_the_full_matrix(isa, where, kind, groups, alone):
    n = 60
    Y, X = data.rows(n, kind=kind), data.queries(7, kind=kind)
    rng = np.random.default_rng(2)
    mask = {
        "mask": rng.random(n) < 0.3, "numbers": np.isin(np.arange(n), [50, 3, 7, 20, 21]),
        "slice": np.isin(np.arange(n), range(40, 4, -3)), "none": np.zeros(n, bool),
    }[where]  # fmt: skip
    given = {"mask": mask, "numbers": [50, 3, 7, 21, 20, 3], "slice": slice(40, 4, -3), "none": []}
    index = unitdot.CosineIndex(Y)
    labels_Y, labels_X = rng.integers(0, 3, n), rng.integers(0, 3, 7)
    if alone:
        X, labels_X = Y, labels_Y
    S = unitdot.cosine_similarity(X, Y)
    meet = np.broadcast_to(mask, S.shape)
    options = {"where": given[where]}
    if groups:
        meet = meet & (labels_X[:, None] == labels_Y)
        options["groups"] = labels_Y if alone else (labels_X, labels_Y)
    argument = () if alone else (X,)
    found = index.pairs(*argument, threshold=0.2, **options)
    hits = meet & (S.dtype.type(0.2) <= S)
    if alone:
        hits &= mask[:, None] & np.triu(np.ones_like(hits), 1)
    rows, columns = np.nonzero(hits)
    expected = unitdot.Pairs(rows, columns, S[rows, columns], S.shape, self_join=alone)
    data.assert_same_pairs(found, expected)
    most = index.pairs(*argument, threshold=0.2, max_pairs=5, **options)
    best = np.lexsort((columns, rows, -S[rows, columns]))[:5]
    best.sort()
    assert_same_bits(most.columns, columns[best])

    nearest = index.top_k(*argument, k=6, **options)
    if alone:
        meet = meet & ~np.eye(n, dtype=bool)
    order = np.argsort(np.where(meet, -S, np.inf), axis=1, kind="stable")[:, :6]
    left = np.take_along_axis(meet, order, axis=1)
    assert_same_bits(nearest.indices, np.where(left, order, -1).astype(np.int64))
    similarities = np.take_along_axis(S, order, axis=1)
    assert_same_bits(nearest.similarities, np.where(left, similarities, np.nan).astype(S.dtype))


def test_keywords_are_those_of_the_functions():
    Y = data.rows(30)
    Y[4] = 0
    X, index = data.queries(), unitdot.CosineIndex(Y)
    done = []
    keywords = {"zero": "nan", "dtype": np.float64, "n_threads": 1}
    keywords["progress"] = lambda *told: done.append(told)
    data.assert_same_neighbours(
        index.top_k(X, 30, threshold=0.1, **keywords),
        unitdot.cosine_top_k(X, Y, 30, threshold=0.1, **keywords),
    )
    data.assert_same_neighbours(
        index.top_k(k=3, include_self=True), unitdot.cosine_top_k(Y, k=3, include_self=True)
    )
    data.assert_same_pairs(
        index.pairs(X, threshold=0, **keywords),
        unitdot.cosine_pairs(X, Y, threshold=0, **keywords),
    )
    assert done
    del keywords["progress"]
    out = np.empty((3, 30))
    assert index.similarity(X, out=out, **keywords) is out
    assert_same_bits(out, unitdot.cosine_similarity(X, Y, **keywords))
    vector = index.top_k(X[0], 2)
    data.assert_same_neighbours(vector, unitdot.cosine_top_k(X[0], Y, 2))


def test_zero_rows_and_nan_are_seen_by_every_search():
    Y = normal((30, 24), np.float32)
    Y[4], Y[7, 2] = 0, np.nan
    X, index = data.queries(), unitdot.CosineIndex(Y)
    with pytest.raises(ValueError, match="Y holds a NaN or an infinity at row 7, column 2"):
        index.top_k(X, 2)
    with pytest.raises(ValueError, match="Y has a zero row, row 4"):
        index.pairs(X, zero="raise", check_finite=False)
    data.assert_same_neighbours(
        index.top_k(X, 30, check_finite=False), unitdot.cosine_top_k(X, Y, 30, check_finite=False)
    )


@pytest.mark.parametrize("kind", data.KINDS)
def test_rows_come_back(kind):
    Y = data.rows(9, kind=kind)
    index = unitdot.CosineIndex(Y)
    assert index.dtype == Y.dtype
    for key in (2, -1, slice(1, 7, 2), [5, 0, 5], np.arange(9) % 2 == 0):
        mine, theirs = index[key], Y[key]
        if kind.startswith("sparse"):
            mine, theirs = mine.toarray(), theirs.toarray()
        assert_same_bits(mine.astype(np.float64), theirs.astype(np.float64))
        assert mine.dtype == Y.dtype


def test_nobody_can_change_what_is_kept():
    Y = data.rows(9)
    index = unitdot.CosineIndex(Y, ids=range(9))
    kept = Y.copy()
    Y[:] = 1
    assert_same_bits(index[:], kept)
    for array in (index[:], index[3], index.ids):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    index[[1, 2]][:] = 0
    assert_same_bits(index[:], kept)


def test_arrays_of_the_caller_stay_writeable():
    Y = data.rows(9)
    index = unitdot.CosineIndex(Y, copy=False)
    index.add(Y[:2])
    Y[0] = 5  # neither refused, nor seen by a copy
    assert index[0].tolist() != Y[0].tolist()


def test_sparse_rows_are_put_in_order():
    sparse = pytest.importorskip("scipy.sparse")
    parts = [1.0, 2.0, 0.0, 3.0], [2, 0, 1, 2], [0, 4, 4]
    Y = sparse.csr_array(parts, shape=(2, 3))
    index = unitdot.CosineIndex(Y)
    assert index[:].indices.tolist() == [0, 2]
    assert index[:].data.tolist() == [2.0, 4.0]


def test_what_is_printed():
    assert repr(unitdot.CosineIndex(data.rows(3))) == "CosineIndex(shape=(3, 24), dtype=float32)"
    index = unitdot.CosineIndex(data.rows(3, kind="int8"), ids=[3, 2, 1])
    assert repr(index) == "CosineIndex(shape=(3, 24), dtype=int8, ids=int)"
    assert 3 * 24 + 3 * 8 < index.nbytes < 1000
