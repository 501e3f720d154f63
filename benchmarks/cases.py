"""The cases: what is measured, against what, and the targets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MATMUL = "numpy X @ Y.T"
MATMUL_COPY = "numpy X @ Y.T, Y a copy"
SYRK = "numpy X @ X.T (syrk)"
MATMUL_WIDENED = "numpy X @ Y.T as float32"
READ = "read X and Y once"
TOPN = "sparse_dot_topn"
PARTITION = "numpy matmul, argpartition"
ROW_BLOCKS = "numpy X @ Y.T in row blocks"
FAISS = "faiss.knn"
FAISS_INDEX = "faiss IndexFlatIP"

MEMORY_LIMIT_MIB = 16.0  # a thread


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
    """

    label: str
    probe: str
    params: dict[str, Any]
    target: float | None = None
    threads: int | None = None
    copies: int = 1


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
    """

    name: str
    title: str
    unit: str
    runs: tuple[Run, ...]
    relation: str = "<="
    work: float | None = None
    work_unit: str = ""
    max_rounds: int | None = None


@dataclass(frozen=True)
class Work:
    """One call: a function's name, its inputs' shapes (Y None: X with itself) and their dtype.

    `options` are the function's own keywords, `k` or `threshold`; `data` is a name of
    ``benchmarks.child.DATA``.
    """

    X: tuple[int, int]
    Y: tuple[int, int] | None
    dtype: str = "float32"
    function: str = "cosine_similarity"
    options: dict[str, float] = field(default_factory=dict)
    data: str = "normal"

    def run(self, contender: str, probe: str, target: float | None = None) -> Run:
        """Row for `contender` doing this work."""
        return Run(contender, probe, {"contender": contender, **asdict(self)}, target)

    def gflop(self) -> float:
        """Operations of the full product; symmetry is not counted, so a rate is nominal."""
        return 2e-9 * self.X[0] * (self.Y or self.X)[0] * self.X[1]

    def input_gb(self) -> float:
        """Bytes of the inputs."""
        item_size = {"float16": 2, "float32": 4, "float64": 8}[self.dtype]
        return 1e-9 * item_size * sum(rows * features for rows, features in (self.X, self.Y))


@dataclass(frozen=True)
class TextWork:
    """One call on the TF-IDF of lines of text (``benchmarks.texts``), with itself.

    `task` is "product" (dense_output=False), "top-10" or "pairs"; the last has a threshold.
    """

    n_lines: int
    analyzer: str
    task: str
    threshold: float | None = None
    dtype: str = "float64"

    def case(self, name: str, others: dict[str, float | None]) -> Case:
        """The case, with every contender's target."""
        what = self.task if self.threshold is None else f"{self.task} >= {self.threshold}"
        grams = "words" if self.analyzer == "word" else "character 3-grams"
        runs = tuple(
            Run(label, "text_seconds", {"contender": label, **asdict(self)}, target)
            for label, target in ({"unitdot": None} | others).items()
        )
        return Case(name, f"{what} of {self.n_lines:,} lines by {grams}, sparse", "s", runs)


WORDS = 20_000, "word"
GRAMS = 10_000, "char"
SQUARE = Work((2000, 768), (2000, 768))
SQUARE_FLOAT64 = Work((2000, 768), (2000, 768), "float64")
SQUARE_FLOAT16 = Work((2000, 768), (2000, 768), "float16")
SELF = Work((4000, 384), None)
WIDE = Work((6, 119_547), (6, 119_547))
WIDE_SELF = Work((6, 119_547), None)
QUERY = Work((1, 384), (100_000, 384))
QUERY_LAST = Work((100_000, 384), (1, 384))
NARROW = Work((7000, 64), (7000, 64))
DEEP = Work((3000, 5000), (3000, 5000))
PAIR = Work((1, 768), (1, 768))
PAIRED = Work((100_000, 384), (100_000, 384), function="paired_cosine_distances")
QUERIES = (1000, 384), (100_000, 384)
TOP_10 = Work(*QUERIES, function="cosine_top_k", options={"k": 10})
TOP_1000 = Work(*QUERIES, function="cosine_top_k", options={"k": 1000})
TOP_10_QUERY = Work((1, 384), (100_000, 384), function="cosine_top_k", options={"k": 10})
TOP_10_SELF = Work((20_000, 384), None, function="cosine_top_k", options={"k": 10})
PAIRS = Work(
    (20_000, 384), None, function="cosine_pairs", options={"threshold": 0.9}, data="duplicates"
)
# rows of one of 100 clusters have cosine 0.8, others 0, either with a deviation of 0.05 at most
PAIRS_1_PERCENT = Work(
    (20_000, 384), None, function="cosine_pairs", options={"threshold": 0.5}, data="clusters"
)


