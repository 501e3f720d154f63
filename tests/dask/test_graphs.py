"""What is built and what is not: tasks, blocks, errors before and while tasks run."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import unitdot
from unitdot._machine.dispatch import active_isa, kernels
from unitdot._neighbors import pairs_of
from unitdot._options import check_options
from unitdot._prepared import Prepared, constants_for_joins

from ..helpers import ALL, MATRIX, REDUCTIONS, SCREENED_ISAS, normal
from ..neighbors import assert_same_result

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
on_dask = pytest.importorskip("unitdot.dask")

EVERY = [*ALL, *REDUCTIONS]


def call(name, X, Y=None, **keywords):
    """The function of this name; paired ones get X twice."""
    function = getattr(on_dask, name)
    return function(X, X if name in ALL and name not in MATRIX and Y is None else Y, **keywords)


def collection(found):
    return found.similarities if isinstance(found, unitdot.TopK) else found


def tasks(found):
    found = collection(found)
    return dict(getattr(found, "optimize", lambda: found)().__dask_graph__())


def never(block):
    raise AssertionError("a block is computed")


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_computed_before_it_is_asked_for(name):
    X = da.ones((40, 8), chunks=(10, 3)).map_blocks(never, dtype="f8", meta=np.empty((0, 0)))
    found = collection(call(name, X))
    with pytest.raises(AssertionError, match="a block is computed"):
        found.compute(scheduler="sync")


@pytest.mark.parametrize("name", [*MATRIX, *REDUCTIONS])
def test_of_one_set_half_of_the_blocks_meet(name, monkeypatch):
    X = da.from_array(normal((60, 8)), chunks=(10, 8))
    met = []
    for function in ("_full", "top_k_of", "top_k_of_both", "pairs_of"):
        module = unitdot._similarity if function == "_full" else unitdot._neighbors
        plain = getattr(module, function)

        def counted(*arguments, plain=plain, **keywords):
            met.append(arguments[1])
            return plain(*arguments, **keywords)

        monkeypatch.setattr(module, function, counted)
    keywords = {"k": 3} if name == "cosine_top_k" else {}
    collection(call(name, X, **keywords)).compute(scheduler="sync")
    # 6 blocks: 15 pairs of two, and 6 of one with itself
    assert sum(other is None for other in met) == 6
    assert len(met) == 21


@pytest.mark.filterwarnings("ignore:chunks of")
def test_a_block_is_in_the_graph_once_and_tasks_are_few():
    X = normal((600, 50), np.float32)
    lazy = da.from_array(normal((60, 50), np.float32), chunks=(2, 50))
    for name in (*MATRIX, *REDUCTIONS):
        found = call(name, lazy, X)
        graph = tasks(found)
        assert len(pickle.dumps(graph)) < 3 * X.nbytes, name
        assert len(graph) < 7 * 30, name
    for k, blocks in (1, 2), (5, 30):
        Y = da.from_array(normal((30, 50)), chunks=(30 // blocks, 50))
        found = on_dask.cosine_top_k(lazy, Y, k=k)
        assert len(tasks(found)) <= 30 * (blocks + 5) + 3 * blocks


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("side", ["X alone", "Y"])
def test_what_is_dealt_out_late(name, side):
    """The last quarter of what meets, and of pairs each block with itself: nothing waits for it."""
    X, Y = (da.from_array(normal((80, 8), seed=seed), chunks=(10, 8)) for seed in (0, 1))
    graph = tasks(call(name, X, None if side == "X alone" else Y))
    parts = {key[1:]: task for key, task in graph.items() if str(key[0]).endswith("-part")}
    assert len(parts) == (36 if side == "X alone" else 64)
    late = {place for place, task in parts.items() if task.data_producer}
    itself = {(i, i) for i in range(8)} if (name, side) == ("cosine_pairs", "X alone") else set()
    assert itself <= late
    assert len(late - itself) == (16 if side == "Y" else 6 if itself else 9)
    if name == "cosine_top_k":  # what the floors of others come from is not
        assert all(i // 2 != j // 2 if side == "X alone" else j > 1 for i, j in late)


def test_pairs_cost_few_tasks_beside_those_of_blocks_that_meet():
    """Four for each block of rows: one is its own, one puts together, two are Dask's."""
    X = da.from_array(normal((80, 8)), chunks=(10, 8))
    assert len(tasks(on_dask.cosine_pairs(X))) <= 36 + 4 * 8 + 2


