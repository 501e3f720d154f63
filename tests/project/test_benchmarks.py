"""The benchmarks' machinery: who is missing or wrong, ratios, the exit status, JSON, charts."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

import unitdot
from benchmarks import __main__ as command
from benchmarks import charts, checks, report, together, variants, work
from benchmarks.cases import all_cases
from benchmarks.contenders import CONTENDERS
from benchmarks.data import ANY_ROWS, inputs
from benchmarks.load import MIN_CALLS, Load, busy_processes, figures
from benchmarks.runner import Options, run_case

from ..helpers import normal

ONCE = Options(threads=1, rounds=1, seconds=0.001, patience=60)
MATRIX = work.Work((3, 8), (40, 8))
TOP_K = work.Work((3, 8), (40, 8), function="cosine_top_k", options={"k": 2})
PAIRS = work.Work((20, 8), None, function="cosine_pairs", options={"threshold": 0.1})
TOP_K_OF_ITSELF = work.Work((20, 8), None, function="cosine_top_k", options={"k": 2})
PAIRED = work.Work((40, 8), (40, 8), function="paired_cosine_distances")
FUNCTIONS = [
    MATRIX,
    PAIRS,
    *(pytest.param(one, marks=pytest.mark.thorough) for one in (TOP_K, PAIRED)),
]


def measure(one, *others):
    return run_case(one.contest("tiny", "a tiny case", dict.fromkeys(others)), ONCE, print)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package before the installed one of that name, in the contenders' processes."""
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), before])))
    return lambda name, code: (tmp_path / f"{name}.py").write_text(code)


def test_who_is_missing_is_named(package):
    package("faiss", "raise ModuleNotFoundError('none here', name='faiss')")
    result = measure(TOP_K, work.FAISS)
    assert "value" in result["rows"][0]
    assert result["rows"][1]["missing"] == "ModuleNotFoundError: none here"
    assert "missing: faiss.knn, ModuleNotFoundError: none here (tiny)" in report.faults([result])
    assert "missing" in report.table(result)
    assert report.status([result]) == 0


@pytest.mark.parametrize(
    ("stack", "other"),
    [
        (work.Work((40, 3, 8), None), work.MATMUL_COPY),
        (replace(PAIRED, X=(40, 3, 8), Y=(40, 3, 8)), work.TWO_AXES),
    ],
    ids=["all", "paired"],
)
def test_stacks_are_measured_and_right(stack, other):
    rows = measure(stack, other)["rows"]
    assert all("value" in row and "wrong" not in row for row in rows)


def test_who_is_wrong_is_named(package):
    package("simsimd", "cosine = None\ndef cdist(X, Y, **_): return 1.001 - X @ Y.T")
    result = measure(MATRIX, work.SIMSIMD)
    assert "wrong" not in result["rows"][0]
    assert result["rows"][1]["wrong"].startswith("off by ")
    assert report.judged(result)[1][2] == "WRONG"
    assert "wrong: SimSIMD, off by" in report.faults([result])
    assert work.SIMSIMD not in charts.values(result)


def test_who_fails_is_named(package):
    package("simsimd", "cosine = None\ndef cdist(X, Y, **_): raise RuntimeError('broken')")
    result = measure(MATRIX, work.SIMSIMD)
    assert result["rows"][1]["failed"] == "RuntimeError: broken"
    assert report.status([result]) == 1


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Make the interpreter of an environment in which the folder's packages are installed.

    What this environment's variable names would come before them.
    """
    monkeypatch.setenv("PYTHONPATH", str(INSTALLED))

    def make(folder):
        path = f'PYTHONPATH="$PYTHONPATH:{folder}"'
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\n{path} exec "{sys.executable}" "$@"\n')
        script.chmod(0o755)
        return str(script)

    return make


INSTALLED = Path(unitdot.__file__).parents[1]
EARLIER = """
import sys
sys.path.insert(0, {installed!r})
del sys.modules["unitdot"]
import unitdot
inner = unitdot.{function}
def changed(*arguments, **options):
    result = inner(*arguments, **options)
    {change}
    return result
