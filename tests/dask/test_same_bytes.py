"""Contract 11: the bytes of the plain function for any chunks, by schedulers of one process."""

import numpy as np
import pytest

import unitdot
from unitdot import Pairs

from ..helpers import ALL, MATRIX, assert_same_bits, function, normal
from ..neighbors import assert_same_result

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
sparse = pytest.importorskip("scipy.sparse")
on_dask = pytest.importorskip("unitdot.dask")

pytestmark = [
    pytest.mark.filterwarnings("ignore:chunks of"),  # that are small
    pytest.mark.costly,
]

ROWS, FEATURES = 90, 37
CHUNKS = {  # of the rows and of the features
    "one": (ROWS, FEATURES),
    "even": (30, FEATURES),
    "rest": (40, 10),
    "single rows": ((1, 1, 87, 1), FEATURES),
    "empty": ((0, 50, 0, 40), (20, 17)),
    "many": (4, FEATURES),  # more than are merged at a time
}
LIKE = {
    "dense": lambda X: X,
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csc": sparse.csc_matrix,
}
TOP_K = [
    {},
    {"k": 1},
    {"k": 60},  # more than most blocks have
    {"k": 5, "zero": "nan"},
    {"k": 200, "threshold": 0.3},
    {"k": 7, "threshold": 1.0, "dtype": "f8"},
    {"k": 60, "dtype": "f4"},
]
PAIRS = [
    {"threshold": 0.3},
    {"threshold": -1, "zero": "nan", "dtype": "f4"},
    {"threshold": 1},
    {"threshold": 0, "max_pairs": 100},
    {"threshold": 1, "max_pairs": 2},
]
any_chunks = pytest.mark.parametrize("chunks", CHUNKS)
# dtypes, and what the blocks are
KINDS = [(dtype, "dense") for dtype in ("f2", "f4", "f8", "i1", "i8", "?")]
KINDS += [("f4", "csr_matrix"), ("f8", "csr_array"), ("i8", "csc")]
any_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)
any_side = pytest.mark.parametrize("side", ["X alone", "X", "dask", "memory", "wide", "sparse"])


