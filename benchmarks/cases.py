"""The cases: what is measured, against what, and the targets."""

from __future__ import annotations

from dataclasses import replace

from .curves import CURVES
from .work import (
    ADD,
    BUILD,
    DASK_1,
    DASK_2,
    DASK_LOOP,
    DASK_ML,
    DASK_THREADS,
    DENSE_ROWS,
    FAISS,
    FAISS_8_BIT,
    FAISS_INDEX,
    FAISS_PANORAMA,
    FAISS_RANGE,
    FAISS_READY,
    FLOAT32,
    INDEX,
    INDEX_SOME,
    KEEP_FIRST,
    MATMUL,
    MATMUL_COPY,
    MATMUL_WIDENED,
    NUMKONG,
    OPEN,
    PANORAMA_READY,
    PARTITION,
    PEAK,
    QUANTIZER_READY,
    RATINGS,
    READ,
    ROW_BLOCKS,
    SCIPY,
    SIMSIMD,
    SKLEARN,
    SPARSE_TEXTS,
    SYRK,
    TOPN,
    TOPN_READY,
    TORCH,
    TRANSFORMER,
    TWO_AXES,
    UNIT_ROWS,
    UNITDOT,
    USEARCH,
    WITHOUT_LIMITS,
    Case,
    Run,
    Targets,
    Work,
)

MEMORY_LIMIT_MIB = 16.0  # a thread

# under load, of what one thread takes: the 90th percentile beside one busy process, the median
# beside two
SMALL_CALL = 1.3, 1.3
READ_ONCE = 1.2, 1.2  # as fast as memory is read
LARGE_CALL = 1.0, 1.1

MATRIX_PEERS: Targets = dict.fromkeys((NUMKONG, SIMSIMD, TORCH))
SEARCH_PEERS: Targets = dict.fromkeys((USEARCH, TORCH))
FAISS_INDEXES: Targets = dict.fromkeys((FAISS_INDEX, FAISS_PANORAMA))
SLOWLY: Targets = {SCIPY: None}  # on one thread, in float64

SQUARE = Work((2000, 768), (2000, 768))
SQUARE_FLOAT64 = replace(SQUARE, dtype="float64")
SQUARE_FLOAT16 = replace(SQUARE, dtype="float16")
SMALL = Work((200, 384), (200, 384))
SELF = Work((4000, 384), None)
WIDE = Work((6, 119_547), (6, 119_547))
WIDE_SELF = Work((6, 119_547), None)
QUERY = Work((1, 384), (100_000, 384))
QUERY_120K = Work((1, 384), (120_000, 384))
QUERY_LAST = Work((100_000, 384), (1, 384))
NARROW = Work((7000, 64), (7000, 64))
DEEP = Work((3000, 5000), (3000, 5000))
PAIR = Work((1, 768), (1, 768))
PAIRED = Work((100_000, 384), (100_000, 384), function="paired_cosine_distances")
TOP_10 = Work((1000, 384), (100_000, 384), function="cosine_top_k", options={"k": 10})
TOP_1000 = replace(TOP_10, options={"k": 1000})
TOP_10_SMALL = replace(TOP_10, X=(10, 384), Y=(5000, 384))
TOP_10_QUERY = replace(TOP_10, X=(1, 384))
TOP_10_SELF = replace(TOP_10, X=(20_000, 384), Y=None)
PAIRS = Work(
    (20_000, 384), None, function="cosine_pairs", options={"threshold": 0.9}, data="duplicates"
)
# rows of one of 100 clusters have cosine 0.8, others 0, either with a deviation of 0.05 at most
PAIRS_1_PERCENT = replace(PAIRS, options={"threshold": 0.5}, data="clusters")
TEXTS_PRODUCT = Work((20_000,), None, "float64", options={"dense_output": False}, data="words")
TEXTS_TOP_10 = Work((10,), (20_000,), "float64", "cosine_top_k", {"k": 10}, data="words")


