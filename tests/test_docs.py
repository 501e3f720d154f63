"""The documentation's code, run in order; what it prints is what the page shows."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs"
# the command, whether or not its script is on the PATH
SHELL = 'unitdot() { "$PYTHON" -m unitdot "$@"; }\n'


def blocks(page):
    """The (language, content) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run_python(code, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def run_console(commands):
    lines = [line.removeprefix("$ ") for line in commands.splitlines()]
    result = subprocess.run(
        ["bash", "-c", SHELL + "\n".join(lines)],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize("name", ["neighbors.md"])
def test_page(name, tmp_path, monkeypatch):
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    names, printed = {}, ""
    for language, content in blocks((PAGES / name).read_text("utf-8")):
        if language == "text":
            assert printed == content
            printed = ""
        else:
            assert printed == "", "the page does not show what was printed"
            printed = run_python(content, names) if language == "python" else run_console(content)
    assert printed == ""


def test_pictures_are_there_and_small():
    for page in PAGES.glob("*.md"):
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8")):
            assert 0 < (PAGES / picture).stat().st_size < 100_000
