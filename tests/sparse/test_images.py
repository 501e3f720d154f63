"""Pairs of full rows that dense kernels find: what brute force finds in the full matrix."""

import numpy as np
import pytest

import unitdot
from unitdot._sparse import blocks, functions, images

from ..helpers import FLOATS
from ..neighbors import assert_same_result
from .data import brute_pairs, csr, pairs, random_rows

pytestmark = pytest.mark.skipif(
    not blocks.vectors_of_isa(), reason="lists are read without vectors"
)


@pytest.fixture
def searches(monkeypatch):
    """How often dense kernels found all pairs of two blocks; of any number of rows."""
    calls = []

    def counted(problem, threshold, find, report):
        def found(X, Y, limit):
            calls.append((len(X), None if Y is None else len(Y)))
            return find(X, Y, limit)

        return images.pairs_by_images(problem, threshold, found, report)

    monkeypatch.setattr(images, "LEAST_OUTPUTS", 1)
    monkeypatch.setattr(images, "TO_ONE", 1)  # however many
    monkeypatch.setattr(functions, "pairs_by_images", counted)
    return calls


def rows(kind, dtype, n, seed):
    X = random_rows(n, 80, 0.5, seed=seed, dtype=dtype, signed=kind == "signed")
    if kind == "alike":
        X = X[:1] + np.eye(n, 80, dtype=dtype)
        X[1::2] = np.nextafter(X[::2][: len(X[1::2])], dtype(9))
    if kind == "scales":
        X *= np.exp2(np.random.default_rng(0).integers(-120, 120, (n, 1))).astype(dtype)
        X[3], X[4] = X[5] * dtype(2) ** -130, X[5] * dtype(2) ** 100
    if kind == "one huge element":
        X[::7, 2] = 1e30
    return X


@pytest.mark.parametrize("right", [None, "sparse", "dense"])
@pytest.mark.parametrize("size", [8 << 20, 17 * 320])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["plain", "signed", "alike", "scales", "one huge element"])
def test_pairs(kind, dtype, size, right, searches, monkeypatch):
    """In one block, and in blocks of 17 rows; at values of the matrix, and beside them."""
    monkeypatch.setattr(images, "IMAGE_BYTES", size)
    X, Y = rows(kind, dtype, 120, 0), None if right is None else rows(kind, dtype, 90, 1)
    given = csr(X), csr(Y) if right == "sparse" else Y
    S = unitdot.cosine_similarity(*given)
    values = np.sort(S[S > 1e-3])[:: max(1, (S > 1e-3).sum() // 6)].tolist()
    for value in [*values, 1.0]:
        for threshold in (value, np.nextafter(dtype(value), dtype(2)), value - 1e-9):
            threshold = min(1.0, float(threshold))
            found = pairs(*given, threshold)
            expected = brute_pairs(S, threshold, Y is None)
            assert_same_result(found, unitdot.Pairs(*expected))
    assert searches


def test_few_elements_and_many_pairs_are_for_others(searches, monkeypatch):
    sparse_rows = csr(random_rows(200, 80, 0.1))
    assert len(unitdot.cosine_pairs(sparse_rows, threshold=0.5).rows)
    assert not searches
    monkeypatch.setattr(images, "TO_ONE", 32)
    alike = csr(np.ones((200, 80)))
    assert len(unitdot.cosine_pairs(alike, threshold=0.5).rows) == 200 * 199 / 2
    assert [X for X, _ in searches] == [67]  # the sample


def test_progress_goes_from_row_to_row(searches, monkeypatch):
    monkeypatch.setattr(images, "IMAGE_BYTES", 50 * 320)
    told = []
    X = csr(random_rows(120, 80, 0.5))
    unitdot.cosine_pairs(X, threshold=0.9, progress=lambda *done: told.append(done))
    assert told == [(0, 120), (0, 120), (50, 120), (50, 120), (100, 120), (120, 120)]