def all_cases(threads: int) -> list[Case]:
    """Every case, in the order of the table; `threads` is what each contender may use."""
    return [
        SQUARE.contest(
            "square",
            "2000 x 2000 x 768",
            {SKLEARN: 0.50, MATMUL: 0.95} | MATRIX_PEERS | SLOWLY,
            quick=True,
            busy=LARGE_CALL,
        ),
        SQUARE_FLOAT64.contest(
            "square-float64",
            "2000 x 2000 x 768, float64",
            {SKLEARN: 0.60, MATMUL: 0.95} | MATRIX_PEERS | SLOWLY,
        ),
        SQUARE_FLOAT16.contest(
            "float16",
            "2000 x 2000 x 768, float16 input",
            {SKLEARN: 0.50, MATMUL_WIDENED: None, NUMKONG: None, SIMSIMD: None},
        ),
        SMALL.contest(
            "small",
            "200 x 200 x 384",
            {SKLEARN: None, MATMUL: None} | MATRIX_PEERS | SLOWLY,
            busy=SMALL_CALL,
        ),
        SELF.contest(
            "self",
            "4000 x 384 with itself",
            {SKLEARN: 0.50, MATMUL_COPY: 0.75, SYRK: None} | MATRIX_PEERS,
        ),
        WIDE.contest(
            "wide",
            "6 x 6 x 119,547",
            {SKLEARN: 0.08, MATMUL: 0.35} | MATRIX_PEERS | SLOWLY,
            busy=SMALL_CALL,
        ),
        WIDE_SELF.contest(
            "wide-self", "6 x 119,547 with itself", {SKLEARN: None, SYRK: None} | MATRIX_PEERS
        ),
        NARROW.contest("narrow", "7000 x 7000 x 64", {SKLEARN: 0.60, MATMUL: 1.1} | MATRIX_PEERS),
        PAIR.contest(
            "pair",
            "one pair, 768 features, called in a loop",
            {SKLEARN: 0.02, MATMUL: None} | MATRIX_PEERS | SLOWLY,
        ),
        _memory_bound(
            "query",
            "one query, 100,000 x 384",
            QUERY,
            {SKLEARN: 0.15, MATMUL: 1.1} | MATRIX_PEERS | SLOWLY | {READ: None},
            quick=True,
        ),
        _memory_bound(
            "query-120k",
            "one query, 120,000 x 384",
            QUERY_120K,
            {SKLEARN: None, MATMUL: None} | MATRIX_PEERS | SLOWLY | {READ: None},
        ),
        _memory_bound(
            "paired",
            "paired distances, 100,000 x 384",
            PAIRED,
            {SKLEARN: 0.15} | MATRIX_PEERS | {READ: None},
        ),
        TOP_10.contest(
            "top-10",
            "top-10 of 1,000 queries in 100,000 x 384",
            {SKLEARN: 0.20, FAISS: 0.85}
            | FAISS_INDEXES
            | {MATMUL: 0.90, PARTITION: None}
            | SEARCH_PEERS,
            busy=LARGE_CALL,
        ),
        TOP_10_SMALL.contest(
            "top-10-small",
            "top-10 of 10 queries in 5,000 x 384",
            {SKLEARN: None, FAISS: None, FAISS_INDEX: None, MATMUL: None} | SEARCH_PEERS,
            busy=SMALL_CALL,
        ),
        _memory_bound(
            "top-10-query",
            "top-10 of one query in 100,000 x 384",
            TOP_10_QUERY,
            {SKLEARN: None, FAISS: 1.0, FAISS_INDEX: 1.0} | SEARCH_PEERS | {READ: 1.1},
        ),
        TOP_1000.contest(
            "top-1000",
            "top-1000 of 1,000 queries in 100,000 x 384",
            {SKLEARN: None, FAISS: 0.60, FAISS_INDEX: None, PARTITION: None} | SEARCH_PEERS,
        ),
        TOP_10_SELF.contest(
            "top-10-self",
            "top-10 of 20,000 x 384 with itself",
            {SKLEARN: None, FAISS: None, ROW_BLOCKS: None} | SEARCH_PEERS,
        ),
        PAIRS.contest(
            "pairs",
            "pairs >= 0.9 of 20,000 x 384 with itself",
            {SKLEARN: 0.15, FAISS_RANGE: None, ROW_BLOCKS: 0.55},
            busy=LARGE_CALL,
        ),
        PAIRS_1_PERCENT.contest(
            "pairs-1-percent",
            "pairs >= 0.5 of 20,000 x 384 with itself, 1 % of those in clusters",
            {SKLEARN: 0.60, ROW_BLOCKS: None},
        ),
        *_many_rows(),
        *_kinds_of_rows(),
        *_on_dask(),
        *_stored(),
        *_indexes(),
        *_stacks(),
        *_going_on(),
        _tile("tile-float32", "float32"),
        _tile("tile-float64", "float64"),
        _product("product-float32", SQUARE, threads, quick=True),
        _product("product-float64", SQUARE_FLOAT64, threads),
        _two_threads(),
        _memory("memory-square", SQUARE, threads, quick=True),
        _memory("memory-float16", SQUARE_FLOAT16, threads),
        _memory("memory-self", SELF, threads),
        _memory("memory-wide", WIDE, threads),
        _memory("memory-query", QUERY, threads),
        _memory("memory-query-last", QUERY_LAST, threads),
        _memory("memory-deep", DEEP, threads),
        _memory("memory-paired", PAIRED, threads),
        _memory("memory-top-10", TOP_10, threads),
        _memory("memory-top-1000", TOP_1000, threads),
        _memory("memory-top-10-self", TOP_10_SELF, threads),
        _memory("memory-pairs", PAIRS, threads),
        _memory("memory-pairs-1-percent", PAIRS_1_PERCENT, None),
        *_texts(),
        _import(),
        *(case for curve in CURVES.values() for case in curve.cases()),
    ]


