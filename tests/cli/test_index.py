"""``unitdot index``, and an index in place of a file of vectors."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import unitdot
from unitdot.__main__ import main

from ..helpers import assert_same_bits, normal

needs_scipy = pytest.mark.skipif(find_spec("scipy") is None, reason="needs SciPy")
X = normal((40, 5), np.float32)
X[7], X[11], X[30] = X[3], 2 * X[3], X[3] + np.float32(0.01)
Q = normal((4, 5), np.float32, seed=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", X)
    np.save("Q.npy", Q)
    np.savez("named.npz", vectors=X, names=[f"row {i}" for i in range(40)])
    return tmp_path


@pytest.fixture
def printed(capsys):
    def call(*arguments, status=0):
        assert main([*map(str, arguments)]) == status
        out, err = capsys.readouterr()
        return err if status else out

    return call


def test_an_index_is_that_of_the_rows_and_ids(printed):
    printed("index", "named.npz", "--id", "names", "-o", "named.unitdot")
    index = unitdot.CosineIndex.open("named.unitdot", verify=True)
    assert_same_bits(index[:], X)
    assert index.ids[[0, 39]].tolist() == ["row 0", "row 39"]
    printed("index", "X.npy", "-o", "X.unitdot")
    assert unitdot.CosineIndex.open("X.unitdot").ids is None
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["top-k", "C", "-k", "3"],
        ["top-k", "C", "Q.npy", "-k", "3", "--threshold", "0.3"],
        ["top-k", "C", "-k", "2", "--include-self"],
        ["top-k", "Q.npy", "C", "-k", "2"],
        ["pairs", "C", "--threshold", "0.5", "--max-pairs", "9"],
        ["pairs", "C", "Q.npy", "--threshold", "0.2", "--max-pairs", "9"],
        ["pairs", "Q.npy", "C", "--threshold", "0.2", "--max-pairs", "9"],
        ["pairs", "C", "C", "--threshold", "0.9"],
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_what_is_printed_is_that_of_the_file(arguments, named, printed):
    corpus, options = ("named.npz", ["--id", "names"]) if named else ("X.npy", [])
    printed("index", corpus, *options, "-o", "C.unitdot")
    of_file = [corpus if a == "C" else a for a in arguments]
    of_index = ["C.unitdot" if a == "C" else a for a in arguments]
    if "Q.npy" in arguments:  # which has no ids, where --id wants some of both
        options = []
    expected, found = printed(*of_file, *options), printed(*of_index)
    assert (found if options else found.replace("row ", "")) == expected


@needs_scipy
def test_sparse_rows(printed):
    from scipy import sparse

    sparse.save_npz("S.npz", sparse.csr_array(np.where(X > 0, X, 0)))
    printed("index", "S.npz", "-o", "S.unitdot")
    for arguments in (["top-k", "S", "-k", "3"], ["pairs", "S", "--threshold", "0.8"]):
        command, name, *options = arguments
        expected = printed(command, f"{name}.npz", *options)
        assert printed(command, f"{name}.unitdot", *options) == expected


def test_dedup_writes_an_index(printed):
    printed("index", "named.npz", "--id", "names", "-o", "C.unitdot")
    printed("dedup", "C.unitdot", "--threshold", "0.999", "-o", "kept.unitdot")
    keep = unitdot.cosine_pairs(X, threshold=0.999).keep_first()
    assert 0 < keep.sum() < 38
    kept = unitdot.CosineIndex.open("kept.unitdot", verify=True)
    assert_same_bits(kept[:], X[keep])
    assert kept.ids.tolist() == [f"row {i}" for i in np.flatnonzero(keep)]


def test_several_indexes_and_standard_input(printed, monkeypatch):
    os.mkdir("parts")
    for i in range(2):
        rows = range(20 * i, 20 * i + 20)
        unitdot.CosineIndex(X[rows], ids=[*rows]).save(f"parts/{i}.unitdot")
    expected = printed("pairs", "X.npy", "--threshold", "0.5")
    assert printed("pairs", "parts", "--threshold", "0.5") == expected
    printed("index", "parts", "-o", "whole.unitdot")
    assert printed("pairs", "whole.unitdot", "--threshold", "0.5") == expected
    with open("whole.unitdot") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert printed("pairs", "-", "--threshold", "0.5") == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("index X.npy -o X.npz", "X.npz: ends in .npz; expected .unitdot"),
        ("index X.npy -o C.unitdot", "C.unitdot: exists; --force replaces it"),
        ("index C.unitdot -o C.unitdot --force", "C.unitdot: is an input"),
        ("pairs C.unitdot --id name", "C.unitdot: has no columns to choose from; leave out --id"),
        ("pairs cut.unitdot", "cut.unitdot: is cut: it has"),
        ("pairs X.unitdot", "X.unitdot: does not begin as one; expected an index that"),
        ("dedup C.unitdot --threshold 1", "C.unitdot: rows of a .unitdot file cannot be printed"),
        ("dedup C.unitdot --threshold 1 --clusters -o D.unitdot", "no columns that --clusters"),
        ("dedup two --threshold 1 -o D.unitdot", "two: several .unitdot files; expected one"),
        ("top-k C.unitdot Q2.npy", "Q2.npy: has 2 features where C.unitdot has 5"),
        ("top-k C.unitdot Q.npy -k 41", "C.unitdot: has 40 rows, so that a row has 40 candidates"),
        ("top-k C.unitdot nan.npy", "nan.npy holds a NaN or an infinity at row 1, column 2"),
        ("pairs nan.unitdot", "nan.unitdot holds a NaN or an infinity at row 1 (id 7), column 2"),
        ("pairs empty.unitdot", "empty.unitdot: holds an array of shape (0, 5)"),
    ],
)
def test_errors(arguments, words, printed):
    unitdot.CosineIndex(X).save("C.unitdot")
    Path("cut.unitdot").write_bytes(Path("C.unitdot").read_bytes()[:-1])
    Path("X.unitdot").write_bytes(Path("X.npy").read_bytes())
    np.save("Q2.npy", Q[:, :2])
    nan = Q.copy()
    nan[1, 2] = np.nan
    np.save("nan.npy", nan)
    unitdot.CosineIndex(nan, ids=[8, 7, 6, 5]).save("nan.unitdot")
    unitdot.CosineIndex(X[:0]).save("empty.unitdot")
    os.mkdir("two")
    for i in range(2):
        unitdot.CosineIndex(X[:2]).save(f"two/{i}.unitdot")
    before = sorted(os.listdir())
    found = printed(*arguments.split(), status=2)
    assert words in found
    assert found.startswith("unitdot: error: ")
    assert found.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_force_replaces(printed):
    for _ in range(2):
        printed("index", "Q.npy", "-o", "Q.unitdot", "--force")
    assert len(unitdot.CosineIndex.open("Q.unitdot")) == 4
