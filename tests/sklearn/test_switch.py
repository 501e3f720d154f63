"""The switch that puts these functions behind scikit-learn's names: on, off, by whom, and where."""

import threading
from contextlib import ExitStack
from functools import wraps

import numpy as np
import pytest

import unitdot

from ..helpers import assert_same_bits, normal, run_python

sklearn = pytest.importorskip("sklearn")
cluster = pytest.importorskip("sklearn.cluster")
pairwise = pytest.importorskip("sklearn.metrics.pairwise")


def is_on():
    """A row that scikit-learn takes for zero tells whose function it is."""
    return pairwise.cosine_similarity([[1e-300, 0.0]]).item() == 1


def test_context_manager():
    assert not is_on()
    with unitdot.sklearn_backend():
        assert is_on()
        with unitdot.sklearn_backend():
            assert is_on()
        assert is_on()
    assert not is_on()


def test_one_context_entered_again():
    """Recursive code enters a block within itself."""

    def recurse(depth):
        with unitdot.sklearn_backend():
            assert is_on()
            if depth:
                recurse(depth - 1)
            assert is_on()

    recurse(3)
    assert not is_on()


def test_exceptions_restore():
    with pytest.raises(ZeroDivisionError), unitdot.sklearn_backend():
        raise ZeroDivisionError
    assert not is_on()


def test_patch_and_unpatch_as_often_as_one_likes():
    unitdot.unpatch_sklearn()
    assert not is_on()
    try:
        unitdot.patch_sklearn()
        unitdot.patch_sklearn()
        with unitdot.sklearn_backend():
            assert is_on()
        assert is_on()
    finally:
        unitdot.unpatch_sklearn()
    assert not is_on()
    unitdot.unpatch_sklearn()
    assert not is_on()


def test_unpatch_within_a_block_waits_for_its_end():
    with unitdot.sklearn_backend():
        unitdot.patch_sklearn()
        unitdot.unpatch_sklearn()
        assert is_on()
    assert not is_on()


def test_restored_to_the_very_objects():
    def places():
        cells = [
            cell.cell_contents
            for name in ("cosine_similarity", "cosine_distances", "pairwise_distances_chunked")
            for cell in getattr(pairwise, name).__closure__
        ]
        return [*cells, cluster.linkage_tree, cluster._agglomerative.linkage_tree]

    before = places()
    with unitdot.sklearn_backend():
        assert sum(a is not b for a, b in zip(before, places(), strict=True)) == 5
    assert all(a is b for a, b in zip(before, places(), strict=True))


def test_threads_switch_and_compute_at_once():
    X = normal((40, 8))
    expected = unitdot.cosine_distances(X)
    failures = []
    start = threading.Barrier(4)

    def work():
        try:
            start.wait()
            for _ in range(100):
                with unitdot.sklearn_backend():
                    assert_same_bits(pairwise.cosine_distances(X), expected)
                # others may have it on or off
                np.testing.assert_allclose(pairwise.cosine_distances(X), expected, atol=1e-14)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not is_on()


def test_contexts_that_overlap_without_nesting():
    first, second = ExitStack(), ExitStack()
    first.enter_context(unitdot.sklearn_backend())
    second.enter_context(unitdot.sklearn_backend())
    first.close()
    assert is_on()
    second.close()
    assert not is_on()


def test_old_versions_are_refused(monkeypatch):
    monkeypatch.setattr(sklearn, "__version__", "1.3.2")
    with pytest.raises(ImportError, match=r"1\.3\.2 is not supported; expected 1\.4 or later"):
        unitdot.patch_sklearn()
    monkeypatch.undo()
    assert not is_on()


@pytest.mark.parametrize(
    ("module", "name"),
    [(pairwise, "paired_cosine_distances"), (cluster._agglomerative, "linkage_tree")],
)
def test_versions_that_lack_something_are_refused(monkeypatch, module, name):
    monkeypatch.delattr(module, name)
    with (
        pytest.raises(ImportError, match=f"is not supported .*{name}.*expected 1.4 or later"),
        unitdot.sklearn_backend(),
    ):
        pass
    monkeypatch.undo()
    assert not is_on()


def test_versions_with_other_wrappers_are_refused(monkeypatch):
    original = pairwise.paired_cosine_distances.__wrapped__
    monkeypatch.setattr(pairwise, "paired_cosine_distances", original)
    with pytest.raises(ImportError, match=r"is not supported .*__wrapped__.*expected 1\.4"):
        unitdot.patch_sklearn()
    monkeypatch.setattr(pairwise, "paired_cosine_distances", wraps(original)(lambda X, Y: 0))
    with pytest.raises(ImportError, match=r"is not supported .*not a wrapper.*expected 1\.4"):
        unitdot.patch_sklearn()
    assert not is_on()


def test_missing_and_lazy():
    run = run_python("""
        import sys
        import unitdot
        unitdot.unpatch_sklearn()
        assert not {"sklearn", "scipy"} & set(sys.modules), "imported before it is needed"
        sys.modules["sklearn"] = None
        unitdot.patch_sklearn()
    """)
    assert run.stderr.splitlines()[-1] == (
        "ImportError: scikit-learn is missing; expected 1.4 or later, tested up to 1.9"
    )