@pytest.mark.parametrize("name", EVERY)
def test_the_same_call_has_the_same_keys(name):
    X = da.from_array(normal((40, 8)), chunks=(10, 8))
    names = [
        collection(call(name, X, zero=zero)).__dask_keys__() for zero in ("nan", "nan", "zero")
    ]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("name", EVERY)
def test_chunks_of_unknown_sizes(name):
    X = da.from_array(normal((40, 8)), chunks=(10, 8))
    unknown = X[X[:, 0] > 0]
    with pytest.raises(
        ValueError, match=r"^X has chunks of unknown sizes .*X\.compute_chunk_sizes"
    ):
        call(name, unknown)
    unknown.compute_chunk_sizes()  # as it says
    collection(call(name, unknown)).compute()
    with pytest.raises(
        ValueError, match=r"^Y has chunks of unknown sizes .*Y\.compute_chunk_sizes"
    ):
        call(name, X, X[X[:, 0] > 0])


BAD = [
    ({"X": da.ones((4, 3)), "Y": da.ones((4, 2))}, ValueError, "Y has 2 features"),
    ({"X": da.ones((4, 0)), "Y": da.ones((4, 0))}, ValueError, "X has 0 features"),
    ({"X": da.ones(4)}, ValueError, "X has 1 axis"),
    ({"X": da.ones((4, 3)), "Y": [1.0, 2, 3]}, ValueError, "Y has 1 axis"),
    ({"X": da.ones((4, 3), dtype=complex)}, TypeError, "X holds complex"),
    ({"X": da.ones((4, 3)), "zero": "x"}, ValueError, "zero is"),
    ({"X": da.ones((4, 3)), "dtype": "i4"}, ValueError, "dtype is"),
    ({"X": da.ones((4, 3)), "n_threads": 0}, ValueError, "n_threads is 0"),
]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("arguments", "error", "match"), BAD, ids=[bad[2] for bad in BAD])
def test_bad_arguments_are_refused_at_once(name, arguments, error, match):
    with pytest.raises(error, match=f"^{match}"):
        call(name, **arguments)


def test_bad_arguments_of_one_function():
    X = da.ones((4, 3))
    for keywords, match in (
        ({"k": 4}, "k is 4 where each row has 3 candidates"),
        ({"Y": X, "include_self": True}, "include_self is True beside a Y"),
        ({"threshold": 2}, "threshold is 2"),
    ):
        with pytest.raises(ValueError, match=f"^{match}"):
            on_dask.cosine_top_k(X, **keywords)
    with pytest.raises(ValueError, match=r"^max_pairs is 0"):
        on_dask.cosine_pairs(X, max_pairs=0)
    with pytest.raises(ValueError, match=r"^Y has 5 rows where X has 4"):
        on_dask.paired_cosine_similarity(X, da.ones((5, 3)))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("side", "XY")
@pytest.mark.parametrize("bad", ["NaN", "zero row"])
def test_errors_name_the_row_of_the_whole(name, side, bad):
    arrays = {"X": normal((50, 8)), "Y": normal((50, 8), seed=1)}
    if bad == "NaN":
        arrays[side][43, 5] = np.nan
        match, keywords = f"^{side} holds a NaN or an infinity at row 43, column 5;", {}
    else:
        arrays[side][43] = 0
        match, keywords = f"^{side} has a zero row, row 43, whose", {"zero": "raise"}
    lazy = {key: da.from_array(array, chunks=(20, 4)) for key, array in arrays.items()}
    with pytest.raises(ValueError, match=match):
        collection(call(name, **lazy, **keywords)).compute()
    if name in REDUCTIONS or name in MATRIX:  # where it is one set, X is what the caller knows
        with pytest.raises(ValueError, match=match.replace("Y", "X")):
            collection(call(name, lazy[side], **keywords)).compute()


