"""A file of an index, some of whose bytes are others now: refused by name, or searched safely.

With `verify` the answers are those of the file as it was written; without it they may be others,
where what lies behind the header was altered, but nothing worse.
"""

import json
import tempfile
import zlib
from pathlib import Path

import numpy as np

import unitdot
from unitdot._index_file import PREAMBLE

from ..sparse.data import sparse
from . import dense, held
from .selection import outcome

NUMBERS = (0, 1, -1, 2, 63, 64, 255, 1 << 31, 1 << 32, 1 << 47, (1 << 63) - 1, -(1 << 63), 1 << 64)
OTHERS = (None, True, 1.5, "", "dense", "sparse", "int", "str", "float32", "int8", [], {}, [1], "x")
MANY = 1 << 20  # features, that are too many for dense rows
SPECIAL = (0, 1, 127, 128, 255)


def check(c):
    """Alter the file of an index, and use it."""
    it = held.make(c)
    if it is None:
        return
    X = dense.side(c, (2, it.rows.shape[1])).value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.unitdot"
        it.index.save(path)
        content = path.read_bytes()
        right = answers(path, True, X)
        how = c.pick((cut, flipped, flipped, tabled, tabled, resumed))
        path.write_bytes(how(c, bytearray(content)))
        for verify in (True, False):
            found, raised = outcome(answers, path, verify, X)
            if raised is not None:
                assert isinstance(raised, ValueError), f"{raised!r}"
                assert not verify or str(path) in str(raised), f"{raised!r} does not name the file"
            elif verify and how in (cut, flipped):
                assert found == right


def answers(path, verify, X):
    """All that can be asked of a file."""
    index = unitdot.CosineIndex.open(path, verify=verify)
    features = index.shape[1]
    if features > MANY:  # as a file of sparse rows may say
        ones = X[:, 0].astype(float)
        X = sparse.csr_array((ones, ([0, 1], [0, features - 1])), shape=(2, features))
    elif X.shape[1] != features:
        X = X[:, :1].repeat(features, axis=1)
    options = {"check_finite": False, "n_threads": 1}
    found = [
        *index.top_k(X, 3, threshold=-1, **options),
        *index.top_k(X, 1, where=slice(None, None, 2), **options),
        *index.pairs(X, threshold=0.9, **options),
        index.similarity(X, **options),
    ]
    part = index[: min(3, len(index))]
    found += [part.data, part.indices, part.indptr] if sparse.issparse(part) else [part]
    ids = index.ids
    index.remove(slice(1))
    if len(index):
        found += index.top_k(X, 2, threshold=-1, **options)
        index.add(index[:2], None if ids is None else ids_like(ids))
        found += index.top_k(X, 2, threshold=-1, **options)
    return [(array.dtype, array.shape, array.tobytes()) for array in map(np.asarray, found)], (
        None if ids is None else ids.tolist()
    )


def ids_like(ids):
    """Two that are not there."""
    if ids.dtype == object:
        return [f"{max(ids.tolist())}{i}" for i in "xy"][: len(ids) - 1]
    there = set(ids.tolist())
    return [i for i in range(len(ids) + 3) if i not in there][: min(2, len(ids) - 1)]


def cut(c, content):
    """Shorter, or longer."""
    if c.byte() % 8 == 1:
        return content + bytes(1 + c.below(70))
    return content[: place(c, content)]


def place(c, content):
    """A place in the file, often in what comes first."""
    return c.below(min(65536, len(content))) * (1 if c.byte() % 2 else 7) % len(content)


def flipped(c, content):
    """A few bytes are others."""
    for _ in range(1 + c.below(4)):
        at = place(c, content)
        content[at] = c.pick((content[at] ^ 1, content[at] ^ 128, *SPECIAL))
    return content


def resumed(c, content):
    """Arrays altered, whose checksums are right."""
    facts, arrays = table_of(content)
    for _ in range(1 + c.below(3)):
        entry = c.pick(arrays)
        if not entry["bytes"]:
            continue
        part = slice(entry["offset"], entry["offset"] + entry["bytes"])
        array = np.frombuffer(content, np.uint8)[part]
        size = c.pick((1, 4, 8))
        at = c.below(min(65536, len(array))) // size * size
        array[at : at + size] = c.pick(SPECIAL)
        entry["crc32"] = f"{zlib.crc32(array.tobytes()):08x}"
        del array
    return with_table(content, facts)


def tabled(c, content):
    """Something else in the table of arrays, or among the facts, with right checksums."""
    facts, arrays = table_of(content)
    for _ in range(1 + c.below(2)):
        where = c.pick((facts, *arrays))
        if not isinstance(where, dict) or not where:
            continue
        key = c.pick(sorted(where))
        if key == "arrays" and arrays and c.byte() % 2:
            del arrays[c.below(len(arrays)) :]
        elif key == "shape" and isinstance(where[key], list) and where[key]:
            where[key][c.below(len(where[key]))] = c.pick(NUMBERS)
        else:
            where[key] = c.pick((*NUMBERS, *OTHERS, *(entry.get(key) for entry in arrays)))
    return with_table(content, facts)


def table_of(content):
    """Facts, and the table of arrays in them."""
    length = PREAMBLE.unpack(content[: PREAMBLE.size])[3]
    facts = json.loads(content[PREAMBLE.size : PREAMBLE.size + length])
    return facts, facts["arrays"]


def with_table(content, facts):
    """The file with this table, as far as it fits."""
    old = PREAMBLE.unpack(content[: PREAMBLE.size])
    header = json.dumps(facts).encode()
    room = min(entry["offset"] for entry in table_of(content)[1]) - PREAMBLE.size
    header = header[:room]
    fields = [*old[:3], len(header), len(content), zlib.crc32(header), b""]
    start = PREAMBLE.pack(*fields, 0)[:-4]
    content[: PREAMBLE.size] = start + zlib.crc32(start).to_bytes(4, "little")
    content[PREAMBLE.size : PREAMBLE.size + room] = header.ljust(room, b"\0")
    return content
