"""How many threads a call may use. No call changes anything process-wide; a fork ends idle ones."""

import os

from unitdot._kernels import cpu
from unitdot._machine.system import cgroup_cpus

# below this many multiply-adds, waking a second thread costs more than it saves
SMALL_WORK = 1 << 21
# an explicit n_threads beyond this many per processor is capped: GNU's OpenMP runtime aborts the
# process when the system refuses it a thread
MOST_PER_CPU = 8

_ran_parallel = False
_serial = False


def _after_fork_in_child() -> None:
    global _serial
    # GNU's OpenMP runtime waits for ever for worker threads that did not survive the fork
    _serial = _serial or _ran_parallel


# threads of our own begin anew in a child (cython_kernels/machine/pool.h)
if cpu.TEAM is None and hasattr(os, "register_at_fork"):
    os.register_at_fork(before=cpu.before_fork, after_in_child=_after_fork_in_child)


def available_threads() -> int:
    """The threads that this process may really use now."""
    if _serial:
        return 1
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    limits = [limit for limit in (processors, cgroup_cpus()) if limit is not None]
    if limits:
        cpu.set_processors(min(limits))
    return max(1, min([*limits, cpu.max_threads()]))


def threads_now(threads: int) -> int:
    """`threads`, or 1 where this process is a forked child that must work alone."""
    return 1 if _serial else threads


def threads_for(n_threads: int | None, work: int) -> int:
    """Threads for `work` multiply-adds: `n_threads`, or as many as are useful where it is None."""
    global _ran_parallel
    if n_threads is None:
        threads = 1 if work < SMALL_WORK else available_threads()
    else:
        # how many processors there are, is a file that is read: longer than a small call
        many = n_threads > MOST_PER_CPU
        threads = min(n_threads, MOST_PER_CPU * (os.cpu_count() or 1)) if many else n_threads
        threads = threads_now(threads)
    if threads > 1:
        _ran_parallel = True
    return threads
