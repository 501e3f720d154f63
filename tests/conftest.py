import os
import random
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from unitdot import datasets
from unitdot._machine.dispatch import use_isa
from unitdot._machine.threads import available_threads

from . import helpers

# `isa` is the same for all examples of a test, so its being a function's fixture does no harm
settings.register_profile(
    "unitdot",
    deadline=None,
    max_examples=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("unitdot"), max_examples=2000)
settings.load_profile(os.environ.get("UNITDOT_HYPOTHESIS", "unitdot"))


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="every combination of parameters")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """``pytest`` that names no tests runs them in parallel, where pytest-xdist is installed."""
    option = config.option
    if hasattr(config, "workerinput") or option.usepdb:  # one of these processes itself
        return
    named = config.args_source is config.ArgsSource.ARGS
    if not named and getattr(option, "numprocesses", 0) is None:
        option.numprocesses = min(8, available_threads())
        option.dist = "worksteal" if option.dist == "no" else option.dist
        # each has a processor: threads of NumPy's own would wait for work on another's
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def covering(items):
    """Of one test's items few in which any two values of its parameters meet that meet in all.

    Of a `costly` test, in which any value occurs. Greedy: those that bring most new ones first, in
    an order that is random and ever the same.
    """
    if not hasattr(items[0], "callspec"):
        return items
    together = 1 if items[0].get_closest_marker("costly") else 2
    cases = [
        set(combinations_with_replacement(enumerate(item.callspec._idlist), together))
        for item in items
    ]
    chosen, met = [], set()
    order = random.Random(0).sample(range(len(items)), len(items))
    for new in range(len(cases[0]), 0, -1):
        for i in order:
            if len(cases[i] - met) >= new:
                chosen.append(items[i])
                met |= cases[i]
    return chosen


@pytest.hookimpl(trylast=True)  # of what -k and -m have left
def pytest_collection_modifyitems(config, items):
    """Every two values of a test's parameters together; ``--thorough``: every combination of all.

    All of them are run of a test that is named, as file::test, too.
    """
    if config.option.thorough or any("::" in name for name in config.args):
        return
    tests = {}
    for item in items:
        if not item.get_closest_marker("thorough"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen = set().union(*map(covering, tests.values()))
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


@pytest.fixture(params=helpers.ISAS)
def isa(request):
    """Run the test under every instruction set that this build and machine offer."""
    with use_isa(request.param):
        yield request.param


@pytest.fixture(scope="session")
def embeddings():
    """Real data: the sentence embeddings that the package ships, float16."""
    return np.asarray(datasets.load_stdlib_docs().embeddings)
