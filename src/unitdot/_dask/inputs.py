"""Arguments as blocks of rows: Dask's arrays, and what is in memory cut into some."""

from itertools import accumulate
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask._task_spec import DataNode, TaskRef
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from unitdot import _inputs
from unitdot._sparse.inputs import is_sparse

# bytes of a block of what is in memory
BLOCK = 1 << 26


class Side(NamedTuple):
    """An argument: a Dask array of two axes with all features in one chunk."""

    array: Any
    sizes: tuple[int, ...]  # rows of each block
    starts: tuple[int, ...]  # their first rows
    wide: bool  # computed in float64

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def sparse(self) -> bool:
        """Whether its blocks are SciPy's."""
        return is_sparse(self.array._meta)

    def block(self, i: int) -> Any:
        """What stands for the i-th block in a task."""
        return TaskRef((self.array.name, i, 0))


def read_side(argument: Any, name: str) -> Side:
    """An argument checked, as far as that can be done before there are rows."""
    array = argument if isinstance(argument, da.Array) else _cut(argument, name)
    if array.ndim != 2:
        raise _inputs.axes_error(name, array.shape, "a matrix")
    if any(size != size for axis in array.chunks for size in axis):
        raise ValueError(
            f"{name} has chunks of unknown sizes (shape {array.shape}); expected known ones: "
            f"{name}.compute_chunk_sizes()"
        )
    if array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    sizes = array.chunks[0]
    known = _inputs.as_array(np.empty((0, 0), array.dtype), name)  # or it is raised for its dtype
    wide = _inputs.compute_wide(known, known)
    return Side(array, sizes, (0, *accumulate(sizes))[: len(sizes)], wide)


def _cut(argument: Any, name: str) -> Any:
    """What is in memory as a Dask array: each block is once in the graph."""
    if is_sparse(argument):
        matrix = argument.tocsr()
        row = (matrix.data.nbytes + matrix.indices.nbytes) // max(1, matrix.shape[0])
    else:
        matrix = _inputs.as_matrix(argument, name, vector=False, check_finite=False)
        row = matrix.shape[1] * matrix.itemsize
    n, d = matrix.shape
    step = max(1, BLOCK // max(1, row))
    key = f"rows-{tokenize(argument)}"
    starts = range(0, max(1, n), step)
    layer = {
        (key, i, 0): DataNode((key, i, 0), matrix[start : start + step])
        for i, start in enumerate(starts)
    }
    sizes = tuple(min(step, n - start) for start in starts)
    graph = HighLevelGraph.from_collections(key, layer)
    return da.Array(graph, key, (sizes, (d,)), meta=matrix[:0])


def csr_like(X: Side, Y: Side, dtype: np.dtype[Any]) -> Any:
    """What stands for the type of blocks of CSR: arrays where one side has arrays."""
    from scipy import sparse

    arrays = any(isinstance(side.array._meta, sparse.sparray) for side in (X, Y))
    return (sparse.csr_array if arrays else sparse.csr_matrix)((0, 0), dtype=dtype)