def all_cases(threads: int) -> list[Case]:
    """Every case, in the order of the table; `threads` is what each contender may use."""
    return [
        _compute("square", "2000 x 2000 x 768", SQUARE, 0.50, {MATMUL: 0.95}),
        _compute(
            "square-float64", "2000 x 2000 x 768, float64", SQUARE_FLOAT64, 0.60, {MATMUL: 0.95}
        ),
        _compute(
            "float16",
            "2000 x 2000 x 768, float16 input",
            SQUARE_FLOAT16,
            0.50,
            {MATMUL_WIDENED: None},
        ),
        _compute("self", "4000 x 384 with itself", SELF, 0.50, {MATMUL_COPY: 0.75, SYRK: None}),
        _compute("wide", "6 x 6 x 119,547", WIDE, 0.08, {MATMUL: 0.35}),
        _compute("wide-self", "6 x 119,547 with itself", WIDE_SELF, None, {SYRK: None}),
        _compute("narrow", "7000 x 7000 x 64", NARROW, 0.60, {MATMUL: 1.1}),
        _compute("pair", "one pair, 768 features, called in a loop", PAIR, 0.02, {MATMUL: None}),
        _memory_bound("query", "one query, 100,000 x 384", QUERY, 0.15, {MATMUL: 1.1}),
        _memory_bound("paired", "paired distances, 100,000 x 384", PAIRED, 0.15, {}),
        _contest(
            "top-10",
            "top-10 of 1,000 queries in 100,000 x 384",
            TOP_10,
            {"scikit-learn": 0.20, FAISS: 0.85, FAISS_INDEX: None, MATMUL: 0.90, PARTITION: None},
        ),
        _memory_bound(
            "top-10-query",
            "top-10 of one query in 100,000 x 384",
            TOP_10_QUERY,
            None,
            {FAISS: 1.0, FAISS_INDEX: 1.0},
            read=1.1,
        ),
        _contest(
            "top-1000",
            "top-1000 of 1,000 queries in 100,000 x 384",
            TOP_1000,
            {"scikit-learn": None, FAISS: 0.60, FAISS_INDEX: None, PARTITION: None},
        ),
        _contest(
            "top-10-self",
            "top-10 of 20,000 x 384 with itself",
            TOP_10_SELF,
            {"scikit-learn": None, FAISS: None, ROW_BLOCKS: None},
        ),
        _contest(
            "pairs",
            "pairs >= 0.9 of 20,000 x 384 with itself",
            PAIRS,
            {"scikit-learn": 0.15, ROW_BLOCKS: 0.55},
        ),
        _contest(
            "pairs-1-percent",
            "the 1 % most similar pairs of 20,000 x 384 with itself",
            PAIRS_1_PERCENT,
            {"scikit-learn": 0.60, ROW_BLOCKS: None},
        ),
        _tile("tile-float32", "float32"),
        _tile("tile-float64", "float64"),
        _product("product-float32", SQUARE, threads),
        _product("product-float64", SQUARE_FLOAT64, threads),
        _two_threads(),
        _memory("memory-square", SQUARE, threads),
        _memory("memory-float16", SQUARE_FLOAT16, threads),
        _memory("memory-self", SELF, threads),
        _memory("memory-wide", WIDE, threads),
        _memory("memory-query", QUERY, threads),
        _memory("memory-query-last", QUERY_LAST, threads),
        _memory("memory-deep", DEEP, threads),
        _memory("memory-paired", PAIRED, threads),
        _memory("memory-top-10", TOP_10, threads),
        _memory("memory-top-10-self", TOP_10_SELF, threads),
        _memory("memory-pairs", PAIRS, threads),
        _memory("memory-pairs-1-percent", PAIRS_1_PERCENT, None),
        *_texts(),
        _import(),
    ]


