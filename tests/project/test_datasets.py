"""The data that the package ships: whole, the same everywhere and fit for its purpose."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest

import unitdot
from unitdot.datasets import StdlibDocs, load_stdlib_docs

from ..helpers import run_python

N_SAMPLES, N_FEATURES = 4952, 384


@pytest.fixture(scope="module")
def docs() -> StdlibDocs:
    return load_stdlib_docs()


def test_shapes_and_dtypes(docs):
    assert docs._fields == ("embeddings", "names", "texts")
    assert docs.embeddings.shape == (N_SAMPLES, N_FEATURES)
    assert docs.embeddings.dtype == np.float16
    for strings in (docs.names, docs.texts):
        assert strings.shape == (N_SAMPLES,)
        assert strings.dtype.kind == "U"


def test_reachable_from_the_package_and_not_imported_by_it():
    script = """
        import sys, unitdot
        assert "unitdot.datasets" not in sys.modules and "datasets" in dir(unitdot)
        print(unitdot.datasets.load_stdlib_docs is unitdot.datasets.load_stdlib_docs)
    """
    assert run_python(script).stdout == "True\n"
    with pytest.raises(AttributeError, match="'unitdot' has no attribute 'dataset'"):
        unitdot.dataset  # noqa: B018


@pytest.mark.parametrize(
    ("field", "digest"),
    [
        ("embeddings", "528eeff4974ad2a85602731df802f647db9de5f979018976b35396cec88f958b"),
        ("names", "3688caa4759e5e1f5d967878858f5e4ed7a854010dd3e2fd097c36ed9372aeb1"),
        ("texts", "55d770045faed7ee15b7800e8469666298cb0d690bb131d1f3a720ef512a1c67"),
    ],
)
def test_content_is_what_was_packed(docs, field, digest):
    """SHA-256, strings as lines of UTF-8: the same texts and numbers everywhere."""
    values = getattr(docs, field)
    content = (
        values.astype("<f2").tobytes() if field == "embeddings" else "\n".join(values).encode()
    )
    assert hashlib.sha256(content).hexdigest() == digest


def test_embeddings_are_finite_and_not_zero(docs):
    assert np.isfinite(docs.embeddings).all()
    norms = np.linalg.norm(docs.embeddings.astype(np.float64), axis=1)
    assert norms.min() > 2
    assert norms.max() < 9


def test_strings_are_filled_and_unique(docs):
    for strings in (docs.names, docs.texts):
        assert len(np.unique(strings)) == N_SAMPLES
        assert all(s and s == s.strip() and s.isprintable() for s in strings)


def test_rows_belong_together(docs):
    for name, text in [
        ("abc", "Abstract Base Classes (ABCs) according to PEP 3119."),
        ("json.dumps", "Serialize ``obj`` to a JSON formatted ``str``."),
        ("math.sqrt", "Return the square root of x."),
    ]:
        assert docs.texts[docs.names == name].tolist() == [text]


def test_one_embedding_occurs_twice(docs):
    _, inverse, counts = np.unique(docs.embeddings, axis=0, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(counts[inverse.ravel()] > 1)
    assert docs.names[twice].tolist() == ["asyncio.Event.is_set", "threading.Event.isSet"]
    assert docs.texts[twice[0]].lower() == docs.texts[twice[1]].lower()


def test_every_load_returns_arrays_of_its_own(docs):
    again = load_stdlib_docs()
    for one, other in zip(docs, again, strict=True):
        assert not np.shares_memory(one, other)
    again.embeddings[:] = 0
    assert docs.embeddings.any()


def test_file_is_small_and_comes_with_its_licence():
    data = files("unitdot") / "data"
    assert len((data / "stdlib_docs.npz").read_bytes()) < 2e6
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (data / "LICENSE-python.txt").read_text("utf-8")
    notes = (data / "README.md").read_text("utf-8")
    assert "all-MiniLM-L6-v2" in notes
    assert "Apache License 2.0" in notes
