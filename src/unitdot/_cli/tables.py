"""Tables read by pyarrow, a batch at a time, and which of their columns are the vectors.

pyarrow trusts some of what it reads: JSON of many brackets within brackets ends the process, an
Arrow file's offsets may point anywhere, and what is compressed may unpack to more than there is
memory. Each has its guard here.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from unitdot._cli import choose
from unitdot._cli.choose import (
    ID_NAME,
    Array,
    InputError,
    Wanted,
    errors_name,
    import_pyarrow,
    listed,
)
from unitdot._cli.sources import TEXT, Source
from unitdot._frames import of_arrow
from unitdot._frames.common import UnreadableError
from unitdot._inputs import counted
from unitdot._machine import memory
from unitdot._machine.system import available_bytes

BATCH = 1 << 21  # numbers read at a time, about
BLOCK = 1 << 23  # bytes of text read at a time; no row is longer
MOST_COLUMNS = 1 << 18  # of text
DEEPEST = 100  # brackets within brackets in a line of JSON
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SLACK = 1 << 28  # bytes of address space that pyarrow's own working needs
SEEN = 1000  # rows that are looked at for ids among the features


class Vectors(NamedTuple):
    """What was read.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
    ids : list of int or str, or None
    features : list of str
        The columns that they are from: one of lists, or one of numbers for each feature.
    starts : list of int
        The number of the first row of every file.
    """

    X: Array
    ids: list[Any] | None
    features: list[str]
    starts: list[int]


class Table(NamedTuple):
    """An open table.

    Attributes
    ----------
    types : dict
        The Arrow type of each column, by its name.
    batches : callable
        Reads record batches, from {name: "numbers", "lists", "texts" or "ids"} and how many rows
        at a time.
    pandas_index : sequence of str
        The columns that pandas wrote as its index.
    n_rows : int, optional
        How many rows there are, where it is known before they are read.
    n_values : callable, optional
        How many numbers a column holds, where that is known.
    """

    types: dict[str, Any]
    batches: Callable[[dict[str, str], int], Iterator[Any]]
    pandas_index: Sequence[str] = ()
    n_rows: int | None = None
    n_values: Callable[[str], int] | None = None


def read(sources: Sequence[Source], wanted: Wanted, like: Sequence[str] = ()) -> Vectors:
    """Read the vectors of files of one format, one below the other.

    Parameters
    ----------
    sources : sequence of Source
        Tables.
    wanted : Wanted
        Their columns.
    like : sequence of str
        The features of the other side: the same names are read in the same order.
    """
    rows, ids, starts = _Rows(), list[Any](), list[int]()
    features, other = list(like), ""
    size = sum(source.path.stat().st_size for source in sources)
    with nullcontext() if sources[0].suffix in TEXT else _limited(size):
        for source in sources:
            with errors_name(source.name, source.what), opened(source) as table:
                kind, names, id_ = _choose(table, wanted)
                if set(names) == set(features):
                    names = features
                elif other:
                    raise InputError(
                        f"has the features {listed(names)} where {other} has {listed(features)}; "
                        f"expected the same names"
                    )
                features, other, start = names, source.name, rows.n_rows
                starts.append(start)
                kinds = dict.fromkeys(names, kind) | ({} if id_ is None else {id_: "ids"})
                for batch in filter(len, table.batches(kinds, _at_a_time(table, names))):
                    batch.validate(full=True)  # else offsets may point anywhere
                    place = rows.n_rows - start
                    part = _matrix(batch, kind, names, place)
                    if not rows.n_rows and kind == "numbers" and not wanted.columns:
                        _check_values(part[:SEEN], names)
                    if not rows.n_rows and (n_rows := _expected(table, source, len(part), size)):
                        rows.expect(n_rows, part)
                    rows.add(part, f"row {place}")
                    if id_ is not None:
                        ids += _ids(_plain(batch[id_]), id_, place)
                if table.n_rows not in (None, rows.n_rows - start):
                    raise InputError(f"has {rows.n_rows - start} rows; it says {table.n_rows}")
    return Vectors(rows.array(), ids if id_ is not None else None, features, starts)


def _expected(table: Table, source: Source, first: int, size: int) -> int | None:
    """How many rows all files have, of `size` bytes, or will have had; None: no more, or unknown.

    `first` : how many the first batch of the first file has.
    """
    if table.n_rows is not None:
        n_rows = table.n_rows * size // max(1, source.path.stat().st_size)
    elif source.suffix in TEXT and source.compression is None:
        n_rows = first * size // BLOCK
    else:
        return None
    return n_rows if n_rows > first else None


class _Rows:
    """Rows that are added a batch at a time; one batch alone is not copied."""

    def __init__(self) -> None:
        self.n_rows, self._array = 0, np.empty((0, 0))

    def expect(self, n_rows: int, part: Array) -> None:
        """Make room for so many rows in all, of the kind of `part`."""
        size = n_rows * part.shape[1] * part.dtype.itemsize
        what = f"a matrix of {n_rows:,} rows of {part.shape[1]:,} numbers in {part.dtype}"
        memory.check(size, what, self._array.nbytes)
        if not self.n_rows:
            self._array = np.empty((n_rows, part.shape[1]), part.dtype)
        elif self._array.flags.owndata:
            self._array.resize((n_rows, part.shape[1]), refcheck=False)
        else:
            array = np.empty((n_rows, part.shape[1]), part.dtype)
            array[: self.n_rows] = self._array
            self._array = array

    def add(self, part: Array, place: str) -> None:
        """Add rows; `place` is that of the first."""
        if not self.n_rows and len(self._array) <= len(part):
            self._array = part
        elif self.n_rows and part.shape[1] != self._array.shape[1]:
            numbers = counted(part.shape[1], "number", "numbers")
            raise InputError(f"{place} has {numbers} where row 0 has {self._array.shape[1]}")
        elif self.n_rows and part.dtype != self._array.dtype:
            raise InputError(
                f"holds {part.dtype} where the rows before hold {self._array.dtype}; "
                f"expected one dtype"
            )
        else:
            stop = self.n_rows + len(part)
            if stop > len(self._array):
                self.expect(max(stop, self.n_rows * 5 // 4), part)
            self._array[self.n_rows : stop] = part
        self.n_rows += len(part)

    def array(self) -> Array:
        """All rows."""
        if self.n_rows != len(self._array) and self._array.flags.owndata:
            self._array.resize((self.n_rows, self._array.shape[1]), refcheck=False)
        return self._array[: self.n_rows]


@contextmanager
def _limited(mapped: int) -> Iterator[None]:
    """No more memory than there is: for what pyarrow unpacks unasked.

    Not where it starts threads, which would end the process where they find no room.
    """
    room = available_bytes()
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        room = None
    if room is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + mapped + room + SLACK
    if before[0] != resource.RLIM_INFINITY:
        limit = min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def opened(source: Source) -> AbstractContextManager[Table]:
    """Open a table; what is wrong with it is an error of pyarrow's, or an InputError."""
    return {".parquet": _parquet, ".arrow": _arrow, ".jsonl": _json}.get(source.suffix, _csv)(
        source
    )


