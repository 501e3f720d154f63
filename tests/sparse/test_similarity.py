"""Sparse input: the contract's clauses on the full matrix and paired rows, and every form of it."""

import numpy as np
import pytest

import unitdot
from unitdot._sparse import functions as sparse_functions

from .. import oracle
from ..helpers import FLOATS, INTEGERS, MATRIX, accuracy_bound, any_values, assert_same_bits, normal
from .data import (
    FORMATS,
    INDEX_DTYPES,
    csr,
    disordered,
    everything,
    random_rows,
    sparse,
)


def thinned(X, seed=5):
    """Every third element or so, the others zero."""
    return np.where(np.random.default_rng(seed).random(X.shape) < 0.3, X, X.dtype.type(0))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MATRIX)
def test_against_the_oracle_and_the_dense_path(name, dtype, signed):
    X, Y = (thinned(normal((n, 60), dtype, seed=n)) for n in (23, 31))
    X, Y = (X, Y) if signed else (abs(X), abs(Y))
    X[4], Y[7] = 0, X[5]
    for other in (None, Y):
        right = None if other is None else csr(other)
        result = getattr(unitdot, name)(csr(X), right)
        exact = MATRIX[name](X, other)
        errors = exact.errors(result)
        if name == "cosine_distances" and other is None:
            errors[4, 4] = 0
        assert errors.max() <= accuracy_bound(dtype, 60)
        dense = getattr(unitdot, name)(X, other)
        assert result.dtype == dense.dtype
        assert abs(result - dense).max() <= 2 * accuracy_bound(dtype, 60)


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_less_accurate_than_scikit_learn(dtype):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    X, Y = (thinned(normal((60, 300), dtype, seed=n)) for n in (1, 2))
    exact = oracle.similarity(X, Y)
    ours = exact.errors(unitdot.cosine_similarity(csr(X), csr(Y))).max()
    assert ours <= exact.errors(pairwise.cosine_similarity(csr(X), csr(Y))).max()


