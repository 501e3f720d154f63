"""The choice of instruction set: once, at import.

Each instruction set has its own compiled modules, one per precision, built from the same sources;
``avx512vnni`` and ``neondot`` are a switch in those of ``avx512`` and ``neon``.
The best that this build and this machine share is taken; ``UNITDOT_ISA`` forces another.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from unitdot._kernels import cpu, small

Bytes = npt.NDArray[np.uint8]

PRECISIONS = ("float32", "float64")


class Kernels(Protocol):
    """A compiled module; cython_kernels/dense/kernels.pyx says what each function does."""

    FUNCTIONS: object
    NEEDS_CARE: int
    HAS_ZERO_ROW: int
    NO_MEMORY: int

    def full(self, *arguments: Any) -> int: ...
    def paired(self, *arguments: Any) -> int: ...
    def stack(self, *arguments: Any) -> int: ...
    def top_k(self, *arguments: Any, **more: Any) -> int: ...
    def list_bytes(self, k: int) -> int: ...
    def pairs(self, *arguments: Any, **more: Any) -> int: ...
    def use_vnni(self, on: bool) -> None: ...
    def force_heads(self, lines: int, words: int, directions: Any = ...) -> None: ...
    def force_blocks(self, rows: int) -> None: ...
    def force_superblocks(self, rows: int) -> None: ...
    def headed(self) -> int: ...
    def prepare(self, *arguments: Any) -> tuple[int, int]: ...
    def prepare_join(self, *arguments: Any) -> tuple[int, int]: ...
    def keep(self, *arguments: Any) -> int: ...
    def survey(self, X: Bytes, kind: int, threads: int) -> int: ...
    def first_not_finite(self, X: Bytes, kind: int) -> tuple[int, int] | None: ...
    def first_zero_row(self, X: Bytes, kind: int) -> int | None: ...
    def peak(self, repeats: int) -> float: ...
    def tile_rate(self, repeats: int) -> float: ...


def available_isas() -> list[str]:
    """Names of the instruction sets that build and machine share, best first."""
    return [isa for isa in cpu.machine_isas() if find_spec(f"{_module_of(isa)}_float32")]


def _module_of(isa: str) -> str:
    return f"unitdot._kernels.{isa.removesuffix('vnni').removesuffix('dot')}"


def _load(isa: str) -> list[Kernels]:
    modules = [cast(Kernels, import_module(f"{_module_of(isa)}_{p}")) for p in PRECISIONS]
    for module in modules:
        module.use_vnni(isa.endswith(("vnni", "dot")))
    small.use(*(module.FUNCTIONS for module in modules))
    return modules


def _choose() -> str:
    offered = available_isas()
    forced = os.environ.get("UNITDOT_ISA")
    if forced is not None and forced not in offered:
        message = (
            f"UNITDOT_ISA={forced!r} is not an instruction set that this build and this machine "
            f"offer: {', '.join(offered)}"
        )
        if _is_the_command():  # whose main() comes too late to catch it
            print(f"unitdot: error: {message}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(message)
    return forced if forced is not None else offered[0]


def _is_the_command() -> bool:
    """Whether this process is ``unitdot`` or ``python -m unitdot``."""
    program = sys.argv[0] if sys.argv else ""  # "-m" while Python looks for the module
    if program == "-m":
        return ("-m", "unitdot") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return Path(program).stem == "unitdot"


_isa = _choose()
_modules = _load(_isa)


def active_isa() -> str:
    """The name of the instruction set in use."""
    return _isa


def kernels(wide: bool) -> Kernels:
    """The compiled module that computes in float64, or else in float32."""
    return _modules[wide]


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Compute with another instruction set inside a ``with`` block (for tests; not thread-safe)."""
    global _isa, _modules
    if name not in available_isas():
        raise ValueError(f"name is {name!r}; expected one of {available_isas()}")
    before = _isa
    _isa, _modules = name, _load(name)
    try:
        yield
    finally:
        _isa, _modules = before, _load(before)
