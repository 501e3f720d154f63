"""A description of the machine and its software, without the names or paths of this one machine."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from hashlib import sha1
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DISTRIBUTIONS = (
    "unitdot",
    "numpy",
    "scikit-learn",
    "scipy",
    "faiss-cpu",
    "numkong",
    "simsimd",
    "usearch",
    "sparse_dot_topn",
    "torch",
    "matplotlib",
    "threadpoolctl",
)


def describe() -> dict[str, Any]:
    """Everything that a reader needs to judge the figures."""
    return {
        "cpu": _cpu_model(),
        "cores": {"machine": os.cpu_count(), "usable": usable_cores()},
        "caches": _caches(),
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in DISTRIBUTIONS},
        "unitdot": _unitdot_config(),
        "thread_pools": _thread_pools(),
    }


def build() -> dict[str, str]:
    """Which unitdot this process imports: its version, folder, and a digest of its code."""
    unitdot = import_module("unitdot")
    folder = Path(unitdot.__file__).parent
    digest = sha1(usedforsecurity=False)
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".so", ".pyd"}:
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    digits = digest.hexdigest()[:10]
    return {"version": unitdot.__version__, "digest": digits, "folder": str(folder)}


def computed() -> dict[str, float]:
    """Seconds of cores: ours (with children that have ended), others', and taken by the host.

    The latter two are of the whole machine, and known on Linux alone.
    """
    ours = sum(os.times()[:4])
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
        ticks = [int(number) / os.sysconf("SC_CLK_TCK") for number in line.split()[1:9]]
    except (OSError, ValueError):
        return {"ours": ours}
    user, nice, system, _idle, _waiting, irq, soft_irq, stolen = ticks
    return {"ours": ours, "others": user + nice + system + irq + soft_irq - ours, "stolen": stolen}


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        models = [value.strip() for key, _, value in fields if key.strip() == "model name"]
        if models:
            return models[0]
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Sizes of the first core's caches, as Linux tells them; shared ones are counted whole."""
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_text(index / field) for field in ("level", "type", "size"))
        if kind != "Instruction":
            caches[f"L{level}"] = size
    return caches


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "unknown"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def _unitdot_config() -> dict[str, Any] | str:
    try:
        return import_module("unitdot").show_config(mode="dicts")
    except ImportError as error:
        return f"missing: {error}"


def _thread_pools() -> list[dict[str, Any]] | str:
    """BLAS and OpenMP libraries of a process that has imported every contender."""
    for module in ("unitdot", "numpy", "sklearn", "faiss", "torch"):
        with suppress(ImportError):  # `versions` says that it is missing
            import_module(module)
    try:
        pools = import_module("threadpoolctl").threadpool_info()
    except ImportError as error:
        return f"missing: {error}"
    return [{key: value for key, value in pool.items() if key != "filepath"} for pool in pools]