def rows(dtype, n=ROWS, seed=0):
    """With equal rows far apart, and zero rows."""
    X = np.rint(normal((n, FEATURES), seed=seed) * 3).astype(dtype)
    X[[5, n // 2, n - 1]] = X[2]
    X[[7, n - 3]] = 0
    return X


def sides(kind, chunks, side):
    """(X, Y) as Dask has them, and as the plain function has."""
    dtype, like = kind
    X, Y = LIKE[like](rows(dtype)), rows(dtype, 60, seed=1)
    Y = {"wide": Y.astype("f8"), "sparse": sparse.csr_array(Y.astype("f8"))}.get(side, Y)
    lazy_X = da.from_array(X, chunks=CHUNKS[chunks], asarray=like == "dense")
    if side == "X alone":
        return (lazy_X, None), (X, None)
    if side == "X":
        return (lazy_X, lazy_X), (X, X)
    return (lazy_X, Y if side == "memory" else da.from_array(Y, (25, 30), asarray=False)), (X, Y)


def compute(lazy, scheduler="threads"):
    return dask.compute(lazy, scheduler=scheduler)[0]


def assert_same_pairs(frame, expected):
    found = Pairs(*(frame[name].to_numpy() for name in ("rows", "columns", "similarities")))
    assert_same_result(found, Pairs(*expected))


@any_side
@any_chunks
@any_kind
@pytest.mark.parametrize("name", MATRIX)
def test_matrix(name, kind, chunks, side):
    lazy, plain = sides(kind, chunks, side)
    for keywords in {}, {"zero": "nan", "dtype": "f4"}, {"check_finite": False, "n_threads": 1}:
        found = getattr(on_dask, name)(*lazy, **keywords)
        expected = function(name)(*plain, **keywords)
        assert (found.dtype, found.chunks[0]) == (expected.dtype, lazy[0].chunks[0])
        assert_same_bits(compute(found), expected)


@any_chunks
@pytest.mark.parametrize("like", LIKE)
@pytest.mark.parametrize("side", ["X alone", "X", "sparse"])
def test_sparse_matrix(like, chunks, side):
    (lazy, plain) = sides(("f8", like), chunks, side)
    found = on_dask.cosine_similarity(*lazy, dense_output=False)
    expected = unitdot.cosine_similarity(*plain, dense_output=False)
    assert type(found._meta) is type(expected)
    for i, rows_ in enumerate(np.split(np.arange(ROWS), np.cumsum(found.chunks[0])[:-1])):
        for j, block in enumerate(found.blocks[i].to_delayed().ravel()):
            block, start = block.compute(), sum(found.chunks[1][:j])
            assert type(block) is type(expected)
            part = expected[rows_, start : start + found.chunks[1][j]]
            if sparse.issparse(part):
                assert block.has_canonical_format
                block, part = block.toarray(), part.toarray()
            assert_same_bits(block, part)


@any_chunks
@any_kind
@pytest.mark.parametrize("name", [name for name in ALL if name not in MATRIX])
def test_paired(name, kind, chunks):
    (X, _), (plain, _) = sides(kind, chunks, "X alone")
    Y = rows("f4", seed=1)
    for other in Y, da.from_array(Y, chunks=(17, 20)):
        found = getattr(on_dask, name)(X, other, zero="nan")
        assert found.chunks == X.chunks[:1]
        assert_same_bits(compute(found), function(name)(plain, Y, zero="nan"))


@any_side
@any_chunks
@any_kind
def test_top_k(kind, chunks, side):
    lazy, plain = sides(kind, chunks, side)
    for i, keywords in enumerate(TOP_K):
        if side == "X alone":
            keywords = keywords | {"include_self": bool(i % 2)}
        found = on_dask.cosine_top_k(*lazy, **keywords)
        expected = unitdot.cosine_top_k(*plain, **keywords)
        assert found.shape == expected.shape
        assert found.similarities.dtype == expected.similarities.dtype
        assert found.indices.chunks == (lazy[0].chunks[0], expected.indices.shape[1:])
        assert_same_result(compute(found), expected)


@any_side
@any_chunks
@any_kind
def test_pairs(kind, chunks, side):
    lazy, plain = sides(kind, chunks, side)
    for keywords in PAIRS:
        found = on_dask.cosine_pairs(*lazy, **keywords)
        expected = unitdot.cosine_pairs(*plain, **keywords)
        most = "max_pairs" in keywords
        assert found.npartitions == (1 if most else lazy[0].numblocks[0])
        assert list(found.columns) == ["rows", "columns", "similarities"]
        assert found["similarities"].dtype == expected.similarities.dtype
        assert_same_pairs(compute(found), expected)
        if not most:  # a partition is what the rows of a chunk have
            first = found.partitions[0].compute()
            assert len(first) == np.count_nonzero(expected.rows < lazy[0].chunks[0][0])


def test_queries_in_memory():
    corpus, queries = rows("f4"), rows("f4", 9, seed=1)
    lazy = da.from_array(corpus, chunks=(40, 37))
    found = on_dask.cosine_top_k(queries, lazy, k=3)
    assert_same_result(compute(found), unitdot.cosine_top_k(queries, corpus, k=3))
    frame = on_dask.cosine_pairs(queries.tolist(), lazy, threshold=0.3)
    expected = unitdot.cosine_pairs(queries.tolist(), corpus, threshold=0.3)
    assert_same_pairs(frame.compute(), expected)


def test_rows_of_every_scale():
    """A row that needs care in one block changes nothing in the others."""
    X = rows("f4")
    X[3] *= np.float32(2.0**-140)
    X[70] *= np.float32(2.0**120)
    lazy = da.from_array(X, chunks=(30, 37))
    assert_same_result(compute(on_dask.cosine_top_k(lazy)), unitdot.cosine_top_k(X))


def test_no_rows():
    X = rows("f4")
    lazy, none = da.from_array(X, chunks=(40, 37)), da.from_array(X[:0], chunks=(1, 37))
    assert_same_bits(compute(on_dask.cosine_similarity(none, lazy)), np.empty((0, ROWS), "f4"))
    for sides in (none, none), (lazy, none), (none, lazy), (none, None):
        plain = [side if side is None else side.compute() for side in sides]
        found = on_dask.cosine_top_k(*sides, k=2, threshold=0.1)
        assert_same_result(compute(found), unitdot.cosine_top_k(*plain, k=2, threshold=0.1))
        assert_same_pairs(on_dask.cosine_pairs(*sides).compute(), unitdot.cosine_pairs(*plain))


def test_one_thread():
    X = rows("f4")
    lazy = da.from_array(X, chunks=(40, 20))
    assert_same_bits(compute(on_dask.cosine_similarity(lazy), "sync"), unitdot.cosine_similarity(X))
    assert_same_result(compute(on_dask.cosine_top_k(lazy), "sync"), unitdot.cosine_top_k(X))
    assert_same_pairs(compute(on_dask.cosine_pairs(lazy), "sync"), unitdot.cosine_pairs(X))


@pytest.mark.parametrize("like", [np.asarray, sparse.csr_array])
def test_blocks_that_are_one_object_are_two_sets_of_rows(like):
    block = like(np.array([[0.0, 0.0], [1.0, 2.0]]))
    X = da.concatenate([da.from_array(block, chunks=(2, 2), asarray=False)] * 2)
    whole = np.vstack([block.toarray() if like is not np.asarray else block] * 2)
    whole = like(whole)
    assert_same_bits(compute(on_dask.cosine_distances(X)), unitdot.cosine_distances(whole))
    Y = da.from_array(like(whole), chunks=(2, 2), asarray=False)
    apart = unitdot.cosine_distances(whole, whole.copy())
    assert_same_bits(compute(on_dask.cosine_distances(X, Y)), apart)


def test_blocks_of_which_some_are_sparse():
    X = normal((80, 12), np.float32)
    rows = da.from_array(X, chunks=(20, 12)).map_blocks(
        lambda block, block_info=None: (
            sparse.csr_array(block) if block_info[0]["chunk-location"][0] % 2 else block
        ),
        meta=np.empty((0, 0), np.float32),
    )
    found, expected = on_dask.cosine_top_k(rows, None, 3), unitdot.cosine_top_k(X, k=3)
    assert (np.asarray(found.indices) == expected.indices).all()
