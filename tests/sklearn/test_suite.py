"""scikit-learn's own tests, run with these functions in place of its own."""

import inspect
import os

import numpy as np
import pytest

import unitdot

from ..helpers import run_python

suite = pytest.importorskip("sklearn.metrics.tests.test_pairwise")
pairwise = pytest.importorskip("sklearn.metrics.pairwise")
csr_array = pytest.importorskip("scipy.sparse").csr_array
coo_array, csc_array, bsr_array = (
    getattr(pytest.importorskip("scipy.sparse"), name)
    for name in ("coo_array", "csc_array", "bsr_array")
)

REPLACED = ("cosine_similarity", "cosine_distances", "paired_cosine_distances")
TABLES = ("PAIRWISE_KERNEL_FUNCTIONS", "PAIRWISE_DISTANCE_FUNCTIONS", "PAIRED_DISTANCES")


@pytest.fixture
def replaced(monkeypatch):
    """Put unitdot's functions where scikit-learn looks its own up; yield the list of calls."""
    calls = []

    def counting(name):
        def call(X, *args, **kwargs):
            calls.append(name)
            return getattr(unitdot, name)(X, *args, **kwargs)

        return call

    replacements = {getattr(pairwise, name): counting(name) for name in REPLACED}
    for original, replacement in replacements.items():
        for module in (pairwise, suite):
            monkeypatch.setattr(module, original.__name__, replacement)
    for name in TABLES:
        table = getattr(pairwise, name)
        for key, value in table.items():
            if value in replacements:
                monkeypatch.setitem(table, key, replacements[value])
    return calls


# (name of scikit-learn's test, its arguments); functions are named, and looked up when it runs
CASES = [
    ("test_cosine_distances", {}),
    ("test_pairwise_distances_for_dense_data", {"global_dtype": np.float32}),
    ("test_pairwise_distances_for_dense_data", {"global_dtype": np.float64}),
    *(
        (
            "test_numeric_pairwise_distances_datatypes",
            {"metric": "cosine", "global_dtype": dtype, "y_is_x": same},
        )
        for dtype in (np.float32, np.float64)
        for same in (True, False)
    ),
    ("test_kernel_symmetry", {"kernel": "cosine_similarity"}),
    *(
        ("test_pairwise_parallel", {"func": func, "metric": "cosine", "kwds": {}, "dtype": dtype})
        for func in ("pairwise_distances", "pairwise_kernels")
        for dtype in (np.float32, np.float64, int)
    ),
    *(
        ("test_pairwise_distances_chunked_diagonal", {"metric": "cosine", "global_dtype": dtype})
        for dtype in (np.float32, np.float64)
    ),
    *(
        ("test_parallel_pairwise_distances_diagonal", {"metric": "cosine", "global_dtype": dtype})
        for dtype in (np.float32, np.float64)
    ),
]
SPARSE_CASES = [
    ("test_cosine_similarity", {"csr_container": csr_array}),
    ("test_kernel_sparse", {"kernel": "cosine_similarity", "csr_container": csr_array}),
    (
        "test_pairwise_similarity_sparse_output",
        {"metric": "cosine", "pairwise_func": "cosine_similarity", "csr_container": csr_array},
    ),
    ("test_pairwise_kernels", {"metric": "cosine", "csr_container": csr_array}),
    (
        "test_paired_distances",
        {"metric": "cosine", "func": "paired_cosine_distances", "csr_container": csr_array},
    ),
    *(
        (
            "test_pairwise_distances_for_sparse_data",
            {
                "coo_container": coo_array,
                "csc_container": csc_array,
                "bsr_container": bsr_array,
                "csr_container": csr_array,
                "global_dtype": dtype,
            },
        )
        for dtype in (np.float32, np.float64)
    ),
]


