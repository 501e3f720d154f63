"""The comparison of exactness: unitdot has every answer right, and a wrong one would be seen."""

import pytest

from benchmarks import exactness
from benchmarks.work import UNITDOT
from unitdot._machine.dispatch import use_isa

from ..helpers import ISAS


@pytest.mark.parametrize(
    "isa", [pytest.param(isa, marks=pytest.mark.thorough) for isa in ISAS[1:]] + ISAS[:1]
)
@pytest.mark.parametrize("case", exactness.CASES)
def test_unitdot_has_no_wrong_answer(case, isa):
    with use_isa(isa):
        cell = exactness.examine(exactness.Subject(UNITDOT), case)
    if case == "nan":
        assert "NaN" in cell["refused"]
    else:
        assert cell["count"] > 0
        assert not cell["wrong"], cell["example"]


@pytest.mark.parametrize("case", ["equal", "opposite", "scale", "duplicates", "alone"])
def test_what_is_wrong_is_counted_and_can_be_pasted(case):
    cell = exactness.examine(exactness.Subject(exactness.FORMULA), case)
    assert 0 < cell["wrong"] <= cell["count"]
    assert "np.random.default_rng" in cell["example"]


def test_the_table(capsys):
    assert (
        exactness.main(["--only", UNITDOT, exactness.FORMULA, "--cases", "equal", "threads"]) == 0
    )
    head, _, *cells = capsys.readouterr().out.splitlines()[:4]
    assert head == f"| | {UNITDOT} | {exactness.FORMULA} |"
    assert cells[0].startswith("| A row with an equal one: exactly 1 | right | **")
    assert cells[1].startswith("| 1 and 2 threads: the same bits | right |")
