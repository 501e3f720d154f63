"""The file of an index: a header, and arrays that are used where they lie in it.

docs/search.md describes the format. Whatever a file holds, reading it raises a ValueError that
names it, and executes nothing; the header is all that is read, unless asked for otherwise.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from unitdot import _inputs
from unitdot._inputs import Array
from unitdot._version import __version__

MAGIC = b"\x89unitdot"
VERSION = 1
# magic, version, byte order of the arrays, bytes of the table, bytes of the file, checksum of the
# table, nothing, checksum of what is before
PREAMBLE = struct.Struct("<8sI4sQQI24sI")
SIZE = PREAMBLE.size
ORDERS = {b"<   ": "little", b">   ": "big"}
ORDER = b"<   " if sys.byteorder == "little" else b">   "
# arrays begin at multiples of these, and large ones at those of a page
ALIGNED, PAGE, LARGE = 64, 4096, 1 << 16
# no table is nearly as long, and nobody reads a hostile one
LONGEST = 1 << 20
# bytes of an entry of the table, at most (of names as we have)
ENTRY = 256
# bytes written at a time, about
PART = 1 << 24

DTYPES: dict[str, np.dtype[Any]] = {
    dtype.names[0] if dtype.names else dtype.name: dtype for dtype in _inputs.KINDS
    if dtype.isnative
}  # fmt: skip


class File(NamedTuple):
    """What was read of one: facts and arrays, read-only; `checksum` tells it from another."""

    facts: dict[str, Any]
    arrays: dict[str, Array]
    checksum: int


def write(file: IO[bytes], facts: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Write facts, which JSON can hold, and arrays of numbers into a file that is empty."""
    table: list[dict[str, Any]] = []
    at = SIZE + len(_json(facts, arrays, [])) + ENTRY * (1 + len(arrays))
    for name, array in arrays.items():
        at = _next(at, array.nbytes)
        dtype = array.dtype.newbyteorder("=")
        table.append({
            "name": name, "dtype": dtype.names[0] if dtype.names else dtype.name,
            "shape": list(array.shape), "offset": at, "bytes": array.nbytes, "crc32": "0" * 8,
        })  # fmt: skip
        at += array.nbytes
    for entry, array in zip(table, arrays.values(), strict=True):
        file.seek(entry["offset"])
        checksum = 0
        for part in _parts(array):
            checksum = zlib.crc32(part, checksum)
            file.write(part)
        entry["crc32"] = f"{checksum:08x}"
    header = _json(facts, arrays, table)
    assert not table or SIZE + len(header) <= table[0]["offset"]
    file.truncate(at)
    file.seek(0)
    preamble = MAGIC, VERSION, ORDER, len(header), at, zlib.crc32(header), b""
    own = zlib.crc32(PREAMBLE.pack(*preamble, 0)[:-4])
    file.write(PREAMBLE.pack(*preamble, own))
    file.write(header)


def _json(facts: dict[str, Any], arrays: dict[str, Array], table: list[dict[str, Any]]) -> bytes:
    return json.dumps({**facts, "arrays": table}).encode()


