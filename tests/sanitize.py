"""Run tests under a tool that sees what is wrong with memory: ``python tests/sanitize.py TOOL``.

Tools:

address   AddressSanitizer and UndefinedBehaviorSanitizer, of GCC
thread    ThreadSanitizer, of Clang, with LLVM's OpenMP and its tool Archer
valgrind  memcheck, for the instruction set avx2 (valgrind knows nothing wider)
bounds    Cython's own checks of every index of a memoryview

Each is a build of its own, in build/TOOL. Arguments after the tool's name are pytest's, in the
place of the tests that SUITES names.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# what takes minutes, not hours; each reaches every kernel
SUITES = {
    # the sanitizer itself needs more than the memory that one test allows
    "address": ["tests", "-p", "no:cacheprovider", "-k", "not larger_than_the_memory"],
    "bounds": ["tests", "-p", "no:cacheprovider"],
    "thread": [
        "tests/machine/test_threads.py", "tests/project/test_fuzz.py", "-k",
        "not fork and not spawn and not interrupted and not honoured and not one_thread"
        " and not many_features_use",
    ],
    "valgrind": ["tests/project/test_fuzz.py"],
}  # fmt: skip


def ask(*command):
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def environment(tool):
    """Variables for the build and the tests."""
    if tool == "address":
        # The C++ library too, for what is thrown through the sanitizer. Python frees little at its
        # exit, so leaks are for other tests; memory that is refused is a MemoryError, as always,
        # and a file that is cut ends the process by the signal that a test waits for.
        libraries = [ask("gcc", f"-print-file-name=lib{name}.so") for name in ("asan", "stdc++")]
        return {
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_sigbus=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",
        }
    if tool == "thread":
        # Archer tells the sanitizer what OpenMP's barriers order. Python, NumPy and the runtime
        # itself are not instrumented: what they do is not looked at. Clang's own library does not
        # start in a Python that was linked without it; GCC's does. polars 2 ends the process.
        llvm = Path(ask("clang", "-print-resource-dir")).parents[1]
        return {
            "CC": os.environ.get("CLANG", "clang"),
            "LD_PRELOAD": ask("gcc", "-print-file-name=libtsan.so"),
            "OMP_TOOL_LIBRARIES": str(llvm / "libarcher.so"),
            "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:exitcode=66",
            "UNITDOT_FUZZ_NO_POLARS": "1",
        }
    if tool == "valgrind":
        return {
            "PYTHONMALLOC": "malloc",
            "UNITDOT_BUILD_ISAS": "avx2",
            "UNITDOT_FUZZ_RUNS": "5",
        }
    return {}


# what a tool writes as it ends the process is not caught by pytest
REPORTED = ["--capture=sys", "-p", "no:faulthandler"]
# the thread sanitizer needs addresses where it expects them
UNDER = {"thread": ["setarch", "--addr-no-randomize"], "valgrind": [
    "valgrind", "--error-exitcode=66", "--exit-on-first-error=no", "--leak-check=no",
    f"--suppressions={ROOT / 'tests' / 'valgrind.supp'}",
]}  # fmt: skip


def main(tool, *arguments):
    """Build, then run pytest; its exit status."""
    base = ROOT / "build" / tool
    variables = environment(tool)
    preload = variables.pop("LD_PRELOAD", "")
    # threads that have nothing to do sleep: under these tools they would spin for long
    variables = {"OMP_WAIT_POLICY": "passive", **os.environ, **variables, "UNITDOT_DEBUG": tool}
    build = [sys.executable, "setup.py", "-q", "build", "--build-base", str(base)]
    subprocess.run(build, check=True, cwd=ROOT, env=variables)
    (library,) = base.glob("lib*")
    variables["PYTHONPATH"] = str(library)
    variables["LD_PRELOAD"] = preload
    pytest = [
        *UNDER.get(tool, []),
        sys.executable,
        "-m",
        "pytest",
        *REPORTED,
        *(arguments or SUITES[tool]),
    ]
    return subprocess.run(pytest, cwd=ROOT, env=variables, check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in SUITES:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
