"""Nothing in src/ computes with the elements of arrays: that is for the kernels."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "unitdot"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# what NumPy may be asked for: memory, shapes, dtypes, files, numbers of rows
NOT_COMPUTING = """
    arange array asarray ascontiguousarray atleast_2d bool_ broadcast_shapes broadcast_to can_cast
    column_stack concatenate dtype empty errstate exceptions expand_dims finfo float16 float32
    float64 floating frombuffer iinfo int32 int64 integer intp lib load loadtxt ma may_share_memory
    moveaxis nan ndarray ndim ndindex ones pad require result_type shape shares_memory split str_
    timedelta64 uint8 zeros __version__
"""
# what of NumPy's does not return an array
NO_ARRAYS = """
    broadcast_shapes can_cast dtype errstate finfo float16 float32 float64 iinfo int32 int64 lib
    may_share_memory ndim ndindex result_type shape shares_memory
"""
COMPUTING_METHODS = """
    all any argmax argmin argpartition argsort clip cumprod cumsum dot max mean min partition
    prod round searchsorted sort std sum trace var
"""
ALLOWED = {
    "_calls.py": "where the matrices of a stack lie: shapes, strides and offsets",
    "_dask/tasks.py": "numbers of rows, of a block and of the whole; the order of pairs",
    "_frames/common.py: check_lengths": "finds the first row of another length, for the error",
    "_frames/common.py: check_no_null": "finds the first null, for the error",
    "_frames/of_arrow.py: _lengths": "lengths of rows, nulls among them",
    "_frames/of_pandas.py: _check_no_nan": "counts missing values of columns, for the error",
    "_frames/of_pandas.py: _conversions": "whether a column's text is numbers, for the error",
    "_frames/rows.py: not_numbers": "whether elements are numbers, for the error",
    "_cli/demo.py": "the demonstration looks at results, and compares them with scikit-learn's",
    "_cli/commands.py: _named": "finds places that are left over",
    "_cli/commands.py: find": "numbers of rows, of a part and of the whole",
    "_cli/commands.py: run_dedup": "how many rows are kept, how many clusters there are",
    "_cli/kept.py": "numbers of rows",
    "_cli/tables.py: _check_values": "finds columns that count, as ids do",
    "_cli/tables.py: _first_null": "finds a null, for the error",
    "_cli/tables.py: _parsed": "finds text that is no list, for the error",
    "_index_parts.py: arrays": "where strings end",
    "_labels.py: as_ids": "the largest of ids",
    "_labels.py: check_unique": "ids that are there twice",
    "_labels.py: _first_out_of_range": "finds a time that another unit cannot hold, for the error",
    "_neighbors.py: _limit": "one number: the threshold",
    "_neighbors.py: _search": "a status, as bits",
    "_neighbors.py: pairs_of": "a status, as bits",
    "_neighbors.py: next_group": "numbers of rows, from those in a group",
    "_prepared.py: kept": "where rows are among panels",
    "_results.py: keep_first": "brings pairs that were put together by hand into order",
    "_results.py: to_csr": "1 - similarity, an entry each; row starts; whether pairs are in order",
    "_selection.py": "numbers of rows: who meets whom, and where that goes in the results",
    "_sklearn/functions.py: _nearest": "1 - similarity of k neighbours a row, the row itself first",
    "_sklearn/functions.py: _within": "1 - similarity of the pairs, as scikit-learn returns them",
    "_sklearn/functions.py: linkage_tree": "zero rows are scikit-learn's to refuse",
    "_sklearn/functions.py: paired_distances": "finds zero rows, which are left to scikit-learn",
    "_sparse/functions.py: _apart": "numbers of features, of each group's own",
    "_sparse/functions.py: _csr": "row starts from the number of entries of each row",
    "_sparse/few.py: take": "row numbers from the number of pairs of each row",
    "_sparse/functions.py: _every_entry": "as _csr",
    "_sparse/functions.py: _top_k_of_some": "numbers of rows, from those in a group",
    "_sparse/joins.py: pairs_above": "as take of few.py",
    "_sparse/functions.py: full": "which of two axes to drop",
    "_sparse/functions.py: paired": "1 - similarity, a number a row",
    "_sparse/inputs.py: _of_coo": "row starts from coordinates",
    "_sparse/inputs.py: _raise_structure": "finds a bad index, for the error",
    "_sparse/inputs.py: check_is_finite": "finds a NaN or an infinity, for the error",
    "_sparse/inputs.py: numbered": "numbers of the features that occur",
    "_sparse/inputs.py: occurring_in": "the features that occur",
    "_vectors.py: check_unmasked": "finds the first masked element, for the error",
    "_vectors.py: check_rows": "numbers of rows, from either end",
    "_vectors.py: check_within": "finds a number of a row that is out of range, for the error",
    "_vectors.py: check_where": "numbers of rows, from a mask, a slice or numbers",
    "neighbors.py: _graph": "1 - similarity, an entry each, and the order of entries",
    "datasets.py: load_stdlib_docs": "unpacks the shipped embeddings, stored in 8 bits",
}


class Known:
    """What is annotated as an array, or as holding some, in src/: types, fields, functions."""

    def __init__(self):
        trees = [ast.parse(path.read_text("utf-8")) for path in FILES.values()]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        self.types = {"NDArray", "ndarray"}
        for node in nodes:
            match node:  # Array = npt.NDArray[Any]
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() as value):
                    if name[0].isupper() and self.annotates(value):
                        self.types.add(name)
        self.fields = set()
        for cls in (node for node in nodes if isinstance(node, ast.ClassDef)):
            lines = [node for node in cls.body if isinstance(node, ast.AnnAssign)]
            fields = {line.target.id for line in lines if self.annotates(line.annotation)}
            self.fields |= fields
            derived = self.types & {ast.unparse(base) for base in cls.bases}
            self.types |= {cls.name} if fields or derived else set()
        self.functions = {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef) and self.annotates(node.returns)
        }

    def annotates(self, annotation):
        text = "" if annotation is None else ast.unparse(annotation)
        return "Callable" not in text and bool(self.types & {*re.findall(r"\w+", text)})


class Computing(ast.NodeVisitor):
    """The (function, line, code) where a file computes with the elements of arrays.

    Arrays are what is annotated so, X and Y, and what NumPy or an array makes of arrays.
    """

    def __init__(self, known, code):
        self.known, self.function, self.found = known, "", []
        self.names = {"X", "Y"}
        self.visit(ast.parse(code))

    def flag(self, node):
        self.found.append((self.function, node.lineno, ast.unparse(node)))

    def is_array(self, node):
        match node:
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(value=value, attr=name):
                return name in self.known.fields or (name == "T" and self.is_array(value))
            case ast.Subscript(value=value, slice=index):
                parts = index.elts if isinstance(index, ast.Tuple) else [index]
                return self.is_array(value) and any(map(self.is_selection, parts))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name)):
                return name not in NO_ARRAYS.split()
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if self.is_array(value):
                return name in {"astype", "copy", "ravel", "reshape", "view"}
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name)):
                return name in self.known.functions
            case ast.BinOp(left=a, right=b) | ast.IfExp(body=a, orelse=b):
                return self.is_array(a) or self.is_array(b)
            case ast.UnaryOp(operand=operand):
                return self.is_array(operand)
            case ast.Compare(left=left, ops=[op, *_], comparators=others):
                identity = isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn)
                return not identity and any(map(self.is_array, [left, *others]))
        return False

    def is_selection(self, index):
        """Whether an index selects a part of an array, not an element."""
        match index:
            case ast.Slice() | ast.Constant(value=None | str()):
                return True
        return self.is_array(index)

    def bind(self, target, value):
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                for pair in zip(targets, values, strict=False):
                    self.bind(*pair)
            case ast.Tuple(elts=targets), _:
                for one in targets:
                    self.bind(one, value)
            case ast.Name(id=name), _ if self.is_array(value):
                self.names.add(name)

    def visit_FunctionDef(self, node):
        outer = self.function, self.names
        arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        annotated = {a.arg for a in arguments if self.known.annotates(a.annotation)}
        self.function, self.names = node.name, self.names | annotated
        self.generic_visit(node)
        self.function, self.names = outer

    def generic_visit(self, node):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.bind(target, value)
            case ast.AnnAssign(target=target, value=value):
                self.bind(target, value)
            case ast.withitem(context_expr=value, optional_vars=target):
                self.bind(target, value)
            case ast.BinOp(op=ast.MatMult()):
                self.flag(node)
            case ast.UnaryOp(op=ast.Not()):
                pass
            case ast.BinOp() | ast.UnaryOp() | ast.Compare() if self.is_array(node):
                self.flag(node)
            case ast.AugAssign(target=a, value=b) if self.is_array(a) or self.is_array(b):
                self.flag(node)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if self.is_array(value):
                if name in COMPUTING_METHODS.split():
                    self.flag(node)
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if (
                name not in NOT_COMPUTING.split()
            ):
                self.flag(node)
            case ast.ImportFrom(module=module) if module.partition(".")[0] == "numpy":
                self.flag(node)
        super().generic_visit(node)


@pytest.fixture(scope="module")
def known():
    return Known()


def test_nothing_in_src_computes_with_elements(known):
    used = set()
    for file, path in FILES.items():
        for function, line, code in Computing(known, path.read_text("utf-8")).found:
            place = next((p for p in (file, f"{file}: {function}") if p in ALLOWED), None)
            assert place, (
                f"src/unitdot/{file}:{line} computes with elements of arrays: {code}\n"
                f"Do it in cython_kernels/. If it is bookkeeping of rows, add "
                f'"{file}: {function}" to ALLOWED in {__file__}, with the reason'
            )
            used.add(place)
    assert used == {*ALLOWED}, "these do not compute (any more): take them out of ALLOWED"


@pytest.mark.parametrize(
    "code",
    [
        "def f(a: Array | None): return a * 2",
        "def f(a, b): return a @ b",
        "def f(): X /= 2",
        "def f(): return -np.asarray(given, dtype=float)",
        "def f():\n similarities, indices = cosine_top_k(given)\n return similarities[:n] < 1",
        "def f():\n with np.load(path) as archive: return archive['a'] + 1",
        "def f(): return memory.empty(shape, dtype).T.sum(axis=1)",
        "def f(a): return np.linalg.norm(a)",
        "from numpy.linalg import norm",
    ],
)
def test_what_computes_is_found(code, known):
    assert Computing(known, code).found


@pytest.mark.parametrize(
    "code",
    [
        "def f(a: Array): return 2 * len(a) * a.shape[0] * a[0] + a.size, a is None, not a",
        "def f(): return np.empty((X.shape[0] + 1, 2), X.dtype)[1:].astype(np.float32)",
        "def f(n: int): return -n * 2 < sum(range(n))",
    ],
)
def test_what_does_not_compute_passes(code, known):
    assert not Computing(known, code).found