def _next(at: int, size: int) -> int:
    step = PAGE if size >= LARGE else ALIGNED
    return -(-at // step) * step


def _parts(array: Array) -> Iterator[memoryview]:
    """The bytes of an array in the order of its elements, a few million at a time."""
    if not array.size:
        return
    step = max(1, PART // max(1, array.nbytes // len(array)))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        part = np.ascontiguousarray(part, part.dtype.newbyteorder("="))
        yield part.reshape(-1).view(np.uint8).data


def read(path: Path, verify: bool) -> File:
    """Read the header of a file, and every byte where `verify`; its arrays stay there.

    Raises
    ------
    ValueError
        For a file that is not one of these, cut, altered, or of a newer version or another byte
        order; the message names it.
    OSError
        As the system has it.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            header, checksum = _header(file, size)
            facts, table = _table(header)
            places = [_place(entry, size, SIZE + len(header)) for entry in table]
            _check_apart(places)
            if len({place.name for place in places}) < len(places):
                raise ValueError("has two arrays of one name")
            whole = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            arrays = {place.name: place.of(whole) for place in places}
            if verify:
                for place in places:
                    place.check(whole)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return File(facts, arrays, checksum)


def _header(file: IO[bytes], size: int) -> tuple[bytes, int]:
    """The table as it stands there, and its checksum."""
    start = file.read(SIZE)
    if not start.startswith(MAGIC):
        what = "is empty" if not size else "does not begin as one"
        raise ValueError(f"{what}; expected an index that CosineIndex.save wrote")
    if len(start) < SIZE:
        raise ValueError(f"has {size} bytes, and is cut: its header alone has {SIZE}")
    _, version, order, length, whole, checksum, _, own = PREAMBLE.unpack(start)
    if version != VERSION:
        newer = f"; read it with a newer unitdot than {__version__}" if version > VERSION else ""
        raise ValueError(f"is of version {version} of the format; expected {VERSION}{newer}")
    if own != zlib.crc32(start[:-4]):
        raise ValueError("is altered in its first bytes (they do not have their checksum)")
    if order != ORDER:
        written = ORDERS.get(order, "unknown")
        raise ValueError(
            f"was written on a machine of byte order {written}; expected {sys.byteorder}: make "
            f"the index anew"
        )
    if whole > size:
        raise ValueError(f"is cut: it has {size:,} bytes of {whole:,}")
    if whole < size:
        raise ValueError(f"has {size - whole:,} bytes more than the {whole:,} of the index")
    if not length <= min(LONGEST, size - SIZE):
        raise ValueError(f"has a table of {length:,} bytes; expected at most {LONGEST:,}")
    header = file.read(length)
    if zlib.crc32(header) != checksum:
        raise ValueError("is altered in its table of arrays (it does not have its checksum)")
    return header, checksum


def _table(header: bytes) -> tuple[dict[str, Any], list[Any]]:
    try:
        facts = json.loads(header)
        table = facts.pop("arrays")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"has a table of arrays that cannot be read: {error}") from error
    if not isinstance(facts, dict) or not isinstance(table, list):
        raise ValueError("has a table of arrays that cannot be read: it is no list")
    return facts, table


class _Place(NamedTuple):
    """Where an array is."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: str

    @property
    def end(self) -> int:
        return self.offset + self.size

    def of(self, whole: Array) -> Array:
        return whole[self.offset : self.end].view(self.dtype).reshape(self.shape)

    def check(self, whole: Array) -> None:
        checksum = 0
        for start in range(self.offset, self.end, PART):
            checksum = zlib.crc32(whole[start : min(start + PART, self.end)].data, checksum)
        if f"{checksum:08x}" != self.checksum:
            raise ValueError(f"is altered in array {self.name!r} (it does not have its checksum)")


def _place(entry: Any, file_size: int, first: int) -> _Place:
    """A line of the table, of which nothing is taken on trust."""
    keys = "name", "dtype", "shape", "offset", "bytes", "crc32"
    values: list[Any] = [entry.get(key) if isinstance(entry, dict) else None for key in keys]
    name, dtype, shape, offset, size, checksum = values
    if not isinstance(name, str) or not isinstance(checksum, str) or dtype not in [*DTYPES]:
        raise ValueError(f"has an array with name {name!r}, dtype {dtype!r}, crc32 {checksum!r}")
    lengths: list[Any] = shape if isinstance(shape, list) else [None]
    every = *lengths, offset, size
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in every):
        raise ValueError(f"has an array {name!r} of shape {shape}, {size} bytes at offset {offset}")
    expected = DTYPES[dtype].itemsize
    for length in lengths:
        expected *= length
    if size != expected or len(lengths) > 2:
        raise ValueError(f"has an array {name!r} of shape {shape} in {dtype} and {size} bytes")
    if offset % ALIGNED or offset < first or offset + size > file_size:
        raise ValueError(
            f"has an array {name!r} at bytes {offset} to {offset + size}; expected a multiple of "
            f"{ALIGNED}, {first} to {file_size}"
        )
    return _Place(name, DTYPES[dtype], tuple(lengths), offset, size, checksum)


def _check_apart(places: list[_Place]) -> None:
    """Raise where arrays share bytes."""
    in_order = sorted((place for place in places if place.size), key=lambda place: place.offset)
    for place, following in pairwise(in_order):
        if following.offset < place.end:
            raise ValueError(f"has arrays {place.name!r} and {following.name!r} that share bytes")
