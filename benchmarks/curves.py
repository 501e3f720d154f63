"""The growth curves: time against rows, features, threads, k, threshold and lines of text.

Every point is a case of its own, so that it is measured, judged and named as all others are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .machine import usable_cores
from .work import (
    FAISS,
    FAISS_RANGE,
    FAISS_RANGE_PANORAMA,
    MATMUL,
    NUMKONG,
    ROW_BLOCKS,
    SCIPY,
    SIMSIMD,
    SKLEARN,
    TOPN,
    TORCH,
    USEARCH,
    Case,
    Work,
)

EVERYBODY = (SKLEARN, MATMUL, NUMKONG, SIMSIMD, TORCH, SCIPY)


@dataclass(frozen=True)
class Curve:
    """Cases that differ in one number.

    Parameters
    ----------
    name : of the curve; a point's case is called name-x.
    what : the work; it holds "{x}" where a point's title has the number, and a chart's an n.
    axis : what x is.
    points : the numbers.
    work : the work at x.
    others : whom unitdot meets there.
    on_threads : whether x is the number of threads.
    powers : whether the time may be a power of x, to be drawn on logarithmic axes.
    quick : the points that ``--quick`` alone measures.
    alone : the points at which unitdot meets nobody, once, and only where they are named.
    """

    name: str
    what: str
    axis: str
    points: tuple[float, ...]
    work: Callable[[float], Work]
    others: tuple[str, ...]
    on_threads: bool = False
    powers: bool = True
    quick: tuple[float, ...] = ()
    alone: tuple[float, ...] = ()

    def cases(self) -> list[Case]:
        """One for each point."""
        return [
            self.work(x).contest(
                f"{self.name}-{x}",
                self.what.format(x=f"{x:,}"),
                {} if x in self.alone else dict.fromkeys(self.others),
                threads=int(x) if self.on_threads else None,
                quick=x in self.quick,
                on_demand=x in self.alone,
                max_rounds=1 if x in self.alone else None,
                curve=self.name,
                x=x,
            )
            for x in self.points
        ]


def _lines(data: str) -> Callable[[float], Work]:
    """All pairs >= 0.8 of so many lines of text."""
    return lambda x: Work((int(x),), None, "float64", "cosine_pairs", {"threshold": 0.8}, data=data)


def _thread_counts() -> tuple[int, ...]:
    """Powers of two, and all cores that may be used."""
    cores = usable_cores()
    return (*(1 << i for i in range(cores.bit_length()) if 1 << i < cores), cores)


def _curves() -> list[Curve]:
    return [
        Curve(
            "rows",
            "100 queries, {x} x 384",
            "rows",
            (1000, 3000, 10_000, 30_000, 100_000),
            lambda x: Work((100, 384), (int(x), 384)),
            EVERYBODY,
        ),
        Curve(
            "features",
            "200 x 200 x {x}",
            "features",
            (8, 32, 128, 512, 2048, 8192, 32_768, 131_072),
            lambda x: Work((200, int(x)), (200, int(x))),
            EVERYBODY,
        ),
        Curve(
            "threads",
            "2000 x 2000 x 768, threads: {x}",
            "threads",
            _thread_counts(),
            lambda x: Work((2000, 768), (2000, 768)),
            (SKLEARN, MATMUL, NUMKONG, SIMSIMD, TORCH),
            on_threads=True,
            powers=False,
        ),
        Curve(
            "k",
            "top-{x} of 1,000 queries in 20,000 x 384",
            "k",
            (1, 10, 100, 1000, 10_000),
            lambda x: Work(
                (1000, 384), (20_000, 384), function="cosine_top_k", options={"k": int(x)}
            ),
            (SKLEARN, FAISS, USEARCH, TORCH),
            quick=(10,),
        ),
        Curve(
            "threshold",
            "pairs >= {x} of 10,000 x 384 with itself, in clusters",
            "threshold",
            (0.1, 0.2, 0.5, 0.7, 0.8, 0.9),
            lambda x: Work(
                (10_000, 384),
                None,
                function="cosine_pairs",
                options={"threshold": x},
                data="clusters",
            ),
            (SKLEARN, ROW_BLOCKS),
            powers=False,
            quick=(0.9,),
        ),
        Curve(
            "duplicates",
            "pairs >= 0.9 of {x} x 384 with itself, real rows",
            "rows",
            (10_000, 30_000, 100_000, 300_000, 1_000_000),
            lambda x: Work(
                (int(x), 384),
                None,
                function="cosine_pairs",
                options={"threshold": 0.9},
                data="real",
            ),
            (FAISS_RANGE, FAISS_RANGE_PANORAMA),
            alone=(300_000, 1_000_000),
        ),
        Curve(
            "lines-words",
            "pairs >= 0.8 of {x} lines by words, sparse",
            "lines",
            (10_000, 20_000, 40_000, 70_000, 100_000),
            _lines("words"),
            (TOPN,),
        ),
        Curve(
            "lines-grams",
            "pairs >= 0.8 of {x} lines by character 3-grams, sparse",
            "lines",
            (10_000, 20_000, 40_000, 70_000, 100_000),
            _lines("character 3-grams"),
            (),
        ),
    ]


CURVES = {curve.name: curve for curve in _curves()}
