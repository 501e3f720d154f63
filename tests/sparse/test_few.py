"""A few rows against many, read where they lie, and full rows: the bits of the other kernels."""

import numpy as np
import pytest

import unitdot
from unitdot._sparse import few, joins, problem, search

from ..helpers import FLOATS, assert_same_bits
from ..neighbors import most_similar
from .data import (
    INDEX_DTYPES,
    brute_pairs,
    brute_top_k,
    csr,
    disordered,
    everything,
    pairs,
    random_rows,
    sparse,
    top_k,
)

# more features than some are looked up by hashes; disordered rows are sorted by 64 bits
SHIFTS = {"numbered": 0, "hashed": 1 << 20, "wide": (1 << 40) - 100}


def shifted(matrix, shift):
    """The same rows, their features among more."""
    n_features = matrix.shape[1] + shift
    indices = matrix.indices.astype(np.int64) + shift
    starts = matrix.indptr.astype(np.int64)
    if n_features < 1 << 31:
        indices, starts = indices.astype(np.int32), starts.astype(np.int32)
    result = sparse.csr_array((len(starts) - 1, n_features), dtype=matrix.dtype)
    result.data, result.indices, result.indptr = matrix.data, indices, starts
    return result


def by_others(monkeypatch, call):
    """What `call` gives where no rows are few."""
    with monkeypatch.context() as patch:
        patch.setattr(few, "MOST", 0)
        return call()


def assert_same_results(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.dtype == other.dtype
        assert_same_bits(one, other)


def backwards(X):
    """CSR of X whose rows are unsorted, and nothing else."""
    matrix = csr(X)
    for start, stop in zip(matrix.indptr, matrix.indptr[1:], strict=False):
        for part in (matrix.indices, matrix.data):
            part[start:stop] = part[start:stop][::-1].copy()
    return matrix


@pytest.mark.parametrize("make", [csr, backwards, disordered])
@pytest.mark.parametrize("zero", ["zero", "nan"])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_bits_of_the_other_kernels(dtype, shift, zero, make, monkeypatch):
    X = random_rows(5, 160, 0.3, seed=1, dtype=dtype, signed=True)
    Y = random_rows(700, 160, 0.05, seed=2, dtype=dtype, signed=True)
    X[1], X[4, :100] = 0, 1
    Y[:40] = random_rows(40, 160, 0.8, seed=3, dtype=dtype, signed=True)  # long ones
    Y[50], Y[60], Y[70], Y[80, :2] = X[4], -X[0], 0, 1
    Y[90:100] *= dtype(2) ** -100
    few_rows, many = (shifted(make(A), SHIFTS[shift]) for A in (X, Y))
    many.data *= np.random.default_rng(0).uniform(1, 2, len(many.data)).astype(dtype)
    monkeypatch.setattr(few, "PART", 1500)
    for pair in ((few_rows, many), (many, few_rows), (few_rows, None), (few_rows[:1], many)):
        ours = everything(*pair, zero=zero)
        assert_same_results(
            ours, by_others(monkeypatch, lambda pair=pair: everything(*pair, zero=zero))
        )


@pytest.mark.parametrize("index_dtype", INDEX_DTYPES)
def test_the_many_are_left_where_they_are(index_dtype, monkeypatch):
    """No copy of them is put in order, and none of its parts is written to."""
    many = disordered(random_rows(500, 60, seed=4), index_dtype)
    parts = many.data, many.indices, many.indptr
    before = [part.copy() for part in parts]
    for part in parts:
        part.flags.writeable = False
    taken = []
    canonical = few.sparse_inputs.canonical
    monkeypatch.setattr(
        few.sparse_inputs, "canonical", lambda m, t: taken.append(m.shape) or canonical(m, t)
    )
    top_k(many[:3], many)
    assert taken == [(3, 60)]
    for part, old in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, old)


def test_dense_queries(monkeypatch):
    X, Y = random_rows(4, 50, 0.6, signed=True), disordered(random_rows(300, 50, seed=6))
    for queries in (X, np.asfortranarray(X), X[0]):
        ours = top_k(queries, Y)
        assert_same_results(ours, by_others(monkeypatch, lambda queries=queries: top_k(queries, Y)))