unitdot.{function} = changed
"""


@pytest.mark.parametrize("one", FUNCTIONS, ids=lambda one: one.function)
def test_an_earlier_build_with_the_same_bits_is_compared(one, environment):
    case = variants.against(one.contest("tiny", "a tiny case", {}), environment(INSTALLED))
    result = run_case(case, replace(ONCE, rounds=2), print)
    assert [row["label"] for row in result["rows"]] == [work.UNITDOT, work.BEFORE]
    for row in result["rows"]:
        assert "value" in row, row
        assert "differs" not in row
    assert report.judged(result)[1][1] == result["rows"][0]["value"] / result["rows"][1]["value"]


@pytest.mark.parametrize(
    ("one", "change", "named"),
    [
        (MATRIX, "result[1, 2] += 2**-24", "values"),
        (MATRIX, "result = result.astype(float)", "values"),
        (PAIRS, "result.similarities[-1:] += 2**-24", "similarities"),
        (TOP_K, "result.indices[0] = result.indices[0, ::-1]", "indices"),
    ],
)
def test_an_earlier_build_with_other_bits_fails(one, change, named, environment, tmp_path):
    code = EARLIER.format(installed=str(INSTALLED), function=one.function, change=change)
    (tmp_path / "unitdot.py").write_text(code)
    case = variants.against(one.contest("tiny", "a tiny case", {}), environment(tmp_path))
    result = run_case(case, ONCE, print)
    first, before = result["rows"]
    assert "differs" not in first
    assert before["differs"] == f"other bits than unitdot's first: {named}"
    assert report.judged(result)[1][2] == "DIFFERS"
    assert "differs: unitdot before, other bits" in report.faults([result])
    assert "DIFFERS" in report.table(result)
    assert report.status([result]) == 1


def test_a_function_that_an_earlier_build_lacks_is_missing(environment, tmp_path):
    (tmp_path / "unitdot.py").write_text("")
    case = variants.against(MATRIX.contest("tiny", "a tiny case", {}), environment(tmp_path))
    row = run_case(case, ONCE, print)["rows"][1]
    assert row["missing"] == "ModuleNotFoundError: this unitdot has no cosine_similarity"


@pytest.mark.parametrize(
    "load",
    [
        Load(busy=1),
        pytest.param(Load(callers=2, caller_threads=2), marks=pytest.mark.thorough),
        pytest.param(Load(callers=2), marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_single_calls_under_load(load):
    options = replace(ONCE, rounds=2, load=load)
    case = variants.under_load(TOP_K.contest("tiny", "a tiny case", {}, busy=(9e9, 9e9)), options)
    result = run_case(case, options, print)
    assert [row["label"] for row in result["rows"]] == [work.UNITDOT, work.ONE_THREAD]
    for row in result["rows"]:
        assert [len(callers) for callers in row["rounds"]] == 2 * [
            load.callers * load.caller_threads
        ], row
        assert row["calls"] >= MIN_CALLS
        assert 0 < row["low"] <= row["value"] <= row["p90"] <= row["p99"] <= row["high"]
        assert row["per_second"] > 0
        assert "differs" not in row
    assert set(result["rows"][1]["limits"]) == ({"p90"} if load.busy else {"per_second", "p99"})
    assert "limit: " in report.table(result)


def test_busy_processes_compute_and_end():
    with busy_processes(2) as processes:
        used, start = [_processor_seconds(process.pid) for process in processes], monotonic()
        while any(_processor_seconds(p.pid) <= u for p, u in zip(processes, used, strict=True)):
            assert all(process.poll() is None for process in processes)
            assert monotonic() - start < 60
    assert all(process.poll() is not None for process in processes)
    with busy_processes(1) as (process,):
        process.stdin.close()  # as when the benchmarks are killed
        assert process.wait(60) == 0


def _processor_seconds(pid):
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        pytest.skip("no /proc here")
    return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))


def test_figures_of_calls():
    milliseconds = [time / 1000 for time in range(1, 101)]
    callers = [milliseconds[::2], milliseconds[1::2]]  # two, whose calls take 50 and 51 ms
    told = figures([callers, callers, [[0.01], [0.01]]])
    assert told["value"] == pytest.approx(0.050, abs=0.001)
    assert (told["p90"], told["p99"], told["high"]) == (0.090, 0.099, 0.1)
    assert told["per_second"] == pytest.approx(1 / 0.050 + 1 / 0.051)
    assert told["calls"] == 202


@pytest.mark.parametrize(
    ("load", "changed", "verdict"),
    [
        (Load(busy=1), {"p90": 0.6}, "ok"),
        (Load(busy=1), {"p90": 0.61}, "MISS"),
        (Load(busy=2), {"p90": 0.7, "value": 0.55}, "ok"),
        (Load(busy=2), {"value": 0.56}, "MISS"),
        (Load(busy=3), {"value": 9.0}, ""),
        (Load(callers=2), {"per_second": 1.7}, "ok"),
        (Load(callers=2), {"per_second": 1.69}, "MISS"),
        (Load(caller_threads=8), {"p99": 0.91}, "MISS"),
    ],
)
def test_limits_under_load(load, changed, verdict):
    one_thread = {"value": 0.5, "p90": 0.5, "p99": 0.6, "high": 0.7, "per_second": 2.0}
    loaded = result(0.5, 0.5)
    for row, figures_of in zip(loaded["rows"], (one_thread | changed, one_thread), strict=True):
        row.update(figures_of, calls=99, limits={})
    loaded["rows"][1]["limits"] = load.limits(1.2, 1.1)
    assert report.judged(loaded)[1][2] == verdict
    assert "only 99 calls" in report.table(loaded)
    assert (verdict in report.table(loaded)) or not verdict


@pytest.mark.parametrize(
    ("n_features", "times"), [(384, 1), pytest.param(768, 2, marks=pytest.mark.thorough)]
)
def test_real_rows_have_the_spectrum_of_the_shipped_ones(n_features, times):
    E = unitdot.datasets.load_stdlib_docs().embeddings.astype(np.float32)
    i, j = np.random.default_rng(1).integers(len(E), size=(2, 2000))
    expected = E[i] + 0.8 * (E[j] - E.mean(axis=0))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    X, Y = inputs((2000, n_features), (100, n_features), "float32", "real")
    assert (X.shape, X.dtype, Y.shape) == ((2000, n_features), np.float32, (100, n_features))
    assert np.allclose(np.linalg.norm(X, axis=1), 1)
    leading = np.array([16, 64, 128])
    assert energies(X, leading * times) == pytest.approx(energies(expected, leading), abs=0.03)
    again, _ = inputs((2000, n_features), None, "float32", "real")
    assert np.array_equal(X, again)
    assert not np.array_equal(X[:100], Y)


def energies(rows, leading):
    """Shares of the rows' energy that lie in so many leading directions."""
    sums = np.linalg.eigvalsh(rows.T @ rows)[::-1].cumsum()
    return sums[leading - 1] / sums[-1]


