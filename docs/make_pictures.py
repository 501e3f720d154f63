"""Draw the pictures of docs/neighbors.md from the data that the package ships.

Run ``python docs/make_pictures.py`` with the extra ``docs``; it replaces docs/pictures/*.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.csgraph import connected_components

import unitdot
from unitdot.datasets import load_stdlib_docs

PICTURES = Path(__file__).parent / "pictures"
BLUE, ORANGE, GREY = "#1f5fa8", "#c8641b", "#8a8a8a"
THRESHOLD = 0.9


def nearest(embeddings: np.ndarray) -> None:
    """Draw how similar every row's nearest neighbour is."""
    similarities = unitdot.cosine_top_k(embeddings, k=1).similarities[:, 0]
    axes = new_axes("Similarity of each docstring's nearest neighbour", "docstrings")
    bins = np.linspace(0.3, 1, 71)
    axes.hist(similarities[similarities < THRESHOLD], bins, color=BLUE)
    axes.hist(similarities[similarities >= THRESHOLD], bins, color=ORANGE)
    n_alike = np.count_nonzero(similarities >= THRESHOLD)
    axes.axvline(THRESHOLD, color=GREY, linewidth=1)
    axes.annotate(
        f"{n_alike:,} of {len(similarities):,}\nhave one at\n{THRESHOLD} or above",
        (0.905, 0.74),
        xycoords=("data", "axes fraction"),
        color=ORANGE,
    )
    axes.set_xlim(0.3, 1)
    save(axes, "nearest.png")


def thresholds(embeddings: np.ndarray) -> None:
    """Draw the numbers of pairs and of clusters against the threshold."""
    found = unitdot.cosine_pairs(embeddings, threshold=0.7)
    graph = found.to_csr()
    levels = np.round(np.arange(0.7, 1, 0.005), 3)
    n_pairs, n_clusters, largest = [], [], []
    for level in levels:
        kept = graph.copy()
        kept.data = (kept.data >= level).astype(np.int8)
        kept.eliminate_zeros()
        sizes = np.bincount(connected_components(kept, directed=False)[1])
        n_pairs.append(kept.nnz)
        n_clusters.append(np.count_nonzero(sizes > 1))
        largest.append(sizes.max())
    axes = new_axes("Pairs and clusters of docstrings at or above a threshold", "number")
    for values, label, colour in [
        (n_pairs, "pairs", BLUE),
        (n_clusters, "clusters of two or more", ORANGE),
        (largest, "rows in the largest cluster", GREY),
    ]:
        axes.plot(levels, values, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_xlim(0.7, 1)
    axes.legend(frameon=False)
    save(axes, "thresholds.png")


def new_axes(title: str, what: str) -> plt.Axes:
    """Start a picture over cosine similarity."""
    _, axes = plt.subplots(figsize=(7, 3.2), dpi=100, layout="constrained")
    axes.set(title=title, xlabel="cosine similarity", ylabel=what)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save(axes: plt.Axes, name: str) -> None:
    """Write a picture."""
    axes.figure.savefig(PICTURES / name, metadata={"Software": None})


if __name__ == "__main__":
    rows = load_stdlib_docs().embeddings
    nearest(rows)
    thresholds(rows)
