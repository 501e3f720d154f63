"""How far long work has come: a bar, or the caller's own function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[int, int], object]

# seconds of work before a bar appears
DELAY = 0.5


def check_progress(progress: Any) -> None:
    """Raise unless `progress` is True, False or a function, and what it needs is installed."""
    if progress is True:
        try:
            import tqdm  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "progress=True needs the package tqdm: pip install 'unitdot[progress]'"
            ) from error
    elif progress is not False and not callable(progress):
        raise TypeError(
            f"progress is {progress!r}; expected True, False or a function of (done, total)"
        )


@contextmanager
def reporting(progress: bool | Report, what: str) -> Iterator[Report | None]:
    """A function to be called with (done, total), or None where nobody wants to know."""
    if progress is False:
        yield None
    elif progress is True:
        from tqdm.auto import tqdm

        with tqdm(desc=what, unit="pair", unit_scale=True, delay=DELAY) as bar:

            def report(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield report
    else:
        yield progress
