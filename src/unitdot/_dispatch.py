"""The choice of instruction set: once, at import.

Each instruction set has its own compiled modules, one per precision, built from the same sources.
The best that this build and this machine share is taken; ``UNITDOT_ISA`` forces another.
"""

import os
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from unitdot._kernels import cpu

PRECISIONS = ("float32", "float64")


def available_isas():
    """Names of the instruction sets that build and machine share, best first."""
    return [isa for isa in cpu.machine_isas() if find_spec(f"unitdot._kernels.{isa}_float32")]


def _load(isa):
    return {p: import_module(f"unitdot._kernels.{isa}_{p}") for p in PRECISIONS}


def _choose():
    offered = available_isas()
    forced = os.environ.get("UNITDOT_ISA")
    if forced is not None and forced not in offered:
        raise ImportError(
            f"UNITDOT_ISA={forced!r} is not an instruction set that this build and this machine "
            f"offer: {', '.join(offered)}"
        )
    return forced if forced is not None else offered[0]


_isa = _choose()
_modules = _load(_isa)


def active_isa():
    """The name of the instruction set in use."""
    return _isa


def kernels(precision):
    """The compiled module for ``"float32"`` or ``"float64"``."""
    return _modules[precision]


@contextmanager
def use_isa(name):
    """Compute with another instruction set inside a ``with`` block (for tests; not thread-safe)."""
    global _isa, _modules
    if name not in available_isas():
        raise ValueError(f"name is {name!r}; expected one of {available_isas()}")
    before = _isa, _modules
    _isa, _modules = name, _load(name)
    try:
        yield
    finally:
        _isa, _modules = before
