"""Cosine similarity between many vectors, compiled, drop-in for scikit-learn.

>>> import unitdot
>>> unitdot.cosine_similarity([[3.0, 4.0]], [[6.0, 8.0], [-4.0, 3.0]])
array([[1., 0.]])
"""

from importlib import import_module
from typing import TYPE_CHECKING

from unitdot._config import show_config
from unitdot._index import CosineIndex
from unitdot._neighbors import cosine_pairs, cosine_top_k
from unitdot._results import Pairs, TopK, merge_top_k
from unitdot._similarity import (
    cosine_distances,
    cosine_similarity,
    paired_cosine_distances,
    paired_cosine_similarity,
)
from unitdot._sklearn.switch import patch_sklearn, sklearn_backend, unpatch_sklearn
from unitdot._version import __version__

if TYPE_CHECKING:
    from unitdot import dask as dask
    from unitdot import datasets as datasets
    from unitdot import neighbors as neighbors
else:

    def __getattr__(name):
        if name in LATER:
            return import_module(f"unitdot.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return [*globals(), *LATER]


# imported when they are first asked for, so that nobody else pays for them
LATER = ["dask", "datasets", "neighbors"]

__all__ = [
    "CosineIndex",
    "Pairs",
    "TopK",
    "__version__",
    "cosine_distances",
    "cosine_pairs",
    "cosine_similarity",
    "cosine_top_k",
    "merge_top_k",
    "paired_cosine_distances",
    "paired_cosine_similarity",
    "patch_sklearn",
    "show_config",
    "sklearn_backend",
    "unpatch_sklearn",
]