def test_shipped_rows_are_those_that_are_shipped():
    rows, _ = inputs((4952, 384), None, "float16", "shipped")
    assert np.array_equal(rows, unitdot.datasets.load_stdlib_docs().embeddings)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_stored_rows_are_the_same_numbers(dtype):
    X, _ = inputs((50, 64), None, dtype, "normal")
    wide, _ = inputs((50, 64), None, "float32", "normal")
    assert X.dtype.name == dtype
    errors = unitdot.paired_cosine_distances(X, wide)
    assert errors.max() < 0.005
    if dtype == "int8":
        assert np.abs(X.astype(int)).max() == 127


@pytest.mark.parametrize("data", ANY_ROWS)
def test_searches_of_other_rows(data):
    case = variants.of_data(PAIRS.contest("tiny", "a tiny case", {work.FAISS_RANGE: None}), data)
    assert case.name == ("tiny" if data == "normal" else f"tiny-{data}")
    result = run_case(case, ONCE, print)
    assert all("value" in row or "missing" in row for row in result["rows"]), result
    assert all("wrong" not in row for row in result["rows"]), result


def test_searches_alone_have_other_rows():
    of_lines = work.Work((30,), None, "float64", "cosine_top_k", {"k": 3}, data="words")
    for other in (MATRIX, PAIRED, of_lines):
        assert variants.of_data(other.contest("other", "no search", {}), "real") is None
    shipped = replace(TOP_K, data="shipped").contest("own", "its own rows", {})
    assert variants.of_data(shipped, "real") is shipped


