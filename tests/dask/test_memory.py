"""What a task takes beside its two blocks and their heads, the making of these included: the
result, and 16 MiB a thread."""

import sys

import pytest

from ..helpers import PEAK, run_python

pytest.importorskip("dask")

CODE = """
    import numpy as np
    from unitdot import _options
    from unitdot._dask import tasks
    from unitdot._prepared import Prepared, constants_for_joins

    rng = np.random.default_rng(0)
    turn = rng.standard_normal((12, 384), np.float32)
    x, y = (rng.standard_normal((n, 12), np.float32) @ turn for n in (18_000, 17_000))
    options = _options.check_options(("f4", "zero", True, {threads}))
    place = tasks.Meeting(0, 18_000, True)

    def pairs(rows, heads=(None, None)):
        how = tasks.How(options, "cosine_pairs", threshold=0.999)
        found = tasks.pairs(x[:rows], y[:rows], place, how, *heads)
        return sum(array.nbytes for array in found)

    def top_k(rows, heads=(None, None)):
        how = tasks.How(options, "cosine_top_k", k=10)
        floors = [np.full(len(block[:rows]), 0.97) for block in (x, y)]
        found = tasks.top_k_both(x[:rows], y[:rows], place, how, *heads, *floors)
        return sum(array.nbytes for side in found for array in side)

    {name}(600)
    forget_peak()
    before = peak()
    constants = constants_for_joins(y[::8].copy(), None, {threads})
    heads = [constants and Prepared.along(constants, block, {threads}) for block in (x, y)]
    # where none are kept a task makes its own
    of_heads = sum(own.nbytes for own in heads) if constants else 90 * (len(x) + len(y))
    result = {name}(None, heads)
    print(peak() - before - (result + of_heads) / 2**20)
    """


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize("name", ["pairs", "top_k"])
@pytest.mark.parametrize("threads", [1, 2])
def test_memory_of_a_task(name, threads):
    run = run_python(PEAK + CODE.format(name=name, threads=threads), OMP_NUM_THREADS="2")
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 16 * threads + 4, run.stdout
