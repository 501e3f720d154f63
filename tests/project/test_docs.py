"""The documentation: pages run in order and print what they show; docstrings are doctests."""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import unitdot
from unitdot import dask, datasets, neighbors

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
# where these are not installed, a block that imports one is passed over, and what it prints
OPTIONAL = ["umap"]
# the command, whether or not its script is on the PATH
SHELL = 'unitdot() { "$PYTHON" -m unitdot "$@"; }\n'


def blocks(page):
    """The (language, content) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run_python(code, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def needs_more(code):
    """Whether a block imports what is not there."""
    imported = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    return any(name in OPTIONAL and find_spec(name) is None for name in imported)


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


PAGES = sorted(
    page
    for page in [*DOCS.glob("*.md"), PROJECT / "README.md"]
    if any(language == "python" for language, _ in blocks(page))
)
# pages of many commands, or of workers, each of which is tested by itself
LONG = ("command_line.md", "dask.md")


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
@pytest.mark.filterwarnings("ignore:precomputed_knn:UserWarning")
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:dask\..*")  # what Dask asks of pandas
@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.thorough] if page.name in LONG else [], id=page.name)
        for page in PAGES
    ],
)
def test_page(page, tmp_path, monkeypatch):
    for library in ("scipy", "sklearn", "pandas", "polars", "pyarrow", "distributed"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    names, printed = {}, ""
    for language, content in blocks(page):
        if language == "text":
            assert printed in (content, None)
            printed = ""
        elif language == "python" and needs_more(content):
            printed = None
        else:
            assert printed == "", "the page does not show what was printed"
            printed = run_python(content, names) if language == "python" else run_console(content)
    assert printed == ""


def test_pages_with_code_are_found():
    assert {"README.md", "embeddings.md", "neighbors.md", "scikit-learn.md"} <= {
        page.name for page in PAGES
    }


def public():
    """Every public function and class, by its full name."""
    for module in (unitdot, datasets, neighbors, dask):
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield f"{module.__name__}.{name}", getattr(module, name)


@pytest.mark.parametrize(("name", "thing"), [("unitdot", unitdot), *public()])
def test_docstring_runs(name, thing):
    if thing is unitdot.Pairs:
        pytest.importorskip("scipy")
    found = doctest.DocTestFinder(recurse=isinstance(thing, type)).find(thing, name, globs={})
    examples = [docstring for docstring in found if docstring.examples]
    assert name in {docstring.name for docstring in examples}, "no example"
    for docstring in examples:
        report = io.StringIO()
        doctest.DocTestRunner().run(docstring, out=report.write)
        assert not report.getvalue()


def test_reference_has_all_public_names():
    reference = (DOCS / "api.md").read_text("utf-8")
    named = set(re.findall(r"^\.\. auto(?:function|class):: ([\w.]+)", reference, re.MULTILINE))
    assert {name if "." in name else f"unitdot.{name}" for name in named} == dict(public()).keys()


def test_pictures_are_there_and_small():
    for page in DOCS.glob("*.md"):
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8")):
            assert 0 < (DOCS / picture).stat().st_size < 100_000


def test_tests_that_pages_name_are_there():
    """What a page says is proven by a test is; a name may end in an ellipsis."""
    named = 0
    for page in [*DOCS.glob("*.md"), PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"]:
        text = page.read_text("utf-8")
        for file, test, cut in re.findall(r"\b(\w+/test_\w+\.py)(?:::(\w+)(…)?)?", text):
            source = (PROJECT / "tests" / file).read_text("utf-8")
            assert re.search(rf"^ *def {test}{'' if cut or not test else '[(]'}", source, re.M)
            named += 1
    assert named > 50
