"""Sequences of changes: after each, an index is that of its rows."""

import copy
import pickle
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import unitdot
from tests.helpers import assert_same_bits, run_python
from tests.index import data
from unitdot._index_parts import Ids

SEEDS = st.integers(0, 50)


class Changes(RuleBasedStateMachine):
    """An index, and the rows and ids that it should have by now."""

    @initialize(
        kind=st.sampled_from(data.KINDS),
        ids=st.sampled_from(["none", "int", "str"]),
        n=st.sampled_from([0, 1, 7, 70]),
        copy=st.booleans(),
        seed=SEEDS,
    )
    def build(self, kind, ids, n, copy, seed):
        self.folder = TemporaryDirectory()
        self.kind, self.ids_kind, self.next_id, self.saved = kind, ids, 0, 0
        self.Y, self.ids = data.rows(n, seed, kind), self.new_ids(n)
        self.index = unitdot.CosineIndex(self.Y, ids=self.ids, copy=copy)
        self.older = []

    def new_ids(self, n):
        if self.ids_kind == "none":
            return None
        self.next_id += n
        ids = range(self.next_id - n, self.next_id)
        return [f"id-{i:x}\N{SNOWMAN}" for i in ids] if self.ids_kind == "str" else [*ids]

    @rule(n=st.sampled_from([0, 1, 3, 40]), seed=SEEDS)
    def add(self, n, seed):
        Z, ids = data.rows(n, seed, self.kind), self.new_ids(n)
        self.index.add(Z, ids)
        self.Y = data.stacked([self.Y, Z])
        if ids is not None:
            self.ids = [*self.ids, *ids]

    @rule(numbers=st.lists(st.integers(-5, 4), max_size=6), by_ids=st.booleans())
    def remove(self, numbers, by_ids):
        n = self.Y.shape[0]
        numbers = [number for number in numbers if -n <= number < n]
        keep = np.delete(np.arange(n), numbers)
        if by_ids and self.ids is not None:
            self.index.remove(ids=[self.ids[number] for number in numbers])
        else:
            self.index.remove(numbers)
        self.Y = self.Y[keep]
        if self.ids is not None:
            self.ids = [self.ids[number] for number in keep]

    @rule(bad=st.sampled_from(["ids", "features"]))
    def fail_to_add(self, bad):
        """What is refused leaves no trace."""
        Z, ids = data.rows(3, 1, self.kind), self.new_ids(3)
        if bad == "features":
            Z = Z[:, :-1]
        elif ids is None:
            ids = [1, 2, 3]
        else:
            ids[2] = ids[0]
        with pytest.raises(ValueError, match=r"ids|features"):
            self.index.add(Z, ids)

    @rule(verify=st.booleans())
    def save_and_open(self, verify):
        self.saved += 1
        path = Path(self.folder.name) / f"{self.saved}.unitdot"
        self.index.save(path)
        self.index = unitdot.CosineIndex.open(path, verify=verify)

    @rule()
    def overwrite_and_open(self):
        path = Path(self.folder.name) / "again.unitdot"
        self.index.save(path, overwrite=True)
        self.index = unitdot.CosineIndex.open(path)

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy]), go_on=st.booleans())
    def copy(self, how, go_on):
        """A copy and what it is of change by themselves."""
        other = how(self.index)
        if go_on:
            self.index, other = other, self.index
        self.older = [(other, self.Y, self.ids)]

    @precondition(lambda self: self.older)
    @rule()
    def go_back(self):
        here = self.index, self.Y, self.ids
        (self.index, self.Y, self.ids), self.older = self.older[0], [here]

    @rule(protocol=st.sampled_from([2, 5]))
    def pickle(self, protocol):
        self.index = pickle.loads(pickle.dumps(self.index, protocol))

    @invariant()
    def is_that_of_its_rows(self):
        for index, Y, ids in [(self.index, self.Y, self.ids), *self.older]:
            X = data.queries(2, kind=self.kind)
            data.assert_same_answers(index, Y, X)
            assert (None if index.ids is None else index.ids.tolist()) == ids

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestChanges = Changes.TestCase
TestChanges.settings = settings(stateful_step_count=12)


