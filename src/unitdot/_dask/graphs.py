"""Graphs: which blocks meet in which task, and whose results are put together."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from unitdot._dask import tasks
from unitdot._dask.inputs import Side
from unitdot._dask.tasks import How, Meeting
from unitdot._machine.dispatch import active_isa
from unitdot._results import TopK

# results that are put together at a time
FAN = 16
# blocks of either side, at least, for what is found out about each before the others meet it
BLOCKS = 4
# blocks that a block meets one after the other, for limits
TURNS = 2
# one in so many meetings is dealt out late, to a worker that has next to nothing left to do: else
# one would be idle at the end while others have a queue (of which workers steal once a second)
LATE = 4
QUEUED = {"_data_producer": True} if "_data_producer" in inspect.signature(Task).parameters else {}
# multiply-adds of two blocks, at least, for heads of these; blocks and rows that tell of what kind
HEADED, SAMPLED, ROWS = 3e10, 4, 2048
# multiply-adds in a second of one thread, about (AVX-512, 384 features: benchmarks of the blocks),
# of pairs, and of pairs by heads with VNNI
RATE, RATE_PAIRS, RATE_HEADS = 5e10, 5e11, 1.5e12
# seconds that a task should take, and how many shorter ones are worth a word
LEAST, MANY = 0.05, 100

Layer = dict[Any, Task]


class Work:
    """Two sides and what is wanted of them. Without a Y, only half of the blocks meet.

    `one`: they are one and the same argument.
    """

    def __init__(self, X: Side, Y: Side | None, how: How, one: bool = False) -> None:
        self.X, self.Y, self.how = X, X if Y is None else Y, how
        self.alone, self.one = Y is None, one
        arrays = self.X.array, self.Y.array
        self.dependencies = list({array.name: array for array in arrays}.values())
        self.token = tokenize(*(array.name for array in arrays), self.alone, one, how)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows of X, rows of Y)."""
        return self.X.shape[0], self.Y.shape[0]

    @property
    def count(self) -> int:
        """How many meetings there are."""
        count = len(self.X.sizes) * len(self.Y.sizes)
        return (count + len(self.X.sizes)) // 2 if self.alone else count

    def meetings(self) -> Iterator[tuple[int, int, Meeting]]:
        """The blocks that meet, of X and of Y; of X alone none that met the other way round."""
        for i, first_x in enumerate(self.X.starts):
            for j, first_y in enumerate(self.Y.starts[i * self.alone :], i * self.alone):
                same = self.alone and i == j
                yield i, j, Meeting(first_x, first_y, self.alone, same)

    def task(
        self, key: Any, function: Callable[..., Any], i: int, j: int, place: Meeting, *more: Any,
        late: bool = False,
    ) -> Task:  # fmt: skip
        """What is done with block i of X and block j of Y."""
        blocks, queued = (self.X.block(i), self.Y.block(j)), QUEUED if late else {}
        return Task(key, function, *blocks, place, self.how, *more, **queued)

    def late(self, ordered: int) -> bool:
        """Whether the meeting of this number is one of those that are dealt out late."""
        return ordered >= self.count - self.count // LATE

    def heads(self, name: str, layer: Layer) -> tuple[list[Any], list[Any]]:
        """What stands for the heads of each block of X and of Y, which are made once.

        Or None for each, where that is not worth while.
        """
        sides = (self.X,) if self.alone else (self.X, self.Y)
        work = math.prod(max(side.sizes) for side in (self.X, self.Y)) * self.X.shape[1]
        few = min(len(side.sizes) for side in sides) < BLOCKS
        if few or work < HEADED or any(side.sparse for side in sides) or self.X.wide != self.Y.wide:
            return [None] * len(self.X.sizes), [None] * len(self.Y.sizes)
        samples = []
        for i in range(SAMPLED):
            key = f"{name}-sample", i
            block = self.Y.block(i * len(self.Y.sizes) // SAMPLED)
            layer[key] = Task(key, tasks.sample, block, ROWS // SAMPLED)
            samples.append(TaskRef(key))
        directions = f"{name}-directions"
        layer[directions] = Task(directions, tasks.directions, self.how, *samples)
        found = []
        for which, side in enumerate(sides):
            own = [TaskRef((f"{name}-heads", which, i)) for i in range(len(side.sizes))]
            for i, made in enumerate(own):
                common = TaskRef(directions)
                layer[made.key] = Task(made.key, tasks.heads, side.block(i), common)
            found.append(own)
        return found[0], found[-1]

    def graph(self, name: str, layer: Layer) -> HighLevelGraph:
        """The layer on top of those of the arguments."""
        return HighLevelGraph.from_collections(name, layer, dependencies=self.dependencies)

    def advise(self, stacklevel: int) -> None:
        """Warn of chunks that are so small that tasks cost more than what they do."""
        sides = {"X": self.X} if self.alone else {"X": self.X, "Y": self.Y}
        each = math.prod(self.shape) / (len(self.X.sizes) * len(self.Y.sizes))  # pairs of rows
        rate = RATE
        if self.how.name == "cosine_pairs":
            headed = each * self.X.shape[1] >= HEADED
            rate = RATE_HEADS if headed and active_isa() == "avx512vnni" else RATE_PAIRS
        rate /= self.X.shape[1]
        seconds = each / rate
        if self.count < MANY or seconds >= LEAST or self.X.sparse or self.Y.sparse:
            return
        rows = math.ceil(math.sqrt(4 * LEAST * rate) / 1000) * 1000
        small = [
            name for name, side in sides.items() if max(side.sizes) < rows and len(side.sizes) > 1
        ]
        remedy = "; ".join(f"{name} = {name}.rechunk(({rows}, -1))" for name in small)
        chunks = " and ".join(f"{name} of {max(sides[name].sizes)} rows" for name in small)
        longest = math.ceil(1000 * seconds)
        warnings.warn(
            f"chunks of {chunks} make {self.count} tasks of some {longest} ms or less, and a task "
            f"costs Dask a few; larger chunks make less work: {remedy}",
            stacklevel=stacklevel,
        )


def matrix(work: Work, meta: Any) -> Any:
    """Every row against every row, as a Dask array."""
    name = f"{work.how.name}-{work.token}"
    layer: Layer = {}
    for i, j, place in work.meetings():
        if work.one:  # a row is at no distance from itself, as in the plain function
            place = place._replace(same=i == j)
        layer[name, i, j] = work.task((name, i, j), tasks.matrix, i, j, place)
        if work.alone and i != j:
            half = TaskRef((name, i, j))
            layer[name, j, i] = Task((name, j, i), tasks.transposed, half)
    return da.Array(work.graph(name, layer), name, (work.X.sizes, work.Y.sizes), meta=meta)


def paired(work: Work, dtype: np.dtype[Any]) -> Any:
    """Row i against row i, in the chunks of X."""
    name = f"{work.how.name}-{work.token}"
    layer: Layer = {}
    for i, first in enumerate(work.X.starts):
        place = Meeting(first, first, alone=False)
        layer[name, i] = work.task((name, i), tasks.matrix, i, i, place)
    return da.Array(work.graph(name, layer), name, (work.X.sizes,), dtype=dtype)


def top_k(work: Work, dtype: np.dtype[Any]) -> TopK:
    """The nearest rows of each, as a pair of Dask arrays in the chunks of X."""
    name, k = f"cosine_top_k-{work.token}", work.how.k
    layer: Layer = {}
    of_X, of_Y = work.heads(name, layer)
    parts: list[list[tuple[Any, int | None]]] = [[] for _ in work.X.sizes]
    best = []
    # neighbours in one block tell which of the next do not count, those in two which of all others;
    # not where tasks would wait for it
    waits = work.alone or min(len(side.sizes) for side in (work.X, work.Y)) >= BLOCKS
    meetings = sorted(work.meetings(), key=lambda meeting: _turn(work, *meeting[:2]))
    for number, (i, j, place) in enumerate(meetings):
        key = name + "-part", i, j
        both, turn = work.alone and i != j, waits * _turn(work, i, j)
        more = [of_X[i], of_Y[j]]
        for block in (i, j)[: 1 + both] if turn else ():
            more.append(TaskRef((f"{name}-floors", block, min(turn, len(parts[block])))))
        function = tasks.top_k_both if both else tasks.top_k
        layer[key] = work.task(key, function, i, j, place, *more, late=work.late(number))
        for block, side in ((i, 0), (j, 1)) if both else ((i, None),):
            parts[block].append((key, side))
            if waits and len(parts[block]) <= TURNS:
                keys, sides = zip(*parts[block], strict=True)
                floors = f"{name}-floors", block, len(keys)
                layer[floors] = Task(floors, tasks.floors_of, work.how, sides, *map(TaskRef, keys))
    for i, part in enumerate(parts):
        level = 0
        while level == 0 or len(part) > 1:
            merged: list[tuple[Any, int | None]] = []
            for first in range(0, len(part), FAN):
                keys, sides = zip(*part[first : first + FAN], strict=True)
                to = f"{name}-merge", i, level, first
                layer[to] = Task(to, tasks.best_of, k, sides, *map(TaskRef, keys))
                merged.append((to, None))
            part, level = merged, level + 1
        best.append(TaskRef(part[0][0]))
    graph = work.graph(name, layer)
    arrays = []
    for field, kind in enumerate((dtype, np.dtype(np.int64))):
        own = f"{name}-{TopK._fields[field]}"
        taken: Layer = {}
        for i, found in enumerate(best):
            taken[own, i, 0] = Task((own, i, 0), tasks.take, found, field)
        whole = HighLevelGraph({**graph.layers, own: taken}, {**graph.dependencies, own: {name}})
        arrays.append(da.Array(whole, own, (work.X.sizes, (k,)), dtype=kind))
    return TopK(arrays[0], arrays[1], work.shape)


def _turn(work: Work, i: int, j: int) -> int:
    """After how many others, at most `TURNS`, two blocks meet in top-k."""
    if work.alone:  # each block itself, then every two neighbours
        return TURNS if i // 2 != j // 2 else int(i != j)
    return min(j, TURNS)


def pairs(work: Work, dtype: np.dtype[Any]) -> Any:
    """The pairs, as a Dask data frame with a partition for each block of X."""
    import dask.dataframe as dd

    name, most = f"cosine_pairs-{work.token}", work.how.max_pairs
    layer: Layer = {}
    of_X, of_Y = work.heads(name, layer)
    parts: list[list[Any]] = [[] for _ in work.X.sizes]
    for number, (i, j, place) in enumerate(work.meetings()):
        key, late = (f"{name}-part", i, j), place.same or work.late(number)
        layer[key] = work.task(key, tasks.pairs, i, j, place, of_X[i], of_Y[j], late=late)
        parts[i].append(TaskRef(key))
    if most is None:
        of_rows = list(zip(work.X.starts, work.X.sizes, parts, strict=True))
        for i, (first, n_rows, found) in enumerate(of_rows):
            layer[name, i] = Task((name, i), tasks.frame_of_rows, first, n_rows, *found)
    else:
        last = []
        for i, found in enumerate(parts):
            key = f"{name}-rows", i, 0
            layer[key] = Task(key, tasks.gather_most, most, *found)
            last.append(TaskRef(key))
        layer[name, 0] = Task((name, 0), tasks.frame_of_most, most, *last)
    graph = work.graph(name, layer)
    nothing = tasks.frame((np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, dtype)))
    count = len(parts) if most is None else 1
    partitions = [Delayed((name, i), graph, layer=name) for i in range(count)]
    return dd.from_delayed(partitions, meta=nothing, prefix="cosine_pairs", verify_meta=False)