@contextmanager
def _parquet(source: Source) -> Iterator[Table]:
    import_pyarrow()
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(source.path, memory_map=True) as file:
        metadata, schema = file.metadata, file.schema_arrow
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        numbers = {
            metadata.schema.column(i).path: sum(group.column(i).num_values for group in groups)
            for i in range(metadata.num_columns)
        }

        def n_values(name: str) -> int:
            inside = [n for path, n in numbers.items() if path.startswith(f"{name}.")]
            return int(numbers.get(name) or sum(inside))

        def batches(kinds: dict[str, str], rows: int) -> Iterator[Any]:
            yield from file.iter_batches(rows, columns=list(kinds), use_threads=False)

        yield Table(_types(schema), batches, _index(schema), metadata.num_rows, n_values)


def is_stream(source: Source) -> bool:
    """Whether an Arrow file is in the format of streams, as the library datasets writes it."""
    with source.path.open("rb") as file:
        return not file.read(6).startswith(b"ARROW1")


@contextmanager
def _arrow(source: Source) -> Iterator[Table]:
    pa = import_pyarrow()
    import pyarrow.ipc as ipc

    with pa.memory_map(str(source.path)) as file:
        in_stream, n_rows = is_stream(source), None
        # of all columns: chosen ones would be copied
        options = ipc.IpcReadOptions(use_threads=False)
        reader = (ipc.open_stream if in_stream else ipc.open_file)(file, options=options)

        def batches(kinds: dict[str, str], rows: int) -> Iterator[Any]:
            if in_stream:
                file.seek(0)
                yield from ipc.open_stream(file, options=options)
            else:
                yield from map(reader.get_batch, range(reader.num_record_batches))

        if not in_stream and reader.num_record_batches:
            before, first = pa.total_allocated_bytes(), reader.get_batch(0)
            if pa.total_allocated_bytes() == before:  # not packed, so it is mapped
                n_rows = sum(map(len, batches({}, SEEN)))
            del first
        yield Table(_types(reader.schema), batches, _index(reader.schema), n_rows)


