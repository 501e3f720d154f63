"""What a case is made of: the rows of its table, and the work that their contenders do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

# the contenders' names; benchmarks.contenders says what each of them does
UNITDOT = "unitdot"
ONE_THREAD = "unitdot, n_threads=1"
DENSE_ROWS = "unitdot, the same rows dense"
FLOAT32 = "unitdot, float32"  # the same numbers, stored so
WITHOUT_LIMITS = "unitdot, all rows"  # without groups; top-k without a threshold
BEFORE = "unitdot before"  # the other environment's
SKLEARN = "scikit-learn"
SCIPY = "SciPy cdist"
NUMKONG = "NumKong"
SIMSIMD = "SimSIMD"
TORCH = "torch"
FAISS = "faiss.knn"
FAISS_INDEX = "faiss IndexFlatIP"
FAISS_PANORAMA = "faiss IndexFlatIPPanorama"
FAISS_RANGE = "faiss range_search"
FAISS_RANGE_PANORAMA = "faiss range_search, Panorama"
USEARCH = "usearch exact"
TOPN = "sparse_dot_topn"
# what is made once is made before the call
INDEX = "unitdot CosineIndex"
INDEX_SOME = "unitdot CosineIndex, where 1 %"
FAISS_READY = "faiss IndexFlatIP, ready"
PANORAMA_READY = "faiss IndexFlatIPPanorama, ready"
QUANTIZER_READY = "faiss 8-bit quantiser, ready"  # not exact
TOPN_READY = "sparse_dot_topn, transpose ready"
BUILD = "unitdot CosineIndex(Y)"
ADD = "unitdot CosineIndex.add"
OPEN = "unitdot CosineIndex.open"
UNIT_ROWS = "numpy Y / norms"
# on Dask's workers: benchmarks.workers
DASK_1, DASK_2 = "unitdot.dask, 1 worker of 1 thread", "unitdot.dask, 2 workers of 1 thread"
DASK_THREADS = "unitdot.dask, 1 worker of 2 threads"
DASK_LOOP, DASK_ML = "block loop, 2 workers", "dask-ml, 2 workers"
ON_WORKERS = DASK_1, DASK_2, DASK_THREADS, DASK_LOOP, DASK_ML
TWO_AXES = "unitdot, rows in two axes"
# yardsticks: parts of the work, on rows that are not normalised
FAISS_8_BIT = "faiss 8-bit quantiser"
MATMUL = "numpy X @ Y.T"
MATMUL_COPY = "numpy X @ Y.T, Y a copy"
SYRK = "numpy X @ X.T (syrk)"
MATMUL_WIDENED = "numpy X @ Y.T as float32"
PARTITION = "numpy matmul, argpartition"
ROW_BLOCKS = "numpy X @ Y.T in row blocks"
READ = "read X and Y once"
PEAK = "multiply-add peak"

TEXTS = {"words": "word", "character 3-grams": "char"}  # as scikit-learn calls the analyzers
# sparse on both sides: lines as vectorisers leave them, and sorted; a part of the elements
SPARSE_TEXTS = "words of both sides", "sorted words of both sides", "hashed words of both sides"
FULL = {"30 % full": 0.3, "10 % full": 0.1}
RATINGS = "ratings"  # sparse items by users, most rated by few

# functions that are not unitdot's own: what becomes of pairs made by hand, and the estimator
KEEP_FIRST, TRANSFORMER = "keep_first", "CosineKNeighborsTransformer"

# A table's rows: contenders (and yardsticks) with their targets.
Targets = dict[str, float | None]


@dataclass(frozen=True)
class Run:
    """One row of a case's table.

    Parameters
    ----------
    label : what the row is called.
    probe : the function of ``benchmarks.child`` that measures it.
    params : the probe's keywords; they travel as JSON.
    target : the limit of this row's ratio; for a case's first row, the limit of its own value.
    threads : the threads that the child may use; None is what the user asked for.
    copies : the number of processes that measure at once; their values are added.
    python : the interpreter of another environment, whose packages are measured.
    limits : the limits of this row's ratios under load, by the names of ``load.FIGURES``.
    """

    label: str
    probe: str
    params: dict[str, Any]
    target: float | None = None
    threads: int | None = None
    copies: int = 1
    python: str | None = None
    limits: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Rows to be compared: a row's ratio is the first row's value over its own.

    Parameters
    ----------
    name, title : for ``--cases``, and for readers.
    unit : of the values: "s", "GFLOP/s" or "MiB".
    runs : the rows.
    relation : "<=" or ">=", how a ratio must stand to its target.
    work, work_unit : the amount that one call gets through, for the rate's column.
    max_rounds : fewer rounds where the value hardly varies.
    quick : whether ``--quick`` alone measures it.
    on_demand : whether it is measured only when ``--cases`` has its very name.
    busy : under load, what unitdot's 90th percentile beside one busy process, and its median
        beside two, may be of what they are on one thread.
    curve, x : the growth curve that the case is a point of (``benchmarks.curves``), and where.
    """

    name: str
    title: str
    unit: str
    runs: tuple[Run, ...]
    relation: str = "<="
    work: float | None = None
    work_unit: str = ""
    max_rounds: int | None = None
    quick: bool = False
    on_demand: bool = False
    busy: tuple[float, float] | None = None
    curve: str | None = None
    x: float | None = None


@dataclass(frozen=True)
class Work:
    """One call: a function's name, its inputs' shapes (Y None: X with itself) and their dtype.

    `options` are the function's own keywords, such as `k` or `threshold`; `groups` is how many
    there are, of random rows, and `pairs` how many `KEEP_FIRST` is given. `data` is a name of
    ``benchmarks.data.DATA``, or of `FULL`, or `RATINGS`, or one of `TEXTS` and `SPARSE_TEXTS`,
    whose rows are the TF-IDF of lines of text: then X and Y hold the number of lines alone, and X
    of `TEXTS` is dense beside Y.
    """

    X: tuple[int, ...]
    Y: tuple[int, ...] | None
    dtype: str = "float32"
    function: str = "cosine_similarity"
    options: dict[str, float] = field(default_factory=dict)
    data: str = "normal"

    def run(self, contender: str, probe: str, target: float | None = None, threads=None) -> Run:
        """Row for `contender` doing this work."""
        params = {"contender": contender, **asdict(self)}
        return Run(contender, probe, params, target, threads)

    def contest(
        self, name: str, title: str, others: Targets, threads: int | None = None, **fields: Any
    ) -> Case:
        """The case in which unitdot and the others do this work; `fields` are the case's."""
        if self.data not in (*TEXTS, *SPARSE_TEXTS) and not self.function.startswith("paired"):
            fields = {"work": self.gflop(), "work_unit": "GFLOP"} | fields
        runs = tuple(
            self.run(label, "seconds", target, threads)
            for label, target in ({UNITDOT: None} | others).items()
        )
        return Case(name, title, "s", runs, **fields)

    def gflop(self) -> float:
        """Operations of the full product; symmetry is not counted, so a rate is nominal."""
        return 2e-9 * math.prod(self.X) * (self.Y or self.X)[-2]

    def input_gb(self) -> float:
        """Bytes of the inputs."""
        item_size = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[self.dtype]
        return 1e-9 * item_size * sum(map(math.prod, (self.X, self.Y)))