def _many_rows() -> list[Case]:
    """Where the work grows with the square: only other builds of unitdot take part."""
    pairs = replace(PAIRS, X=(100_000, 384), data="normal")
    cases = [
        replace(pairs, options={"threshold": threshold}).contest(
            f"pairs-100k-{threshold}", f"pairs >= {threshold} of 100,000 x 384 with itself", {}
        )
        for threshold in (0.9, 0.8, 0.7)
    ]
    for n_features in (768, 1536):
        title = f"pairs >= 0.9 of 100,000 x {n_features} with itself"
        cases.append(
            replace(pairs, X=(100_000, n_features)).contest(f"pairs-{n_features}", title, {})
        )
    for name, rows in (("6k", 6000), ("100k", 100_000)):
        title = f"top-10 of {rows:,} x 384 with itself"
        cases.append(replace(TOP_10_SELF, X=(rows, 384)).contest(f"top-10-self-{name}", title, {}))
    return cases


def _on_dask() -> list[Case]:
    """Rows that Dask's workers hold, and what is found brought to one process; some on demand."""
    pairs, top_10 = (replace(work, data="real") for work in (PAIRS, TOP_10_SELF))
    others = {DASK_LOOP: None, DASK_ML: None}
    cases = []
    for name, what, work in (
        ("pairs", "pairs >= 0.9 of 20,000 x 384 with itself", pairs),
        ("top-10", "top-10 of 20,000 x 384 with itself", top_10),
    ):
        # against the workers: two to one, and the plain call to one of as many threads
        runs = [(DASK_2, None), (DASK_1, 0.56), (UNITDOT, None), (DASK_THREADS, None)]
        for size, peers in ((None, others), (200_000 if name == "pairs" else 100_000, {})):
            large = work if size is None else replace(work, X=(size, 384))
            limits = dict(runs if size else [(label, None) for label, _ in runs]) | peers
            case = Case(
                f"dask-{name}" + ("-large" if size else ""),
                what.replace("20,000", f"{large.X[0]:,}"),
                "s",
                tuple(large.run(label, "seconds", limit) for label, limit in limits.items()),
                work=large.gflop(),
                work_unit="GFLOP",
                on_demand=bool(size),
                max_rounds=1 if size else None,
            )
            cases.append(case)
    return cases


