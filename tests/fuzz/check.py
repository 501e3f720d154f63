"""Bytes become a question to the package, whose answer is compared in every way there is.

The first byte says what about; the rest, whatever the subject's module makes of it.
"""

from . import cascade, files, frames, functions, index, selection
from .choices import Choices

SUBJECTS = (functions, selection, index, functions, selection, index, cascade, frames, files)


def check(data):
    """One question; an AssertionError where the answer breaks a promise."""
    subject = SUBJECTS[data[0] % len(SUBJECTS)] if data else functions
    subject.check(Choices(data[1:]))
