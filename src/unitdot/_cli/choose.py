"""Which columns are the vectors, and the error for what cannot be used."""

import difflib
import errno
import fnmatch
import os
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]

# what people call ids, and pandas its index
ID_NAME = re.compile(
    r"(?i:(.*[_\W])?(ids?|uuid|guid|pk|key|index|idx|row|rowid|row_?n(um|umber)?|docid))"
    r"|.*[a-z]I[dD]s?|Unnamed: \d+(_level_\d+)?|__index_level_\d+__|"
)


class InputError(ValueError):
    """What the user gave cannot be used; the message is fit for the user."""


class Wanted(NamedTuple):
    """Which columns of a table, or arrays of an ``.npz`` file, the user asked for.

    Attributes
    ----------
    column, id : str or None
        The column of vectors, and that of ids.
    columns, drop : sequence of str
        Names and patterns of the features, and of what is none.
    strict : bool
        Whether `id` and what `drop` names must be there.
    """

    column: str | None = None
    id: str | None = None
    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    strict: bool = True


@contextmanager
def errors_name(name: str, what: str) -> Iterator[None]:
    """Whatever a library makes of a damaged or hostile file, one error that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except MemoryError as error:
        raise MemoryError(f"{name}: does not fit in memory: {error}") from error
    except ImportError as error:
        raise InputError(f"{name}: {_install(error)}") from error
    except Exception as error:
        # a damaged archive sends its reader to places before its start
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, name) from error
        words = " ".join(str(error).split())
        raise InputError(f"{name}: cannot be read as {what}: {words[:400]}") from error


def _install(error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError):  # such as a pyarrow that needs another NumPy
        return str(error)
    package = (error.name or "").partition(".")[0]
    extra = {"pyarrow": "'unitdot[files]'"}.get(package, package)
    return f"needs {package}, which is not installed: pip install {extra}"


def import_pyarrow() -> Any:
    """The module pyarrow, or an InputError that says how to install it."""
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(_install(error)) from error
    if int(pyarrow.__version__.partition(".")[0]) < 15:
        # up to 14.0.0 it unpickled what a file told it to (CVE-2023-47248)
        raise InputError(f"needs pyarrow 15 or later; found {pyarrow.__version__}")
    return pyarrow


def choose(candidates: Sequence[str], column: str | None, names: Sequence[str], what: str) -> str:
    """The one that holds the vectors."""
    if column is not None:
        if column not in names:
            raise missing(column, names, what)
        return column
    if not candidates:
        raise InputError(f"has no {what} of vectors; it has {listed(names)}")
    if len(candidates) > 1:
        raise InputError(
            f"has several {what}s of vectors: {listed(candidates)}; choose one with --column"
        )
    return candidates[0]


def matching(patterns: Sequence[str], names: Sequence[str], strict: bool = True) -> list[str]:
    """The names that patterns mean, in the order of `names`; commas separate several."""
    chosen: set[str] = set()
    every = set(names)
    for text in patterns:
        for pattern in [text] if text in every else text.split(","):
            found = [pattern] if pattern in every else fnmatch.filter(names, pattern)
            if not found and strict:
                raise missing(pattern, names)
            chosen.update(found)
    return [name for name in names if name in chosen]


def missing(name: str, names: Sequence[str], what: str = "column") -> InputError:
    """The error for a name that is not there, with those that it may have meant."""
    near = difflib.get_close_matches(name, names, n=3)
    there = f"the nearest: {listed(near)}" if near else f"it has {listed(names)}"
    return InputError(f"has no {what} {name!r}; {there}")


def not_features(names: Sequence[str], why: str, features: Sequence[str]) -> InputError:
    """The error for columns that may not count as features, with the three ways out."""
    unwanted = set(names)
    others = [name for name in features if name not in unwanted]
    prefix = os.path.commonprefix(others)  # noqa: RUF071 - of characters, not of folders
    kept = [f"{prefix}*", "[0-9]*", ",".join(others)]
    good = [p for p in kept if len(p) < 60 and matching([p], features, strict=False) == others]
    first, *rest = map(shlex.quote, names)
    if rest:
        why = re.sub(r"^(count|hold)s|^has", lambda verb: verb[1] or "have", why)
    drops = [f" --drop {name}" for name in rest]
    ways = [f"--id {first}{''.join(drops)}", f"--drop {first}{''.join(drops)}"]
    if others:
        ways.append(f"--columns {shlex.quote([*good, 'NAMES'][0])}")
    return InputError(
        f"column{'s' * bool(rest)} {listed(names)} {why}; expected columns of features only: "
        f"give {', '.join(ways[:-1])} or {ways[-1]}"
    )


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first names, in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "none") + more
