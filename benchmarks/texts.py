"""Text that any machine has offline: the lines of Python's standard library, as TF-IDF matrices."""

from __future__ import annotations

import random
import sysconfig
from functools import cache
from pathlib import Path

LEAST_CHARACTERS = 20
SEED = 20_240_229


@cache
def lines() -> tuple[str, ...]:
    """Distinct lines of the standard library's sources, stripped, shuffled with a fixed seed.

    Sources are read in the order of their paths, tests and installed packages included where
    the interpreter ships them inside its library; lines of fewer than 20 characters say little
    and are left out.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found: dict[str, None] = {}
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "dist-packages"} & set(path.parts) or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found.update(dict.fromkeys(line.strip() for line in text.splitlines()))
    kept = [line for line in found if len(line) >= LEAST_CHARACTERS]
    random.Random(SEED).shuffle(kept)
    return tuple(kept)


def hashed(n_lines: int):
    """Words of the first `n_lines` lines by scikit-learn's HashingVectorizer: 2^20 features."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer().transform(lines()[:n_lines])


def tfidf(n_lines: int, analyzer: str, dtype: str = "float64"):
    """TF-IDF of the first `n_lines` lines, as scikit-learn makes it, CSR, rows not normalised.

    `analyzer` is "word" (scikit-learn's default words) or "char" (character 3-grams).
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    ngrams = (3, 3) if analyzer == "char" else (1, 1)
    vectorizer = TfidfVectorizer(
        analyzer=analyzer, ngram_range=ngrams, norm=None, dtype=np.dtype(dtype).type
    )
    return vectorizer.fit_transform(lines()[:n_lines])
