"""An index that is made, changed, saved, opened, pickled and copied, and searched in between.

Every search gives what the plain function gives on the rows that should be there, or its error.
"""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np

import unitdot
from unitdot._machine.dispatch import use_isa

from ..helpers import FUSED_ISAS, ISAS, assert_same_bits
from ..neighbors import assert_same_result, most_similar
from . import dense, held, sparse
from .selection import choose, common_options, outcome, where_of


def check(c):
    """A short life of an index, and of the copies that were made of it."""
    with use_isa(c.pick(FUSED_ISAS or ISAS)), tempfile.TemporaryDirectory() as folder:
        it = held.make(c)
        if it is None:
            return
        copies = []
        for step in range(1 + c.below(6)):
            what = c.pick((held.add, held.remove, search, search, again))
            if what is search:
                search(c, it)
            elif what is again:
                copies.append(it)
                it = again(c, it, Path(folder) / f"{step}.unitdot")
            else:
                it = what(c, it)
        for one in (it, *copies):
            held.check_holds(one)
            search(c, one)
        del it, copies, one  # Windows removes no file that is mapped


def again(c, it, path):
    """The same index by another way: the old one is there too, and neither knows of the other."""
    how = c.below(5)
    if how == 0:
        index = pickle.loads(pickle.dumps(it.index))
    elif how == 1:
        index = copy.copy(it.index)
    elif how == 2:
        index = copy.deepcopy(it.index)
    else:
        it.index.save(path)
        index = unitdot.CosineIndex.open(path, verify=c.byte() % 2 == 1)
        if how == 3:
            index = pickle.loads(pickle.dumps(index))
    return it._replace(index=index)


def search(c, it):
    """One search, beside that of the plain function."""
    what = c.pick(("top_k", "top_k", "pairs", "similarity"))
    X = queries(c, it.rows.shape[1])
    options = common_options(c)
    if what == "similarity":
        X = it.rows[:0] if X is None else X
        own = {"dense_output": c.byte() % 2 == 0}
        same(
            outcome(it.index.similarity, X, **own, **options),
            outcome(unitdot.cosine_similarity, X, it.rows, **own, **options),
        )
        return
    n = it.n if X is None else len(np.atleast_2d(X)) if isinstance(X, np.ndarray) else X.shape[0]
    own, _, errors = choose(c, n, it.n, X is None, what == "top_k")
    sides = (it.rows,) if X is None else (X, it.rows)
    if what == "top_k":
        found = outcome(it.index.top_k, X, **own, **options)
        same(found, outcome(unitdot.cosine_top_k, *sides, **own, **options))
        return
    if c.byte() % 2:
        pairs_of_some(c, it, X, own, options, errors)
        return
    found = outcome(it.index.pairs, X, **own, **options)
    same(found, outcome(unitdot.cosine_pairs, *sides, **own, **options))


def pairs_of_some(c, it, X, own, options, errors):
    """Pairs with a filter: those of the plain function, less those that it leaves out."""
    where, chosen, error = where_of(c, it.n)
    found = outcome(it.index.pairs, X, where=where, **own, **options)
    most = own.pop("max_pairs", 10**9)
    sides = (it.rows,) if X is None else (X, it.rows)
    expected, raised = outcome(unitdot.cosine_pairs, *sides, **own, **options)
    if found[1] is None and raised is not None and not chosen.all():
        return  # for a row that is not asked for
    if error is not None or raised is not None or most == 0:
        errors = tuple(e for e in (error, type(raised), *errors) if e)
        assert isinstance(found[1], errors), f"expected {errors}, got {found[1]!r}"
        return
    kept = chosen[expected.columns] & (X is not None or chosen[expected.rows])
    left = unitdot.Pairs(*(array[kept] for array in expected), expected.shape, X is None)
    left = left if left.n_pairs <= most else most_similar(left, most)
    if found[1] is not None:
        raise found[1]
    assert_same_result(found[0], left)
    assert (found[0].shape, found[0].self_join) == (expected.shape, X is None)


def queries(c, d):
    """None, or rows to search for."""
    what = c.below(8)
    if what < 2:
        return None
    d += c.byte() % 32 == 1
    n = c.pick((1, 2, 3, 9, 40, 0))
    if what == 2:
        return sparse.side(c, (max(1, n), d)).given
    shape = (d,) if n == 1 and c.byte() % 2 else (n, d)
    return dense.side(c, shape).given


def same(found, expected):
    """One result, to the last bit, or one error (of several reasons any)."""
    if expected[1] is not None or found[1] is not None:
        assert type(found[1]) is type(expected[1]), f"{found[1]!r} in place of {expected[1]!r}"
        return
    found, expected = found[0], expected[0]
    if isinstance(expected, tuple):
        assert_same_result(found, expected)
        assert found.shape == expected.shape
        return
    if hasattr(expected, "toarray"):
        for name in ("indptr", "indices", "data"):
            assert (getattr(found, name) == getattr(expected, name)).all() or name == "data"
        found, expected = found.data, expected.data
    found, expected = (np.where(np.isnan(a), a.dtype.type(np.nan), a) for a in (found, expected))
    assert_same_bits(found, expected)
