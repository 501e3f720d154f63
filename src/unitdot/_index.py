"""The index: rows that are prepared once and searched many times."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from unitdot import _index_file, _inputs, _labels, _options, _vectors
from unitdot._index_parts import Arrays, DenseRows, Ids, SparseRows, fixed, known
from unitdot._inputs import Array, Input
from unitdot._machine import disk
from unitdot._neighbors import pairs_of, top_k_of
from unitdot._prepared import Prepared
from unitdot._progress import Report
from unitdot._results import Pairs, TopK
from unitdot._selection import check_one
from unitdot._similarity import Zero, cosine_similarity

ROWS: dict[str, Any] = {"dense": DenseRows, "sparse": SparseRows}
PREPARED = "prepared."  # in front of the names of its arrays


class _State(NamedTuple):
    """All that a search needs; it never changes.

    `looked_at`: how many rows there were when they were prepared all at once. `origin`: the file
    that holds just this.
    """

    rows: DenseRows | SparseRows
    prepared: Prepared | None
    looked_at: int
    ids: Ids | None
    origin: tuple[Path, int] | None = None

    @property
    def n(self) -> int:
        """The number of rows."""
        return self.rows.shape[0]

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return sum(part.nbytes for part in (self.rows, self.prepared, self.ids) if part is not None)


class CosineIndex:
    """Rows that are prepared once, and searched many times.

    Results are those of :func:`cosine_top_k`, :func:`cosine_pairs` and :func:`cosine_similarity`
    with the same rows as `Y`: the same bits, order and ties, whatever was added, removed, saved
    and opened before.

    Any number of threads may search an index. A search beside :meth:`add` and :meth:`remove` sees
    the rows before or after, never a mixture. It takes up to 32 MiB for distances beside the
    neighbours' lists.

    Parameters
    ----------
    Y : array-like or sparse, of shape (n_samples_Y, n_features)
        The corpus, as in :func:`cosine_top_k`. Sparse rows are kept as CSR, sorted, without
        explicit zeros.
    ids : array-like of shape (n_samples_Y,), optional
        Integers of 64 bits or strings, no two the same. Results hold row numbers all the same:
        ``index.ids[result.indices]``.
    copy : bool, default=True
        Keep a copy of the rows. False: the rows are the caller's, and must not change; a memory
        map stays one.

    Attributes
    ----------
    shape : tuple of int
        (n_samples_Y, n_features).
    dtype : numpy.dtype
        That of the rows.
    ids : ndarray of shape (n_samples_Y,) or None
        int64, or strings as objects; read-only.
    nbytes : int
        What is kept, in memory or in the file.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_top_k`, and for ids that are missing, or there twice.

    Examples
    --------
    >>> import unitdot
    >>> corpus = [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]
    >>> index = unitdot.CosineIndex(corpus, ids=["east", "north", "between"])
    >>> index
    CosineIndex(shape=(3, 2), dtype=float64, ids=str)
    >>> found = index.top_k([1.0, 2.0], k=2)
    >>> found.indices
    array([2, 1])
    >>> index.ids[found.indices]
    array(['between', 'north'], dtype=object)
    >>> index[1]
    array([0., 2.])
    """

    __slots__ = "__weakref__", "_locks", "_state"

    def __init__(self, Y: Input, *, ids: Any = None, copy: bool = True) -> None:
        copy = _options.check_flag(copy, "copy")
        kind: Any = SparseRows if hasattr(Y, "tocsr") else DenseRows
        rows = kind.of(Y, copy)
        n = rows.shape[0]
        given = None if ids is None else Ids(fixed(_labels.as_ids(ids, "ids", n, "Y")))
        self._set(_State(rows, _prepared(rows), n, given))

    def _set(self, state: _State) -> None:
        self._state = state
        # a lock that another thread held when this process was forked stays locked: so one each
        self._locks = {os.getpid(): threading.Lock()}

    @classmethod
    def _of(cls, state: _State) -> CosineIndex:
        index: CosineIndex = cls.__new__(cls)
        index._set(state)
        return index

    @property
    def _writing(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples_Y, n_features)."""
        return self._state.rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the rows."""
        return known(self._state.rows.dtype)

    @property
    def ids(self) -> Array | None:
        """The rows' ids: int64, or strings as objects."""
        ids, origin = self._state.ids, self._state.origin
        try:
            return None if ids is None else ids.array
        except ValueError as error:  # of a file
            raise ValueError(f"{origin and origin[0]}: {error}") from error

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept, in memory or in the file."""
        return self._state.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        state = self._state
        ids = "" if state.ids is None else f", ids={state.ids.kind}"
        path = "" if state.origin is None else f", path={str(state.origin[0])!r}"
        return f"CosineIndex(shape={state.rows.shape}, dtype={known(state.rows.dtype)}{ids}{path})"

    def __getitem__(self, rows: Any) -> Any:
        """The rows as they are kept; of dense ones, a number or a slice is a read-only view."""
        if isinstance(rows, tuple) or rows is None or rows is Ellipsis:
            raise IndexError(f"rows is {rows!r}; expected rows only, as in index[rows][:, columns]")
        return self._state.rows[rows]

    def top_k(
        self,
        X: Input | None = None,
        k: int = 10,
        *,
        threshold: float | None = None,
        where: npt.ArrayLike | slice | None = None,
        groups: Any = None,
        include_self: bool = False,
        progress: bool | Report = False,
        dtype: npt.DTypeLike | None = None,
        zero: Zero = "zero",
        check_finite: bool = True,
        n_threads: int | None = None,
    ) -> TopK:
        """Find the `k` rows that are most similar to each row of `X`.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples_X, n_features) or (n_features,), optional
            The queries. Default: the index's own rows, where no row is its own neighbour.
        k : int, default=10
            Neighbours of each row. It and all below are as in :func:`cosine_top_k`, whose `Y`
            the index is.
        threshold : float, optional
            Only neighbours at least so similar. Places left over hold index -1 and similarity NaN.
        where : array-like of bool or int, or slice, optional
            Which rows may be found: a mask, row numbers in any order, or a slice.
        groups : array-like of shape (n_samples_Y,), or a pair of such, optional
            Labels; only rows with equal ones meet. Beside an `X`: (labels of `X`, of the index).
        include_self : bool, default=False
            Let a row be its own neighbour, without `X`.
        progress : bool or callable, default=False
            True shows a tqdm bar on long work; a callable is called with (done, total).
        dtype : {float32, float64}, optional
            Dtype of the result.
        zero : {"zero", "nan", "raise"}, default="zero"
            What rows of norm 0 give.
        check_finite : bool, default=True
            Refuse NaN and infinity.
        n_threads : int, optional
            Default: as many as are useful.

        Returns
        -------
        TopK
            ``similarities`` and ``indices`` of shape (n_samples_X, k).

        Raises
        ------
        ValueError, TypeError, MemoryError
            As :func:`cosine_top_k`.

        Examples
        --------
        >>> import unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
        >>> index.top_k([[1.0, 2.0]], k=1, where=[0, 1]).indices
        array([[1]])
        >>> index.top_k(k=1).indices.ravel()
        array([2, 2, 1])
        """
        how = _options.check_options((dtype, zero, check_finite, n_threads))
        if X is not None and include_self:
            raise ValueError("include_self is True beside an X; expected False, or no X")
        state = self._state
        rows = state.rows.argument
        X, Y = (rows, None) if X is None else (X, rows)
        known = state.rows.by_feature if isinstance(state.rows, SparseRows) else state.prepared
        return top_k_of(X, Y, k, threshold, where, groups, include_self, progress, how, known)

    def pairs(
        self,
        X: Input | None = None,
        *,
        threshold: float = 0.9,
        where: npt.ArrayLike | slice | None = None,
        max_pairs: int | None = None,
        groups: Any = None,
        progress: bool | Report = False,
        dtype: npt.DTypeLike | None = None,
        zero: Zero = "zero",
        check_finite: bool = True,
        n_threads: int | None = None,
    ) -> Pairs:
        """Find every pair of a row of `X` and one of the index that are similar.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples_X, n_features), optional
            Rows of numbers. Default: the index's own rows, each unordered pair once,
            ``row < column``.
        threshold : float, default=0.9
            The least similarity. It and all below are as in :func:`cosine_pairs`, whose `Y` the
            index is.
        where : array-like of bool or int, or slice, optional
            Which of the index's rows may be in a pair: a mask, row numbers in any order, or a
            slice.
        max_pairs : int, optional
            Only the most similar so many.
        groups : array-like of shape (n_samples_Y,), or a pair of such, optional
            Labels; only rows with equal ones meet. Beside an `X`: (labels of `X`, of the index).
        progress : bool or callable, default=False
            True shows a tqdm bar on long work; a callable is called with (done, total).
        dtype : {float32, float64}, optional
            Dtype of the result.
        zero : {"zero", "nan", "raise"}, default="zero"
            What rows of norm 0 give.
        check_finite : bool, default=True
            Refuse NaN and infinity.
        n_threads : int, optional
            Default: as many as are useful.

        Returns
        -------
        Pairs
            ``rows``, those of `X`, ``columns``, those of the index, and ``similarities``.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As :func:`cosine_pairs`.

        Examples
        --------
        >>> import unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [1.0, 0.0]])
        >>> index.pairs(threshold=0.6, where=slice(3)).columns
        array([2, 2])
        >>> index.pairs([[2.0, 0.0]]).columns
        array([0, 3])
        """
        how = _options.check_options((dtype, zero, check_finite, n_threads))
        state, numbers = self._state, None
        rows, prepared = state.rows, state.prepared
        if where is not None:
            numbers = _vectors.check_where(where, state.n)
            groups = _of_some(groups, numbers, X is None, state.n)
            rows = rows.kept(numbers)
            prepared = None if prepared is None else prepared.kept(numbers)
        X, Y = (rows.argument, None) if X is None else (X, rows.argument)
        alone = Y is None
        try:
            found = pairs_of(X, Y, threshold, max_pairs, groups, progress, how, prepared)
        except ValueError as error:
            if numbers is None:
                raise
            rows_of = {"X" if alone else "Y": lambda row: int(numbers[row])}
            raise _inputs.renumbered(error, rows_of) from None
        if numbers is None:
            return found
        places = numbers[found.rows] if alone else found.rows, numbers[found.columns]
        shape = (state.n if alone else found.shape[0]), state.n
        return Pairs._of(*places, found.similarities, shape=shape, self_join=alone)

    @overload
    def similarity(
        self, X: Input, dense_output: Literal[True] = ..., *, out: Array | None = ...,
        dtype: npt.DTypeLike | None = ..., zero: Zero = ..., check_finite: bool = ...,
        n_threads: int | None = ...,
    ) -> Array: ...  # fmt: skip
    @overload
    def similarity(
        self, X: Input, dense_output: bool = ..., *, out: Array | None = ...,
        dtype: npt.DTypeLike | None = ..., zero: Zero = ..., check_finite: bool = ...,
        n_threads: int | None = ...,
    ) -> Any: ...  # fmt: skip
    def similarity(
        self,
        X: Input,
        dense_output: bool = True,
        *,
        out: Array | None = None,
        dtype: npt.DTypeLike | None = None,
        zero: Zero = "zero",
        check_finite: bool = True,
        n_threads: int | None = None,
    ) -> Any:
        """Compute the cosine similarity of every row of `X` with every row of the index.

        Parameters
        ----------
        X : array-like or sparse, of shape (n_samples_X, n_features) or (n_features,)
            Rows of numbers.
        dense_output : bool, default=True
            False: CSR where both are sparse. It and all below are as in
            :func:`cosine_similarity`, whose `Y` the index is.
        out : ndarray of the result's shape and dtype, optional
            Written in place and returned.
        dtype : {float32, float64}, optional
            Dtype of the result.
        zero : {"zero", "nan", "raise"}, default="zero"
            What rows of norm 0 give.
        check_finite : bool, default=True
            Refuse NaN and infinity.
        n_threads : int, optional
            Default: as many as are useful.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples_Y), or CSR
            Similarities.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As :func:`cosine_similarity`.

        Examples
        --------
        >>> import unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [3.0, 4.0]])
        >>> index.similarity([5.0, 0.0])
        array([1. , 0.6])
        """
        rows = self._state.rows.argument
        return cosine_similarity(
            X, rows, dense_output, out=out, dtype=dtype, zero=zero, check_finite=check_finite,
            n_threads=n_threads,
        )  # fmt: skip

    def add(self, Z: Input, ids: Any = None) -> None:
        """Add rows at the end.

        What that costs is in proportion to them: memory is kept for more, twice as much when it
        is full. (The first rows that are added to those of the caller or of a file have all of
        them copied.)

        Parameters
        ----------
        Z : array-like or sparse, of shape (n_samples_Z, n_features) or (n_features,)
            Rows, sparse if the index's are, of a dtype that the index's can hold.
        ids : array-like of shape (n_samples_Z,), optional
            Their ids, if the index has ids.

        Raises
        ------
        ValueError, TypeError, MemoryError
            For rows that do not fit, and ids that are there already; nothing is added then.

        Examples
        --------
        >>> import unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [0.0, 2.0]])
        >>> index.add([[3.0, 4.0]])
        >>> index.top_k([1.0, 1.0], k=1).indices
        array([2])
        """
        with self._writing:
            state = self._state
            if state.ids is None and ids is not None:
                raise ValueError("ids is given where the index has none; expected None")
            if state.ids is not None and ids is None:
                raise ValueError("ids is None; expected ids of the rows, as the index has")
            rows, new = state.rows.extended(Z), None
            n = rows.shape[0]
            if state.ids is not None:
                new = state.ids.extended(state.ids.new(ids, n - state.n))
            prepared, looked_at = state.prepared, state.looked_at
            if n > 2 * looked_at:
                prepared, looked_at = _prepared(rows), n
            elif prepared is not None:
                prepared = prepared.extended(rows.argument)
            self._state = _State(rows, prepared, looked_at, new)

    def remove(self, rows: Any = None, ids: Any = None) -> None:
        """Remove rows; those behind them move up.

        The others are copied: remove many at a time.

        Parameters
        ----------
        rows : int, array-like of int or bool, or slice, optional
            Which, as in :func:`numpy.delete`.
        ids : id or array-like of such, optional
            Which, by their ids.

        Raises
        ------
        ValueError, TypeError
            For rows and ids that are not there; nothing is removed then.

        Examples
        --------
        >>> import unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]], ids=[7, 8, 9])
        >>> index.remove(ids=[8])
        >>> index.ids
        array([7, 9])
        """
        if (rows is None) == (ids is None):
            both = "None" if rows is None else "given"
            raise ValueError(f"rows and ids are both {both}; expected one of them")
        with self._writing:
            state = self._state
            if rows is not None:
                gone = _vectors.check_rows(rows, state.n, "rows")
            elif state.ids is None:
                raise ValueError("ids is given where the index has none; expected rows")
            else:
                gone = state.ids.rows_of(ids)
            keep = np.ones(state.n, np.bool_)
            keep[gone] = False
            numbers = np.arange(state.n)[keep]
            prepared = None if state.prepared is None else state.prepared.kept(numbers)
            kept = None if state.ids is None else state.ids.kept(numbers)
            self._state = _State(state.rows.kept(numbers), prepared, state.looked_at, kept)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the index to a file, which :meth:`open` opens.

        It is written beside under another name, brought to the disk and renamed: whatever stops
        the work, what was at `path` is there, or all of the new file.

        Parameters
        ----------
        path : path-like
            Where to; names end in ``.unitdot`` by custom.
        overwrite : bool, default=False
            Replace a file that exists.

        Raises
        ------
        FileExistsError
            For a file that exists, without `overwrite`.
        OSError
            As the system has it.

        Notes
        -----
        The documentation's page *Search* has the format.

        Examples
        --------
        >>> import tempfile, unitdot
        >>> index = unitdot.CosineIndex([[1.0, 0.0], [3.0, 4.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(f"{folder}/corpus.unitdot")
        ...     unitdot.CosineIndex.open(f"{folder}/corpus.unitdot").top_k([0.0, 1.0], k=1)
        TopK(similarities=array([0.8]), indices=array([1]))
        """
        where, overwrite = Path(path), _options.check_flag(overwrite, "overwrite")
        if not overwrite:
            disk.check_new(where)
        with disk.writing(where, overwrite) as file:
            self._write(file)

    def _write(self, file: Any) -> None:
        """To a file that is empty."""
        _index_file.write(file, *_parts(self._state))

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = False) -> CosineIndex:
        """Open a file that :meth:`save` wrote.

        The file is mapped into memory, and only its header is read: that takes a millisecond
        whatever its size, and processes share what they read. It must not be written to
        meanwhile; `save` may replace it.

        Parameters
        ----------
        path : path-like
            The file.
        verify : bool, default=False
            Read all of it, and compare it with its checksums.

        Returns
        -------
        CosineIndex
            The index. It can be added to, and pickled: it travels as its path then.

        Raises
        ------
        ValueError
            For a file that is foreign, cut, altered, of a newer version or of another byte order;
            the message names it. Only `verify` finds what is altered behind the header.
        OSError
            As the system has it.

        Examples
        --------
        >>> import tempfile, unitdot
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     unitdot.CosineIndex([[1.0, 0.0]], ids=["a"]).save(f"{folder}/one.unitdot")
        ...     unitdot.CosineIndex.open(f"{folder}/one.unitdot", verify=True).ids
        array(['a'], dtype=object)
        """
        path = Path(path)
        verify = _options.check_flag(verify, "verify")
        facts, arrays, checksum = _index_file.read(path, verify)
        try:
            state = _state_of(facts, arrays, str(path))
            if verify and state.ids is not None:
                _labels.check_unique(state.ids.array, "array 'ids'")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if verify and state.rows.is_sparse:
            state.rows.argument  # noqa: B018 - which checks its structure
        return cls._of(state._replace(origin=(path.absolute(), checksum)))

    @classmethod
    def _reopened(cls, path: Path, checksum: int) -> CosineIndex:
        index = cls.open(path)
        if index._state.origin != (path, checksum):
            raise ValueError(f"{path}: is not the file any more that it was when it was pickled")
        return index

    @classmethod
    def _of_parts(cls, facts: dict[str, Any], arrays: Arrays) -> CosineIndex:
        return cls._of(_state_of(facts, arrays, "Y"))

    def __reduce__(self) -> Any:
        state = self._state
        if state.origin is not None:
            return CosineIndex._reopened, state.origin
        return CosineIndex._of_parts, _parts(state)

    def __copy__(self) -> CosineIndex:
        state = self._state
        ids = None if state.ids is None else state.ids.alone()
        return self._of(state._replace(rows=state.rows.alone(), ids=ids))

    def __deepcopy__(self, memo: Any) -> CosineIndex:
        return self.__copy__()  # what is shared never changes


def _of_some(groups: Any, numbers: Array, alone: bool, n: int) -> Any:
    """The labels of those rows of the index that may be found."""
    if groups is None:
        return None
    if alone:
        check_one(groups, n)
        return _labels.as_labels(groups, "groups", n, "Y")[numbers]
    if not isinstance(groups, (tuple, list)) or len(groups) != 2:
        return groups  # for the error
    return groups[0], _labels.as_labels(groups[1], "groups[1]", n, "Y")[numbers]


def _prepared(rows: DenseRows | SparseRows) -> Prepared | None:
    """What is known of dense rows beforehand; sparse ones are looked at by the first search."""
    return None if isinstance(rows, SparseRows) else Prepared.of(rows.matrix)


def _parts(state: _State) -> tuple[dict[str, Any], Arrays]:
    """All of an index as facts, which JSON can hold, and arrays."""
    facts = {
        "rows": "sparse" if state.rows.is_sparse else "dense",
        "shape": [*map(int, state.rows.shape)],
        "looked_at": state.looked_at,
        "ids": None if state.ids is None else state.ids.kind,
    }
    arrays = state.rows.arrays()
    if state.prepared is not None:
        arrays |= {PREPARED + name: array for name, array in state.prepared.arrays().items()}
    return facts, arrays | ({} if state.ids is None else state.ids.arrays())


def _state_of(facts: dict[str, Any], arrays: Arrays, name: str) -> _State:
    """The inverse of `_parts`; a ValueError for what cannot be. `name`: where the rows are."""
    kind, shape, ids = (facts.get(key) for key in ("rows", "shape", "ids"))
    looked_at: Any = facts.get("looked_at")
    if kind not in ("dense", "sparse") or ids not in (None, "int", "str"):
        raise ValueError(f"holds rows {kind!r} with ids {ids!r}; expected those of a CosineIndex")
    if not isinstance(shape, list) or [*map(type, (*shape, looked_at))] != [int, int, int]:
        raise ValueError(f"holds rows of shape {shape!r}; expected two integers")
    n, n_features = shape
    if not 0 < n_features < 1 << 62 or not 0 <= n < 1 << 32:
        raise ValueError(f"holds rows of shape {shape}; expected features, fewer than 2**32 rows")
    try:
        rows = ROWS[kind].of_arrays(arrays, (n, n_features), name)
        found = None if ids is None else Ids.of_arrays(arrays, n, ids)
    except KeyError as error:
        raise ValueError(f"has no array {error}") from error
    prepared = None
    if kind == "dense":
        parts = {
            key.removeprefix(PREPARED): np.asarray(array)
            for key, array in arrays.items()
            if key.startswith(PREPARED)
        }
        prepared = Prepared.from_arrays(parts, n, n_features, rows.dtype)
    return _State(rows, prepared, looked_at, found)
