"""What a function must give: the bits of the plain call, and what the oracle says of these."""

import numpy as np

import unitdot

from .. import oracle
from ..helpers import assert_same_bits, function, worst_case_bound
from ..neighbors import assert_same_result, pairs_of_matrix, sorted_matrix, with_one_nan
from . import dense, sparse

FULL = ("cosine_similarity", "cosine_distances")
PAIRED = ("paired_cosine_similarity", "paired_cosine_distances")
COMMON = ("dtype", "zero", "check_finite")  # what a plain call is given too


def second(X, Y):
    """The other side: X where Y is left out."""
    return X if Y is None else Y


def lead_shape(name, x, y):
    """The shape of the result, of all functions but the reductions."""
    if name in PAIRED:
        return np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return (*lead, *x.shape[:-1][-1:], *y.shape[:-1][-1:])


def result_dtype(x, y, options):
    if options["dtype"] is not None:
        return np.dtype(options["dtype"])
    return compute_dtype(x, y)


def compute_dtype(x, y):
    single = {np.dtype("f"), np.dtype("e"), dense.BFLOAT16}
    return np.dtype("f4") if {x.dtype, y.dtype} <= single else np.dtype("f8")


def plain(name, X, Y, common):
    """The same question, asked of matrices in C order, one thread: a matrix, or paired values."""
    if X.sparse or second(X, Y).sparse:
        matrices = [sparse.plain(side.value) for side in (X, Y) if side is not None]
        return function(name)(*matrices, n_threads=1, **common)
    x, y = X.value, second(X, Y).value
    call = function(name)
    shape = lead_shape(name, x, y)
    if name in PAIRED:
        x, y = (np.broadcast_to(v, (*shape, v.shape[-1])).reshape(-1, v.shape[-1]) for v in (x, y))
        return call(x, y, n_threads=1, **common).reshape(shape)
    lead = shape[: len(shape) - (x.ndim > 1) - (y.ndim > 1)]
    result = np.empty(shape, result_dtype(x, y, common))
    stacks = [np.atleast_2d(v) for v in (x, y)]
    stacks = [np.broadcast_to(v, (*lead, *v.shape[-2:])) for v in stacks]
    for i in np.ndindex(lead):
        matrices = [np.ascontiguousarray(stack[i]) for stack in stacks]
        matrix = call(matrices[0], None if Y is None else matrices[1], n_threads=1, **common)
        result[i] = matrix.reshape(result[i].shape)
    return result


def same_bits(actual, expected):
    assert_same_bits(with_one_nan(np.asarray(actual)), with_one_nan(np.asarray(expected)))


def compare(c, name, X, Y, result, own, common):
    if name in FULL + PAIRED:
        expected = plain(name, X, Y, common)
        if hasattr(result, "tocsr"):
            result = canonical_dense(result, expected)
        same_bits(result, expected)
        compare_with_oracle(c, name, X, Y, np.asarray(expected), common)
        return
    S = plain("cosine_similarity", X, Y, common)
    compare_with_oracle(c, "cosine_similarity", X, Y, S, common)
    if name == "cosine_pairs":
        assert result.shape == S.shape
        assert_same_result(result, pairs_of_matrix(S, own["threshold"], same=Y is None))
        return
    whole = sorted_matrix(np.atleast_2d(S), own=own["include_self"] or Y is not None)
    places = (slice(None), slice(own["k"])) if S.ndim == 2 else (0, slice(own["k"]))
    expected = unitdot.TopK(whole.similarities[places], whole.indices[places])
    assert_same_result(result, expected)


def canonical_dense(result, expected):
    """A sparse result as an array, after a look at its structure; it has no negative zeros."""
    for row in range(result.shape[0]):
        columns = result.indices[result.indptr[row] : result.indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
    assert (result.data != 0).all()
    expected[expected == 0] = 0
    return result.toarray()


def compare_with_oracle(c, name, X, Y, result, common):
    """A few of the values; of zero rows and rows that are not finite, the policy."""
    x, y = X.value, second(X, Y).value
    if name in PAIRED:
        shape = (*result.shape, x.shape[-1])
        x, y = (np.broadcast_to(v, shape).reshape(-1, shape[-1]) for v in (x, y))
        values, places = result.reshape(-1), [(i, i) for i in range(result.size)]
    else:
        if max(x.ndim, y.ndim) > 2:
            return  # plain calls, of matrices, made it
        x, y = np.atleast_2d(x), np.atleast_2d(y)
        values = result.reshape(len(x), len(y))
        places = (
            [(i, j) for i in range(len(x)) for j in range(len(y))]
            if values.size < 3000
            else [(c.below(len(x)), c.below(len(y))) for _ in range(32)]
        )
    computed = compute_dtype(X.value, second(X, Y).value)
    bound = worst_case_bound(computed, x.shape[1]) + np.finfo(values.dtype).eps
    step = max(1, len(places) // (12 if x.shape[1] < 600 else 3))
    for i, j in places[c.below(step) :: step]:
        value = float(values[i] if name in PAIRED else values[i, j])
        pair = x[i].astype(np.float64), y[j].astype(np.float64)
        on_diagonal = name == "cosine_distances" and Y is None and i == j
        if not all(np.isfinite(row).all() for row in pair):
            continue
        if not all(row.any() for row in pair):
            nothing = 0.0 if on_diagonal else float("distances" in name)
            assert np.isnan(value) if common["zero"] == "nan" else value == nothing
            continue
        exact = oracle.paired_similarity(*(row[None] for row in pair))
        exact = oracle.distance(exact) if "distances" in name else exact
        error = exact.errors(np.array([value]))[0]
        assert error <= bound, f"pair {i}, {j}: {value} is {error} off"
