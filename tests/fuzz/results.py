"""What is made of neighbours and pairs: merged parts, sparse arrays, components, rows to keep."""

import pickle

import numpy as np
from scipy import sparse

import unitdot

from ..helpers import assert_same_bits
from ..neighbors import assert_same_result, with_one_nan


def of_top_k(c, found, S):
    """Parts by the columns' numbers, merged, are the whole; so are the entries of CSR arrays."""
    similarities, indices = found
    if similarities.ndim == 2:
        owner = np.random.default_rng(c.below(1 << 16)).integers(c.pick((2, 1, 3)), size=S.shape[1])
        parts = [part_of(c, found, owner == i) for i in range(owner.max(initial=0) + 1)]
        assert_same_result(unitdot.merge_top_k(parts, indices.shape[1]), found)
    assert_same_result(pickle.loads(pickle.dumps(found)), found)
    kind = c.pick(("similarity", "distance"))
    array = found.to_csr(kind=kind)
    there = np.atleast_2d(indices) >= 0
    assert array.shape == found.shape
    assert (np.diff(array.indptr) == there.sum(axis=1)).all()
    assert (array.indices == np.atleast_2d(indices)[there]).all()
    values = np.atleast_2d(similarities)[there]
    values = 1 - values if kind == "distance" else values
    assert_same_bits(with_one_nan(array.data), with_one_nan(values))


def part_of(c, found, owned):
    """Of the neighbours those in some columns, in front of places left over."""
    similarities, indices = found
    mine = (indices >= 0) & np.append(owned, False)[indices]
    order = np.argsort(~mine, axis=1, kind="stable")
    nan = similarities.dtype.type(np.nan)
    similarities = np.where(mine, similarities, nan)
    arrays = similarities, np.where(mine, indices, -1)
    arrays = [np.take_along_axis(array, order, 1) for array in arrays]
    if c.byte() % 4 == 1:
        arrays = [np.asfortranarray(array) for array in arrays]
    return unitdot.TopK(*arrays) if c.byte() % 2 else tuple(arrays)


def of_pairs(c, found):
    """The graph of the pairs, by SciPy and by hand."""
    rows, columns, similarities = found
    again = pickle.loads(pickle.dumps(found))
    assert_same_result(again, found)
    assert (again.shape, again.self_join) == (found.shape, found.self_join)
    kind = c.pick(("similarity", "distance"))
    values = 1 - similarities if kind == "distance" else similarities
    expected = np.zeros(found.shape, similarities.dtype)
    expected[rows, columns] = values
    symmetric = found.self_join and c.byte() % 2 == 1
    if symmetric:
        expected[columns, rows] = values
    array = found.to_csr(symmetric, kind=kind)
    assert array.nnz == len(rows) * (1 + symmetric)
    assert_same_bits(array.toarray(), expected)
    if not found.self_join:
        for method in (found.components, found.keep_first):
            try:
                method()
            except ValueError:
                continue
            raise AssertionError("pairs of two sets are no graph")
        return
    by_hand = turned(c, found)
    ones = np.ones(len(rows)), (rows, columns)
    count, labels = sparse.csgraph.connected_components(
        sparse.coo_array(ones, shape=found.shape), directed=False
    )
    first = np.full(count, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    components = np.argsort(np.argsort(first))[labels]
    kept = np.ones(len(labels), bool)
    beside = [[] for _ in labels]
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        beside[column].append(row)
    for row, earlier in enumerate(beside):
        kept[row] = not kept[earlier].any()
    for pairs in (found, by_hand):
        assert (pairs.components() == components).all()
        assert (pairs.keep_first() == kept).all()


def turned(c, found):
    """The same pairs in another order, some as (column, row)."""
    rng = np.random.default_rng(c.below(1 << 16))
    order = rng.permutation(found.n_pairs)
    swap = rng.random(found.n_pairs) < 0.5
    rows, columns = np.where(swap, found[1], found[0]), np.where(swap, found[0], found[1])
    return unitdot.Pairs(rows[order], columns[order], found.similarities[order], found.shape)
