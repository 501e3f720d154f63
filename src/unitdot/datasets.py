"""The data that the package ships."""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["StdlibDocs", "load_stdlib_docs"]


class StdlibDocs(NamedTuple):  # numpydoc ignore=PR01
    """Docstrings of Python's standard library and their embeddings, row by row.

    Attributes
    ----------
    embeddings : ndarray of shape (4952, 384), float16
        Row i embeds text i. Not normalised: norms run from 2.1 to 8.1.
    names : ndarray of shape (4952,), str
        Qualified names of what the texts document, without repeats.
    texts : ndarray of shape (4952,), str
        The first paragraph of each docstring on one line, without repeats.

    Examples
    --------
    >>> from unitdot.datasets import load_stdlib_docs
    >>> print(load_stdlib_docs().names[:3])
    ['abc' 'abc.ABC' 'abc.ABCMeta']
    """

    embeddings: npt.NDArray[np.float16]
    names: npt.NDArray[np.str_]
    texts: npt.NDArray[np.str_]


def load_stdlib_docs() -> StdlibDocs:
    """Load 4,952 docstrings of Python's standard library with their embeddings.

    Every call reads the file again (some 30 ms) and returns arrays of its own.

    Returns
    -------
    StdlibDocs
        The embeddings, names and texts, of equal length.

    Notes
    -----
    Texts and names come from CPython 3.11 (PSF licence). The embeddings are those of the
    BERT-family model all-MiniLM-L6-v2 [1]_ (Apache-2.0), mean-pooled over the tokens, not
    normalised; they are kept to 8 bits a number. The model does not tell upper from lower case.
    ``README.md`` and ``LICENSE-python.txt``, beside the data file, hold the provenance and the
    licence, and what the 8 bits cost.

    References
    ----------
    .. [1] https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2

    Examples
    --------
    >>> from unitdot.datasets import load_stdlib_docs
    >>> embeddings, names, texts = load_stdlib_docs()
    >>> embeddings.shape, embeddings.dtype
    ((4952, 384), dtype('float16'))
    >>> print(names[0], "-", texts[0])
    abc - Abstract Base Classes (ABCs) according to PEP 3119.
    """
    path = files("unitdot") / "data" / "stdlib_docs.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return StdlibDocs(
            (archive["embeddings"] * archive["scales"][:, None]).astype(np.float16),
            names=_lines(archive["names"]),
            texts=_lines(archive["texts"]),
        )


def _lines(utf8: npt.NDArray[np.uint8]) -> npt.NDArray[np.str_]:
    """Lines of a text stored as UTF-8 bytes, as an array of str."""
    return np.array(utf8.tobytes().decode("utf-8").split("\n"))
