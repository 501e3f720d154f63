"""The switch that puts these functions behind scikit-learn's own names.

A public function of scikit-learn is a wrapper that checks its parameters and calls what its closure
holds; the switch changes what it holds. So all references to it gain at once, in tables, in other
modules and in code that imported it long ago, and scikit-learn's checks stay in front. What stands
in for scikit-learn's functions is in functions.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import ModuleType
from typing import Any, NamedTuple

OLDEST = (1, 4)
SUPPORTED = "1.4 or later, tested up to 1.9"


class _Hook(NamedTuple):
    """A place of scikit-learn that holds `original` and may hold `replacement`."""

    put: Callable[[Any], None]
    original: Any
    replacement: Any


class _Switch:
    """On while anybody wants it: patch_sklearn(), or any number of contexts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.patched, self.contexts = False, 0
        self.hooks: list[_Hook] = []

    def want(self, patched: bool | None = None, contexts: int = 0) -> None:
        """Change who wants it, and put in or take out the replacements where that decides."""
        with self.lock:
            patched = self.patched if patched is None else patched
            on = patched or self.contexts + contexts > 0
            if on and not self.hooks:
                self.hooks = _hooks()
                for hook in self.hooks:
                    hook.put(hook.replacement)
            elif not on:
                for hook in self.hooks:
                    hook.put(hook.original)
                self.hooks = []
            self.patched, self.contexts = patched, self.contexts + contexts


_switch = _Switch()


def patch_sklearn() -> None:
    """Put these functions behind scikit-learn's own names, until :func:`unpatch_sklearn`.

    What it does, and what differs, is told by :func:`sklearn_backend`. A second call changes
    nothing.

    Raises
    ------
    ImportError
        Where scikit-learn is missing or of a version that is not supported.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.patch_sklearn()
    >>> unitdot.unpatch_sklearn()
    """
    _switch.want(patched=True)


def unpatch_sklearn() -> None:
    """Undo :func:`patch_sklearn`; harmless without it.

    Within ``with sklearn_backend():`` it takes effect at the end of the block.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.patch_sklearn()
    >>> unitdot.unpatch_sklearn()
    """
    _switch.want(patched=False)


@contextmanager
def sklearn_backend() -> Iterator[None]:
    """Put these functions behind scikit-learn's own names within a ``with`` block.

    Code that uses scikit-learn gains without an edit: ``cosine_similarity``, ``cosine_distances``
    and ``paired_cosine_distances``, however they were imported; ``pairwise_distances``,
    ``pairwise_distances_chunked``, ``paired_distances`` and ``pairwise_kernels`` with
    ``metric="cosine"``; ``NearestNeighbors(metric="cosine")`` and what is built on it, by way of
    :func:`cosine_top_k` and :func:`cosine_pairs`; ``AgglomerativeClustering(metric="cosine")``.

    Blocks may be nested, and entered by several threads; the switch is the whole process's,
    so all threads see it. Processes started meanwhile have switches of their own.

    Yields
    ------
    None

    Raises
    ------
    ImportError
        Where scikit-learn is missing or of a version that is not supported.

    Notes
    -----
    Checks and messages, dtypes, sparse and dense results and zero rows stay scikit-learn's
    (a paired distance from a zero row is 0.5 there, and under the switch too). What differs:

    - values in the last bits, within the contract: rows whose norm scikit-learn takes for zero
      (below ten times the dtype's eps) or cannot represent have their true cosines;
    - the order of equal distances: the smaller index is first, but a query that is a fitted row,
      in ``kneighbors()`` or ``kneighbors(X)`` with the very array of ``fit``, is its own first;
    - an estimator of 20,000 rows and more, once it was asked for neighbours of other rows often
      enough to make up for it, keeps a :class:`CosineIndex` of its rows beside it (not in it: it is
      not pickled), so that the next answers are fast; a few of these rows must not be changed in
      place, without another ``fit``. (It is noticed where all of them are.);
    - ``n_jobs`` and ``working_memory`` have no effect on neighbours: the distances are never
      held, and all threads are used that :func:`cosine_top_k` would use.

    Calls under ``array_api_dispatch``, and other metrics and estimators, are scikit-learn's own.

    Examples
    --------
    >>> import unitdot
    >>> from sklearn.neighbors import NearestNeighbors
    >>> neighbors = NearestNeighbors(n_neighbors=1, metric="cosine")
    >>> with unitdot.sklearn_backend():
    ...     neighbors.fit([[1.0, 0.0], [0.0, 2.0]]).kneighbors([[3.0, 4.0]])
    (array([[0.2]]), array([[1]]))
    """
    _switch.want(contexts=1)
    try:
        yield
    finally:
        _switch.want(contexts=-1)


def _hooks() -> list[_Hook]:
    """Every place to change; an ImportError where one of them is not there."""
    try:
        import sklearn
    except ModuleNotFoundError as error:
        raise ImportError(f"scikit-learn is missing; expected {SUPPORTED}") from error
    version = sklearn.__version__
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise ImportError(f"scikit-learn {version} is not supported; expected {SUPPORTED}")
    try:
        from sklearn import cluster
        from sklearn.cluster import _agglomerative
        from sklearn.metrics import pairwise

        from unitdot._sklearn import functions

        return [
            _wrapper_hook(pairwise.cosine_similarity, functions.similarity),
            _wrapper_hook(pairwise.cosine_distances, functions.distances),
            _wrapper_hook(pairwise.paired_cosine_distances, functions.paired_distances),
            _wrapper_hook(pairwise.pairwise_distances_chunked, functions.distances_chunked),
            # a function without a wrapper: replaced by name
            _name_hook("linkage_tree", _agglomerative, functions.linkage_tree),
            _name_hook("linkage_tree", cluster, functions.linkage_tree),
        ]
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"scikit-learn {version} is not supported ({error}); expected {SUPPORTED}"
        ) from error


def _wrapper_hook(wrapper: Any, replacement: Callable[..., Any]) -> _Hook:
    """The place in a wrapper's closure that holds what it calls."""
    original = wrapper.__wrapped__
    for cell in wrapper.__closure__ or ():
        if cell.cell_contents is original:
            put = partial(setattr, cell, "cell_contents")
            return _Hook(put, original, _standing_in(original, replacement))
    raise AttributeError(f"{wrapper.__name__} is not a wrapper of the kind expected")


def _name_hook(name: str, module: ModuleType, replacement: Callable[..., Any]) -> _Hook:
    original = getattr(module, name)
    return _Hook(partial(setattr, module, name), original, _standing_in(original, replacement))


def _standing_in(original: Any, replacement: Callable[..., Any]) -> Any:
    """`replacement`, told what it replaces, with the name and signature of that."""
    return wraps(original)(partial(replacement, original))