def _kinds_of_rows() -> list[Case]:
    """Searches where what is ruled out early may be much, little or nothing."""
    top_100 = replace(TOP_10, options={"k": 100})
    title = "top-100 of 1,000 queries in 100,000 x 384"
    cases = [top_100.contest("top-100", title, {FAISS: None} | FAISS_INDEXES)]
    normal = replace(PAIRS, data="normal")
    for name, what, pairs in (
        ("shipped", "0.9 of the 4,952 x 384 that are shipped", replace(PAIRS, X=(4952, 384))),
        ("0.3", "0.3 of 20,000 x 384", replace(normal, options={"threshold": 0.3})),
        ("64", "0.9 of 20,000 x 64", replace(normal, X=(20_000, 64))),
        ("2000", "0.9 of 2,000 x 384", replace(normal, X=(2000, 384))),
        ("integers", "0.9 of 20,000 x 384 integers", normal),
        ("worst", "0.9 of 100,000 x 384 unlike their sample", replace(normal, X=(100_000, 384))),
    ):
        pairs = replace(pairs, data=name) if name in ("shipped", "integers", "worst") else pairs
        title = f"pairs >= {what} with itself"
        cases.append(pairs.contest(f"pairs-{name}", title, {FAISS_RANGE: None}))
    for name, what, top_10 in (
        ("64", "100,000 x 64", replace(TOP_10, X=(1000, 64), Y=(100_000, 64))),
        ("2000", "2,000 x 384", replace(TOP_10, Y=(2000, 384))),
        ("integers", "100,000 x 384 integers", replace(TOP_10, data="integers")),
    ):
        title = f"top-10 of 1,000 queries in {what}"
        cases.append(top_10.contest(f"top-10-{name}", title, {FAISS: None}))
    worst = replace(TOP_10_SELF, data="worst")
    title = "top-10 of 20,000 x 384 unlike their sample with itself"
    cases.append(worst.contest("top-10-self-worst", title, {}))
    return cases


def _stored() -> list[Case]:
    """Rows as embeddings are stored, with the limits of their times, of float32's."""
    cases = []
    for name, what, work, limits, peers in (
        ("query", "one query, 100,000 x 384", QUERY, (0.65, 0.65, 0.45), (SIMSIMD, NUMKONG)),
        (
            "paired",
            "paired distances, 100,000 x 384",
            PAIRED,
            (0.75, 0.75, 0.6),
            (SIMSIMD, NUMKONG),
        ),
        ("square", "2000 x 2000 x 768", SQUARE, (1.05, 1.05, 0.5), (SIMSIMD, NUMKONG)),
        ("top-10", "top-10 of 1,000 queries in 100,000 x 384", TOP_10, (1.1, 1.1, 1.1), ()),
        ("pairs", "pairs >= 0.9 of 20,000 x 384 with itself", PAIRS, (1.1, 1.1, 1.1), ()),
    ):
        for dtype, limit in zip(("float16", "bfloat16", "int8"), limits, strict=True):
            stored = replace(work, dtype=dtype)
            # SimSIMD takes bfloat16 in a way of its own
            others = [peer for peer in peers if (peer, dtype) != (SIMSIMD, "bfloat16")]
            if (name, dtype) == ("top-10", "int8"):
                others = [FAISS_8_BIT]
            case = stored.contest(f"{name}-{dtype}", f"{what}, {dtype}", dict.fromkeys(others))
            wide = work.run(FLOAT32, "seconds", limit)
            cases.append(replace(case, runs=(case.runs[0], wide, *case.runs[1:])))
    return cases


def _stacks() -> list[Case]:
    """Many small matrices in one call, with the limits of their times."""
    cases = []
    for name, shape, limit in (("4", (20_000, 4, 16), 2.0), ("32", (512, 32, 64), 1.5)):
        title = f"{' x '.join(map(format, shape, [','] * 3))}, each with itself"
        cases.append(Work(shape, None).contest(f"stack-{name}", title, {MATMUL_COPY: limit}))
    for name, shape in (("1", (20_000, 1, 384)), ("17", (20_000, 17, 3))):
        title = f"paired distances, {' x '.join(map(format, shape, [','] * 3))}"
        paired = replace(PAIRED, X=shape, Y=shape)
        cases.append(paired.contest(f"stack-paired-{name}", title, {TWO_AXES: 1.3}))
    return cases


