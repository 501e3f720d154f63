"""Cosine similarity between many vectors, compiled, drop-in for scikit-learn.

>>> import unitdot
>>> unitdot.cosine_similarity([[3.0, 4.0]], [[6.0, 8.0], [-4.0, 3.0]])
array([[1., 0.]])
"""

from unitdot._config import show_config
from unitdot._neighbors import Pairs, TopK, cosine_pairs, cosine_top_k
from unitdot._similarity import (
    cosine_distances,
    cosine_similarity,
    paired_cosine_distances,
    paired_cosine_similarity,
)
from unitdot._sklearn import patch_sklearn, sklearn_backend, unpatch_sklearn
from unitdot._version import __version__

__all__ = [
    "Pairs",
    "TopK",
    "__version__",
    "cosine_distances",
    "cosine_pairs",
    "cosine_similarity",
    "cosine_top_k",
    "paired_cosine_distances",
    "paired_cosine_similarity",
    "patch_sklearn",
    "show_config",
    "sklearn_backend",
    "unpatch_sklearn",
]
