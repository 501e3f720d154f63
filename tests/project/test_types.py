"""The script that type checkers check is all of the public API, and runs."""

import re
import runpy
from pathlib import Path

import pytest

import unitdot
from unitdot import datasets, neighbors

SCRIPT = Path(__file__).with_name("typed_script.py")


def test_typed_script_uses_every_public_name():
    used = set(re.findall(r"\b(?:unitdot|datasets|neighbors)\.(\w+)", SCRIPT.read_text("utf-8")))
    assert used == {*unitdot.__all__, *datasets.__all__, *neighbors.__all__}


def test_typed_script_runs(capsys):
    pytest.importorskip("sklearn")
    runpy.run_path(str(SCRIPT))
    assert unitdot.__version__ in capsys.readouterr().out