@contextmanager
def _csv(source: Source) -> Iterator[Table]:
    pa = import_pyarrow()
    from pyarrow import csv as arrow

    delimiter = DELIMITERS[source.suffix]
    names, header = names_of(source, delimiter)

    def reader(kinds: dict[str, str]) -> Any:
        return arrow.open_csv(
            pa.input_stream(str(source.path), compression=source.compression),
            arrow.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=names,
                skip_rows_after_names=int(header),
            ),
            arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            arrow.ConvertOptions(
                null_values=[""],
                include_columns=list(kinds),
                column_types={
                    name: pa.float64() if kind == "numbers" else pa.string()
                    for name, kind in kinds.items()
                },
            ),
        )  # fmt: skip

    def batches(kinds: dict[str, str], rows: int) -> Iterator[Any]:
        try:
            with reader(kinds) as every:
                yield from every
        except pa.ArrowInvalid as error:
            raise _in_csv(str(error), list(kinds), header) or error from error

    try:
        with reader({}) as first:
            schema = first.schema
    except pa.ArrowInvalid as error:
        raise _in_csv(str(error), names, header) or error from error
    yield Table(_types(schema), batches)


def names_of(source: Source, delimiter: str) -> tuple[list[str], bool]:
    """The columns of a CSV file, and whether its first line names them."""
    with (
        source.open() as file,
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        csv.field_size_limit(BLOCK)
        lines = iter(lambda: text.readline(BLOCK), "")
        fields = next(filter(None, csv.reader(lines, delimiter=delimiter)), list[str]())
    if len(fields) == 1 and (mark := next((m for m in ";\t" if m in fields[0]), "")):
        raise InputError(f"line 1 has {mark!r} and no comma; expected commas between values")
    if not fields:
        raise InputError("has no rows")
    if len(fields) > MOST_COLUMNS:  # each takes pyarrow some 2 KB
        raise InputError(f"has more than {MOST_COLUMNS:,} columns; expected a column of lists")
    if mixed := next((f for f in fields if re.fullmatch(r"[-+.\deE]+(;[-+.\deE]*)+", f)), ""):
        raise InputError(
            f"line 1 has {mixed[:40]!r}; expected numbers with decimal points, and commas between"
        )
    values = [field for field in fields if _is_value(field)]
    counting = values in ([str(i + start) for i in range(len(values))] for start in (0, 1))
    if len(fields) > 1 and counting and len(values) == len(fields) and fields[0] == "0":
        raise InputError(
            f"line 1 counts from 0 to {len(fields) - 1}, as pandas numbers columns; expected "
            f"names of columns, or vectors only (DataFrame.to_csv: header=False, index=False); "
            f"if it is a vector, write its zero as 0.0"
        )
    # an id and numbers are a row, an id and columns that are numbered are names
    if values and not (counting and len(values) < len(fields) and (values[2:] or not fields[0])):
        return [f"f{i}" for i in range(len(fields))], False
    _once(fields)
    return fields, True


def _once(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has two columns {twice!r}; expected names that differ")


def _is_value(field: str) -> bool:
    return field.lstrip()[:1] == "[" or _is_numeral(field)


def _is_numeral(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _in_csv(message: str, names: Sequence[str], header: bool) -> InputError | None:
    """The place that pyarrow tells of, in the words of all other errors."""
    row = int(found[1]) - 1 - header if (found := re.search(r"Row #(\d+)", message)) else None
    where = "a row" if row is None else f"row {row}"
    if found := re.search(r"Expected (\d+) columns, got (\d+)", message):
        fields = counted(int(found[2]), "field", "fields")
        return InputError(f"{where} has {fields}; expected {found[1]}, as in the first line")
    if "straddling" in message:
        return InputError(f"a quote is not closed, or a row longer than {BLOCK >> 20} MiB")
    if found := re.search(r"CSV column #(\d+).*invalid value '(.*)'", message, re.DOTALL):
        value = found[2]
        hint = ", with a decimal point, and commas between numbers" * (";" in value)
        return InputError(
            f"{where} of column {names[int(found[1])]!r} is {value[:40]!r}; expected a number{hint}"
        )
    return None


@contextmanager
def _json(source: Source) -> Iterator[Table]:
    pa = import_pyarrow()
    from pyarrow import json as arrow

    def parse(lines: Sequence[bytes], schema: Any) -> Any:
        return arrow.read_json(
            pa.BufferReader(b"".join(lines)),
            arrow.ReadOptions(use_threads=False, block_size=2 * BLOCK + 2),
            arrow.ParseOptions(
                explicit_schema=schema,
                unexpected_field_behavior="infer" if schema is None else "ignore",
            ),
        ).combine_chunks()

    def parts(schema: Any) -> Iterator[Any]:
        for start, lines in _blocks(source):
            try:
                yield parse(lines, schema)
            except pa.ArrowInvalid as error:
                for number, line in enumerate(lines, start):  # which of them?
                    try:
                        parse([line], schema)
                    except pa.ArrowInvalid as of_line:
                        raise InputError(f"line {number}: {of_line}") from error
                raise

    first = next(parts(None), None)
    types = {} if first is None else _types(first.schema)

    def batches(kinds: dict[str, str], rows: int) -> Iterator[Any]:
        number, text = pa.float64(), pa.string()
        read_as = {"numbers": number, "lists": pa.list_(number), "texts": text}
        whole = {name: types[name] if types[name] == pa.int64() else text for name in kinds}
        fields = [(name, read_as.get(kind, whole[name])) for name, kind in kinds.items()]
        for part in parts(pa.schema(fields)):
            yield from part.to_batches()

    yield Table(types, batches)


def _blocks(source: Source) -> Iterator[tuple[int, list[bytes]]]:
    """Lines of JSON, about BLOCK bytes at a time, and the number of the first of them."""
    lines, size = list[bytes](), 0
    with source.open() as file:
        for number, line in enumerate(json_lines(file), 1):
            lines.append(line)
            size += len(line)
            if size >= BLOCK:
                yield number + 1 - len(lines), lines
                lines, size = [], 0
        if lines:
            yield number + 1 - len(lines), lines


def json_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines that hold an object each, none with so many brackets that reading it takes a stack."""
    for number, line in enumerate(iter(lambda: file.readline(BLOCK), b""), 1):
        if len(line) == BLOCK:
            raise InputError(f"line {number} is longer than {BLOCK >> 20} MiB")
        text = line.strip().removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
        if text and not (text.startswith(b"{") and text.endswith(b"}")):
            words = text[:40].decode("utf-8", "replace")
            raise InputError(f"line {number} is {words!r}; expected an object, in braces")
        if text.count(b"[") + text.count(b"{") > DEEPEST and _depth(text) > DEEPEST:
            raise InputError(f"line {number} has more than {DEEPEST} brackets within brackets")
        yield line if number > 1 else line.removeprefix(b"\xef\xbb\xbf")


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for bracket in re.findall(rb'"(?:[^"\\]|\\.)*"|[][{}]', text):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in b"]}":
            depth -= 1
    return deepest


def _types(schema: Any) -> dict[str, Any]:
    _once(schema.names)
    types: dict[str, Any] = {}
    for field in schema:
        dtype = getattr(field.type, "storage_type", field.type)  # of an extension
        types[field.name] = (
            getattr(dtype, "value_type", dtype) if _is(dtype, "dictionary") else dtype
        )
    return types


def _index(schema: Any) -> list[str]:
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in index if isinstance(name, str)]


def _is(dtype: Any, *kinds: str) -> bool:
    from pyarrow import types

    return any(getattr(types, f"is_{kind}", lambda _: False)(dtype) for kind in kinds)


def _is_list(dtype: Any) -> bool:
    return of_arrow.is_list(dtype) and _is_number(dtype.value_type)


def _is_number(dtype: Any) -> bool:
    return _is(dtype, "floating", "integer", "boolean", "decimal", "null")


def _is_text(dtype: Any) -> bool:
    return _is(dtype, "string", "large_string", "string_view")


def _choose(table: Table, wanted: Wanted) -> tuple[str, list[str], str | None]:
    """What the vectors are in ("numbers", "lists", "texts"), the columns' names, that of ids."""
    types, names = table.types, list(table.types)
    if (id_ := wanted.id) is not None and id_ not in types:
        if wanted.strict:
            raise choose.missing(id_, names)
        id_ = None
    if wanted.column is not None:
        features = [choose.choose([], wanted.column, names, "column")]
    elif wanted.columns:
        features = choose.matching(wanted.columns, names)
    else:
        out = {id_, *table.pandas_index, *choose.matching(wanted.drop, names, wanted.strict)}
        features = [name for name in names if name not in out]
    lists = [name for name in features if _is_list(types[name])]
    texts = [name for name in features if _is_text(types[name])]
    values = _first_values(table, texts) if texts and not lists else {}
    written = [name for name in texts if values.get(name, (0, ""))[1].lstrip()[:1] == "["]
    if lists or written:
        name = choose.choose(lists or written, wanted.column, names, "column")
        if wanted.columns and len(features) > 1:
            raise InputError(f"column {name!r} holds lists; expected it alone in --columns")
        return "lists" if lists else "texts", [name], id_
    if wanted.column is not None:
        raise InputError(
            f"column {features[0]!r} holds {types[features[0]]}; expected lists of numbers"
        )
    if not features:
        raise InputError(f"has no columns of features; it has {listed(names)}")
    _check_features(types, features, values, bool(wanted.columns))
    return "numbers", features, id_


def _first_values(table: Table, texts: Sequence[str]) -> dict[str, tuple[int, str]]:
    """The first value that is no number, and its row, of columns of text."""
    found: dict[str, tuple[int, str]] = {}
    for batch in filter(len, table.batches(dict.fromkeys(texts, "texts"), SEEN)):
        batch.validate(full=True)
        for name in texts:
            column = enumerate(_plain(batch[name]).slice(0, SEEN).to_pylist())
            values = (pair for pair in column if pair[1] and not _is_numeral(pair[1]))
            if first := next(values, None):
                found[name] = first
        break
    return found


def _check_features(
    types: dict[str, Any], names: list[str], values: dict[str, tuple[int, str]], explicit: bool
) -> None:
    """Raise for columns of no numbers, and unless the user named them, for what looks like ids."""
    numbers = [name for name in names if _is_number(types[name])]
    other = [name for name in names if not _is_number(types[name])]
    if other:
        why = f"holds {types[other[0]]}s"
        if other[0] in values:
            row, value = values[other[0]]
            why += f": row {row} is {value[:40]!r}"
        if explicit or not numbers:
            raise InputError(f"column {other[0]!r} {why}; expected numbers")
    if explicit:
        return
    whole = [name for name in numbers if _is(types[name], "integer")]
    whole = whole if len(whole) < len(numbers) else []
    named = [name for name in numbers if ID_NAME.fullmatch(name)]
    ids = [name for name in names if name in {*other, *whole, *named}]
    if not other:
        why = "holds integers among columns of floats" if whole else "has the name of ids"
    if ids:
        raise choose.not_features(ids, why, names)


def _check_values(first: Array, names: list[str]) -> None:
    """Raise for columns of whole numbers that count, or that are larger than all others."""
    values = np.asarray(first, np.float64)
    steps, sizes = np.diff(values, axis=0), np.abs(values)
    even = (np.abs(steps) == 1).all(axis=0) | (len(steps) >= 8)
    counts = ((steps > 0).all(axis=0) | (steps < 0).all(axis=0)) & even & (len(steps) > 1)
    largest = sizes.max(axis=0)
    second, most = np.sort(largest)[-2:] if len(names) > 1 else (0.0, 0.0)
    beyond = sizes.min(axis=0) > np.where(largest == most, second, most)
    for j in np.flatnonzero(beyond).tolist():
        beyond[j] = len(values) > 8 and len(np.unique(values[:, j])) == len(values)
    ids = np.flatnonzero((counts | beyond) & (values == np.floor(values)).all(axis=0))
    if 0 < len(ids) < len(names):
        why = "counts" if counts[ids[0]] else "holds other and larger integers in every row"
        raise choose.not_features([names[j] for j in ids], f"{why}, as ids do", names)


def _at_a_time(table: Table, names: Sequence[str]) -> int:
    """Rows to read at a time; a file can be far smaller than what it unpacks to."""
    if table.n_rows is None or table.n_values is None:
        return SEEN
    n_values = sum(map(table.n_values, names))
    dtypes = [getattr(table.types[name], "value_type", table.types[name]) for name in names]
    bits = min(getattr(dtype, "bit_width", 8) for dtype in dtypes)
    memory.check(n_values * bits // 8, f"a matrix of {n_values:,} numbers")
    return max(1, min(table.n_rows, BATCH * table.n_rows // max(1, n_values)))


def _plain(values: Any) -> Any:
    """A column without the wrappings of an extension type and a dictionary."""
    values = getattr(values, "storage", values)
    return values.dictionary_decode() if _is(values.type, "dictionary") else values


def _matrix(batch: Any, kind: str, names: Sequence[str], start: int) -> Array:
    """The vectors of a batch, without a copy where Arrow has none to make."""
    if kind == "numbers":
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return np.column_stack([_numbers(columns[name], name, start) for name in names])
    lists = _plain(batch[names[0]])
    if kind == "texts":
        lists = _parsed(lists, names[0], start)
    try:
        return of_arrow.of_lists(_exact(lists), start=start)
    except UnreadableError as error:
        raise InputError(error.what) from error


def _exact(values: Any) -> Any:
    """Numbers or lists of them, of decimals the nearest doubles: Arrow's own may be beside them."""
    dtype = values.type
    number = getattr(dtype, "value_type", dtype)
    if not _is(number, "decimal"):
        return values
    import pyarrow as pa

    for to in (pa.string(), pa.float64()):
        values = values.cast(to if number is dtype else pa.list_(to))
    return values


def _numbers(values: Any, name: str, start: int) -> Array:
    values = _exact(_plain(values))
    if values.null_count:
        row = start + _first_null(values)
        raise InputError(f"row {row} of column {name!r} is null; expected a number")
    array: Array = values.to_numpy(zero_copy_only=False)
    return array


def _parsed(texts: Any, name: str, start: int) -> Any:
    """Lists of numbers from text such as "[0.5, 1]"."""
    import pyarrow.compute as compute

    good = compute.match_substring_regex(texts, r"^\s*\[[^\[\]]*\]\s*$")
    bad = np.flatnonzero(~good.fill_null(False).to_numpy(zero_copy_only=False))
    if len(bad):
        value = (texts[int(bad[0])].as_py() or "")[:40]
        raise InputError(
            f"row {start + int(bad[0])} of column {name!r} is {value!r}; "
            f"expected a list of numbers as in JSON, such as [0.5, 1]"
        )
    lists = compute.split_pattern(compute.utf8_trim(texts, "[] \t\r\n"), ",")
    try:
        numbers = compute.utf8_trim_whitespace(lists.flatten()).cast("float64")
    except ValueError as error:  # pyarrow's own errors are some
        words = ((row, word) for row, words in enumerate(lists.to_pylist()) for word in words)
        row, word = next((row, word) for row, word in words if not _is_numeral(word))
        raise InputError(
            f"row {start + row} of column {name!r} holds {word.strip()[:40]!r}; expected numbers"
        ) from error
    return type(lists).from_arrays(lists.offsets, numbers)


def _first_null(values: Any) -> int:
    return int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])


def _ids(values: Any, name: str, start: int) -> list[Any]:
    if values.null_count:
        raise InputError(
            f"row {start + _first_null(values)} of column {name!r} is null; expected an id"
        )
    if not (_is_text(values.type) or _is(values.type, "integer")):
        raise InputError(f"column {name!r} holds {values.type}; expected ids: integers or strings")
    return list(values.to_pylist())