@pytest.mark.parametrize("k", [1, 7, 300])
@pytest.mark.parametrize("threshold", [None, -0.1, 0.2])
def test_top_k_in_parts(threshold, k, monkeypatch):
    # ties, zeros, negative ones and NaN; heaps go on from part to part
    X = random_rows(6, 40, 0.2, seed=7, signed=True)
    Y = np.repeat(random_rows(100, 40, 0.1, seed=8, signed=True), 3, axis=0)
    monkeypatch.setattr(few, "PART", 250)
    keywords = {"k": k, "threshold": threshold, "zero": "nan"}
    ours = top_k(csr(X), csr(Y), **keywords)
    assert_same_results(ours, by_others(monkeypatch, lambda: top_k(csr(X), csr(Y), **keywords)))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_top_k_by_quick_sums_first(dtype, signed, shift, n_threads, monkeypatch):
    """Rows that quick sums leave out are none of the best: of any order and scale, with duplicates
    that cancel, zeros and NaN."""
    rng = np.random.default_rng(9)
    X, Y = (random_rows(n, 30, 0.2, seed=n, dtype=dtype, signed=signed) for n in (5, 2000))
    X[3], X[4, X[4] != 0] = 0, np.nan
    Y[::7] = Y[0] * rng.integers(1, 3, (len(Y[::7]), 1))  # ties
    Y[1::50] = X[rng.integers(0, 3, 40)] + random_rows(40, 30, 0.1, seed=3, dtype=dtype) / 8
    Y[5], Y[6] = 0, np.inf
    Y *= dtype(2) ** rng.integers(-60, 60, (len(Y), 1)).astype(dtype)
    some, many = shifted(csr(X), SHIFTS[shift]), shifted(backwards(Y), SHIFTS[shift])
    # each entry twice: of other signs where rows are signed, so that these nearly cancel
    parts = rng.uniform(0.1, 0.9, len(many.data)) if not signed else rng.normal(0, 9, many.nnz)
    twice = [(many.data * part).astype(dtype) for part in (parts, 1 - parts)]
    doubled = sparse.csr_array((many.shape[0], many.shape[1]), dtype=dtype)
    doubled.data, doubled.indices = np.stack(twice, 1).ravel(), np.repeat(many.indices, 2)
    doubled.indptr = 2 * many.indptr
    monkeypatch.setattr(few, "PART", 5000)
    taken = []
    best = few.kernels.best_of_many
    monkeypatch.setattr(few.kernels, "best_of_many", lambda *a: taken.append(a) or best(*a))
    for other in (shifted(csr(Y), SHIFTS[shift]), many, doubled):
        # also without a zero row or NaN, beside which all rows may count
        for k, threshold, zero, rows in (
            (1, None, "nan", slice(5)),
            (9, None, "zero", slice(3)),
            (9, None, "zero", slice(4, 5)),
            (30, 0.5, "zero", slice(3)),
        ):
            keywords = {"threshold": threshold, "zero": zero, "n_threads": n_threads}

            def call(other=other, k=k, rows=rows, keywords=keywords):
                return top_k(some[rows], other, k=k, check_finite=False, **keywords)

            ours = call()
            assert taken
            with monkeypatch.context() as patch:
                patch.setattr(few, "LISTED", 0)
                assert_same_results(ours, call())