def test_command_names_cases(capsys):
    def named(*arguments):
        assert command.main(["--list", *arguments]) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()]

    assert "duplicates-1000000" not in named()
    assert "duplicates-1000000" not in named("--cases", "duplicates-*")
    assert named("--cases", "duplicates-1000000", "--data", "real") == ["duplicates-1000000"]
    assert named("--cases", "pairs-1??k-0.9", "top-10", "square", "--data", "normal", "real") == [
        "top-10",
        "top-10-real",
        "pairs-100k-0.9",
        "pairs-100k-0.9-real",
    ]


def contenders_of(function):
    """Everybody who does this work, on dense float32, in some case."""
    params = [run.params for case in all_cases(1) for run in case.runs]
    return {
        given["contender"]
        for given in params
        if given.get("function") == function and given["dtype"] == "float32"
        if given["data"] not in work.TEXTS
    } - {work.UNITDOT, *work.ON_WORKERS}


@pytest.mark.thorough
@pytest.mark.parametrize("one", [PAIRS, TOP_K_OF_ITSELF], ids=lambda one: one.function)
def test_who_is_on_workers_is_right(one):
    for library in ("dask", "distributed"):
        pytest.importorskip(library)
    for row in measure(one, *work.ON_WORKERS)["rows"]:
        assert "missing" in row or (row["value"] > 0 and "wrong" not in row), row


@pytest.mark.parametrize("one", FUNCTIONS, ids=lambda one: one.function)
def test_who_is_installed_is_right(one):
    others = contenders_of(one.function)
    result = measure(one, *others)
    assert {row["label"] for row in result["rows"]} == others | {work.UNITDOT}
    for row in result["rows"]:
        assert "missing" in row or (row["value"] > 0 and "wrong" not in row), row


