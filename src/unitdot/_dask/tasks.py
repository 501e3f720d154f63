"""What the tasks do: the plain functions on two blocks, and results put together.

A block's bits do not depend on its neighbours, so neither do those of the whole on the blocks.
"""

import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Any, NamedTuple

import numpy as np

from unitdot import _inputs, _neighbors, _similarity
from unitdot._inputs import Array
from unitdot._machine.threads import available_threads
from unitdot._neighbors import Heads
from unitdot._options import Options
from unitdot._prepared import Prepared, constants_for_joins
from unitdot._results import TopK, merge_top_k
from unitdot._selection import keep_most, put_in_order

Triplet = tuple[Array, Array, Array]


class How(NamedTuple):
    """What all tasks of a call are told; `options` with the dtype of the whole result."""

    options: Options
    name: str = ""
    dense_output: bool = True
    k: int = 1
    threshold: Any = None
    include_self: bool = False
    max_pairs: int | None = None

    def with_threads(self, threads: int) -> Options:
        """What every function is told by a task that may use so many."""
        limit = self.options.n_threads
        return self.options._replace(n_threads=min(threads, limit or threads))

    def keywords(self, threads: int) -> dict[str, Any]:
        """The same as keywords of a plain function."""
        return self.with_threads(threads)._asdict()


class Meeting(NamedTuple):
    """Two blocks: their first rows; whether they are of X alone, and then one and the same."""

    first_x: int
    first_y: int
    alone: bool
    same: bool = False


class Share:
    """The threads of a worker, dealt out to the tasks that compute there at the same time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.tasks = self.taken = 0

    @contextmanager
    def of(self, total: int) -> Iterator[int]:
        """As many threads as this task may use: never more than `total` are in use by all."""
        with self.changed:
            self.tasks += 1
            beside = self.tasks  # whoever has to wait for another one shares with its successor
            self.changed.wait_for(lambda: self.taken < total)
            mine = max(1, min(total - self.taken, total // max(beside, self.tasks)))
            self.taken += mine
        try:
            yield mine
        finally:
            with self.changed:
                self.tasks -= 1
                self.taken -= mine
                self.changed.notify_all()


_shares: defaultdict[str, Share] = defaultdict(Share)  # by worker: a process may have several


def threads_here() -> tuple[str, int]:
    """The worker that runs this task, and its threads."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            worker = distributed.get_worker()
        except ValueError:
            pass
        else:
            return worker.address, worker.state.nthreads
    # of Dask's pool of processes each has a processor
    return "", 1 if parent_process() else available_threads()


@contextmanager
def threads_of_task() -> Iterator[int]:
    """Threads of this worker, shared with the tasks beside."""
    worker, total = threads_here()
    with _shares[worker].of(total) as threads:
        yield threads


@contextmanager
def meeting(place: Meeting) -> Iterator[int]:
    """Threads for two blocks; what is raised names rows of the whole."""
    with threads_of_task() as threads:
        try:
            yield threads
        except ValueError as error:
            firsts = {"X": place.first_x, "Y": place.first_y}
            told = _inputs.renumbered(
                error, {side: first.__add__ for side, first in firsts.items()}
            )
            raise ValueError(re.sub("^Y", "X", str(told)) if place.alone else str(told)) from None


def another(block: Any) -> Any:
    """The same rows as another object."""
    return block.view() if isinstance(block, np.ndarray) else block.__class__(block)


