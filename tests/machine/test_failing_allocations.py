"""Every allocation of every function fails once: MemoryError, nothing lost, the next call right.

failing_allocator.c is compiled and preloaded; the kernels are those that users have.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..helpers import run_python

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("gcc") is None,
    reason="preloads a library that gcc compiles, on Linux",
)

# what X and Y are, and what is done with them
CALLS = {
    "matrix": ("X, Y = normal(600, 400), normal(300, 400)", "cosine_similarity(X, Y)"),
    "matrix with itself": ("X = normal(500, 300)", "cosine_similarity(X)"),
    "careful": ("X = 1e-30 * normal(300, 300)", "cosine_distances(X)"),
    "segments": ("X, Y = normal(70, 5000), normal(300, 5000)", "cosine_similarity(X, Y)"),
    "few rows": ("X = normal(6, 60_000)", "cosine_similarity(X)"),
    "query": ("X, Y = normal(1, 64), normal(40_000, 64)", "cosine_similarity(X, Y)"),
    "stack": ("X = normal(3, 100, 100)", "cosine_similarity(X)"),
    "paired": ("X, Y = normal(9000, 300), normal(9000, 300)", "paired_cosine_similarity(X, Y)"),
    "top-k": ("X, Y = normal(300, 100), normal(2000, 100)", "cosine_top_k(X, Y, 5)"),
    "top-k with itself": ("X = normal(900, 100)", "cosine_top_k(X, k=5)"),
    "pairs": ("X, Y = normal(300, 90), normal(1000, 90)", "cosine_pairs(X, Y, threshold=0.3)"),
    "pairs with itself": ("X = normal(700, 90)", "cosine_pairs(X, threshold=0.3)"),
    "top-k in groups": (
        "X, Y, some = normal(900, 60), normal(800, 60), np.arange(900) // 9",
        "cosine_top_k(X, Y, 5, groups=(some % 80, some[:800] * 7 % 80))",
    ),
    "pairs in groups": (
        "X, some = normal(900, 60), np.maximum(0, np.arange(900) * 7 % 190 - 100)",
        "cosine_pairs(X, threshold=0.2, groups=some, max_pairs=2000)",
    ),
    "sparse": ("X, Y = rows(300), rows(400)", "cosine_similarity(X, Y)"),
    "CSR": ("X = rows(300)", "cosine_similarity(X, dense_output=False)"),
    "disordered": ("X = rows(300); X.indices[:9] = X.indices[8::-1]", "cosine_distances(X)"),
    "mixed": ("X, Y = rows(300), normal(400, 1000)", "cosine_similarity(X, Y)"),
    "sparse paired": ("X, Y = rows(300), rows(300)", "paired_cosine_similarity(X, Y)"),
    "sparse top-k": ("X, Y = rows(300), rows(400)", "cosine_top_k(X, Y, 5)"),
    "sparse top-k by scores": ("X, Y = rows(300), normal(400, 1000)", "cosine_top_k(X, Y, 4)"),
    "sparse top-k, tried": ("X = rows(400, 0.06)", "cosine_top_k(X, k=5)"),
    "sparse top-k of many, tried": ("X = rows(400, 0.06)", "cosine_top_k(X, k=50)"),
    "sparse pairs": ("X = rows(400)", "cosine_pairs(X, threshold=0.1)"),
    "sparse pairs, all": ("X = rows(400)", "cosine_pairs(X, threshold=-1)"),
}
# which try what the faster way is, and have to do without where that fails
TRIED = {"sparse top-k, tried", "sparse top-k of many, tried"}
CODE = """
    import ctypes, hashlib, json, os
    import numpy as np, unitdot
    from scipy import sparse
    from unitdot._sparse import functions, search  # here: a child whose import fails tries again

    allocator = ctypes.CDLL(None)
    kernels, failing = (ctypes.create_string_buffer(s) for s in (b"unitdot/_kernels/", {library!r}))
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    def rows(n, density=0.03):
        return sparse.csr_array(sparse.random(n, 1000, density, "csr", np.float32, rng=rng))

    def do_without(owner, name):
        # what fails in there has to be made up for
        function = getattr(owner, name)

        def watched(*given):
            before = allocator.allocations_until_failure()
            try:
                return function(*given)
            finally:
                made_up.append(before > 0 == allocator.allocations_until_failure())

        setattr(owner, name, watched)

    made_up = []
    do_without(search.kernels, "Nearest")
    do_without(search, "_search_is_slower")
    search.perf_counter = lambda: 0  # always the same way is the faster one

    def digest(call, names):
        result = eval(call, names)
        if sparse.issparse(result):
            result = result.data, result.indices, result.indptr
        parts = result if isinstance(result, tuple) else (result,)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def attempt(call, names, n):
        # in a process of its own, which has kept no working memory from an earlier call
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            allocator.watch_libraries(failing, kernels)
            allocator.fail_allocation(n)
            try:
                first = digest(call, names)
            except MemoryError:
                first = "MemoryError"
            unreached = allocator.allocations_until_failure()
            allocator.fail_allocation(0)
            again = digest(call, names)
            held_now = allocator.allocations_held()
            outcome = [first, again, unreached > 0, held_now, any(made_up)]
            os.write(writer, json.dumps(outcome).encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as file:
            answer = file.read()
        assert os.waitpid(child, 0)[1] == 0, f"{{call}}: crashed by failure {{n}}"
        return json.loads(answer)

    for arrays, call in {calls!r}:
        names = dict(vars(unitdot), np=np, normal=normal, rows=rows)
        exec(arrays, names)
        first, expected, _, held, _ = attempt(call, names, 0)
        assert first == expected
        n, without = 1, 0
        while True:
            first, again, unreached, held_now, is_made_up = attempt(call, names, n)
            assert again == expected, f"{{call}}: the call after failure {{n}} differs"
            assert held_now == held, f"{{call}}: {{held_now - held}} blocks lost by failure {{n}}"
            if unreached:
                assert first == expected
                break
            right = [expected] if is_made_up else {allowed}
            assert first in right, f"{{call}}: failure {{n}} gives {{first}}"
            n += 1
            without += is_made_up
        print(n - 1, without, call)
    """


@pytest.fixture(scope="module")
def failing_allocator(tmp_path_factory):
    library = tmp_path_factory.mktemp("allocator") / "failing.so"
    source = Path(__file__).with_name("failing_allocator.c")
    # no tail calls: who returns to the caller would not be its callee
    flags = ["-O1", "-fno-optimize-sibling-calls", "-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run(["gcc", *flags, str(source), "-o", str(library), "-ldl"], check=True)
    return str(library)


@pytest.mark.parametrize(
    ("library", "allowed", "made_up"),
    [
        # some can do without: sparse joins that take long try the product, and go on where it has
        # no memory; matrices of a stack are planned one by one
        (
            b"unitdot/_kernels/",
            """["MemoryError", *[expected] * (
                "threshold=0.1" in call or "normal(3," in arrays)]""",
            {"sparse top-k by scores"} | TRIED,
        ),
        # where NumPy can do without, as it can for its cache of small blocks, so can we
        pytest.param(
            b"/_multiarray_umath", '["MemoryError", expected]', TRIED, marks=pytest.mark.thorough
        ),
    ],
    ids=["the kernels", "NumPy"],
)
def test_every_failure(failing_allocator, library, allowed, made_up):
    pytest.importorskip("scipy.sparse")
    calls = [(arrays, f"{call[:-1]}, n_threads=2)") for arrays, call in CALLS.values()]
    code = CODE.format(library=library, calls=calls, allowed=allowed)
    run = run_python(code, LD_PRELOAD=failing_allocator, timeout=600)
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    counts = [[int(word) for word in line.split()[:2]] for line in run.stdout.splitlines()]
    assert len(counts) == len(CALLS)
    assert min(counts)[0] >= 1
    assert {name for name, (_, some) in zip(CALLS, counts, strict=True) if some} == made_up


@pytest.mark.parametrize(("limit", "field"), [("RLIMIT_AS", 0), ("RLIMIT_DATA", 5)])
def test_limits_of_the_system(limit, field):
    """Results that are too large for the process: refused, and the next call is right."""
    pytest.importorskip("scipy.sparse")
    code = f"""
        import resource
        import numpy as np, unitdot
        from scipy import sparse
        X = np.random.default_rng(0).standard_normal((9000, 20), np.float32)
        S = sparse.csr_array(X)
        calls = [
            lambda X, n: unitdot.cosine_similarity(X, n_threads=2),
            lambda X, n: unitdot.cosine_distances(X, X[:], n_threads=2),
            lambda X, n: unitdot.cosine_top_k(X, k=n - 1, n_threads=2).indices,
            lambda X, n: unitdot.cosine_pairs(X, threshold=-1, n_threads=2).columns,
        ]
        product = lambda X, n: unitdot.cosine_similarity(X, dense_output=False, n_threads=2).data
        problems = [(call, X) for call in calls] + [(call, S) for call in [*calls, product]]
        expected = [call(matrix[:300], 300) for call, matrix in problems]
        pages = int(open("/proc/self/statm").read().split()[{field}])
        most = pages * resource.getpagesize() + 150 * 2**20
        resource.setrlimit(resource.{limit}, (most, -1))
        for (call, matrix), right in zip(problems, expected):
            try:
                call(matrix, 9000)
            except MemoryError:
                print("refused")
            assert np.array_equal(call(matrix[:300], 300), right)
        """
    run = run_python(code, timeout=200)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == 9 * ["refused"]
