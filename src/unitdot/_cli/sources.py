"""What a name on the command line stands for: a file, a folder or pattern of them, a stream."""

import glob
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

from unitdot._cli.choose import InputError, import_pyarrow

FORMATS = {
    ".npy": "a NumPy array",
    ".npz": "NumPy arrays, or a SciPy sparse matrix",
    ".csv": "comma-separated values",
    ".tsv": "tab-separated values",
    ".jsonl": "a JSON object a line",
    ".parquet": "a Parquet table",
    ".arrow": "an Arrow table",
    ".unitdot": "an index of unitdot",
}
ALIASES = {".feather": ".arrow", ".ndjson": ".jsonl"}
TEXT = (".csv", ".tsv", ".jsonl")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}  # of text
MAGIC = {
    b"\x93NUMPY": ".npy", b"PK": ".npz", b"PAR1": ".parquet", b"ARROW1": ".arrow",
    b"\xff\xff\xff\xff": ".arrow", b"\x89unitdot": ".unitdot",
}  # fmt: skip
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class Source(NamedTuple):
    """One file.

    Attributes
    ----------
    path : Path
        What is opened.
    name : str
        What the user calls it.
    suffix : str
        A key of `FORMATS`.
    compression : str or None
        As pyarrow calls it.
    """

    path: Path
    name: str
    suffix: str
    compression: str | None = None

    @property
    def what(self) -> str:
        """The format, for errors."""
        return FORMATS[self.suffix]

    def open(self) -> IO[bytes]:
        """The bytes of a file of text, unpacked as they are read."""
        if self.compression is None:
            return self.path.open("rb")
        pa = import_pyarrow()
        stream: Any = pa.input_stream(str(self.path), compression=self.compression)
        return io.BufferedReader(stream)


def format_of(name: str, formats: Sequence[str] = tuple(FORMATS)) -> tuple[str, str | None]:
    """The suffix and the compression that a file's name says, or an InputError."""
    stem, suffix = os.path.splitext(name.lower())
    compression = COMPRESSIONS.get(suffix)
    if compression is not None:
        suffix = os.path.splitext(stem)[1]
        if ALIASES.get(suffix, suffix) not in TEXT:
            suffix += os.path.splitext(name)[1]
    known = ALIASES.get(suffix, suffix)
    if known not in formats:
        *most, last = formats
        also = " (.csv, .tsv and .jsonl also with .gz or .zst)" * (".tsv" in formats)
        raise InputError(
            f"{name}: {f'ends in {suffix}' if suffix else 'has no suffix'}; "
            f"expected {', '.join(most)}{' or ' * bool(most)}{last}{also}"
        )
    return known, compression


def find(name: str, cleanup: ExitStack) -> list[Source]:
    """The files that a name stands for, in order, all of one format.

    Parameters
    ----------
    name : str
        A file; a folder, of whose files those are taken that can be read and whose names begin
        with a letter or digit; a pattern; or ``-`` for standard input.
    cleanup : ExitStack
        Removes what was written to a temporary file.
    """
    path = Path(name)
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input: is closed; expected a file of vectors")
        return [_spool(sys.stdin.buffer, "standard input", cleanup)]
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.name[0].isalnum() and p.is_file())
        found = [p for p in inside if _known(p.name)]
    elif not path.exists() and glob.has_magic(name):
        found = [Path(p) for p in sorted(glob.glob(name, recursive=True))]
    else:
        # opened for the system's own words, if it cannot be
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return [_spool(file, name, cleanup)]
        found = [path]
    if not found:
        raise InputError(f"{name}: holds no file of vectors; expected {', '.join(FORMATS)}")
    sources = [Source(p, str(p), *format_of(str(p))) for p in found]
    for source in sources:
        if source.suffix != sources[0].suffix:
            raise InputError(
                f"{name}: holds {sources[0].name} and {source.name}; expected files of one format"
            )
    return sources


def _known(name: str) -> bool:
    try:
        return bool(format_of(name))
    except InputError:
        return False


def _spool(stream: IO[bytes], name: str, cleanup: ExitStack) -> Source:
    """What can be read just once, copied to a file; its first bytes tell what it is."""
    file = cleanup.enter_context(
        tempfile.NamedTemporaryFile(prefix=".unitdot-", suffix=".tmp")  # noqa: SIM115
    )
    try:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
    except OSError as error:
        error.filename = file.name
        raise
    path = Path(file.name)
    with path.open("rb") as head:
        start = head.read(8)
    compression = next((c for magic, c in PACKED.items() if start.startswith(magic)), None)
    suffix = next((s for magic, s in MAGIC.items() if start.startswith(magic)), None)
    if suffix is None:
        try:
            with Source(path, name, ".csv", compression).open() as text:
                line = text.readline(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
        except (OSError, EOFError) as error:
            raise InputError(f"{name}: cannot be unpacked: {error}") from error
        suffix = ".jsonl" if line[:1] == b"{" else ".tsv" if b"\t" in line else ".csv"
    return Source(path, name, suffix, compression)
