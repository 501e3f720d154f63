"""A .pxi can be read alone: its head says what it does, what it takes from where, what it gives.

    # Packing: rows become panels, and their norms fall out of the same pass.
    #
    # takes: kernels.pyx, source.pxi, vectors.h
    # gives: Pack, panel_of

`takes` are the files where names stand that it uses (C headers where they are declared as theirs;
not what a .pyx cimports of Cython and the C library), `gives` the names that other files or Python
use. Files of another folder but machine/ have it in front: dense/source.pxi.
"""

import re
import textwrap
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("Cython")
from Cython.Compiler import ExprNodes, Nodes
from Cython.Compiler.TreeFragment import parse_from_strings

KERNELS = Path(__file__).parents[2] / "cython_kernels"
MODULES = sorted(KERNELS.rglob("*.pyx"))
FILES = sorted(KERNELS.rglob("*.pxi"))
INCLUDE = re.compile(r'^include "(.+)"', re.MULTILINE)


def included(module):
    """The files that a .pyx includes, in order."""
    names = INCLUDE.findall(module.read_text("utf-8"))
    return [(module.parent / name).resolve() for name in names]


def statements(node):
    """What stands at the top of a file, or in the body of a class."""
    if isinstance(node, Nodes.StatListNode):
        for statement in node.stats:
            yield from statements(statement)
    elif node is not None:
        yield node


@cache
def parsed(path):
    code = INCLUDE.sub("", path.read_text("utf-8"))
    return [*statements(parse_from_strings(path.name, code).body)]


def nodes_in(node):
    yield node
    for name in {*node.child_attrs, "args", "base_type", "expr", "target", "types"}:
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if isinstance(one, Nodes.Node):
                yield from nodes_in(one)


def declared(declarator):
    while not isinstance(declarator, Nodes.CNameDeclaratorNode):
        declarator = declarator.base
    return declarator.name


def definitions(statement):
    """Name -> whether Python sees it, of all that a statement defines for the whole module."""
    match statement:
        case Nodes.CFuncDefNode() | Nodes.CTypeDefNode():
            return {declared(statement.declarator): False}
        case Nodes.CVarDefNode():
            return {declared(one): False for one in statement.declarators}
        case Nodes.CEnumDefNode():
            own = {statement.name: statement.create_wrapper} if statement.name else {}
            return own | {item.name: False for item in statement.items}
        case Nodes.CStructOrUnionDefNode() | Nodes.FusedTypeNode():
            return {statement.name: False}
        case Nodes.CClassDefNode():
            return {statement.class_name: True}
        case Nodes.DefNode():
            return {statement.name: True}
        case Nodes.SingleAssignmentNode(lhs=ExprNodes.NameNode(name=name), rhs=value):
            return {} if isinstance(value, ExprNodes.ImportNode) else {name: True}
    return {}


def uses(statement):
    """Names in a statement that it does not declare itself: as variable, argument or field."""
    if isinstance(statement, Nodes.CClassDefNode):
        return set().union(*map(uses, statements(statement.body)))
    used, own = set(), set()
    for node in nodes_in(statement):
        match node:
            case ExprNodes.NameNode() | Nodes.CSimpleBaseTypeNode():
                used.add(node.name)
            case Nodes.CArgDeclNode() | Nodes.CFuncDefNode():
                own.add(declared(node.declarator))
            case Nodes.CVarDefNode():
                own |= {declared(one) for one in node.declarators}
        for target in (getattr(node, name, None) for name in ("lhs", "target")):
            match target:
                case ExprNodes.NameNode():
                    own.add(target.name)
                case ExprNodes.TupleNode():
                    own |= {one.name for one in target.args if isinstance(one, ExprNodes.NameNode)}
    return used - own


def short(path, near):
    """The name of a file, as a file of the folder `near` calls it."""
    beside = path.parent in (near, KERNELS / "machine")
    return path.name if beside else path.relative_to(KERNELS).as_posix()


@cache
def found():
    """Of every .pxi: the files that it takes names from, and the names that it gives."""
    takes, gives = ({path: {} for path in FILES} for _ in range(2))
    for module in MODULES:
        parts = [module, *included(module)]
        home = {}  # name -> the file where it stands
        for extern in (s for s in parsed(module) if isinstance(s, Nodes.CDefExternNode)):
            if extern.include_file:
                names = [name for s in statements(extern.body) for name in definitions(s)]
                home |= dict.fromkeys(names, KERNELS / "machine" / extern.include_file)
        headers = [*dict.fromkeys(home.values())]
        home |= {name: part for part in parts for s in parsed(part) for name in definitions(s)}
        for part in parts:
            used = set().union(*map(uses, parsed(part)))
            sources = {name: home[name] for name in used if home.get(name, part) != part}
            for source in [*parts, *headers]:
                if source in sources.values() and part != module:
                    takes[part][short(source, part.parent)] = None
            for name, source in sources.items():
                gives.get(source, {})[name] = None
    for path in FILES:
        defined = [pair for s in parsed(path) for pair in definitions(s).items()]
        gives[path] = [name for name, public in defined if public or name in gives[path]]
    return {path: {"takes": [*takes[path]], "gives": gives[path]} for path in FILES}


def head_of(path):
    """What a file's head says: "takes" and "gives" -> names."""
    (head,) = re.findall(r"\A(?:#.*\n)*", path.read_text("utf-8"))
    lists = re.findall(r"^# (takes|gives): (.*\n(?:#  .*\n)*)", head, re.MULTILINE)
    return {word: re.findall(r"[\w./]+", names) for word, names in lists}


def lines_of(word, names):
    """As it stands in a head."""
    return textwrap.fill(
        ", ".join(names), 100, initial_indent=f"# {word}: ", subsequent_indent="#        "
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(KERNELS).as_posix())
def test_head_says_what_is_taken_and_given(path):
    said, right = head_of(path), found()[path]
    wrong = []
    for word, missing, needless in (
        ("takes", "uses names of {}, which it does not name", "names {}, of which it uses nothing"),
        (
            "gives",
            "does not tell that it gives {}",
            "promises {}, which is not there or not used elsewhere",
        ),
    ):
        before, now = said.get(word, []), right[word]
        wrong += [missing.format(name) for name in now if name not in before]
        wrong += [needless.format(name) for name in before if name not in now]
    if not re.match("# (?!takes:|gives:)", path.read_text("utf-8")):
        wrong.append("does not begin with what the file does, in two or three lines")
    lines = "\n".join(lines_of(word, names) for word, names in right.items())
    assert not wrong, f"The head of {path}\n  " + "\n  ".join(wrong) + f"\nIt should be:\n{lines}"


@pytest.mark.parametrize("module", [m for m in MODULES if included(m)], ids=lambda m: m.name)
def test_module_tells_of_each_file(module):
    tree = parse_from_strings(module.name, INCLUDE.sub("", module.read_text("utf-8")))
    told = re.findall(r"^ +(\w+\.pxi) ", str(tree.doc), re.MULTILINE)
    assert {*told} == {path.name for path in included(module)}, (
        f"the docstring of {module} should list the files that it includes, each with what it does"
    )


def test_every_file_is_included():
    everywhere = {path for module in MODULES for path in included(module)}
    assert everywhere == {*FILES}, "a .pxi that no .pyx includes is no part of the build: delete it"
