"""Clause 5 across machines: results have the same bits everywhere, with fused multiply-add.

The digests were recorded once. Any build of any processor has to give them: those with fused
multiply-add (avx512vnni, avx512, avx2, neon) one set, `baseline` (of any vector width) another. A
digest that changes is a change of the contract, and of every user's results.
"""

import hashlib
from functools import partial

import numpy as np
import pytest

import unitdot

DIGESTS = {
    "dense, float32": {"fused": "6a35d82de1abd33b", "plain": "cece77a9d1b195a3"},
    "dense, float64": {"fused": "1a0562f113285849", "plain": "29d4e07bf702f49d"},
    # products of half types and of small integers are exact, so fusing changes nothing
    "halves, integers": {"fused": "9f540cc280593b36", "plain": "9f540cc280593b36"},
    # never fused
    "sparse, float32": {"fused": "21181220f2f32a5d", "plain": "21181220f2f32a5d"},
    "sparse, float64": {"fused": "d96f111566f4c494", "plain": "d96f111566f4c494"},
}
# one feature to many blocks; few rows and many; a row or two of X; what `few.pxi` takes
SHAPES = [(1, 1, 1), (5, 7, 33), (1, 80, 96), (2, 50, 160), (37, 41, 300), (3, 4, 9000)]


def uniform(seed, shape, dtype):
    """Numbers that NumPy promises never to change, nor any processor: no logarithms in them."""
    rng = np.random.RandomState(seed)  # those of default_rng may change
    return (rng.random_sample(shape) - 0.5).astype(dtype)


def sides(dtype):
    for seed, (n, m, features) in enumerate(SHAPES):
        X, Y = uniform(seed, (n, features), dtype), uniform(seed + 100, (m, features), dtype)
        yield X, Y
        # rows of every scale, and a zero row
        X[0] *= np.finfo(dtype).tiny
        Y[1:3] *= 2.0 ** (np.finfo(dtype).maxexp - 2)
        Y[-1] = 0
        yield X, Y


def dense(dtype):
    for X, Y in sides(dtype):
        yield unitdot.cosine_similarity(X, Y)
        yield unitdot.cosine_distances(Y)
        yield unitdot.paired_cosine_similarity(X[:3], Y[: len(X[:3])])
        yield from unitdot.cosine_top_k(X, Y, k=min(4, len(Y)))
        yield from unitdot.cosine_pairs(Y, threshold=0.05)


def halves():
    X = uniform(7, (20, 200), np.float16)
    yield unitdot.cosine_similarity(X, X[::-1])
    yield unitdot.cosine_similarity((X * 250).astype(np.int8))


def sparse(dtype):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    for X, Y in sides(dtype):
        X, Y = (scipy_sparse.csr_array(np.where(np.abs(A) > 0.3, A, 0)) for A in (X, Y))
        yield unitdot.cosine_similarity(X, Y)
        yield from unitdot.cosine_pairs(Y, threshold=0.05)


def digest(arrays):
    hasher = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        hasher.update(f"{array.dtype.str} {array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()[:16]


RESULTS = {
    "dense, float32": partial(dense, np.float32),
    "dense, float64": partial(dense, np.float64),
    "halves, integers": halves,
    "sparse, float32": partial(sparse, np.float32),
    "sparse, float64": partial(sparse, np.float64),
}


@pytest.mark.parametrize("name", RESULTS)
def test_bits_are_those_of_every_machine(name, isa):
    assert digest(RESULTS[name]()) == DIGESTS[name]["plain" if isa == "baseline" else "fused"]
