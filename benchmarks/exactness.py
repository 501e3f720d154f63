"""Who gets it right: ``python -m benchmarks.exactness [--cases NAME ...]``.

Every contender does what its documentation says, with rows whose right answers are known from exact
arithmetic, or are those that the contender itself gives elsewhere. A cell counts wrong answers; one
of each can be pasted. What a contender does not offer is not counted, nor what it refuses.
Each contender runs in a process of its own; results of several processes are compared as digests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from hashlib import blake2b
from importlib import import_module
from typing import Any

import numpy as np

from . import work as names
from .checks import tolerance
from .contenders import CONTENDERS
from .data import SEED

FORMULA = "NumPy's formula"
SEARCHES = names.FAISS, names.FAISS_INDEX, names.FAISS_PANORAMA, names.USEARCH
SPARSE = (names.TOPN,)
MATRICES = names.UNITDOT, names.SKLEARN, FORMULA, names.SCIPY, names.NUMKONG, names.SIMSIMD
SUBJECTS = (*MATRICES, names.TORCH, *SEARCHES, *SPARSE)
SINGLE_ONLY = {*SEARCHES} - {names.USEARCH}  # float32
INTEGERS = names.UNITDOT, names.SKLEARN, names.NUMKONG, names.SIMSIMD
# environment variables that force an instruction set, with the values that are tried; unitdot's
# baseline, for processors without fused multiply-adds, has bits of its own: the contract says so
FORCED = {
    names.UNITDOT: ("UNITDOT_ISA", ("avx2", "avx512", "avx512vnni")),
    names.SKLEARN: ("OPENBLAS_CORETYPE", ("Nehalem", "Haswell", "SkylakeX")),
    FORMULA: ("OPENBLAS_CORETYPE", ("Nehalem", "Haswell", "SkylakeX")),
    names.TORCH: ("ATEN_CPU_CAPABILITY", ("default", "avx2", "avx512")),
    names.FAISS: ("FAISS_OPT_LEVEL", ("generic", "avx2", "avx512")),
    names.FAISS_INDEX: ("FAISS_OPT_LEVEL", ("generic", "avx2", "avx512")),
    names.FAISS_PANORAMA: ("FAISS_OPT_LEVEL", ("generic", "avx2", "avx512")),
}


class NotOfferedError(Exception):
    """The contender has no such function, or not for this input."""


class RefusedError(Exception):
    """The contender says that it does not take this input."""


@dataclass
class Subject:
    """A contender as the cases see it."""

    name: str

    def matrix(self, X: Any, Y: Any) -> np.ndarray:
        """Similarities of all rows with all rows; of searches, those of all places."""
        if self.name in SEARCHES:
            similarities, indices = self.top_k(X, Y, len(Y))
            S = np.full((len(X), len(Y)), np.nan, similarities.dtype)
            for row, (values, places) in enumerate(zip(similarities, indices, strict=True)):
                good = (places >= 0) & (places < len(Y))
                S[row, places[good]] = values[good]
            return S
        if X.dtype == np.int8 and self.name not in INTEGERS:
            raise NotOfferedError
        if self.name in SPARSE:
            return self._sparse(X, Y)
        if self.name == FORMULA:
            with np.errstate(all="ignore"):
                norms = np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(Y, axis=1))
                return X @ Y.T / norms
        return np.asarray(self._call("cosine_similarity", X, Y)).reshape(len(X), len(Y))

    def top_k(self, X: Any, Y: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(similarities, indices) of the k best."""
        if self.name not in (names.UNITDOT, names.SKLEARN, names.TORCH, *SEARCHES):
            raise NotOfferedError
        if X.dtype != np.float32 and (self.name in SINGLE_ONLY or X.dtype == np.int8):
            raise NotOfferedError
        found = self._call("cosine_top_k", X, Y, k=k)
        return tuple(np.asarray(part).reshape(len(X), -1) for part in found)  # type: ignore[return-value]

    def reaching(self, X: Any, Y: Any, i: int, j: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Find pairs by a threshold that is the contender's own value of (i, j).

        Which it finds, which it should find by its own full matrix, and that value.
        """
        hits = np.zeros((len(X), len(Y)), bool)
        S = self.matrix(X, Y)
        if self.name == names.UNITDOT:
            pairs = import_module("unitdot").cosine_pairs(X, Y, threshold=float(S[i, j]))
            hits[pairs.rows, pairs.columns] = True
        elif self.name == names.FAISS_INDEX and X.dtype == np.float32:
            # what is more similar than a radius, in inner products
            below = float(np.nextafter(S[i, j], np.float32(-2)))
            call, _ = CONTENDERS[names.FAISS_RANGE]("cosine_pairs", X, Y, threshold=below)
            starts, _, columns = call()
            for row in range(len(X)):
                hits[row, columns[starts[row] : starts[row + 1]]] = True
        elif self.name == names.SKLEARN:
            neighbours = import_module("sklearn.neighbors").NearestNeighbors(metric="cosine")
            S = -import_module("sklearn.metrics.pairwise").cosine_distances(X, Y)
            graph = neighbours.fit(Y).radius_neighbors_graph(X, radius=float(-S[i, j]))
            hits[graph.nonzero()] = True
        else:
            raise NotOfferedError
        return hits, S[i, j] <= S, float(S[i, j])

    def _call(self, function: str, X: Any, Y: Any, **options: Any) -> Any:
        try:
            call, answer = CONTENDERS[self.name](function, X, Y, **options)
            return answer(call()) if answer is not None else call()
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            raise RefusedError(str(error)) from error

    def _sparse(self, X: Any, Y: Any) -> np.ndarray:
        topn, sparse = import_module("sparse_dot_topn"), import_module("scipy.sparse")
        normalize = import_module("sklearn.preprocessing").normalize
        try:
            units = [normalize(sparse.csr_matrix(A)) for A in (X, Y)]
        except ValueError as error:
            raise RefusedError(str(error)) from error
        return topn.sp_matmul(units[0], units[1].T.tocsr()).toarray()


Check = tuple[bool, str]  # whether it is right, and an example of what is wrong otherwise
Checks = Iterator[Check]


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    """The cosine by exact arithmetic, rounded once."""
    u, v = ([Fraction(float(value)) for value in row] for row in (x, y))
    dot, norms = sum(a * b for a, b in zip(u, v, strict=True)), sum(a * a for a in u)
    norms *= sum(b * b for b in v)
    with localcontext() as context:
        context.prec = 60
        context.Emin, context.Emax = -10_000, 10_000
        square = Decimal(norms.numerator) / Decimal(norms.denominator)
        return float(Decimal(dot.numerator) / Decimal(dot.denominator) / square.sqrt())


def rows_of(n: int, n_features: int, dtype: Any, seed: int = SEED) -> np.ndarray:
    """Normal rows, as an example's text makes them."""
    return np.random.default_rng(seed).standard_normal((n, n_features)).astype(dtype)


def made(n: int, n_features: int, dtype: Any, name: str = "X", seed: int = SEED) -> str:
    """The text of `rows_of`."""
    what = f"np.random.default_rng({seed}).standard_normal(({n}, {n_features}))"
    return f'{name} = {what}.astype("{np.dtype(dtype)}")'


def equal_rows(subject: Subject, dtype: Any) -> Checks:
    """A row with an equal one: exactly 1."""
    for n_features in (16, 64, 384, 1000):
        X = rows_of(200, n_features, dtype)
        S = subject.matrix(X, X.copy())
        text = f"{made(200, n_features, dtype)}; Y = X.copy()"
        for i in range(len(X)):
            yield S[i, i] == 1, f"{text}; S[{i}, {i}] is {S[i, i]!r}, not 1"


def opposite_rows(subject: Subject, dtype: Any) -> Checks:
    """A row with its opposite: exactly -1."""
    for n_features in (16, 64, 384, 1000):
        X = rows_of(200, n_features, dtype)
        S = subject.matrix(X, -X)
        text = f"{made(200, n_features, dtype)}; Y = -X"
        for i in range(len(X)):
            yield S[i, i] == -1, f"{text}; S[{i}, {i}] is {S[i, i]!r}, not -1"


def every_scale(subject: Subject, dtype: Any) -> Checks:
    """Norms of 1e-300 to 1e300 (float32: 1e-37 to 1e37): right within the usual error."""
    most, step = (300, 60) if dtype == "float64" else (36, 9)
    powers = range(-most, most + 1, step)
    x, y = rows_of(2, 16, "float64")
    X, Y = (np.array([row * 10.0**e for e in powers]).astype(dtype) for row in (x, y))
    S = subject.matrix(X, Y)
    bound = tolerance(X.dtype, 16)
    for i, e in enumerate(powers):
        for j, f in enumerate(powers):
            right = cosine(X[i], Y[j])
            text = (
                f"x, y = np.random.default_rng({SEED}).standard_normal((2, 16)); "
                f"X = (x * 1e{e})[None].astype({dtype!r}); Y = (y * 1e{f})[None].astype({dtype!r})"
                f"; S[0, 0] is {S[i, j]!r}, not {right:.7g}"
            )
            yield abs(S[i, j] - right) <= bound, text


def powers_of_two(subject: Subject, dtype: Any) -> Checks:
    """A row times a power of two: the same bits."""
    X, Y = rows_of(30, 50, dtype), rows_of(30, 50, dtype, SEED + 1)
    S = subject.matrix(X, Y)
    for power in (-60, -40, -20, 20, 40, 60) if dtype == "float32" else (-500, -300, 300, 500):
        factor = np.dtype(dtype).type(2.0**power)
        T = subject.matrix(X * factor, Y)
        for i, j in np.ndindex(S.shape):
            text = (
                f"{made(30, 50, dtype)}; {made(30, 50, dtype, 'Y', SEED + 1)}; S[{i}, {j}] is "
                f"{S[i, j]!r}; with X *= X.dtype.type(2.0**{power}) it is {T[i, j]!r}"
            )
            yield same(S[i, j], T[i, j]), text


def moved(subject: Subject, dtype: Any) -> Checks:
    """All rows moved by a constant: within the usual error, and never above 1."""
    move = 1000 if dtype == "float32" else 1e7
    X = rows_of(20, 64, dtype) + np.dtype(dtype).type(move)
    S = subject.matrix(X, X[::-1].copy())
    bound = tolerance(X.dtype, 64)
    for i, j in np.ndindex(S.shape):
        right = cosine(X[i], X[len(X) - 1 - j])
        text = (
            f"{made(20, 64, dtype)}; X += X.dtype.type({move}); Y = X[::-1].copy(); "
            f"S[{i}, {j}] is {S[i, j]!r}, not {right:.17g}"
        )
        yield abs(S[i, j] - right) <= bound and S[i, j] <= 1, text


def zero_rows(subject: Subject, dtype: Any) -> Checks:
    """A zero row: 0 or NaN with all (or 1 with another), and nothing else changes."""
    X, Y = rows_of(8, 20, dtype), rows_of(9, 20, dtype, SEED + 1)
    S = subject.matrix(X, Y)
    text = f"{made(8, 20, dtype)}; {made(9, 20, dtype, 'Y', SEED + 1)}; X[3] = 0; Y[[2, 8]] = 0"
    X[3], Y[[2, 8]] = 0, 0
    T = subject.matrix(X, Y)
    for i, j in np.ndindex(T.shape):
        zero = i == 3 or j in (2, 8)
        alike = zero and i == 3 and j in (2, 8) and T[i, j] == 1
        good = T[i, j] == 0 or np.isnan(T[i, j]) or alike if zero else same(S[i, j], T[i, j])
        yield good, f"{text}; S[{i}, {j}] is {T[i, j]!r}, not {'0 or NaN' if zero else S[i, j]!r}"


def nan_rows(subject: Subject, dtype: Any) -> Checks:
    """NaN in a row: the others are as they were."""
    X, Y = rows_of(8, 20, dtype), rows_of(9, 20, dtype, SEED + 1)
    S = subject.matrix(X, Y)
    text = f"{made(8, 20, dtype)}; {made(9, 20, dtype, 'Y', SEED + 1)}; X[3, 1] = Y[4, 7] = np.nan"
    X[3, 1] = Y[4, 7] = np.nan
    T = subject.matrix(X, Y)
    for i, j in np.ndindex(T.shape):
        good = np.isnan(T[i, j]) if i == 3 or j == 4 else same(S[i, j], T[i, j])
        yield good, f"{text}; S[{i}, {j}] is {T[i, j]!r}"


def ties(subject: Subject, dtype: Any) -> Checks:
    """More equal rows than k: k of them, all with one similarity."""
    for n_features in (16, 104, 384):
        Y = rows_of(2000, n_features, dtype)
        Y[::40] = Y[0]
        X = Y[:1].copy()
        similarities, indices = subject.top_k(X, Y, 10)
        good = (
            len({*indices[0].tolist()}) == 10
            and (indices[0] % 40 == 0).all()
            and len({*similarities[0].tolist()}) == 1
        )
        text = f"{made(2000, n_features, dtype, 'Y')}; Y[::40] = Y[0]; X = Y[:1].copy(); the best "
        yield good, f"{text}10: {similarities[0].tolist()}, rows {indices[0].tolist()}"


def duplicates(subject: Subject, dtype: Any) -> Checks:
    """Copies among other rows, and copies times a number: 1 for all of them."""
    X = rows_of(600, 384, dtype)
    X[1::2] = X[::2]
    S = subject.matrix(X, X.copy())
    for i in range(0, len(X), 2):
        text = f"{made(600, 384, dtype)}; X[1::2] = X[::2]; Y = X.copy(); S[{i}, {i + 1}] is "
        yield S[i, i + 1] == 1, f"{text}{S[i, i + 1]!r}"


def thresholds(subject: Subject, dtype: Any) -> Checks:
    """A threshold that is a similarity of its own, rows an ulp apart: what its own matrix says."""
    Y = rows_of(60, 50, dtype)
    Y[1::2] = Y[::2]
    Y[1::2, 0] = np.nextafter(Y[::2, 0], Y.dtype.type(9))
    X = (Y[:5] + rows_of(5, 50, dtype, SEED + 1)).astype(dtype)
    for i in range(5):
        for j in range(0, 60, 7):
            hits, right, value = subject.reaching(X, Y, i, j)
            text = (
                f"{made(60, 50, dtype, 'Y')}; Y[1::2] = Y[::2]; Y[1::2, 0] = np.nextafter(Y[::2, 0]"
                f", Y.dtype.type(9)); {made(5, 50, dtype, 'Z', SEED + 1)}; X = Y[:5] + Z; "
                f"threshold {value!r}, its own value of ({i}, {j}): "
            )
            wrong = np.argwhere(hits != right)
            yield not len(wrong), f"{text}{wrong[:3].tolist()} are in or out wrongly"


def alone(subject: Subject, dtype: Any) -> Checks:
    """A query alone, and among a thousand: the same bits."""
    X, Y = rows_of(1000, 384, dtype), rows_of(50, 384, dtype, SEED + 1)
    S = subject.matrix(X, Y)
    for i in range(0, 1000, 50):
        T = subject.matrix(X[i : i + 1].copy(), Y)
        text = f"{made(1000, 384, dtype)}; {made(50, 384, dtype, 'Y', SEED + 1)}; S[{i}] differs "
        wrong = np.flatnonzero(~same(S[i], T[0]))
        yield not len(wrong), f"{text}from that of X[{i}:{i + 1}] at {wrong[:3].tolist()}"


def integers(subject: Subject, dtype: Any) -> Checks:
    """8-bit integers, -128 and 127 among them: right within the error of float32."""
    rng = np.random.default_rng(SEED)
    X, Y = (rng.choice(np.array([-128, -127, 0, 127], np.int8), (12, 4096)) for _ in range(2))
    Y[0], Y[1] = X[0], -128
    S = subject.matrix(X, Y)
    A, B = X.astype(object), Y.astype(object)
    for i, j in np.ndindex(S.shape):
        right = float((A[i] * B[j]).sum()) / float((A[i] * A[i]).sum() * (B[j] * B[j]).sum()) ** 0.5
        text = (
            f"rng = np.random.default_rng({SEED}); X, Y = (rng.choice(np.array([-128, -127, 0, 127]"
            f", np.int8), (12, 4096)) for _ in range(2)); Y[0], Y[1] = X[0], -128; S[{i}, {j}] is "
        )
        yield abs(S[i, j] - right) <= 1e-6, f"{text}{S[i, j]!r}, not {right:.7g}"


def long_sums(subject: Subject, dtype: Any) -> Checks:
    """131,072 equal features, a quarter of them with another sign: 1/2, within 100 roundings."""
    n = 1 << 17
    for value in (0.1, 1 / 3, 0.7):
        X = np.full((1, n), value, dtype)
        Y = X.copy()
        Y[0, : n // 4] *= -1
        S = subject.matrix(X, Y)
        text = f"X = np.full((1, {n}), {value!r}, {dtype!r}); Y = X.copy(); Y[0, :{n // 4}] *= -1; "
        bound = 100 * np.finfo(dtype).eps
        yield abs(S[0, 0] - 0.5) <= bound, f"{text}S[0, 0] is {S[0, 0]!r}, not 0.5"


CASES: dict[str, Callable[[Subject, Any], Checks]] = {
    "equal": equal_rows,
    "opposite": opposite_rows,
    "scale": every_scale,
    "power": powers_of_two,
    "moved": moved,
    "zeros": zero_rows,
    "nan": nan_rows,
    "ties": ties,
    "duplicates": duplicates,
    "threshold": thresholds,
    "alone": alone,
    "int8": integers,
    "long": long_sums,
}
# of processes that are compared: what differs between them
PROCESSES = {
    "threads": "1 and 2 threads: the same bits.",
    "instructions": "Each instruction set that can be forced: the same bits.",
}


def same(a: Any, b: Any) -> Any:
    """The same bits; any NaN is one."""
    return (a == b) | (np.isnan(a) & np.isnan(b))


def examine(subject: Subject, case: str) -> dict[str, Any]:
    """How many checks there were, how many failed, and an example."""
    count, wrong, example, offered = 0, 0, "", False
    for dtype in ("int8",) if case == "int8" else ("float32", "float64"):
        try:
            for good, text in CASES[case](subject, dtype):
                offered, count = True, count + 1
                if not good:
                    wrong, example = wrong + 1, example or text
        except NotOfferedError:
            continue
        except RefusedError as refusal:
            return {"refused": str(refusal).splitlines()[0][:100]}
    return {"count": count, "wrong": wrong, "example": example} if offered else {}


def digest(subject: Subject) -> str:
    """Of similarities that any number of threads, and any instruction set, should give alike."""
    hashed = blake2b(digest_size=8)
    for n, n_features in ((1, 384), (300, 384), (6, 20_000)):
        S = subject.matrix(
            rows_of(n, n_features, "float32"), rows_of(700, n_features, "float32", SEED + 1)
        )
        hashed.update(np.ascontiguousarray(S).tobytes())
    return hashed.hexdigest()


def _child(name: str, what: list[str]) -> None:
    subject, results = Subject(name), {}
    for case in what:
        try:
            results[case] = digest(subject) if case == "digest" else examine(subject, case)
        except ModuleNotFoundError as error:
            results = {"missing": str(error)}
            break
    print(json.dumps(results, default=bool))


def _run(name: str, what: list[str], **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.exactness", "--child", name, *what]
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    # a crash or a hang is an answer too
    try:
        done = subprocess.run(
            command, env=os.environ | threads | environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"crashed": "no answer in 10 minutes"}
    if done.returncode:
        return {"crashed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def _compare(name: str, variants: list[dict[str, str]]) -> dict[str, Any]:
    found = [_run(name, ["digest"], **variant) for variant in variants]
    # a variant may be none of this machine or build
    digests = [result["digest"] for result in found if "digest" in result]
    if len(digests) < 2:
        return {}
    wrong = sum(each != digests[0] for each in digests[1:])
    example = f"{variants}: {digests}" if wrong else ""
    return {"count": len(digests) - 1, "wrong": wrong, "example": example}


def measure(name: str, cases: list[str]) -> dict[str, Any]:
    """All cells of a contender."""
    cells = {}
    for case in [case for case in cases if case in CASES]:
        cells |= _run(name, [case])
        if "missing" in cells:
            return cells
        if "crashed" in cells:
            cells[case] = {"wrong": 1, "count": 1, "example": cells.pop("crashed")}
    if "threads" in cases:
        variable = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
        cells["threads"] = _compare(name, [dict.fromkeys(variable, n) for n in ("1", "2")])
    if "instructions" in cases and name in FORCED:
        variable, values = FORCED[name]
        cells["instructions"] = _compare(name, [{variable: value} for value in values])
    return cells


def _cell(cell: dict[str, Any] | None) -> str:
    if not cell:
        return "–"
    if "refused" in cell:
        return "refuses"
    return f"**{cell['wrong']}** of {cell['count']}" if cell["wrong"] else "right"


def _titles(cases: list[str]) -> Iterator[tuple[str, str]]:
    for case in cases:
        title = PROCESSES.get(case) or " ".join((CASES[case].__doc__ or "").split())
        yield case, title.rstrip(".")


def table(results: dict[str, dict[str, Any]], cases: list[str]) -> str:
    """Markdown: a row for each case, a column for each contender that is there."""
    there = [name for name in results if "missing" not in results[name]]
    lines = [
        "| | " + " | ".join(there) + " |",
        "|---" * (1 + len(there)) + "|",
        *(
            f"| {title} | " + " | ".join(_cell(results[name].get(case)) for name in there) + " |"
            for case, title in _titles(cases)
        ),
    ]
    return "\n".join(lines)


def examples(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """One example of each wrong cell."""
    for name, cells in results.items():
        for case, cell in cells.items():
            if isinstance(cell, dict) and cell.get("wrong"):
                yield f"{name}, {case}: {cell['example']}"


def main(arguments: list[str] | None = None) -> int:
    """The table, and an example of everything that is wrong; 1 where unitdot is."""
    every = [*CASES, *PROCESSES]
    parser = argparse.ArgumentParser("python -m benchmarks.exactness", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=every, default=every, metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=[*SUBJECTS], metavar="NAME")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(options.child[0], options.child[1:])
        return 0
    results = {name: measure(name, options.cases) for name in options.only}
    print(table(results, options.cases), "", *examples(results), sep="\n")
    for name in [name for name, cells in results.items() if "missing" in cells]:
        print(f"{name}: not installed ({results[name]['missing']})")
    return any(cell.get("wrong") for cell in results.get(names.UNITDOT, {}).values())


if __name__ == "__main__":
    sys.exit(main())
