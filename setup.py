"""Builds the kernels: the same Cython sources, once per instruction set and precision.

All metadata is in pyproject.toml. Environment variables:

UNITDOT_BUILD_ISAS    comma-separated instruction sets to build (default: all for this processor)
UNITDOT_NO_OPENMP     set: build without OpenMP
UNITDOT_NO_TEAM       set: the threads are those of the compiler's OpenMP library
UNITDOT_NO_VECTORS    set: one-lane "vectors", as for a compiler without vector types
UNITDOT_DEBUG         a key of DEBUG_FLAGS: build for that tool (tests/sanitize.py runs them all)
UNITDOT_NO_ABI3       set: for this version of Python alone, not for it and all later ones
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("cython_kernels")
GNU_FLAGS = [
    "-O3",
    "-g0",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-falign-loops=64",
    "-Wno-switch",
]
# aligns inner loops too whose turns GCC thinks few
GCC_FLAGS = ["--param=align-threshold=65536"]
# unrolls a whole tile of the screen: its sums are kept in memory otherwise
CLANG_FLAGS = ["-mllvm", "-unroll-threshold=600"]
AVX2_FLAGS = ["-mavx2", "-mfma", "-mf16c"]
# the flags of each instruction set, which cython_kernels/machine/vectors.h turns into a vector type
ISA_FLAGS = {
    "x86_64": {
        "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", *AVX2_FLAGS],
        "avx2": AVX2_FLAGS,
        "baseline": [],
    },
    "aarch64": {"neon": []},
}
# what each tool needs after the flags above (KEPT: memory.h); "bounds" is Cython's own checking
DEBUG_FLAGS = {
    "": [],
    "address": [
        *("-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", "-DKEPT=0"),
        "-fsanitize=address,undefined",
    ],
    "thread": ["-O1", "-g", "-fsanitize=thread"],
    "valgrind": ["-O1", "-g", "-DKEPT=0"],
    "bounds": ["-O1"],
}
DEBUG = os.environ.get("UNITDOT_DEBUG", "")
if DEBUG not in DEBUG_FLAGS:
    sys.exit(f"UNITDOT_DEBUG: {DEBUG!r} is not among {[*DEBUG_FLAGS][1:]}")
GNU_FLAGS += DEBUG_FLAGS[DEBUG]
PRECISIONS = {"float32": [], "float64": [("UNITDOT_DOUBLE", "1")]}
# One build for Python 3.11 and later, through the Limited API. PyPy and free-threaded Pythons
# have no such thing.
ABI3 = (
    sys.implementation.name == "cpython"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
    and not os.environ.get("UNITDOT_NO_ABI3")
)
LIMITED_API = [("Py_LIMITED_API", "0x030B0000")] if ABI3 else []
# Cython's own code for memoryviews and functions: in a module of its own, not in each
SHARED = "unitdot._kernels._cyutility"
# the threads of all modules; it asks OpenMP's own library for its limits
POOL = "unitdot._kernels.cpu"
# for the compiler and for the linker; Apple's Clang has OpenMP without its library
OPENMP_FLAGS = {
    "gnu": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
    "msvc": [(["/openmp"], [])],
}
OPENMP_PROGRAM = """
#include <omp.h>
#include <stdio.h>
int main(void) {
    int n = 0;
    #pragma omp parallel num_threads(2) reduction(+:n)
    n += 1;
    printf("%d\\n", n);
    return n < 1;
}
"""
# the same and a loop, in threads of our own, linked without OpenMP's library
TEAM_PROGRAM = """
#define _GNU_SOURCE
#include "pool.h"
#include <stdio.h>
int main(void) {
    int n = 0;
    use_team(start_pool());
    #pragma omp parallel num_threads(2) reduction(+:n)
    {
        #pragma omp for schedule(guided) nowait
        for (long i = 0; i < 1000; i++)
            n++;
        #pragma omp barrier
    }
    printf("%d\\n", n);
    return n != 1000;
}
"""


def machine():
    """The processor that is built for, by one name."""
    name = os.environ.get("_PYTHON_HOST_PLATFORM", "").rpartition("-")[2] or platform.machine()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name.lower(), name.lower())


def isas():
    """Instruction sets to build, with their flags."""
    flags = {"baseline": []} if sys.platform == "win32" else ISA_FLAGS.get(machine())
    if os.environ.get("UNITDOT_NO_VECTORS") or flags is None:
        flags = {"baseline": []}
    wanted = [name for name in os.environ.get("UNITDOT_BUILD_ISAS", "").split(",") if name]
    unknown = [name for name in wanted if name not in flags]
    if unknown:
        sys.exit(f"UNITDOT_BUILD_ISAS: {unknown} are not among {list(flags)}")
    return {name: flags[name] for name in wanted} if wanted else flags


class BuildKernels(build_ext):
    """Probes OpenMP, translates each .pyx once, compiles it for every instruction set."""

    def finalize_options(self):
        """Compile as many modules at a time as there are processors."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def build_extensions(self):
        """Translate, then compile."""
        self.generated = Path(self.build_temp) / "generated"
        self.generated.mkdir(parents=True, exist_ok=True)
        openmp, link_openmp = self.openmp_flags()
        team = self.has_team(openmp)
        gnu = self.compiler.compiler_type != "msvc"
        own = next((f for f in (GCC_FLAGS, CLANG_FLAGS) if gnu and self.knows(f)), [])
        for extension in self.extensions:
            extension.sources = [self.translated(extension)]
            extension.include_dirs += [str(SOURCES / "machine"), str(SOURCES / "dense")]
            extension.extra_link_args += DEBUG_FLAGS[DEBUG]
            extension.extra_compile_args += GNU_FLAGS + own if gnu else ["/O2"]
            if gnu and extension.name == SHARED:  # a third smaller, and no call is slower
                extension.extra_compile_args.append("-Os")
            extension.extra_compile_args += openmp
            if extension.name == POOL:
                extension.define_macros += [("UNITDOT_POOL", "1")] * team
                extension.extra_link_args += link_openmp
            elif team:
                extension.define_macros.append(("UNITDOT_TEAM", "1"))
            else:
                extension.extra_link_args += link_openmp
        super().build_extensions()

    def translated(self, extension):
        """A C file of the extension's own, so that objects have names of their own."""
        from Cython.Compiler.Main import compile as cython_compile
        from Cython.Compiler.Options import get_directive_defaults

        own = self.generated / f"{extension.name.rpartition('.')[2]}.c"
        if extension.name == SHARED:
            command = [sys.executable, "-m", "cython", "generate-shared", str(own)]
            subprocess.run([*command, "--module-name", SHARED], check=True)
            return str(own)
        # of memoryviews; a comment in a .pyx would win over what is said here
        for check in ("boundscheck", "initializedcheck"):
            get_directive_defaults()[check] = DEBUG == "bounds"
        (pyx,) = map(Path, extension.sources)
        c_file = self.generated / f"{pyx.stem}.c"
        sources = [*SOURCES.rglob("*.*"), *Path("src").rglob("*.pxd")]
        newest = max(path.stat().st_mtime for path in sources)
        if self.force or not c_file.exists() or c_file.stat().st_mtime < newest:
            # the kernels' one C file serves modules of many names
            name = "kernels" if pyx.stem == "kernels" else extension.name
            result = cython_compile(
                str(pyx),
                full_module_name=name,
                include_path=["src"],
                output_file=str(c_file.resolve()),
                shared_utility_qualified_name=SHARED,
            )
            if result.num_errors:
                sys.exit(f"Cython found {result.num_errors} errors in {pyx}")
        if own != c_file:
            shutil.copy2(c_file, own)
        return str(own)

    def knows(self, flags):
        """Whether the compiler takes the flags and does not warn of them."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("extern int probe;\n")
            try:
                self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=["-Werror", *flags]
                )
                return True
            except Exception:
                print(f"unitdot: the kernels are built without {' '.join(flags)}")
                return False

    def openmp_flags(self):
        """What turns OpenMP on, for compiler and linker, proven by a program that runs."""
        if os.environ.get("UNITDOT_NO_OPENMP"):
            print("unitdot: built without OpenMP, as UNITDOT_NO_OPENMP asks")
            return [], []
        for flags, link in OPENMP_FLAGS["msvc" if self.compiler.compiler_type == "msvc" else "gnu"]:
            error = self.fails(OPENMP_PROGRAM, flags, link)
            if error is None:
                return flags, link
            print(f"unitdot: OpenMP by {' '.join(flags)} does not work: {error}")
        print("unitdot: WARNING: built without OpenMP; all work will be done by one thread")
        return [], []

    def has_team(self, openmp):
        """Whether the kernels can have threads of our own (machine/pool.h): GCC, where POSIX is."""
        if not openmp or os.environ.get("UNITDOT_NO_TEAM"):
            return False
        flags = [*openmp, *DEBUG_FLAGS[DEBUG], "-DUNITDOT_TEAM", f"-I{SOURCES / 'machine'}"]
        error = self.fails(TEAM_PROGRAM, flags, ["-pthread", *DEBUG_FLAGS[DEBUG]])
        if error is not None:
            print(f"unitdot: the threads are those of the compiler's OpenMP: {error}")
        return error is None

    def fails(self, text, flags, link):
        """What happens when a program is compiled, linked and run; None: it works."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(text)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=flags
                )
                program = str(Path(folder) / "probe")
                self.compiler.link_executable(objects, program, extra_postargs=link)
                if os.environ.get("_PYTHON_HOST_PLATFORM") is None:
                    subprocess.run([program], check=True, timeout=60, capture_output=True)
            except Exception as error:
                return error
        return None


