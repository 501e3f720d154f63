"""The fuzzer's harness without the fuzzer: inputs that are kept, and new random ones."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")
pytest.importorskip("pandas")
if "UNITDOT_FUZZ_NO_POLARS" not in os.environ:
    pytest.importorskip("polars")
pytest.importorskip("pyarrow")
pytest.importorskip("scipy")

from ..fuzz.check import check

CORPUS = sorted((Path(__file__).parents[1] / "fuzz" / "corpus").iterdir())
RUNS = int(os.environ.get("UNITDOT_FUZZ_RUNS", 25))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path):
    check(path.read_bytes())


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes(seed):
    """Runs of random bytes; UNITDOT_FUZZ_RUNS is how many for each of ten seeds."""
    rng = np.random.default_rng(seed)
    for _ in range(RUNS):
        data = rng.bytes(200)
        try:
            check(data)
        except BaseException:
            print(f"the input: {data!r}")
            raise
