"""What an index keeps: rows, dense or sparse, and ids. Nothing that was handed out ever changes.

All of these grow at the end, in memory that is kept for it: what they were before shares it, and
does not reach that far. So `add` costs what the added rows cost, and a search beside it sees the
old rows. Only the newest may be extended; whoever makes a copy that may grow by itself calls
`alone`.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cached_property
from sys import getsizeof
from typing import Any

import numpy as np

from unitdot import _inputs, _labels
from unitdot._frames.read import plain
from unitdot._frames.tensors import BFLOAT16
from unitdot._inputs import Array
from unitdot._machine import memory

# room for so many times the rows, where they are first copied and where they are full
FIRST, AGAIN = 1.25, 2.0

Arrays = dict[str, Array]


def fixed(array: Array) -> Array:
    """A view of the array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def with_room(array: Array, rows: int, times: float) -> tuple[Array, Array]:
    """A copy that has so many rows, those of `array` first; and the memory it lies in, for more."""
    one = array.itemsize * math.prod(array.shape[1:])
    memory.check(one * rows, f"a copy of {rows:,} rows")
    try:  # what is never written to is never there
        room = np.empty((int(rows * times), *array.shape[1:]), array.dtype.newbyteorder("="))
    except MemoryError:
        room = memory.empty((rows, *array.shape[1:]), array.dtype.newbyteorder("="))
    room[: len(array)] = array
    return fixed(room[:rows]), room


def extended(array: Array, room: Array | None, more: Array) -> tuple[Array, Array]:
    """`array` with more below it, and the memory that both lie in."""
    start, end = len(array), len(array) + len(more)
    if room is None or len(room) < end:
        array, room = with_room(array, end, AGAIN)
    room[start:end] = more
    return fixed(room[:end]), room


class DenseRows:
    """A matrix of any dtype that the functions read."""

    is_sparse = False

    def __init__(self, matrix: Array, room: Array | None = None) -> None:
        self.matrix, self._room = fixed(matrix), room

    @classmethod
    def of(cls, Y: Any, copy: bool) -> DenseRows:
        """The rows of an argument."""
        matrix = _inputs.as_matrix(Y, "Y", False, False)
        if not matrix.shape[1]:
            raise _inputs.no_features_error("Y", matrix.shape)
        _inputs.check_row_numbers(matrix)
        return cls(*with_room(matrix, len(matrix), FIRST)) if copy else cls(matrix)

    @classmethod
    def of_arrays(cls, arrays: Arrays, shape: tuple[int, int], name: str) -> DenseRows:
        """The inverse of `arrays`; a ValueError for what cannot be."""
        matrix = np.asarray(arrays["rows"])
        if matrix.shape != shape or matrix.dtype not in _inputs.KINDS:
            raise ValueError(f"array 'rows' is {matrix.dtype} of shape {matrix.shape}")
        return cls(matrix)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        n, n_features = self.matrix.shape
        return n, n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """As the functions know it."""
        return self.matrix.dtype

    @property
    def nbytes(self) -> int:
        """Of the elements."""
        return self.matrix.nbytes

    @property
    def argument(self) -> Array:
        """What the functions take."""
        return self.matrix

    def extended(self, Z: Any) -> DenseRows:
        """Those of `Z` below these."""
        if not hasattr(Z, "tocsr"):
            Z = _inputs.as_matrix(Z, "Z", True, False)
            Z = Z[None] if Z.ndim == 1 else Z
        _inputs.check_added(Z, self.dtype, self.shape[1], is_sparse=False)
        matrix, room = extended(self.matrix, self._room, Z)
        _inputs.check_row_numbers(matrix)
        return DenseRows(matrix, room)

    def kept(self, numbers: Array) -> DenseRows:
        """Only these, in this order."""
        memory.check(len(numbers) * self.shape[1] * self.dtype.itemsize, "the rows that are left")
        return DenseRows(self.matrix[numbers])

    def alone(self) -> DenseRows:
        """The same, to be extended by itself."""
        return DenseRows(self.matrix)

    def arrays(self) -> Arrays:
        """All of it, by name."""
        return {"rows": self.matrix}

    def __getitem__(self, rows: Any) -> Array:
        part: Array = self.matrix[rows]
        return part.view(known(part.dtype)) if part.dtype == BFLOAT16 else part