def _texts() -> list[Case]:
    cases = [
        TextWork(*WORDS, "product").case("sparse-product", {"scikit-learn": 0.35}),
        TextWork(*WORDS, "product", dtype="float32").case(
            "sparse-product-float32", {"scikit-learn": 0.35}
        ),
    ]
    for kind, texts in (("words", WORDS), ("grams", GRAMS)):
        cases += [
            TextWork(*texts, "top-10").case(f"sparse-top-{kind}", {TOPN: 0.60}),
            TextWork(*texts, "pairs", 0.8).case(f"sparse-pairs-0.8-{kind}", {TOPN: 0.10}),
            TextWork(*texts, "pairs", 0.5).case(f"sparse-pairs-0.5-{kind}", {TOPN: 0.30}),
        ]
    return cases


def _timed(work: Work, targets: dict[str, float | None]):
    targets = {"unitdot": None} | targets
    return tuple(work.run(label, "seconds", target) for label, target in targets.items())


def _contest(name, title, work, targets) -> Case:
    runs = _timed(work, targets)
    return Case(name, title, "s", runs, work=work.gflop(), work_unit="GFLOP")


def _compute(name, title, work, to_scikit_learn, others) -> Case:
    return _contest(name, title, work, {"scikit-learn": to_scikit_learn} | others)


def _memory_bound(name, title, work, to_scikit_learn, others, read=None) -> Case:
    runs = _timed(work, {"scikit-learn": to_scikit_learn} | others | {READ: read})
    return Case(name, title, "s", runs, work=work.input_gb(), work_unit="GB")


def _kernel(label: str, function: str, dtype: str, target: float | None = None, copies: int = 1):
    return Run(label, "kernel_gflops", {"function": function, "dtype": dtype}, target, 1, copies)


def _tile(name: str, dtype: str) -> Case:
    runs = _kernel("tile", "tile_rate", dtype), _kernel("multiply-add peak", "peak", dtype, 0.90)
    return Case(name, f"the tile alone, one core, {dtype}", "GFLOP/s", runs, ">=")


def _product(name: str, work: Work, threads: int) -> Case:
    peak = _kernel("multiply-add peak", "peak", work.dtype, 0.80, copies=threads)
    title = f"2000 x 2000 x 768, {work.dtype}, against the peak of {threads} processes at once"
    return Case(name, title, "GFLOP/s", (work.run("unitdot", "gflops"), peak), ">=")


def _two_threads() -> Case:
    params = SQUARE.run("unitdot", "seconds").params
    runs = (
        Run("unitdot, one thread", "seconds", params, threads=1),
        Run("unitdot, two threads", "seconds", params, 1.85, threads=2),
    )
    return Case("threads", "2000 x 2000 x 768", "s", runs, ">=", SQUARE.gflop(), "GFLOP")


def _memory(name: str, work: Work, threads: int | None) -> Case:
    """Without `threads` there is no limit: pairs wait until their rows have met all others."""
    limit = None if threads is None else MEMORY_LIMIT_MIB * threads
    runs = work.run("unitdot", "memory_mib", limit), work.run("scikit-learn", "memory_mib")
    title = f"memory beyond inputs and output, {work.X} and {work.Y or 'itself'}, {work.dtype}"
    return Case(name, title, "MiB", runs, max_rounds=3)


def _import() -> Case:
    runs = (
        Run("unitdot", "import_seconds", {"module": "unitdot"}),
        Run("numpy", "import_seconds", {"module": "numpy"}, 1.5),
    )
    return Case("import", "import in a fresh interpreter", "s", runs)