@pytest.mark.parametrize("n_entries", [63, 64, 65, 20000])
def test_long_rows_of_nearly_equal_entries(n_entries):
    # the rounding errors of a plain sum of equal numbers all have one sign
    rng = np.random.default_rng(n_entries)
    X = np.repeat(rng.uniform(1, 2, (8, 1)), n_entries, axis=1)
    X[4:, n_entries // 3 :] = 0
    exact = oracle.similarity(X)
    assert exact.errors(unitdot.cosine_similarity(csr(X))).max() <= accuracy_bound(
        np.float64, n_entries
    )


def test_long_and_short_rows_have_the_same_bits_everywhere():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 300)) * (rng.random((40, 300)) < rng.random((40, 1)))
    X[:, :3] = 1
    counts = (X != 0).sum(axis=1)
    assert min(counts) < 64 < max(counts)
    S = unitdot.cosine_similarity(csr(X))
    assert_same_bits(S, S.T)
    assert_same_bits(unitdot.cosine_similarity(csr(X), X), S)
    assert_same_bits(unitdot.cosine_similarity(csr(X), dense_output=False).toarray(), S)
    assert_same_bits(unitdot.paired_cosine_similarity(csr(X), csr(X[::-1])), np.diag(S[:, ::-1]))
    for i in range(40):
        assert_same_bits(unitdot.cosine_similarity(csr(X[i : i + 1]), csr(X)), S[i : i + 1])


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix"])
@pytest.mark.parametrize("index_dtype", INDEX_DTYPES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_sparse_output(dtype, index_dtype, kind):
    X, Y = (csr(random_rows(n, 30, seed=n, dtype=dtype), index_dtype, kind) for n in (40, 50))
    for other in (None, Y):
        result = unitdot.cosine_similarity(X, other, dense_output=False)
        assert type(result) is getattr(sparse, kind)
        assert result.indices.dtype == np.int32
        again = sparse.csr_array((result.data, result.indices, result.indptr), shape=result.shape)
        assert again.has_canonical_format
        assert (result.data != 0).all()
        assert_same_bits(result.toarray(), unitdot.cosine_similarity(X, other))


@pytest.mark.parametrize("density", [0.02, 0.3, 0.8])
@pytest.mark.parametrize(
    ("n_rows", "block"), [(63, 63), (64, 64), (65, 65), (1000, 1000), (999, 130)]
)
@pytest.mark.parametrize("long_indices", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_sparse_output_is_the_dense_one(
    dtype, long_indices, n_rows, block, density, isa, monkeypatch
):
    # of few entries and of many, which some instruction sets collect by vectors
    if long_indices:
        monkeypatch.setattr(sparse_functions, "MOST_FOR_INT32", 0)
    blocks = [(i, min(block, n_rows - i)) for i in range(0, n_rows, block)]
    monkeypatch.setattr(sparse_functions.kernels, "blocks_of", lambda *_: blocks)
    X = random_rows(70, 42, density, seed=1, dtype=dtype, signed=True)
    Y = random_rows(n_rows, 42, density, seed=2, dtype=dtype, signed=True)
    # two features that few rows have, one of which is alone in its row of X
    Y[:, 40:], X[:, 40] = 0, 0
    Y[[7, n_rows // 2], 40], Y[[3, n_rows - 1], 41], X[20:30, 40] = 1, 1, 1
    X[25, :40] = 0
    # and what those leave to others: 1, -1, 1/2; subnormal and vanishing in float32; cancelled; 0
    X[:4, 0], X[:4, 1:] = 1, 0
    Y[5], Y[6:9, 1:] = X[8], 0
    Y[10] = -X[9]
    tiny = slice(n_rows // 3, n_rows // 3 + 2)  # alone in its word, where rows are many
    Y[tiny, 0], Y[tiny, 1:] = [dtype(2) ** -130, dtype(2) ** -149], 1
    X[10], X[10, :2] = 0, 1
    Y[30, :2] = 1, -1
    Y[40] = 0
    Y[50], Y[50, :4] = 0, 1
    for computed in FLOATS:
        result = unitdot.cosine_similarity(csr(X), csr(Y), dense_output=False, dtype=computed)
        assert result.indices.dtype == (np.int64 if long_indices else np.int32)
        dense = unitdot.cosine_similarity(csr(X), csr(Y), dtype=computed)
        assert_same_bits(result.toarray(), dense + computed(0))
        assert (result.data != 0).all()
        assert np.isin([0.5], result.data).all()
        assert result.nnz == np.count_nonzero(dense)
        for start, stop in zip(result.indptr, result.indptr[1:], strict=False):
            assert (np.diff(result.indices[start:stop]) > 0).all()


def test_mixed_containers_give_an_array():
    X = random_rows(5, 6)
    result = unitdot.cosine_similarity(csr(X, kind="csr_matrix"), csr(X), dense_output=False)
    assert isinstance(result, sparse.csr_array)


def test_cancelled_and_vanished_products_are_not_stored():
    X = csr(np.array([[1.0, 1, 0], [1, -1, 0], [0, 0, 1e300]]))
    result = unitdot.cosine_similarity(X, dense_output=False)
    assert result.nnz == 3
    Y = csr(np.array([[1.0, 1e-60, 0], [0, 1.0, 0]]))
    assert unitdot.cosine_similarity(Y, dense_output=False).nnz == 4
    assert unitdot.cosine_similarity(Y, dense_output=False, dtype=np.float32).nnz == 2


@pytest.mark.parametrize("index_dtype", INDEX_DTYPES)
@pytest.mark.parametrize("dtype", [*FLOATS, np.int16, np.int64])
def test_disordered_rows_give_the_bits_of_canonical_ones(dtype, index_dtype):
    X, Y = (random_rows(n, 25, seed=n, dtype=dtype) for n in (30, 41))
    messy_X, messy_Y = disordered(X, index_dtype), disordered(Y, index_dtype)
    before = [a.copy() for a in (messy_X.data, messy_X.indices, messy_X.indptr)]
    for right, messy in ((None, None), (csr(Y), messy_Y)):
        for one, other in zip(everything(csr(X), right), everything(messy_X, messy), strict=True):
            assert_same_bits(one, other)
    for array, copy in zip((messy_X.data, messy_X.indices, messy_X.indptr), before, strict=True):
        assert_same_bits(array, copy)


@pytest.mark.parametrize("container", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_formats(form, container):
    X = random_rows(12, 10)
    other = getattr(sparse, f"{form}_{container}")(X)
    for one, two in zip(everything(csr(X)), everything(other), strict=True):
        assert_same_bits(one, two)


@pytest.mark.parametrize("form", ["coo", "csc", "bsr", "csr"])
def test_duplicates_of_small_integers_add_up_exactly(form):
    matrix = getattr(sparse, f"{form}_array")(csr(np.array([[100, 3], [5, 7]], np.int8)))
    if form == "coo":
        row, column = (np.concatenate([at, at]) for at in matrix.coords)
        matrix = sparse.coo_array((np.tile(matrix.data, 2), (row, column)), shape=(2, 2))
    elif form == "bsr":
        arrays = np.tile(matrix.data, (2, 1, 1)), np.tile(matrix.indices, 2), 2 * matrix.indptr
        matrix = sparse.bsr_array(arrays, shape=(2, 2))
    else:
        arrays = np.repeat(matrix.data, 2), np.repeat(matrix.indices, 2), 2 * matrix.indptr
        matrix = getattr(sparse, f"{form}_array")(arrays, shape=(2, 2))
    assert matrix.dtype == np.int8
    assert matrix.nnz == 8
    twice = csr(np.array([[200.0, 6], [10, 14]]))
    assert_same_bits(unitdot.cosine_similarity(matrix), unitdot.cosine_similarity(twice))


def test_coordinates_in_half_precision():
    X = csr(np.array([[1, 2], [0, 3]], np.float32))
    coo = sparse.coo_array(X)
    coo.data = coo.data.astype(np.float16)
    assert_same_bits(unitdot.cosine_similarity(coo), unitdot.cosine_similarity(X))


@pytest.mark.parametrize("dtype", [*INTEGERS, np.float16])
def test_other_dtypes_are_converted_exactly(dtype):
    X = thinned(any_values((20, 15), dtype))
    matrix = sparse.coo_array(X.astype(np.float32 if dtype == np.float16 else dtype)).tocsr()
    matrix.data = matrix.data.astype(dtype)
    result = unitdot.cosine_similarity(matrix)
    wide = X.astype(np.float32 if dtype == np.float16 else np.float64)
    assert_same_bits(result, unitdot.cosine_similarity(csr(wide)))


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
def test_mixed_dtypes_compute_in_the_wider(dtypes):
    X, Y = (random_rows(9, 7, seed=n).astype(d) / d(3) for n, d in enumerate(dtypes))
    result = unitdot.cosine_similarity(csr(X), csr(Y))
    wide = unitdot.cosine_similarity(csr(X.astype(float)), csr(Y.astype(float)))
    assert_same_bits(result, wide)


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16, np.int8, ">f8"])
def test_sparse_with_dense_has_the_same_bits(dtype):
    X, Y = random_rows(30, 22).astype(dtype), random_rows(27, 22, seed=1).astype(dtype)
    computed = np.float32 if dtype in (np.float16, np.float32) else np.float64
    left, right = csr(X.astype(computed)), csr(Y.astype(computed))
    expected = everything(left, right)[:13]
    for one, two in ((left, Y), (X, right), (left, np.asfortranarray(Y)), (X[::1].tolist(), right)):
        if isinstance(one, list) and computed == np.float32:
            continue
        results = everything(one, two)
        assert len(results) == 13
        for a, b in zip(results, expected, strict=True):
            assert_same_bits(a, b)


def test_sparse_with_dense_gives_dense_output():
    X = random_rows(5, 6)
    assert type(unitdot.cosine_similarity(csr(X), X, dense_output=False)) is np.ndarray


@pytest.mark.parametrize("dtype", FLOATS)
def test_range_exact_values_and_symmetry(dtype):
    X = thinned(normal((300, 80), dtype))
    X[:, 0] += 1
    matrix = csr(X)
    S = unitdot.cosine_similarity(matrix)
    assert (np.diag(S) == 1).all()
    assert (abs(S) <= 1).all()
    assert_same_bits(S, S.T)
    assert_same_bits(S, unitdot.cosine_similarity(matrix, matrix.copy()))
    assert (np.diag(unitdot.cosine_similarity(matrix, -matrix)) == -1).all()
    assert (np.diag(unitdot.cosine_distances(matrix, matrix.copy())) == 0).all()
    Y = csr(X[:70, ::-1].copy())
    assert_same_bits(
        unitdot.cosine_similarity(matrix, Y), unitdot.cosine_similarity(Y, matrix).T.copy()
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_scale(dtype):
    """Powers of two change no bit, and rows of any finite norm are right."""
    info = np.finfo(dtype)
    X = thinned(np.random.default_rng(0).uniform(0.5, 1, (24, 40)).astype(dtype))
    X[:, 0] = 1
    exponents = np.linspace(info.minexp + 2, info.maxexp - 2, len(X)).astype(int)
    scaled = np.ldexp(X, exponents[:, None]).astype(dtype)
    for one, other in zip(everything(csr(X)), everything(csr(scaled)), strict=True):
        assert_same_bits(one, other)
    tiny = np.where(X > 0, info.smallest_subnormal * np.arange(1, 41).astype(dtype), dtype(0))
    tiny = tiny.astype(dtype)
    for rows in (tiny, np.where(X > 0, info.max, dtype(0)), np.vstack([tiny, scaled])):
        errors = oracle.similarity(rows).errors(unitdot.cosine_similarity(csr(rows)))
        assert errors.max() <= accuracy_bound(dtype, 40)


@pytest.mark.parametrize("dtype", FLOATS)
def test_batch_invariance(dtype):
    X, Y = (thinned(normal((n, 50), dtype, seed=n)) for n in (90, 120))
    S = unitdot.cosine_similarity(csr(X), csr(Y))
    order = np.random.default_rng(3).permutation(120)
    assert_same_bits(unitdot.cosine_similarity(csr(X), csr(Y[order])), S[:, order])
    assert_same_bits(unitdot.cosine_similarity(csr(X)[7:19], csr(Y)[100:]), S[7:19, 100:])
    assert_same_bits(unitdot.cosine_similarity(csr(X)[[5]], csr(Y)[[8]]), S[5:6, 8:9])
    assert_same_bits(unitdot.paired_cosine_similarity(csr(X), csr(Y)[:90]), np.diag(S).copy())


@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_change_no_bit(dtype):
    X, Y = (csr(thinned(normal((n, 50), dtype, seed=n))) for n in (190, 220))
    for right in (None, Y):
        one, *others = (everything(X, right, n_threads=n) for n in (1, 2, 5))
        for other in others:
            for a, b in zip(one, other, strict=True):
                assert_same_bits(a, b)


def test_several_blocks_of_rows():
    """Y is indexed 2^15 rows at a time."""
    Y = random_rows(33_000, 6, density=0.4, dtype=np.float32)
    X = Y[32_700:32_720]
    one, two = everything(csr(X), csr(Y)), everything(csr(X), csr(Y[::-1].copy()))
    assert_same_bits(one[0], two[0][:, ::-1])
    assert_same_bits(one[2], two[2])
    assert_same_bits(np.sort(one[6]), np.sort(two[6]))
    assert_same_bits(np.sort(one[-3]), np.sort(two[-3]))
    assert_same_bits(one[0], everything(csr(Y), csr(X))[0].T)


def test_many_features_are_renumbered():
    X = random_rows(30, 40, signed=True)
    columns = np.sort(np.random.default_rng(0).choice(2**40, 40, replace=False))
    wide = csr(X, np.int64)
    wide.indices = columns[wide.indices]
    wide = sparse.csr_array((wide.data, wide.indices, wide.indptr), shape=(30, 2**40 + 1))
    for one, two in zip(everything(csr(X)), everything(wide), strict=True):
        assert_same_bits(one, two)


def test_out_and_dtype():
    X = random_rows(20, 9)
    expected = unitdot.cosine_similarity(csr(X))
    for out in (np.empty((20, 20)), np.empty((20, 20), order="F"), np.empty((40, 60))[::2, ::3]):
        assert unitdot.cosine_similarity(csr(X), out=out) is out
        assert_same_bits(out.copy(), expected)
    narrow = unitdot.cosine_similarity(csr(X), dtype=np.float32)
    assert_same_bits(narrow, expected.astype(np.float32))
    single = unitdot.cosine_similarity(csr(X.astype(np.float32)), dtype=np.float64)
    assert_same_bits(single, unitdot.cosine_similarity(csr(X.astype(np.float32))).astype(float))
    matrix = csr(np.eye(4))
    with pytest.raises(ValueError, match="out shares memory with X"):
        unitdot.cosine_similarity(matrix, csr(np.eye(4)[:1]), out=matrix.data.reshape(4, 1))
    with pytest.raises(ValueError, match=r"out.*dense_output"):
        unitdot.cosine_similarity(csr(X), dense_output=False, out=np.empty((20, 20)))


def test_vectors():
    X = random_rows(8, 9)
    S = unitdot.cosine_similarity(csr(X))
    vector = sparse.coo_array(X[0])
    assert_same_bits(unitdot.cosine_similarity(vector, csr(X)), S[0])
    assert_same_bits(unitdot.cosine_similarity(csr(X), X[1]), S[:, 1].copy())
    assert unitdot.cosine_similarity(vector, X[1]) == S[0, 1]


@pytest.mark.parametrize("name", ["paired_cosine_similarity", "paired_cosine_distances"])
def test_paired(name):
    X, Y = thinned(normal((40, 33))), thinned(normal((40, 33), seed=1))
    full = getattr(unitdot, name.removeprefix("paired_"))(csr(X), csr(Y))
    for left, right in ((csr(X), csr(Y)), (X, csr(Y)), (csr(X), Y)):
        assert_same_bits(getattr(unitdot, name)(left, right), np.diag(full).copy())
    assert_same_bits(getattr(unitdot, name)(csr(X), csr(Y)[:1]), full[:, 0].copy())
    with pytest.raises(ValueError, match=r"\bY\b.*\brows\b"):
        getattr(unitdot, name)(csr(X), csr(Y)[:5])
    with pytest.raises(ValueError, match="axis is 0; expected -1 or 1"):
        getattr(unitdot, name)(csr(X), csr(Y), axis=0)
    with pytest.raises(TypeError, match=r"axis is 1\.5; expected an integer"):
        getattr(unitdot, name)(csr(X), csr(Y), axis=1.5)
    x, y = sparse.coo_array(X[0]), sparse.coo_array(Y[0])
    assert getattr(unitdot, name)(x, y, axis=0) == getattr(unitdot, name)(x, y)
    with pytest.raises(ValueError, match="axis is 1; expected -1 or 0"):
        getattr(unitdot, name)(x, y, axis=1)


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix"])
def test_indices_of_64_bits_where_32_would_overflow(kind, monkeypatch):
    """With the limit lowered: a result of 2**31 entries takes 32 GiB."""
    X = getattr(sparse, kind)(csr(random_rows(50, 30)))
    narrow = unitdot.cosine_similarity(X, dense_output=False)
    monkeypatch.setattr(sparse_functions, "MOST_FOR_INT32", narrow.nnz)
    assert unitdot.cosine_similarity(X, dense_output=False).indices.dtype == np.int32
    monkeypatch.setattr(sparse_functions, "MOST_FOR_INT32", narrow.nnz - 1)
    wide = unitdot.cosine_similarity(X, dense_output=False)
    assert isinstance(wide, getattr(sparse, kind))
    assert narrow.indices.dtype == narrow.indptr.dtype == np.int32
    if kind == "csr_array":  # of a csr_matrix SciPy itself narrows what would fit
        assert wide.indices.dtype == wide.indptr.dtype == np.int64
    wide.check_format(full_check=True)
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(wide, part), getattr(narrow, part))
    # and what was given is taken
    again = unitdot.cosine_similarity(wide, dense_output=False)
    assert_same_bits(again.toarray(), unitdot.cosine_similarity(narrow))