@pytest.mark.parametrize("contender", [work.UNITDOT, work.SKLEARN, work.TOPN])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("cosine_similarity", {"dense_output": False}),
        ("cosine_top_k", {"k": 3}),
        ("cosine_pairs", {"threshold": 0.2}),
    ],
)
def test_sparse_work_is_right(contender, function, options, monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    pytest.importorskip("sparse_dot_topn" if contender == work.TOPN else "sklearn")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    X = sparse.random(30, 50, density=0.2, format="csr", random_state=0)
    call, answer = CONTENDERS[contender](function, X, None, **options)
    assert fault(answer(call()), function, X, **options) is None


@pytest.mark.thorough
def test_dense_queries_in_sparse_lines_are_right():
    pytest.importorskip("sklearn")
    one = work.Work((3,), (40,), "float64", "cosine_top_k", {"k": 5}, data="words")
    for row in measure(one, work.SKLEARN)["rows"]:
        assert row["value"] > 0
        assert "wrong" not in row, row


def fault(claimed, function, X, Y=None, **options):
    """The verdict on an answer, all of whose rows are looked at."""
    rows = checks.checked_rows(X.shape[0])
    assert len(rows) == X.shape[0]
    claimed = checks.claims(claimed, rows, (X if Y is None else Y).shape[0])
    return checks.fault(claimed, rows, function, X, Y, **options)


def test_matrices_are_checked():
    X, Y = normal((5, 16)), normal((7, 16), seed=1)
    S = unitdot.cosine_similarity(X, Y)
    bound = checks.tolerance(X.dtype, 16)
    assert fault(S, "cosine_similarity", X, Y) is None
    assert fault(S + 0.9 * bound, "cosine_similarity", X, Y) is None
    S[3, 2] += 1.5 * bound
    assert "off by" in fault(S, "cosine_similarity", X, Y)
    S[3, 2] = np.nan
    assert "left out" in fault(S, "cosine_similarity", X, Y)
    assert fault(unitdot.paired_cosine_similarity(X, X), "paired_cosine_distances", X, X) is None


@pytest.mark.parametrize("include_self", [False, True])
def test_neighbours_are_checked(include_self):
    X = normal((9, 16), np.float32)

    def check(similarities, indices):
        return fault((similarities, indices), "cosine_top_k", X, k=3)

    S, indices = unitdot.cosine_top_k(X, k=4, include_self=include_self)
    assert check(S[:, :3], indices[:, :3]) is None
    assert check(S[:, 2::-1], indices[:, 2::-1]) is None  # in any order
    assert "nearer" in check(S[:, [0, 1, 3]], indices[:, [0, 1, 3]])
    assert "nearer" in check(S[:, [0, 1, 1]], indices[:, [0, 1, 1]])
    assert "more than 3" in check(S, indices)
    assert "off by" in check(S[:, :3], indices[:, 1:])


def test_ties_may_go_either_way():
    X = np.eye(4)[[0, 1, 1, 1]]
    similarities, indices = np.array([[0.0], [1.0], [1.0], [1.0]]), np.array([[3], [3], [3], [1]])
    assert fault((similarities, indices), "cosine_top_k", X, k=1) is None


def test_pairs_are_checked():
    sparse = pytest.importorskip("scipy.sparse")
    X = normal((9, 16))
    S = unitdot.cosine_similarity(X)
    found = np.triu(S >= 0.1, 1)

    def check(kept, threshold=0.1):
        graph = sparse.csr_array(np.where(kept, S, 0))
        return fault(graph, "cosine_pairs", X, threshold=threshold)

    first = tuple(np.argwhere(found)[0])
    assert check(found) is None
    assert check(found | found.T) is None
    assert "below" in check(found | np.triu(S > 0.05, 1))
    assert check(np.where(np.arange(81).reshape(9, 9) == first[0] * 9 + first[1], False, found))
    # what lies at the threshold itself may be in or out
    assert check(found, threshold=S[found].min()) is None


def result(*values, relation="<=", targets=None, **fields):
    """What the runner would say of these values."""
    rows = [
        {"label": label, "value": value, "low": value, "high": value, "rounds": [1, 2]}
        | {"target": target}
        for label, value, target in zip(
            (work.UNITDOT, work.MATMUL, work.READ), values, targets or (None,) * 3, strict=False
        )
    ]
    plain = {"name": "tiny", "title": "a tiny case", "unit": "s", "work": None, "work_unit": ""}
    plain |= {"curve": None, "x": None}
    return plain | {"relation": relation, "rows": rows} | fields


@pytest.mark.parametrize(
    ("relation", "values", "target", "verdict"),
    [
        ("<=", (1.0, 4.0), 0.25, "ok"),
        ("<=", (1.0, 4.0), 0.24, "MISS"),
        (">=", (8.0, 4.0), 2.0, "ok"),
        (">=", (7.9, 4.0), 2.0, "MISS"),
    ],
)
def test_ratios_meet_their_targets_or_not(relation, values, target, verdict):
    tiny = result(*values, relation=relation, targets=(None, target))
    (_, none, nothing), (_, ratio, said) = report.judged(tiny)
    assert (none, nothing) == (None, "")
    assert ratio == values[0] / values[1]
    assert said == verdict
    assert report.status([tiny]) == (verdict == "MISS")
    assert f"{ratio:.3f}" in report.table(tiny)


def test_a_curve_has_an_exponent():
    points = [result(3e-6 * x**1.5, curve="rows", x=x) for x in (10, 100, 1000)]
    assert report.exponent(points) == pytest.approx(1.5)
    assert "rows ^1.50" in report.growth(points)


def test_cases_are_well_formed():
    cases = all_cases(2)
    assert len({case.name for case in cases}) == len(cases)
    assert any(case.quick for case in cases)
    for case in cases:
        labels = [run.label for run in case.runs]
        assert len(set(labels)) == len(labels)
        assert {run.params["contender"] for run in case.runs if "contender" in run.params} <= set(
            CONTENDERS
        )
        assert (case.curve is None) == (case.x is None)


def test_command_measures_writes_and_draws(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    others = {work.MATMUL: 1e9, work.READ: None}
    tiny = [
        MATRIX.contest("one", "pairs >= 0.8 & more", others, quick=True),
        MATRIX.contest("two", "a point", {}, quick=True, curve="rows", x=40),
        MATRIX.contest("three", "another", {}, quick=True, curve="rows", x=80),
        *(PAIRS.contest(f"d{x}", "pairs", {}, quick=True, curve="duplicates", x=x) for x in (1, 2)),
        MATRIX.contest("four", "left out", others),
    ]
    monkeypatch.setattr(command, "all_cases", lambda threads: tiny)
    monkeypatch.setattr(command, "Options", lambda *_, **__: ONCE)
    file, folder = tmp_path / "new" / "results.json", tmp_path / "charts"
    assert command.main(["--quick", "--json", str(file), "--charts", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "left out by --quick (--cases names them): four" in said
    assert "targets: 1 ok, 0 MISS" in said
    record = json.loads(file.read_text())
    assert record["machine"]["cores"]["usable"] >= 1
    assert [case["name"] for case in record["cases"]] == ["one", "two", "three", "d1", "d2"]
    assert all(report.table(case) in said for case in record["cases"])

    drawn = sorted(folder.iterdir())
    names = [f"benchmark-{name}.svg" for name in ("duplicates", "growth", "limits", "peers")]
    assert [path.name for path in drawn] == names
    assert (folder / names[1]).read_text() != (folder / names[0]).read_text()
    assert all(work.UNITDOT in path.read_text() for path in drawn)
    charts.draw([record], tmp_path / "again")
    assert all((tmp_path / "again" / path.name).read_bytes() == path.read_bytes() for path in drawn)


def case_of(name, **values):
    rows = [{"label": label, "value": value} for label, value in values.items()]
    return {"name": name, "title": f"case {name}", "unit": "s", "curve": None, "rows": rows}


def test_several_runs_are_one(tmp_path, capsys):
    runs = [
        [case_of("one", a=2.0, b=5.0), case_of("two", a=1.0)],
        [case_of("one", a=2.1, b=4.2), case_of("two", a=1.0, c=2.0)],
        [case_of("one", a=1.9, b=5.7)],
    ]
    runs[1][0]["rows"][1]["wrong"] = "is off"
    runs[2].append(case_of("two", a=1.0))
    runs[2][1]["rows"].append({"label": "c", "missing": "is not installed"})
    one, two = together.together({"cases": cases} for cases in runs)
    a, b = one["rows"]
    assert (a["value"], a["low"], a["high"], b["value"]) == (2.0, 1.9, 2.1, 5.0)
    assert b["multiples"] == pytest.approx([2.5, 2.0, 3.0])
    assert b["wrong"] == "is off"
    assert [row["label"] for row in two["rows"]] == ["a", "c"]
    files = [tmp_path / str(number) for number in range(len(runs))]
    for file, cases in zip(files, runs, strict=True):
        file.write_text(json.dumps({"cases": cases}))
    together.main([*map(str, files), "--cases", "t*", "one"])
    assert capsys.readouterr().out.splitlines() == [
        "| work | a | b | c |",
        "|---|---|---|---|",
        "| case one | 2 s | wrong |  |",
        "| case two | 1 s |  | 2 |",
    ]
    together.main([*map(str, files), "--contenders", "d"])
    assert capsys.readouterr().out.startswith("| work | a |\n")
    del b["wrong"]
    assert "| case one | 2 s | 2.5 (2 to 3) |" in together.table([one, two])


def test_what_others_compute_is_told():
    if not Path("/proc/stat").exists():
        pytest.skip("no /proc here")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            result = measure(MATRIX)
        finally:
            other.kill()
    assert result["cores"]["others"] >= report.DISTURBED
    assert "disturbed: other processes " in report.table(result)
    quiet = case_of("one", a=1.0) | {"cores": {"others": 0.09, "stolen": 0.0}}
    stolen = case_of("one", a=1.0) | {"cores": {"others": 0.01, "stolen": 0.5}}
    assert not report.disturbed(quiet)
    assert report.disturbed(stolen) == "disturbed: the machine's host 0.50 of a core meanwhile"
    (both,) = together.together({"cases": [case]} for case in (stolen, quiet))
    assert both["cores"] == {"others": 0.09, "stolen": 0.5}


@pytest.mark.parametrize(("processes", "shown"), [(0, 2.0), (1, 3.75), (2, 2.0)])
def test_the_chart_of_busy_machines(processes, shown):
    def case(*rows):
        own = [{"label": label, "value": value, "p90": p90} for label, value, p90 in rows]
        return {"name": "one", "title": "a call", "unit": "s", "curve": None, "rows": own}

    runs = [
        [case((work.UNITDOT, 4.0, 9.0), (work.ONE_THREAD, 2.0, 3.0))],
        [case((work.UNITDOT, 8.0, 21.0), (work.ONE_THREAD, 4.0, 5.0))],
    ]
    load = {"busy": processes, "callers": 1, "caller_threads": 1}
    records = [{"options": {"load": load}, "cases": cases} for cases in runs]
    others = {"options": {"load": load | {"callers": 2}}, "cases": runs[0]}
    (line,) = charts.busy([others, *records])
    assert line[1] == {work.ONE_THREAD: 1.0, work.UNITDOT: shown}


@pytest.mark.thorough
def test_command_meets_an_earlier_build_and_load(tmp_path, monkeypatch, capsys, environment):
    tiny = [MATRIX.contest("one", "a tiny case", dict.fromkeys((work.MATMUL, work.SCIPY)))]
    monkeypatch.setattr(command, "all_cases", lambda threads: tiny)
    monkeypatch.setattr(command, "Options", lambda *given: replace(ONCE, load=given[-1]))
    monkeypatch.setattr(variants, "NO_SLOWER", {})
    file, python = tmp_path / "results.json", environment(INSTALLED)
    arguments = ["--json", str(file), "--charts", str(tmp_path), "--against", python]
    assert command.main([*arguments, "--contenders", "numpy*"]) == 0
    said = capsys.readouterr().out
    assert f"unitdot before: version {unitdot.__version__}, digest" in said
    assert str(INSTALLED / "unitdot") in said
    assert "the two are the same build" in said
    (case,) = json.loads(file.read_text())["cases"]
    assert [row["label"] for row in case["rows"]] == [work.UNITDOT, work.BEFORE, work.MATMUL]
    assert python not in file.read_text()
    assert command.main(["--json", str(file), "--busy", "0", "--contenders", "numpy*"]) == 0
    (case,) = json.loads(file.read_text())["cases"]
    assert [row["label"] for row in case["rows"]] == [work.UNITDOT, work.ONE_THREAD, work.MATMUL]
    assert report.table(case) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["--against", str(tmp_path / "nowhere")])
    assert "is not a program" in capsys.readouterr().err


def test_charts_without_matplotlib_are_named_as_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert charts.draw([], tmp_path) == "charts: none, matplotlib is missing"


def test_charts_without_arguments_say_how_to_call_them():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.charts", "folder"],
        cwd=Path(charts.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("usage: python -m benchmarks.charts FOLDER RESULTS")