def test_added_rows_cost_no_copy_of_the_others():
    index = unitdot.CosineIndex(data.rows(1000))
    start = index[:].__array_interface__["data"]
    index.add(data.rows(100))
    assert index[:].__array_interface__["data"] == start
    index.add(data.rows(1000))
    moved = index[:].__array_interface__["data"]
    for _ in range(10):
        index.add(data.rows(200))
    assert index[:].__array_interface__["data"] == moved
    assert index.shape == (4100, 24)


@pytest.mark.parametrize("kind", ["float32", "sparse64"])
@pytest.mark.parametrize("opened", [False, True])
def test_copies_grow_apart(kind, opened, tmp_path):
    """Though what they had in common is in the same memory, where one of them had room for more."""
    Y = data.rows(40, kind=kind)
    index = unitdot.CosineIndex(Y, ids=[f"{i}" for i in range(40)])
    if opened:
        index.save(tmp_path / "index")
        index = unitdot.CosineIndex.open(tmp_path / "index")
    indexes = [index, copy.copy(index), copy.deepcopy(index)]
    more = [data.rows(3, seed, kind) for seed in (5, 6, 7)]
    for one, Z in zip(indexes, more, strict=True):
        one.add(Z, ["x", "y", "z"])
    for one, Z in zip(indexes, more, strict=True):
        data.assert_same_answers(one, data.stacked([Y, Z]), data.queries(kind=kind))
        one.remove(ids="y")
        assert one.ids[-3:].tolist() == ["39", "x", "z"]


def test_ids_that_a_failed_add_brought_are_free():
    index = unitdot.CosineIndex(data.rows(2), ids=["a", "b"])
    index.add(data.rows(1), ["c"])
    with pytest.raises(ValueError, match="'c'"):
        index.add(data.rows(2), ["d", "c"])
    index.add(data.rows(1), "d")
    index.remove(ids="c")
    index.add(data.rows(1), ["c"])
    assert index.ids.tolist() == ["a", "b", "d", "c"]


def test_ids_of_an_add_that_came_to_nothing():
    """As where memory for the rows ran out when there were ids already."""
    ids = Ids(np.arange(2))
    ids.extended(np.array([7, 8]))
    assert ids.place(7) is None
    ids = ids.extended(np.array([9, 7]))
    assert (ids.place(9), ids.place(7), ids.place(8)) == (2, 3, None)
    ids = ids.extended(np.array([8]))
    assert (ids.place(7), ids.place(8)) == (3, 4)


def test_sixteen_threads_search_while_one_adds_and_removes():
    """Each search is of the rows before or after a change: as many as it says, all of one age."""
    step, rounds = 20, 30
    base = data.rows(200)
    index = unitdot.CosineIndex(base)
    expected = {}
    for i in range(2):  # the rows that come and go
        Y = np.concatenate([base, data.rows(step, seed=99)]) if i else base
        expected[len(Y)] = Y
    X = data.queries(2)
    answers = {n: unitdot.cosine_top_k(X, Y, 5) for n, Y in expected.items()}
    sums = {n: unitdot.cosine_pairs(X, Y, threshold=0.3) for n, Y in expected.items()}
    stop, failures, searches = threading.Event(), [], [0] * 16

    def search(number):
        try:
            while not stop.is_set() or not searches[number]:
                found = index.top_k(X, 5)
                data.assert_same_neighbours(found, answers[found.shape[1]])
                pairs = index.pairs(X, threshold=0.3)
                data.assert_same_pairs(pairs, sums[pairs.shape[1]])
                searches[number] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        index.add(data.rows(step, seed=99))
        index.remove(slice(200, None))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(searches)
    assert len(index) == 200


