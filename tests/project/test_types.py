"""The script that type checkers check is all of the public API, and runs."""

import re
import runpy
from pathlib import Path

import pytest

import unitdot
from unitdot import dask, datasets, neighbors

SCRIPT = Path(__file__).with_name("typed_script.py")


@pytest.mark.parametrize(
    ("alias", "module"),
    [("unitdot", unitdot), ("datasets", datasets), ("neighbors", neighbors), ("lazily", dask)],
)
def test_typed_script_uses_every_public_name(alias, module):
    used = set(re.findall(rf"\b{alias}\.(\w+)", SCRIPT.read_text("utf-8")))
    assert used == {*module.__all__}


def test_typed_script_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a file
    for library in ("sklearn", "dask"):
        pytest.importorskip(library)
    runpy.run_path(str(SCRIPT))
    assert unitdot.__version__ in capsys.readouterr().out
