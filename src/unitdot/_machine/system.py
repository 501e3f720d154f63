"""What the system allows this process: control groups' limits and free memory."""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def _words(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _cgroup_values(
    controller: str, unified: list[str], legacy: list[str], root: str
) -> Iterator[list[str]]:
    """The files' words at every level of this process's control group: one list a level."""
    for line in _words(f"{root}/proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            folder, files = f"{root}/sys/fs/cgroup", unified
        elif controller in controllers.split(","):
            folder, files = f"{root}/sys/fs/cgroup/{controllers}", legacy
        else:
            continue
        # an ancestor's limit holds too; in a container the path itself may not be visible
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            level = "/".join([folder, *parts[:depth]])
            yield [word for file in files for word in _words(f"{level}/{file}")]


@cache
def cgroup_cpus(root: str = "") -> int | None:
    """The processors' worth of time that the control group allows, at least 1; None: no limit.

    `root`: where /proc and /sys are.
    """
    values = _cgroup_values("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"], root)
    limits = [
        int(words[0]) / int(words[1])
        for words in values
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1])
    ]
    return max(1, math.ceil(min(limits))) if limits else None


def available_bytes(root: str = "") -> int | None:
    """Memory that this process could still be given; None where the system does not say."""
    rooms = []
    try:
        lines = Path(f"{root}/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        rooms.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    values = _cgroup_values(
        "memory",
        ["memory.max", "memory.current", "memory.stat"],
        ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"],
        root,
    )
    for words in values:
        if len(words) > 2 and words[0].isdigit() and words[1].isdigit():
            # pages of files that were read are given back when memory is asked for
            stat = dict(zip(words[2::2], words[3::2], strict=False))
            cached = sum(int(stat.get(name, 0)) for name in ("inactive_file", "active_file"))
            rooms.append(max(0, int(words[0]) - int(words[1]) + cached))
    return min(rooms) if rooms else None