def test_threads_that_add_lose_nothing():
    index = unitdot.CosineIndex(data.rows(1), ids=[-1])

    def add(number):
        for i in range(20):
            index.add(data.rows(3, seed=number), [number * 100 + 3 * i + j for j in range(3)])

    threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index) == 1 + 8 * 60
    for number in range(8):
        mine = np.flatnonzero(index.ids // 100 == number)
        assert_same_bits(index[mine], np.tile(data.rows(3, seed=number), (20, 1)))


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')")
def test_a_child_forked_while_a_thread_adds_can_add():
    done = run_python(
        """
        import os, threading, time
        import numpy as np, unitdot
        rng = np.random.default_rng(0)
        index = unitdot.CosineIndex(rng.random((100, 8)), ids=range(100))
        with index._writing:  # as if another thread were just adding
            child = os.fork()
            if not child:
                index.add(rng.random((5, 8)), range(100, 105))
                found = index.top_k(index[102], 1).indices[0]
                os._exit(0 if found == 102 and len(index) == 105 else 1)
        assert os.waitpid(child, 0)[1] == 0
        """,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("unitdot.CosineIndex([1.0, 2.0])", ValueError, "Y has 1 axis .*; expected a matrix"),
        ("unitdot.CosineIndex(np.ones((2, 0)))", ValueError, "0 features"),
        ("unitdot.CosineIndex(Y, copy=1)", TypeError, "copy is 1; expected True or False"),
        ("unitdot.CosineIndex(Y, ids=[1, 2])", ValueError, r"ids has shape \(2,\); .* of Y"),
        ("unitdot.CosineIndex(Y, ids=[1, 2, 1])", ValueError, "ids holds 1 in rows 0 and 2"),
        ("unitdot.CosineIndex(Y, ids=[*'aba'])", ValueError, "ids holds 'a' in rows 0 and 2"),
        ("unitdot.CosineIndex(Y, ids=[1, 'a', 2])", TypeError, "'a' in row 1; expected .*not both"),
        ("unitdot.CosineIndex(Y, ids=[1.0, 2, 3])", TypeError, "1.0 in row 0; expected integers"),
        ("unitdot.CosineIndex(Y, ids=[True, 2, 3])", TypeError, "True in row 0"),
        ("unitdot.CosineIndex(Y, ids=np.ones(3, bool))", TypeError, "dtype bool"),
        ("unitdot.CosineIndex(Y, ids=[1, None, 3])", ValueError, "holds None in row 1"),
        ("unitdot.CosineIndex(Y, ids=[1, 2, np.timedelta64(3, 's')])", TypeError, "in row 2; exp"),
        ("index.remove(ids=np.timedelta64(1, 's'))", TypeError, "expected integers, as the index"),
        ("index.remove(ids=np.array([1], 'm8[ns]'))", TypeError, "expected integers, as the index"),
        ("index.remove(ids=np.array([1], 'M8[ns]'))", TypeError, "expected integers, as the index"),
        ("unitdot.CosineIndex(Y, ids=[1, 2, 2**63])", ValueError, "too large an integer"),
        ("unitdot.CosineIndex(Y, ids=np.arange(3, dtype='u8') + 2**63)", ValueError, "holds 9223"),
        ("index.add(Z)", ValueError, "ids is None; expected ids"),
        ("plain.add(Z, [1])", ValueError, "ids is given where the index has none"),
        ("index.add(Z, [2])", ValueError, "holds 2 in row 0, which row 1 of the index has"),
        ("index.add(Z, ['x'])", TypeError, "holds strings where the index has integers"),
        ("index.add(Z[:, :2], [4])", ValueError, r"Z has 2 features .* the index has 4"),
        ("index.add(Z.astype('f8'), [4])", TypeError, r"float64 .*float32.*astype\('float32'\)"),
        ("index.add(csr(Z), [4])", TypeError, "Z is not dense .*Z.toarray"),
        ("sparse.add(Z)", TypeError, "Z is not sparse .*csr_array"),
        ("index.remove()", ValueError, "both None"),
        ("index.remove([0], ids=[1])", ValueError, "both given"),
        ("index.remove([0, 3])", ValueError, "rows holds 3 in place 1; expected -3 to 2"),
        ("index.remove(-4)", ValueError, "rows holds -4"),
        ("index.remove([True])", ValueError, r"rows is a mask of shape \(1,\)"),
        ("index.remove(1.5)", TypeError, "rows has dtype float64"),
        ("index.remove(ids=[1, 9])", ValueError, "ids holds 9, which no row"),
        ("index.remove(ids=5.0)", TypeError, "ids is 5.0; expected integers"),
        ("index.remove(ids=b'a')", TypeError, "ids is b'a'; expected integers"),
        ("index.remove(ids=[2.0])", TypeError, "ids holds 2.0; expected integers"),
        ("index.remove(ids=True)", TypeError, "ids holds True; expected integers"),
        ("index.remove(ids=[[1]])", TypeError, r"ids holds \[1\]; expected integers"),
        ("plain.remove(ids=[1])", ValueError, "ids is given where the index has none"),
        ("index[0, 1]", IndexError, "expected rows only"),
        ("index.top_k(Z, 1, include_self=True)", ValueError, "include_self is True beside an X"),
        ("index.top_k(Z[:, :2], 1)", ValueError, "Y has 4 features .* where X has 2"),
        ("index.pairs(Z, where=[3])", ValueError, "where holds 3 in place 0"),
        ("unitdot.CosineIndex(Y[:, :0])", ValueError, r"Y has 0 features \(shape \(3, 0\)\)"),
        ("index.pairs(Z, where=[1], groups=[1])", TypeError, "groups is not a pair"),
    ],
)
def test_errors_say_what_was_expected(call, error, words):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    Y, Z = np.eye(3, 4, dtype=np.float32), np.ones((1, 4), np.float32)
    names = {"unitdot": unitdot, "np": np, "Y": Y, "Z": Z, "csr": scipy_sparse.csr_array}
    names |= {"index": unitdot.CosineIndex(Y, ids=[1, 2, 3]), "plain": unitdot.CosineIndex(Y)}
    names["sparse"] = unitdot.CosineIndex(scipy_sparse.csr_array(Y))
    with pytest.raises(error, match=words):
        eval(call, names)
    assert [len(names[name]) for name in ("index", "plain", "sparse")] == [3, 3, 3]