def _going_on() -> list[Case]:
    """Where only some rows meet or count, and what is made of results."""
    groups = {"groups": 2000}
    pairs = replace(PAIRS, options={"threshold": 0.8} | groups, data="real")
    top_10 = replace(TOP_10_SELF, options={"k": 10} | groups, data="real")
    above = replace(TOP_10, options={"k": 10, "threshold": 0.8}, data="real")
    graph = replace(TOP_10_SELF, function=TRANSFORMER)
    by_hand = Work((1_000_000, 1), None, function=KEEP_FIRST, options={"pairs": 10_000_000})
    what = "in 2,000 groups of 20,000 x 384, real rows, of the same in one"
    title = "top-10 above 0.8 of 1,000 queries in 100,000 x 384, real rows, of the same without"
    keep_first = by_hand.run(UNITDOT, "seconds", 0.5, threads=1)
    title_graph = "graph of the 10 nearest of 20,000 x 384 by the transformer"
    return [
        pairs.contest("groups-pairs", f"pairs >= 0.8 {what}", {WITHOUT_LIMITS: 0.02}),
        top_10.contest("groups-top-10", f"top-10 {what}", {WITHOUT_LIMITS: 0.02}),
        above.contest("top-10-above", title, {WITHOUT_LIMITS: 1.0}),
        graph.contest("transformer", title_graph, {SKLEARN: 0.10}),
        Case("keep-first", "keep_first of 10,000,000 pairs, one thread", "s", (keep_first,)),
    ]


def _indexes() -> list[Case]:
    """Searches of what was prepared before, and what preparing costs."""
    one = Work((1, 384), (400_000, 384), function="cosine_top_k", options={"k": 10}, data="real")
    words = Work((1,), (100_000,), "float64", "cosine_top_k", {"k": 10}, data=SPARSE_TEXTS[0])
    peers: Targets = {PANORAMA_READY: 0.35, QUANTIZER_READY: 0.30, UNITDOT: None}
    few: Targets = {FAISS_READY: 0.06, UNITDOT: None}
    rows = "400,000 x 384"

    def case(name: str, title: str, work: Work, first: str, others: Targets, **fields) -> Case:
        runs = ({first: None} | others).items()
        return Case(
            name, title, "s", tuple(work.run(label, "seconds", limit) for label, limit in runs),
            **fields,
        )  # fmt: skip

    added = replace(one, X=(1000, 384))
    million = replace(one, Y=(1_000_000, 384))
    opened = Case(
        "index-open", f"opening a saved index of {rows}", "s", (one.run(OPEN, "seconds", 0.002),)
    )
    opened_million = replace(
        opened, name="index-open-million", title="opening a saved index of 1,000,000 x 384",
        runs=(million.run(OPEN, "seconds", 0.002),), on_demand=True,
    )  # fmt: skip
    return [
        case("index-query", f"top-10 of one query in an index of {rows}, real rows", one, INDEX,
             {FAISS_READY: 0.08} | peers),
        case("index-64", f"top-10 of 64 queries in an index of {rows}, real rows",
             replace(one, X=(64, 384)), INDEX, few),
        case("index-1000", f"top-10 of 1,000 queries in an index of {rows}, real rows",
             replace(one, X=(1000, 384)), INDEX, few | {FAISS_READY: 0.10}),
        case("index-small", "top-10 of 1,000 queries in an index of 20,000 x 384, real rows",
             replace(one, X=(1000, 384), Y=(20_000, 384)), INDEX, {UNITDOT: 1.03}),
        case("index-top-100", f"top-100 of 1,000 queries in an index of {rows}, real rows",
             replace(one, X=(1000, 384), options={"k": 100}), INDEX, {UNITDOT: 1.03}),
        case("index-normal-1000", "top-10 of 1,000 queries in an index of 100,000 Gaussian rows",
             replace(one, X=(1000, 384), Y=(100_000, 384), data="normal"), INDEX, {UNITDOT: 1.03}),
        case("index-normal", f"top-10 of one query in an index of {rows}, Gaussian rows",
             replace(one, data="normal"), INDEX, {FAISS_READY: 0.20, UNITDOT: None}),
        case("index-where", f"top-10 of one query in 1 % of an index of {rows}", one, INDEX_SOME,
             {INDEX: 0.10}),
        case("index-build", f"an index of {rows}", one, BUILD, {UNIT_ROWS: 2.5}),
        case("index-add", f"1,000 rows more in an index of {rows}", added, ADD, {BUILD: 0.02}),
        opened,
        opened_million,
        case("index-million", "top-10 of one query in an index of 1,000,000 x 384, real rows",
             million, INDEX, {UNITDOT: 0.12}, on_demand=True),
        case("sparse-index-query", "top-10 of one in an index of 100,000 lines by words", words,
             INDEX, {TOPN_READY: 1.0}),
        case("sparse-index-1000", "top-10 of 1,000 in an index of 100,000 lines by words",
             replace(words, X=(1000,)), INDEX, {TOPN_READY: 0.5}),
    ]  # fmt: skip