@pytest.mark.parametrize("name", [*MATRIX, *REDUCTIONS])
def test_tasks_that_are_too_small_are_told_of(name):
    X, Y = da.ones((1000, 8), chunks=(50, 8)), da.ones((900, 8), chunks=(90, 4))
    for sides, words in (
        ({"X": X}, "chunks of X of 50 rows make 210 tasks"),
        ({"X": X, "Y": Y}, "chunks of X of 50 rows and Y of 90 rows make 200 tasks"),
    ):
        with pytest.warns(UserWarning, match=words) as told:
            call(name, **sides)
        assert told[0].filename == __file__
        names = dict(sides)
        exec(str(told[0].message).rpartition(": ")[2], names)  # as it says
        call(name, **{side: names[side] for side in sides})


def test_without_dask_the_error_says_what_to_install():
    code = "import sys; sys.modules['dask'] = None; import unitdot; unitdot.dask"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'unitdot[dask]'" in run.stderr


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("side", ["X alone", "Y"])
def test_heads_are_made_once_a_block(name, side, monkeypatch):
    from unitdot._dask import graphs

    monkeypatch.setattr(graphs, "HEADED", 0)
    X, Y = (
        normal((n, 80), np.float32, seed=n) @ normal((80, 80), np.float32) for n in (3000, 2400)
    )
    X[700] = X[3]
    lazy = [da.from_array(X, chunks=(600, 80))]
    plain = [X]
    if side == "Y":
        lazy.append(da.from_array(Y, chunks=(600, 80)))
        plain.append(Y)
    function, made = Prepared.along.__func__, []

    def counted(cls, constants, rows, *more):
        made.append(len(rows))
        return function(cls, constants, rows, *more)

    monkeypatch.setattr(Prepared, "along", classmethod(counted))
    module = kernels(False)
    module.force_heads(1, 8)
    try:
        found = call(name, *lazy)
        blocks = 5 if len(lazy) == 1 else 9
        heads = [key for key in tasks(found) if "heads" in str(key)]
        assert len(heads) == blocks
        found, expected = dask.compute(found, scheduler="sync")[0], getattr(unitdot, name)(*plain)
        if active_isa() in SCREENED_ISAS:
            assert made == [600] * blocks
            assert module.headed() >= 10
    finally:
        module.force_heads(0, 0)
    if name == "cosine_pairs":
        found = unitdot.Pairs(*(found[column].to_numpy() for column in found.columns))
    assert_same_result(found, expected)


@pytest.mark.skipif(active_isa() not in SCREENED_ISAS, reason="no integers")
def test_heads_of_another_kind_of_processor_are_left_alone():
    X = normal((3000, 80), np.float32) @ normal((80, 80), np.float32)
    X[1500:] = X[:1500] + 0.1 * normal((1500, 80), np.float32, seed=1)
    module, options = kernels(False), check_options(("f4", "zero", True, 2))
    constants = constants_for_joins(X, 0.99)
    own = int(constants["levels"][0])
    assert own == (127 if active_isa() == "avx512vnni" else 63)
    expected = unitdot.cosine_pairs(X[:1500], X[1500:], threshold=0.99)
    assert len(expected.rows) >= 1000
    module.force_heads(1, 8)
    try:
        for levels in (own, 190 - own):
            given = constants | {
                "levels": np.full(1, levels),
                "units": constants["units"] * np.float32(own / levels),
            }
            heads = [Prepared.along(given, part) for part in (X[:1500], X[1500:])]
            found = pairs_of(X[:1500], X[1500:], 0.99, None, None, False, options, None, heads)
            assert_same_result(unitdot.Pairs(*found), expected)
    finally:
        module.force_heads(0, 0)
