"""Which combinations of parameters the default run has (conftest.py)."""

import subprocess
import sys
from itertools import combinations, product
from types import SimpleNamespace

import pytest

from ..conftest import covering

PARAMETERS = ["abcd", "xy", "0123456", "+-", "PQR"]


def cases(parameters, costly=False):
    """What pytest makes of them, as far as `covering` looks at it."""
    return [
        SimpleNamespace(
            callspec=SimpleNamespace(_idlist=list(values)), get_closest_marker=lambda _: costly
        )
        for values in product(*parameters)
    ]


def values_of(items):
    return [list(enumerate(item.callspec._idlist)) for item in items]


def pairs_of(items):
    return {pair for values in values_of(items) for pair in combinations(values, 2)}


@pytest.mark.parametrize("n_parameters", [1, 2, 3, 4, 5])
def test_any_two_values_meet(n_parameters):
    items = cases(PARAMETERS[-n_parameters:])
    chosen = covering(items)
    assert pairs_of(chosen) == pairs_of(items)
    assert {v for values in values_of(chosen) for v in values} == {
        v for values in values_of(items) for v in values
    }
    assert len(chosen) == len({id(item) for item in chosen})
    *_, second, largest = sorted([1, *map(len, PARAMETERS[-n_parameters:])])
    assert len(chosen) <= largest * second * 1.25
    assert values_of(covering(items)) == values_of(chosen)


def test_any_value_of_a_costly_test_occurs():
    chosen = covering(cases(PARAMETERS, costly=True))
    assert {v for values in values_of(chosen) for v in values} == {
        (i, id_) for i, ids in enumerate(PARAMETERS) for id_ in ids
    }
    assert len(chosen) <= 8


def collected(*arguments):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {line for line in run.stdout.splitlines() if "::" in line}


def test_all_combinations_are_there_to_be_had():
    file = __file__.replace("project/test_selection.py", "dense/test_screen.py")
    some, every = collected(file), collected(file, "--thorough")
    assert some < every
    name = "::test_edges_of_tiles"
    named = collected(file + name)
    assert named == {test for test in every if name in test}
    assert some & named < named