def sample(block: Any, most: int) -> Array | None:
    """Up to so many rows of a block, evenly spaced."""
    if not isinstance(block, np.ndarray):
        return None
    return block[:: max(1, len(block) // most)][:most].copy()


def directions(how: How, *samples: Array | None) -> dict[str, Array] | None:
    """What all blocks' heads have in common, by what samples tell; None: they would not pay."""
    rows = [some for some in samples if some is not None and len(some)]
    if not rows:
        return None
    limit = how.threshold if how.name == "cosine_pairs" else None
    together = _inputs.as_matrix(np.concatenate(rows), "X", False, False)
    with threads_of_task() as threads:
        return constants_for_joins(together, limit, threads)


def heads(block: Any, constants: dict[str, Array] | None) -> Prepared | None:
    """The heads of a block's rows."""
    if constants is None or not isinstance(block, np.ndarray) or not len(block):
        return None
    rows = _inputs.as_matrix(block, "X", False, False)
    if _inputs.compute_wide(rows, rows) != (constants["directions"].dtype == np.float64):
        return None
    with threads_of_task() as threads:
        return Prepared.along(constants, rows, threads)


def _both(of_x: Prepared | None, of_y: Prepared | None) -> Heads:
    return None if of_x is None or of_y is None else (of_x, of_y)


def matrix(x: Any, y: Any, place: Meeting, how: How) -> Any:
    """A block of the full matrix, or of paired rows, by the function of this name."""
    function: Callable[..., Any] = getattr(_similarity, how.name)
    more = {} if how.dense_output else {"dense_output": False}
    with meeting(place) as threads:
        # two blocks may be one object, and are two sets of rows all the same
        other = None if place.same else another(y)
        return function(x, other, **more, **how.keywords(threads))


def transposed(block: Any) -> Any:
    """The block on the other side of the diagonal."""
    return block.T if isinstance(block, np.ndarray) else block.T.tocsr()


def top_k(
    x: Any, y: Any, place: Meeting, how: How, of_x: Prepared | None, of_y: Prepared | None,
    floors: Array | None = None,
) -> TopK:  # fmt: skip
    """The neighbours in `y` of the rows of `x`, numbered as in the whole."""
    with meeting(place) as threads:
        return _top_k(x, y, place, how, threads, _both(of_x, of_y), floors)


def top_k_both(
    x: Any, y: Any, place: Meeting, how: How, of_x: Prepared | None, of_y: Prepared | None,
    floors_x: Array | None, floors_y: Array | None,
) -> tuple[TopK, TopK]:  # fmt: skip
    """The neighbours in `y` of the rows of `x`, and the other way round."""
    back = Meeting(place.first_y, place.first_x, place.alone)
    # without floors much of it would be met before there are limits
    dense = isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
    if dense and floors_x is not None and floors_y is not None:
        floors = np.concatenate((floors_x, floors_y))
        with meeting(place) as threads:
            found = _neighbors.top_k_of_both(
                x, y, how.k, how.threshold, how.with_threads(threads), floors, _both(of_x, of_y)
            )
        if found is not None:
            return _numbered(found[0], place), _numbered(found[1], back)
    with meeting(place) as threads:
        first = _top_k(x, y, place, how, threads, _both(of_x, of_y), floors_x)
    with meeting(back) as threads:
        return first, _top_k(y, x, back, how, threads, _both(of_y, of_x), floors_y)


def _top_k(
    x: Any, y: Any, place: Meeting, how: How, threads: int, heads: Heads, floors: Array | None
) -> TopK:
    candidates = max(0, y.shape[0] - (place.same and not how.include_self))
    # where there are none, the rows are looked at all the same
    k, threshold = (min(how.k, candidates), how.threshold) if candidates else (1, 1.0)
    found = _neighbors.top_k_of(
        x, None if place.same else y, k, threshold, None, None, place.same and how.include_self,
        False, how.with_threads(threads), None, floors, heads,
    )  # fmt: skip
    return _numbered(found, place)


def _numbered(found: TopK, place: Meeting) -> TopK:
    found.indices[found.indices >= 0] += place.first_y
    return TopK(*found)


def best_of(k: int, sides: tuple[int | None, ...], *parts: Any) -> TopK:
    """The best k of several parts; a side is None where a part is not of two."""
    return merge_top_k(_of_sides(sides, parts), k)


def floors_of(how: How, sides: tuple[int | None, ...], *parts: Any) -> Array | None:
    """Of each row the similarity that the best k of all have at least, by what some blocks have."""
    chosen = _of_sides(sides, parts)
    if sum(part.similarities.shape[1] for part in chosen) < how.k:
        return None
    return merge_top_k(chosen, how.k).similarities[:, -1].astype(np.float64)


def _of_sides(sides: tuple[int | None, ...], parts: tuple[Any, ...]) -> list[TopK]:
    return [part if side is None else part[side] for side, part in zip(sides, parts, strict=True)]


def take(found: TopK, field: int) -> Array:
    """One of the two arrays."""
    return found[field]


def pairs(
    x: Any, y: Any, place: Meeting, how: How, of_x: Prepared | None, of_y: Prepared | None
) -> Triplet:
    """The pairs of two blocks, numbered as in the whole."""
    y = None if place.same else y
    with meeting(place) as threads:
        rows, columns, similarities = _neighbors.pairs_of(
            x, y, how.threshold, how.max_pairs, None, False, how.with_threads(threads), None,
            _both(of_x, of_y),
        )  # fmt: skip
    rows += place.first_x
    columns += place.first_y
    return rows, columns, similarities


def frame_of_rows(first: int, n_rows: int, *parts: Triplet) -> Any:
    """All pairs of so many rows from the first on, sorted by (row, column), as a data frame."""
    rows, columns, similarities = _joined(parts)
    rows -= first
    put_in_order(rows, columns, similarities, n_rows, 0)
    rows += first
    return frame((rows, columns, similarities))


def frame_of_most(most: int, *parts: Triplet) -> Any:
    """What :func:`gather_most` gives, as a data frame."""
    return frame(gather_most(most, *parts))


def gather_most(most: int, *parts: Triplet) -> Triplet:
    """Of the pairs of all parts the most similar so many, sorted by (row, column)."""
    found = _joined(parts)
    if len(found[0]) > most:
        keep_most(found, len(found[0]), most)
    order = np.lexsort((found[1][:most], found[0][:most]))
    return found[0][order], found[1][order], found[2][order]


def _joined(parts: tuple[Triplet, ...]) -> Triplet:
    rows, columns, similarities = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return rows, columns, similarities


def frame(found: Triplet) -> Any:
    """Pairs as a data frame."""
    import pandas as pd

    return pd.DataFrame(dict(zip(("rows", "columns", "similarities"), found, strict=True)))