def module(name, source=None, macros=(), flags=()):
    """One of the compiled modules; without a source, the one that Cython writes itself."""
    return Extension(
        f"unitdot._kernels.{name}",
        [str(SOURCES / source)] if source else [],
        depends=[str(path) for path in sorted(SOURCES.rglob("*.*"))],
        define_macros=[*LIMITED_API, *macros],
        extra_compile_args=list(flags),
        py_limited_api=ABI3,
    )


def kernel_module(isa, flags, precision, macros):
    """One of the kernels' modules; the macro gives the shared C file its init function's name."""
    name = f"{isa}_{precision}"
    macros = [*macros, ("PyInit_kernels", f"PyInit_{name}")]
    if os.environ.get("UNITDOT_NO_VECTORS"):
        macros.append(("UNITDOT_NO_VECTORS", "1"))
    return module(name, "dense/kernels.pyx", macros, flags)


setup(
    ext_modules=[
        module(SHARED.rpartition(".")[2]),
        module("cpu", "machine/cpu.pyx"),
        module("api", "api.pyx"),
        module("graph", "graph.pyx"),
        module("sparse", "sparse/sparse.pyx"),
        module("small", "dense/small.pyx"),
        *(
            kernel_module(isa, flags, precision, macros)
            for isa, flags in isas().items()
            for precision, macros in PRECISIONS.items()
        ),
    ],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
