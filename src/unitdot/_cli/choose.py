"""What can be read and written, who is meant, and the error for everything else."""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

FORMATS = {
    ".npy": "a NumPy array",
    ".npz": "NumPy arrays, or a SciPy sparse matrix",
    ".parquet": "a Parquet table",
    ".csv": "comma-separated numbers",
}


class InputError(ValueError):
    """What the user gave cannot be used; the message is fit for the user."""


def known_suffix(path: Path, formats: dict[str, str]) -> str:
    """The suffix of `path` in lower case, or an InputError that lists those that there are."""
    suffix = path.suffix.lower()
    if suffix not in formats:
        *most, last = formats
        raise InputError(
            f"{path}: {f'ends in {path.suffix}' if suffix else 'has no suffix'}; "
            f"expected {', '.join(most)} or {last}"
        )
    return suffix


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Whatever a library makes of a damaged or hostile file, one error that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: does not fit in memory: {error}") from error
    except ImportError as error:
        raise InputError(f"{path}: {_install(error)}") from error
    except Exception as error:
        # a damaged archive sends its reader to places before its start
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, str(path)) from error
        what = FORMATS[path.suffix.lower()]
        raise InputError(
            f"{path}: cannot be read as {what}: {' '.join(str(error).split())}"
        ) from error


def _install(error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError):  # such as a pyarrow that needs another NumPy
        return str(error)
    package = (error.name or "").partition(".")[0]
    extra = {"pyarrow": "'unitdot[parquet]'"}.get(package, package)
    return f"needs {package}, which is not installed: pip install {extra}"


def import_parquet() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet, or an InputError that says how to install them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(_install(error)) from error
    if int(pyarrow.__version__.partition(".")[0]) < 15:
        # up to 14.0.0 it unpickled what a file told it to (CVE-2023-47248)
        raise InputError(f"needs pyarrow 15 or later; found {pyarrow.__version__}")
    return pyarrow, pyarrow.parquet


def choose(candidates: list[str], column: str | None, names: list[str], what: str) -> str:
    """The one that holds the vectors."""
    if column is not None:
        if column not in names:
            raise InputError(f"has no {what} {column!r}; it has {_listed(names)}")
        return column
    if not candidates:
        raise InputError(f"has no {what} of vectors; it has {_listed(names)}")
    if len(candidates) > 1:
        raise InputError(
            f"has several {what}s of vectors: {_listed(candidates)}; choose one with --column"
        )
    return candidates[0]


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "none") + more