def _texts() -> list[Case]:
    product = "product of 20,000 lines by words, sparse"
    cases = [
        TEXTS_PRODUCT.contest(
            "sparse-product", product, {SKLEARN: 0.35, TOPN: None}, busy=LARGE_CALL
        ),
        replace(TEXTS_PRODUCT, dtype="float32").contest(
            "sparse-product-float32", f"{product}, float32", {SKLEARN: 0.35, TOPN: None}
        ),
    ]
    for kind, data, n_lines in (
        ("words", "words", 20_000),
        ("grams", "character 3-grams", 10_000),
    ):
        texts = replace(TEXTS_PRODUCT, X=(n_lines,), data=data)
        what = f"of {n_lines:,} lines by {data}, sparse"
        top_10 = replace(texts, function="cosine_top_k", options={"k": 10})
        cases.append(top_10.contest(f"sparse-top-{kind}", f"top-10 {what}", {TOPN: 0.60}))
        for threshold, target in ((0.8, 0.10), (0.5, 0.30)):
            pairs = replace(texts, function="cosine_pairs", options={"threshold": threshold})
            name, title = f"sparse-pairs-{threshold}-{kind}", f"pairs >= {threshold} {what}"
            cases.append(pairs.contest(name, title, {TOPN: target}))
    title = "top-10 of 10 dense queries in 20,000 lines by words, sparse"
    cases.append(TEXTS_TOP_10.contest("sparse-top-10-queries", title, {SKLEARN: None}))
    return [*cases, *_few_texts(), *_full_rows()]


def _few_texts() -> list[Case]:
    """A few lines against many, both sparse, as vectorisers leave them; a few with themselves."""
    unsorted, ordered, hashed = SPARSE_TEXTS
    query = Work((1,), (20_000,), "float64", data=unsorted)
    what = "one of 20,000 lines by words, sparse"
    top_10 = replace(query, function="cosine_top_k", options={"k": 10})
    cases = [
        query.contest("sparse-query", what, {SKLEARN: 0.6}),
        replace(query, data=ordered).contest(
            "sparse-query-sorted", f"{what}, sorted", {SKLEARN: 0.5}
        ),
        replace(query, data=hashed).contest(
            "sparse-query-hashed", "one of 20,000 lines, 2^20 features", {SKLEARN: 0.6}
        ),
        top_10.contest("sparse-top-10-query", f"top-10 of {what}", {SKLEARN: 0.5, TOPN: 0.5}),
        replace(top_10, X=(10,)).contest(
            "sparse-top-10-few",
            "top-10 of 10 of 20,000 lines by words, sparse",
            {SKLEARN: 0.5, TOPN: 0.5},
        ),
    ]
    five = Work((5,), None, "float64", data=hashed)
    for name, work in (
        ("similarity", five),
        ("top-3", replace(five, function="cosine_top_k", options={"k": 3})),
        ("pairs", replace(five, function="cosine_pairs", options={"threshold": 0.5})),
    ):
        title = f"5 lines with themselves, 2^20 features, {name}"
        target = 0.5 if name == "similarity" else 1.0
        cases.append(work.contest(f"sparse-five-{name}", title, {SKLEARN: target}))
    return cases