def known(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that whoever has brought bfloat16 to NumPy knows it by."""
    if dtype == BFLOAT16:
        try:
            return np.dtype("bfloat16")
        except TypeError:
            return dtype
    return dtype


class SparseRows:
    """CSR, each row's features ascending, none of them twice."""

    is_sparse = True

    def __init__(
        self, parts: Any, n_features: int, rooms: Any = (None,) * 3, name: str = "Y"
    ) -> None:
        self._parts: tuple[Array, ...] = tuple(map(fixed, parts))
        self._n_features, self._rooms, self._name = n_features, rooms, name
        self._before: Any = None

    @classmethod
    def of(cls, Y: Any, copy: bool) -> SparseRows:
        """The rows of an argument: a copy where it is not in order, too."""
        parts, n_features = _canonical(Y, "Y")
        rooms: Any = (None,) * 3
        if copy:
            parts, rooms = zip(*(with_room(part, len(part), FIRST) for part in parts), strict=True)
        return cls(parts, n_features, rooms)

    @classmethod
    def of_arrays(cls, arrays: Arrays, shape: tuple[int, int], name: str) -> SparseRows:
        """The inverse of `arrays`, which are of `name`; a ValueError for what cannot be."""
        values, indices, starts = parts = tuple(
            np.asarray(arrays[name]) for name in ("values", "indices", "starts")
        )
        good = (
            values.dtype in (np.float32, np.float64)
            and indices.dtype == starts.dtype
            and indices.dtype in (np.int32, np.int64)
            and starts.shape == (shape[0] + 1,)
            and values.shape == indices.shape
            and values.ndim == 1
        )
        if not good:
            raise ValueError(
                "arrays 'values', 'indices' and 'starts' are "
                + ", ".join(f"{part.dtype} of shape {part.shape}" for part in parts)
            )
        return cls(parts, shape[1], name=name)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        return len(self._parts[2]) - 1, self._n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._parts[0].dtype

    @property
    def nbytes(self) -> int:
        """Of values, indices and starts, and of what searches have made of them."""
        known = self.__dict__.get("by_feature")
        return sum(part.nbytes for part in self._parts) + (0 if known is None else known.nbytes)

    @cached_property
    def argument(self) -> Any:
        """What the functions take. Its structure is checked: it may be of a file."""
        from unitdot._sparse import inputs as sparse_inputs

        sparse_inputs.check_structure(self._parts, self._n_features, self._name)
        return sparse_inputs.as_scipy(self._parts, self.shape)

    @cached_property
    def by_feature(self) -> Any:
        """What is kept for searches, once there was one; None where there are too many features."""
        from unitdot._sparse.prepared import Prepared

        known, self._before = Prepared.of(self.argument, self._before), None
        return known

    def extended(self, Z: Any) -> SparseRows:
        """Those of `Z` below these."""
        if hasattr(Z, "tocsr"):
            new, n_features = _canonical(Z, "Z")
            like: Any = _Like((len(new[2]) - 1, n_features), new[0].dtype)
        else:
            like = _inputs.as_matrix(Z, "Z", True, False)
        _inputs.check_added(like, self.dtype, self._n_features, is_sparse=True)
        entries = len(self._parts[0]) + len(new[0])
        parts, rooms = self._parts, self._rooms
        if parts[1].dtype != np.int64 and (
            new[1].dtype == np.int64 or entries > np.iinfo(np.int32).max
        ):
            parts = parts[0], parts[1].astype(np.int64), parts[2].astype(np.int64)
            rooms = rooms[0], None, None
        below = new[0], new[1], new[2][1:].astype(np.int64) + len(self._parts[0])
        grown = [extended(*three) for three in zip(parts, rooms, below, strict=True)]
        parts, rooms = zip(*grown, strict=True)
        longer = SparseRows(parts, self._n_features, rooms)
        longer._before = self.__dict__.get("by_feature", self._before)
        return longer

    def kept(self, numbers: Array) -> SparseRows:
        """Only these, in this order."""
        left = self.argument[numbers]
        integer = self._parts[1].dtype
        indices, starts = (part.astype(integer, copy=False) for part in (left.indices, left.indptr))
        return SparseRows((left.data, indices, starts), self._n_features)

    def alone(self) -> SparseRows:
        """The same, to be extended by itself."""
        return SparseRows(self._parts, self._n_features)

    def arrays(self) -> Arrays:
        """All of it, by name."""
        return dict(zip(("values", "indices", "starts"), self._parts, strict=True))

    def __getitem__(self, rows: Any) -> Any:
        # of all rows another object, whose arrays can be put in place of these, but not written to
        every = isinstance(rows, slice) and rows == slice(None)
        return copy(self.argument) if every else self.argument[rows]


class _Like:
    """What of a sparse matrix says whether it fits."""

    tocsr = None

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype


def _canonical(argument: Any, name: str) -> tuple[tuple[Array, ...], int]:
    """(values, indices, starts) of a sparse argument, in order, and its number of features."""
    from unitdot._sparse import inputs as sparse_inputs

    if name == "Y" and argument.ndim != 2:
        raise _inputs.axes_error(name, argument.shape, "a matrix")
    csr = sparse_inputs.in_order(argument, name)
    if not csr.n_features:
        raise _inputs.no_features_error(name, csr.shape)
    stored = int(csr.starts[-1])
    return (csr.values[:stored], csr.indices[:stored], csr.starts), csr.n_features


class Ids:
    """The ids of an index's rows, no two the same: int64, or strings as objects."""

    def __init__(self, array: Array, room: Array | None = None, places: Any = None) -> None:
        self._array: Array | None = array
        self._room = room
        self._places: dict[Any, int] | None = places
        self._text: tuple[Array, Array] | None = None  # of a file, and where each ends

    @classmethod
    def of_arrays(cls, arrays: Arrays, n: int, kind: str) -> Ids:
        """The inverse of `arrays`; a ValueError for what cannot be."""
        if kind == "int":
            array = np.asarray(arrays["ids"])
            if array.dtype != np.int64 or array.shape != (n,):
                raise ValueError(f"array 'ids' is {array.dtype} of shape {array.shape}")
            return cls(fixed(array))
        text, ends = np.asarray(arrays["ids_text"]), np.asarray(arrays["ids_ends"])
        good = text.dtype == np.uint8 and ends.dtype == np.int64 and ends.shape == (n,)
        if not good or text.ndim != 1:
            raise ValueError(
                f"arrays 'ids_text' and 'ids_ends' are {text.dtype} of shape {text.shape} and "
                f"{ends.dtype} of shape {ends.shape}"
            )
        self = cls(text)
        self._array, self._text = None, (text, ends)
        return self

    @property
    def array(self) -> Array:
        """Strings of a file are read when they are first asked for."""
        array = self._array
        if array is None:
            self._array = array = fixed(_decoded(*self._text))  # type: ignore[misc]
        return array

    @property
    def kind(self) -> str:
        """What they are: "int" or "str"."""
        return "int" if self._text is None and self.array.dtype != object else "str"

    @property
    def nbytes(self) -> int:
        """Of the integers, or the strings; of those of a file, as they lie there."""
        if self._text is not None:
            return sum(part.nbytes for part in self._text)
        texts = self.array.tolist() if self.array.dtype == object else []
        return self.array.nbytes + sum(map(getsizeof, texts))

    @property
    def places(self) -> dict[Any, int]:
        """Where which id is; of some that never came to be, too."""
        if self._places is None:
            self._places = {value: row for row, value in enumerate(self.array.tolist())}
        return self._places

    def place(self, value: Any) -> int | None:
        """The row that has this id."""
        row = self.places.get(value)
        return row if row is not None and row < len(self.array) and self._has(row, value) else None

    def _has(self, row: int, value: Any) -> bool:
        return bool(self.array[row] == value)

    def new(self, given: Any, n: int) -> Array:
        """Ids of `n` rows more, checked; of one row, its id."""
        one = isinstance(plain(given), (str, int, np.integer))
        ids: Array = _labels.as_ids([given] if one else given, "ids", n, "Z")
        if not n or not len(self.array):
            return ids
        if ids.dtype != self.array.dtype:
            held, given = ("integers", "strings") if ids.dtype == object else (
                "strings", "integers"
            )  # fmt: skip
            raise TypeError(f"ids holds {given} where the index has {held}; expected {held}")
        for row, value in enumerate(ids.tolist()):
            place = self.place(value)
            if place is not None:
                raise ValueError(
                    f"ids holds {value!r} in row {row}, which row {place} of the index has; "
                    f"expected new ids"
                )
        return ids

    def extended(self, ids: Array) -> Ids:
        """These and what `new` has checked."""
        if not len(self.array) or not len(ids):
            return Ids(fixed(ids)) if len(ids) else self
        places, start = self.places, len(self.array)
        array, room = extended(self.array, self._room, ids)
        places.update((value, start + row) for row, value in enumerate(ids.tolist()))
        return Ids(array, room, places)

    def rows_of(self, ids: Any) -> Array:
        """The rows that have these ids."""
        values = _labels.as_some_ids(ids, "ids", self.kind == "str")
        rows = [self.place(value) for value in values]
        if None in rows:
            raise ValueError(
                f"ids holds {values[rows.index(None)]!r}, which no row of the index has"
            )
        return np.asarray(rows, np.int64)

    def kept(self, numbers: Array) -> Ids:
        """Only these, in this order."""
        return Ids(fixed(self.array[numbers]))

    def alone(self) -> Ids:
        """The same, to be extended by itself."""
        if self._text is None:
            return Ids(self.array)
        return Ids.of_arrays(self.arrays(), len(self._text[1]), "str")

    def arrays(self) -> Arrays:
        """All of it, by name."""
        if self._text is not None:
            return dict(zip(("ids_text", "ids_ends"), self._text, strict=True))
        if self.array.dtype != object:
            return {"ids": self.array}
        texts = [value.encode("utf-8", "surrogatepass") for value in self.array.tolist()]
        ends = np.fromiter(map(len, texts), np.int64, len(texts)).cumsum()
        return {"ids_text": np.frombuffer(b"".join(texts), np.uint8), "ids_ends": ends}


def _decoded(text: Array, ends: Array) -> Array:
    """Strings, or a ValueError where it cannot be that they were written so."""
    every, stops = text.tobytes(), ends.tolist()
    starts = [0, *stops][:-1]
    if stops[-1:] not in ([], [len(every)]) or any(
        start > stop for start, stop in zip(starts, stops, strict=True)
    ):
        raise ValueError("array 'ids_ends' does not ascend to the length of 'ids_text'")
    array = np.empty(len(stops), object)
    try:
        array[:] = [
            every[start:stop].decode("utf-8", "surrogatepass")
            for start, stop in zip(starts, stops, strict=True)
        ]
    except UnicodeDecodeError as error:
        raise ValueError(f"array 'ids_text' is not UTF-8: {error}") from error
    return array
