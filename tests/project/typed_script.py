"""A user's script with every public name; `mypy` and `pyright` check it in .ci/run."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

import unitdot
from unitdot import dask as lazily
from unitdot import datasets, neighbors

Floats = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]

docs = datasets.load_stdlib_docs()
assert_type(docs, datasets.StdlibDocs)
embeddings, names, texts = docs
assert_type(embeddings, npt.NDArray[np.float16])
print(names[0], texts[0])

X = np.asarray(embeddings[:50], dtype=np.float32)
counts = csr_array(np.eye(4))

similarities = unitdot.cosine_similarity(X, embeddings, zero="nan", n_threads=2)
assert_type(similarities, Floats)
assert_type(unitdot.cosine_similarity([[1.0, 2.0]]), Floats)
sparse_similarities = unitdot.cosine_similarity(counts, dense_output=False)
print(sparse_similarities.nnz)

distances = unitdot.cosine_distances(X, out=np.empty((50, 50), np.float32), check_finite=False)
assert_type(distances, Floats)
assert_type(unitdot.cosine_distances(counts, [[1, 2, 3, 4]]), Floats)

assert_type(unitdot.paired_cosine_similarity(X, X[::-1], axis=-1), Floats)
assert_type(unitdot.paired_cosine_distances(counts, counts, dtype=np.float32), Floats)


def show(done: int, total: int) -> None:
    """Take what the long functions report."""
    print(f"{done / total:.0%}")


found = unitdot.cosine_top_k(X, embeddings, k=3, threshold=0.1, where=slice(100), progress=show)
assert_type(found, unitdot.TopK)
assert_type(found.similarities, Floats)
assert_type(found.indices, Indices)
best, indices = unitdot.cosine_top_k(counts, k=1, include_self=True, progress=False)
assert_type(indices, Indices)

assert_type(found.shape, tuple[int, int] | None)
assert_type(found.to_csr((50, 4952), kind="distance"), csr_array)
assert_type(unitdot.merge_top_k([found, (best[:50], indices)][:1], k=2), unitdot.TopK)

pairs = unitdot.cosine_pairs(X, threshold=0.5, max_pairs=100, groups=names[:50])
assert_type(pairs, unitdot.Pairs)
rows, columns, values = pairs
assert_type(rows, Indices)
assert_type(pairs.columns, Indices)
assert_type(values, Floats)
assert_type(pairs.shape, tuple[int, int])
assert_type(pairs.self_join, bool)
assert_type(pairs.n_pairs, int)
assert_type(pairs.components(), Indices)
assert_type(pairs.keep_first(), npt.NDArray[np.bool_])
assert_type(unitdot.Pairs([0], [1], [0.5], shape=(2, 2)), unitdot.Pairs)
print(pairs.to_csr(symmetric=True).shape, unitdot.cosine_pairs(counts, counts).rows)

index = unitdot.CosineIndex(X, ids=names[:50], copy=False)
assert_type(index.top_k(X[0], 3, threshold=0.1, where=slice(40), progress=show), unitdot.TopK)
assert_type(index.pairs(threshold=0.8, where=[1, 2, 3], max_pairs=2), unitdot.Pairs)
assert_type(index.similarity(X, zero="nan"), Floats)
index.add(X[:1], "another")
index.remove(rows=[0])
index.remove(ids="another")
assert_type(len(index), int)
assert_type(index.shape, tuple[int, int])
assert_type(index.dtype, np.dtype[Any])
assert_type(index.ids, Floats | None)
assert_type(index.nbytes, int)
print(index[3], index[:4])
index.save("corpus.unitdot", overwrite=True)
assert_type(unitdot.CosineIndex.open("corpus.unitdot", verify=True), unitdot.CosineIndex)

graph = neighbors.CosineKNeighborsTransformer(n_neighbors=3, mode="distance").fit_transform(X)
near = neighbors.CosineRadiusNeighborsTransformer(radius=0.5, n_threads=1).fit(X)
print(graph.nnz, near.transform(X).nnz)

lazy = lazily.cosine_top_k(X, embeddings, k=2, threshold=0.1, dtype="f8", n_threads=2)
assert_type(lazy, unitdot.TopK)
print(lazily.cosine_similarity(counts, dense_output=False), lazily.cosine_distances(X).compute())
print(lazily.paired_cosine_similarity(X, X), lazily.paired_cosine_distances(X, X, zero="nan"))
print(lazily.cosine_pairs(X, threshold=0.5, max_pairs=100, check_finite=False).compute())

assert_type(unitdot.__version__, str)
assert_type(unitdot.show_config(mode="dicts"), dict[str, Any])
unitdot.show_config()

with unitdot.sklearn_backend():
    unitdot.cosine_similarity(X)
unitdot.patch_sklearn()
unitdot.unpatch_sklearn()