@pytest.mark.parametrize("result", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_top_k_of_what_only_just_counts(dtype, result):
    """Quick sums may be below a threshold that the similarity, rounded, reaches."""
    X = csr(random_rows(1, 30, 0.9, seed=1, dtype=dtype, signed=True))
    Y = csr(random_rows(2000, 30, 0.3, seed=2, dtype=dtype, signed=True))
    S = unitdot.cosine_similarity(X, Y, dtype=result)[0]
    values = np.sort(S)[::-1][:30]
    assert values[-1] > 0.1
    for place, value in enumerate(values):
        found = unitdot.cosine_top_k(X, Y, 31, threshold=float(value), dtype=result)
        expected = np.where(np.arange(31) <= place, np.sort(S)[::-1][:31], result(np.nan))
        assert_same_bits(found.similarities[0], expected)


def test_top_k_of_many_duplicates_that_are_added_up_in_float32():
    """Each of which is lost beside the first: the row's own sum is further from theirs than other
    rows are from it."""
    Y = csr(np.tile(np.array([[3, 1 + 3e-5, 0]], np.float32), (300, 1)))
    lost = np.full(2000, 2**-25, np.float32)
    Y.data = np.concatenate([Y.data[:-2], np.array([3, 1], np.float32), lost])
    Y.indices = np.concatenate([Y.indices, np.ones(2000, Y.indices.dtype)])
    Y.indptr[-1] += 2000
    query = csr(np.array([[1, -1, 0]], np.float32))
    S = unitdot.cosine_similarity(query, Y)[0]
    assert S[-1] > S[:-1].max()
    assert unitdot.cosine_top_k(query, Y, 1).indices == 299


def test_duplicates_that_overflow_are_found_in_rows_that_share_nothing():
    Y = sparse.csr_array((2, 9))
    Y.data, Y.indices = np.array([1e308, 1e308, 1.0]), np.array([5, 5, 0], np.int32)
    Y.indptr = np.array([0, 2, 3], np.int32)
    query = csr(np.eye(1, 9))
    with pytest.raises(ValueError, match="Y holds duplicate entries whose sum is not finite"):
        unitdot.cosine_similarity(query, Y)
    assert np.isnan(unitdot.cosine_similarity(query, Y, check_finite=False)[0, 0])


@pytest.mark.parametrize("feature", [0, 5])
@pytest.mark.parametrize("dtype", FLOATS)
def test_duplicates_that_overflow_are_found_by_top_k(dtype, feature):
    Y = csr(np.eye(200, 9, dtype=dtype))
    Y.data = np.append(Y.data, [np.finfo(dtype).max * dtype(0.6)] * 2)
    Y.indices = np.append(Y.indices, np.array([feature] * 2, Y.indices.dtype))
    Y.indptr[-1] += 2
    with pytest.raises(ValueError, match="Y holds duplicate entries whose sum is not finite"):
        unitdot.cosine_top_k(csr(np.eye(1, 9, dtype=dtype)), Y, 1)


@pytest.mark.parametrize("scored", [0, 1 << 40])
@pytest.mark.parametrize(("n_features", "density"), [(150, 0.6), (450, 0.17)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_that_share_much_have_the_same_bits(
    dtype, n_features, density, scored, isa, monkeypatch
):
    """Dense panels of them, or lists, of long and short rows, against the same a few at a time."""
    blocks = [(i, min(130, 500 - i)) for i in range(0, 500, 130)]
    monkeypatch.setattr(few.kernels, "blocks_of", lambda *_: blocks)
    monkeypatch.setattr(joins, "MOST_AT_ONCE", 130 * 40)
    monkeypatch.setattr(search, "MOST_AT_ONCE", 130 * 40)
    monkeypatch.setattr(problem, "SCORES_TO_ENTRY", scored)
    Y = random_rows(500, n_features, density, seed=9, dtype=dtype, signed=True)
    Y[:200, 80:] = 0  # of fewer entries than have the errors of their sums added
    more = random_rows(60, n_features, density + 0.1, seed=10, dtype=dtype, signed=True)
    X = np.concatenate([Y[390:], more])
    Y *= dtype(np.pi)
    X, Y = csr(X), disordered(Y)
    rows = few.kernels.Rows.of_csr(Y.data, Y.indices, Y.indptr, n_features, 0, 0, 1)
    assert few.kernels.is_full(rows, 0, False) == (density > 0.5)
    S = unitdot.cosine_similarity(X, Y)
    for i in range(0, X.shape[0], 30):
        assert_same_bits(S[i : i + 30], unitdot.cosine_similarity(X[i : i + 30], Y))
    assert_same_bits(unitdot.cosine_similarity(X, Y, dense_output=False).toarray(), S + dtype(0))
    own = unitdot.cosine_similarity(Y)
    assert_same_bits(own, unitdot.cosine_similarity(Y, Y.copy()))
    mirrored = unitdot.cosine_distances(Y, out=np.empty((500, 600), dtype)[:, 7:507])
    assert not mirrored.diagonal().any()
    np.fill_diagonal(mirrored, dtype(1) - own.diagonal())
    assert_same_bits(mirrored, dtype(1) - own)
    for k in (9, 40):  # few of so many, and not
        assert_same_results(top_k(X, Y, k), brute_top_k(S, k, False))
        assert_same_results(top_k(Y, None, k), brute_top_k(own, k, True))
    values = np.sort(S[S > 0.1])[[0, 40, -7]]
    for threshold in (-0.2, *values.tolist(), *np.nextafter(values, 1).tolist()):
        for to_one in (0, 1 << 20):  # by scores throughout; by products, once a score may count
            monkeypatch.setattr(joins, "PRODUCTS_TO_ONE", to_one)
            assert_same_results(pairs(X, Y, threshold), brute_pairs(S, threshold, False))
            expected = brute_pairs(own, threshold, True)
            assert_same_results(pairs(Y, None, threshold), expected)
            best = most_similar(unitdot.Pairs(*expected), 50)
            assert_same_results(pairs(Y, None, threshold, max_pairs=50), best)


def test_long_rows_in_several_blocks():
    """Errors are summed beside for 2^10 rows at a time, or those of lists of some length."""
    Y = csr(random_rows(2100, 400, 0.2, seed=3) * np.pi)
    rows = few.kernels.Rows.of_csr(Y.data, Y.indices, Y.indptr, 400, 1, 0, 1)
    assert [n for _, n in few.kernels.blocks_of(rows, 256, False)] == [1024, 1024, 52]
    assert len(few.kernels.blocks_of(rows, 256)) < 3
    S = unitdot.cosine_similarity(Y)
    for i in (0, 1010, 2080):
        assert_same_bits(S[i : i + 20], unitdot.cosine_similarity(Y[i : i + 20], Y))
    assert_same_bits(S, S.T.copy())
    assert_same_bits(unitdot.cosine_similarity(Y, dense_output=False).toarray(), S)


def test_out_survives_an_error():
    Y = csr(random_rows(50, 9, 0.5))
    out = np.full((1, 50), 7.0)
    unitdot.cosine_similarity(Y[:1], Y, out=out)
    assert_same_bits(out, unitdot.cosine_similarity(Y[:1], Y))
    Y.data[-1] = np.nan
    out[:] = 7
    with pytest.raises(ValueError, match=r"Y holds .*row"):
        unitdot.cosine_similarity(Y[:1].copy(), Y, out=out)
    assert (out == 7).all()