@pytest.mark.parametrize("side", [None, np.ones((1, 4))])
def test_errors_of_rows_that_a_filter_lets_through_name_them(side):
    Y, name = np.ones((10, 4)), "X" if side is None else "Y"
    Y[7] = 0
    with pytest.raises(ValueError, match=f"{name} has a zero row, row 7,"):
        unitdot.CosineIndex(Y).pairs(side, where=[5, 7, 8], zero="raise")
    Y[7] = np.nan
    with pytest.raises(ValueError, match=f"{name} holds .* row 7, column 0"):
        unitdot.CosineIndex(Y).pairs(side, where=[5, 7, 8])


@pytest.mark.parametrize(
    ("ids", "given"),
    [
        ("np.array(['x', 'yy', 'z'])", ["x", "yy", "z"]),
        pytest.param(
            "np.array(['x', 'yy', 'z'], np.dtypes.StringDType())",
            ["x", "yy", "z"],
            marks=pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 2"),
        ),
        ("np.array([3, 1, 2], np.uint8)", [3, 1, 2]),
        ("range(3)", [0, 1, 2]),
        ("pandas.Series(['x', 'yy', 'z'], index=[5, 6, 7])", ["x", "yy", "z"]),
        ("pyarrow.array(['x', 'yy', 'z'])", ["x", "yy", "z"]),
        ("list(pyarrow.array(['x', 'yy', 'z']))", ["x", "yy", "z"]),
        ("list(pyarrow.array([5, 4, 3], 'uint8'))", [5, 4, 3]),
        ("polars.Series([5, 4, 3])", [5, 4, 3]),
        ("['', '\\ud800', 'a\\0']", ["", "\ud800", "a\0"]),
    ],
)
def test_ids_as_people_have_them(ids, given, tmp_path):
    names = {n: pytest.importorskip(n) for n in ("pandas", "pyarrow", "polars") if n in ids}
    index = unitdot.CosineIndex(data.rows(3), ids=eval(ids, {"np": np, **names}))
    assert index.ids.tolist() == given
    index.save(tmp_path / "ids")
    assert unitdot.CosineIndex.open(tmp_path / "ids").ids.tolist() == given
    index.remove(ids=index.ids[1:])
    assert index.ids.tolist() == given[:1]


@pytest.mark.parametrize(("given", "wrong"), [([5, 4, 3, 2], ["x"]), (["x", "", "z", "y"], [5])])
def test_ids_of_arrow_are_those_of_the_index(given, wrong):
    pyarrow = pytest.importorskip("pyarrow")
    ids, index = pyarrow.array(given), unitdot.CosineIndex(data.rows(2), ids=given[:2])
    index.add(data.rows(1)[0], ids=ids[2])
    index.add(data.rows(1), ids=[ids[3]])
    assert index.ids.tolist() == given
    index.remove(ids=ids[0])
    index.remove(ids=ids[1:2])
    index.remove(ids=list(ids[2:3]))
    assert index.ids.tolist() == given[3:]
    with pytest.raises(TypeError, match=r"ids holds .*; expected .*, as the index has"):
        index.remove(ids=pyarrow.array(wrong))
    with pytest.raises(TypeError, match=r"ids holds .*; expected .*, as the index has"):
        index.remove(ids=pyarrow.array([1], pyarrow.timestamp("ns")))
