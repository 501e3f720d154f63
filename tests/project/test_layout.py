"""The layout that docs/architecture.md describes: files in rooms, imports downwards, who raises."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import unitdot

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src" / "unitdot"
KERNELS = PROJECT / "cython_kernels"
PAGE = "docs/architecture.md"

# who imports by names made up on the way, and what those are
MADE_UP = {
    "__init__": "the modules of LATER, which are read here as if it imported them",
    "_machine/dispatch": "modules of _kernels/, by instruction set",
}
# what kernels may raise besides MemoryError, and not about input
GUARDS = {"dense/kernels.pyx": ["ArithmeticError"]}  # should a benchmark's loop be optimised away


def rows(folder):
    """The rows of the page's table of rooms, highest first."""
    page = (PROJECT / PAGE).read_text("utf-8")
    table = re.search(rf"^\| rooms of `{folder}/`.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    return table[1].splitlines()


def rooms(folder):
    """The rooms of a folder, highest first: names in the first column."""
    return [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in rows(folder)]


def room_of(file, rooms):
    """The number of the room of a file, which is named itself or by its folder."""
    for name in (file, file.partition("/")[0] + "/"):
        for number, names in enumerate(rooms):
            if name in names:
                return number
    return None


def modules():
    """The files of every module of the package, by its path: "_cli/files.py", "_kernels/cpu.py"."""
    found = {}
    for path in (p for suffix in ("py", "pyi", "pxd") for p in PACKAGE.rglob(f"*.{suffix}")):
        name = path.relative_to(PACKAGE).with_suffix(".py").as_posix()
        found.setdefault(name, []).append(path)
    for path in KERNELS.rglob("*.pyx"):
        found.setdefault(f"_kernels/{path.stem}.py", []).append(path)
    return found


def imported_names(module, path):
    """Full names that a file imports, at the top or in a function."""
    code = path.read_text("utf-8")
    if path.suffix in (".pyx", ".pxd"):
        lines = re.findall(r"^(?:from \S+ )?c?import (?:.*\([^)]*\)|.*)", code, re.MULTILINE)
        code = "\n".join(lines).replace("cimport", "import")
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=parent, names=names, level=level):
                assert not level, f"{path}:{node.lineno}: import by the full name, from unitdot"
                yield from (f"{parent}.{alias.name}" for alias in names)
            case ast.Call(func=ast.Name(id="import_module" | "__import__")):
                assert module.removesuffix(".py") in MADE_UP, (
                    f"{path}:{node.lineno} imports by a name made up on the way, which no reader "
                    f"can follow: write an import statement, or say what it is in MADE_UP of "
                    f"{__file__}"
                )
    if path == PACKAGE / "__init__.py":
        yield from (f"unitdot.{name}" for name in unitdot.LATER)


def imports():
    """Module -> the modules of the package that it imports."""
    every, graph = modules(), {}
    for module, paths in every.items():
        graph[module] = set()
        for package, *parts in (n.split(".") for p in paths for n in imported_names(module, p)):
            if package == "unitdot":
                places = ["/".join(parts), "/".join(parts[:-1])]  # a module, or a name in one
                files = [f"{place}{end}" for place in places for end in (".py", "/__init__.py")]
                graph[module].add(next((file for file in files if file in every), "__init__.py"))
    return graph


def code_of(path):
    """The lines of a file without comments and strings."""
    strings = r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    comments = r"/\*(?:.|\n)*?\*/|//.*" if path.suffix == ".h" else r"#.*"
    blank = re.compile(f"{strings}|{comments}")
    return blank.sub(lambda m: "\n" * m[0].count("\n"), path.read_text("utf-8")).splitlines()


@pytest.mark.parametrize(
    ("folder", "suffixes"), [("src/unitdot", "py"), ("cython_kernels", "pyx pxi h")]
)
def test_every_file_has_a_room_and_is_on_the_page(folder, suffixes):
    top, order = PROJECT / folder, rooms(folder)
    files = {
        path.relative_to(top).as_posix() for s in suffixes.split() for path in top.rglob(f"*.{s}")
    }
    for file in sorted(files):
        room = room_of(file, order)
        assert room is not None, (
            f"{folder}/{file} is in no room: name it in the table of rooms in {PAGE}, below "
            f"all that import it and above all that it imports"
        )
        name = file.rpartition("/")[2]
        assert f"`{name}`" in rows(folder)[room] or name == "__init__.py", (
            f"{PAGE} does not say what is in {folder}/{file}: add `{name}` where its room is"
        )
    for name in (name for names in order for name in names):
        there = (top / name).is_dir() if name.endswith("/") else name in {*files, "_kernels/api.py"}
        assert there, (
            f"{PAGE} has a room {name}, which is not in {folder}: rename it or take it out"
        )


def test_no_import_runs_upwards():
    order = rooms("src/unitdot")
    for module, found in imports().items():
        for other in sorted(found):
            assert room_of(module, order) <= room_of(other, order), (
                f"{module} imports {other}, whose room is higher (the table of rooms in {PAGE}): "
                f"move what both need into a file of a lower room"
            )


def test_no_modules_import_each_other():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        pytest.fail(f"{circle}: move what they need of each other into a file below them")


def test_no_kernel_includes_upwards():
    order = rooms("cython_kernels")
    for path in sorted(KERNELS.rglob("*.*")):
        code = path.read_text("utf-8")
        for name in re.findall(
            r'^ *(?:# *)?(?:include|cdef extern from) "(.+?)"', code, re.MULTILINE
        ):
            other = next(p for p in (path.parent / name, KERNELS / "machine" / name) if p.exists())
            file, included = (p.resolve().relative_to(KERNELS).as_posix() for p in (path, other))
            assert room_of(file, order) <= room_of(included, order), (
                f"{file} includes {included}, whose room is higher (the table of rooms in {PAGE}): "
                f"move what it needs into a file of a lower room"
            )


def test_kernels_raise_nothing_about_input():
    raising = re.compile(r"\b(?:raise|assert)\b *(\w*)|\b(PyErr_(?!CheckSignals)\w+)")
    for path in sorted(KERNELS.rglob("*.*")):
        file = path.relative_to(KERNELS).as_posix()
        for number, line in enumerate(code_of(path), 1):
            for what in ("".join(found) for found in raising.findall(line)):
                assert what in ["MemoryError", *GUARDS.get(file, [])], (
                    f"cython_kernels/{file}:{number} raises ({line.strip()}): check arguments in "
                    f"src/unitdot/, or return what was found. If it is a guard against "
                    f"mistakes in the program, add it to GUARDS in {__file__}"
                )