def _full_rows() -> list[Case]:
    """Sparse rows a third and a tenth full; and items by users."""
    cases = []
    for shape, data, target in (((4000, 100), "30 % full", None), ((3000, 1500), "10 % full", 0.4)):
        product = Work(shape, None, "float64", data=data)
        for name, work in (
            ("product", product),
            ("top-15", replace(product, function="cosine_top_k", options={"k": 15})),
            ("pairs", replace(product, function="cosine_pairs", options={"threshold": 0.5})),
        ):
            title = f"{name} of {shape[0]:,} x {shape[1]:,} sparse rows, {data}"
            others = {SKLEARN: target, DENSE_ROWS: 1.5}
            cases.append(work.contest(f"full-{shape[1]}-{name}", title, others))
    items = Work((3700, 6040), None, "float64", "cosine_top_k", {"k": 20}, data=RATINGS)
    title = "top-20 of 3,700 x 6,040 sparse rows, ratings"
    return [*cases, items.contest("sparse-items", title, {SKLEARN: 0.5, TOPN: 0.7})]


def _memory_bound(name: str, title: str, work: Work, others: Targets, quick=False) -> Case:
    rate = {"work": work.input_gb(), "work_unit": "GB"}
    return work.contest(name, title, others, quick=quick, busy=READ_ONCE, **rate)


def _kernel(label: str, function: str, dtype: str, target: float | None = None, copies: int = 1):
    return Run(label, "kernel_gflops", {"function": function, "dtype": dtype}, target, 1, copies)


def _tile(name: str, dtype: str) -> Case:
    runs = _kernel("tile", "tile_rate", dtype), _kernel(PEAK, "peak", dtype, 0.90)
    return Case(name, f"the tile alone, one core, {dtype}", "GFLOP/s", runs, ">=")


def _product(name: str, work: Work, threads: int, quick: bool = False) -> Case:
    peak = _kernel(PEAK, "peak", work.dtype, 0.80, copies=threads)
    title = f"2000 x 2000 x 768, {work.dtype}, against the peak of {threads} processes at once"
    rates = tuple(work.run(label, "gflops") for label in (UNITDOT, MATMUL))
    return Case(name, title, "GFLOP/s", (*rates, peak), ">=", quick=quick)


def _two_threads() -> Case:
    params = SQUARE.run(UNITDOT, "seconds").params
    runs = (
        Run("unitdot, one thread", "seconds", params, threads=1),
        Run("unitdot, two threads", "seconds", params, 1.85, threads=2),
    )
    return Case("threads", "2000 x 2000 x 768", "s", runs, ">=", SQUARE.gflop(), "GFLOP")


def _memory(name: str, work: Work, threads: int | None, quick: bool = False) -> Case:
    """Without `threads` there is no limit: pairs wait until their rows have met all others."""
    limit = None if threads is None else MEMORY_LIMIT_MIB * threads
    runs = work.run(UNITDOT, "memory_mib", limit), work.run(SKLEARN, "memory_mib")
    title = f"memory beyond inputs and output, {work.X} and {work.Y or 'itself'}, {work.dtype}"
    return Case(name, title, "MiB", runs, max_rounds=3, quick=quick)


def _import() -> Case:
    runs = (
        Run(UNITDOT, "import_seconds", {"module": "unitdot"}),
        Run("numpy", "import_seconds", {"module": "numpy"}, 1.5),
    )
    return Case("import", "import in a fresh interpreter", "s", runs, quick=True)