def run(name, arguments, calls):
    arguments = {
        key: getattr(suite, value) if key in ("kernel", "func", "pairwise_func") else value
        for key, value in arguments.items()
    }
    if not hasattr(suite, name):
        pytest.skip(f"this scikit-learn has no {name}")
    inspect.signature(getattr(suite, name)).bind(**arguments)
    getattr(suite, name)(**arguments)
    assert calls, "scikit-learn's test did not reach unitdot"


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_dense(name, arguments, replaced, isa):
    run(name, arguments, replaced)


@pytest.mark.parametrize(("name", "arguments"), SPARSE_CASES)
def test_sparse(name, arguments, replaced):
    run(name, arguments, replaced)


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="contract, clause 6: one policy for zero rows"
)
def test_paired_zero_rows(replaced):
    """scikit-learn has 0.5 for a pair with a zero row, and 1 in the matrix of distances."""
    run("test_paired_cosine_distances", {}, replaced)


def test_both_distances_of_a_zero_row_agree():
    zero, one = [[0.0]], [[1.0]]
    assert unitdot.cosine_distances(zero, one) == pairwise.cosine_distances(zero, one) == 1
    assert unitdot.paired_cosine_distances(zero, one) == 1
    assert pairwise.paired_cosine_distances(zero, one) == 0.5


def test_chunked_distances(replaced):
    """scikit-learn computes slices of X against X, and puts zeros on the diagonal."""
    X = np.random.default_rng(0).standard_normal((90, 20))
    whole = unitdot.cosine_distances(X)
    chunks = list(pairwise.pairwise_distances_chunked(X, metric="cosine", working_memory=2**-6))
    assert len(chunks) > 3
    assert np.array_equal(np.vstack(chunks), whole)
    assert replaced


# in a process of its own, where scikit-learn is switched before its tests are read
SWITCHED = """
import sys
from collections import Counter

import pytest
import unitdot

unitdot.patch_sklearn()
from unitdot._sklearn import functions

calls = Counter()
places = [(functions, name) for name in ("cosine_similarity", "cosine_distances",
          "paired_cosine_distances", "cosine_top_k", "cosine_pairs")]
places += [(unitdot.CosineIndex, name) for name in ("top_k", "pairs")]
for place, name in places:
    def counting(*args, place=place, function=getattr(place, name), name=name, **keywords):
        calls[name if place is functions else "cosine_" + name] += 1
        return function(*args, **keywords)
    setattr(place, name, counting)
options = "-q -W default -p no:cacheprovider --import-mode=prepend --rootdir=. -c"
status = pytest.main([*options.split(), {null!r}, *{arguments!r}])
print("\\nreached:", *sorted(calls))
sys.exit(status)
"""
MODULES = {
    "sklearn.metrics.tests.test_pairwise": {
        "cosine_distances", "cosine_similarity", "paired_cosine_distances"
    },
    "sklearn.metrics.tests.test_pairwise_distances_reduction": set(),
    "sklearn.neighbors.tests.test_neighbors": {"cosine_pairs", "cosine_top_k"},
    "sklearn.cluster.tests.test_dbscan": set(),
    "sklearn.cluster.tests.test_hierarchical": {"cosine_distances", "paired_cosine_distances"},
    "sklearn.metrics.cluster.tests.test_unsupervised": set(),
}  # fmt: skip
WHOLE = bool(os.environ.get("UNITDOT_SKLEARN_SUITE"))
PART = "cosine or test_dbscan or test_hierarchical"


@pytest.mark.thorough
def test_modules_under_the_switch():
    """Those of their tests that say "cosine", or all, with UNITDOT_SKLEARN_SUITE=1 (minutes)."""
    part = [] if WHOLE else ["-k", PART]
    code = SWITCHED.format(null=os.devnull, arguments=[*part, "--pyargs", *MODULES])
    run = run_python(code, timeout=1200, OMP_NUM_THREADS="1")
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
    reached = run.stdout.splitlines()[-1].removeprefix("reached: ").split()
    assert set(reached) == set().union(*MODULES.values())
