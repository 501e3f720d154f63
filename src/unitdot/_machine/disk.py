"""Files that are there as a whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EEXIST
from pathlib import Path
from typing import IO


@contextmanager
def writing(path: Path, replace: bool) -> Iterator[IO[bytes]]:
    """Write a file that is there as a whole or not at all.

    It is written beside `path` under another name, brought to the disk, and renamed. So a
    symbolic link is replaced and not followed, and whatever stops the work (a full disk,
    Ctrl-C) leaves at `path` what was there.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    replace : bool
        Whether an existing file is replaced. Otherwise it is a FileExistsError.
    """
    # not named after `path`, whose name may be as long as names can be
    beside = path.parent / f".unitdot-{secrets.token_hex(8)}.tmp"
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(beside, path, replace)
    except BaseException as error:
        with suppress(FileNotFoundError):
            beside.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


def check_new(path: Path) -> None:
    """Raise FileExistsError where there is one, be it a link that leads nowhere."""
    if os.path.lexists(path):
        raise FileExistsError(EEXIST, os.strerror(EEXIST), str(path))


def _publish(beside: Path, path: Path, replace: bool) -> None:
    """Give the file its name; without `replace` never in place of another, made just now or not."""
    if not replace:
        try:
            os.link(beside, path)  # which unlike a renaming refuses a name that exists
        except (OSError, NotImplementedError):  # it exists, or there are no hard links here
            check_new(path)
        else:
            beside.unlink()
            return
    os.replace(beside, path)


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where the system lets folders be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
