"""The command line and its demonstration, run as a user runs them."""

import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import unitdot
import unitdot.datasets
from unitdot.__main__ import main
from unitdot._cli import demo as demonstration

WIDTH = 100
# Default SIGINT even where the tests' own parent ignores it; runpy as `python -m` does.
START = """\
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "unitdot"
runpy.run_module("unitdot", run_name="__main__")
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, encoding="utf-8", timeout=120
    )


@pytest.fixture(scope="module")
def demo():
    return run("-m", "unitdot")


@pytest.fixture(scope="module")
def demo_without_sklearn():
    return run("-c", f"import sys\nsys.modules['sklearn'] = None\n{START}")


@pytest.fixture
def started_demo():
    """Start a demonstration, and wait for its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", START],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout.readline().startswith("unitdot ")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("which", ["demo", "demo_without_sklearn"])
def test_demo_ends_well_and_fits(which, request):
    result = request.getfixturevalue(which)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.isascii()
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    assert not re.search(r"[ \t]$|\x1b", result.stdout, re.MULTILINE)


def test_demo_says_what_ran_where(demo):
    config = unitdot.show_config(mode="dicts")
    assert config["version"] in demo.stdout.splitlines()[0]
    [kernels] = re.findall(r"^  kernels +(.*)$", demo.stdout, re.MULTILINE)
    assert config["instruction_set"] in kernels
    assert f"threads: {config['threads']}" in kernels


def test_demo_gives_time_and_rates_that_agree(demo):
    # the only line of this shape: the other times are parts of sentences
    [milliseconds] = re.findall(r"^  time +([\d.]+) ms, median of \d+ runs$", demo.stdout, re.M)
    [pairs] = re.findall(r"([\d,.]+) million pairs of rows a second", demo.stdout)
    [gflops] = re.findall(r"([\d,.]+) GFLOP/s", demo.stdout)
    seconds = float(milliseconds) / 1e3
    n_samples, n_features = 4952, 384
    assert float(pairs.replace(",", "")) == pytest.approx(n_samples**2 / seconds / 1e6, rel=0.02)
    assert float(gflops.replace(",", "")) == pytest.approx(
        n_samples * (n_samples + 1) * n_features / seconds / 1e9, rel=0.02
    )


def test_demo_lists_neighbours_in_descending_order(demo):
    _, *groups = re.split(r"^ {10}(?=[a-z]+\.)", demo.stdout.split("\nAll ")[0], flags=re.M)
    assert [group.split()[0] for group in groups] == list(demonstration.FUNCTIONS)
    for group in groups:
        scores = [float(score) for score in re.findall(r"^  ([01]\.\d{4})  ", group, re.M)]
        assert len(scores) == demonstration.N_NEIGHBOURS
        assert scores == sorted(scores, reverse=True)
    assert re.search(r"^  0\.9537  bz2\.open ", demo.stdout, re.M)


def test_demo_times_both_reductions(demo):
    assert re.search(r"^Nearest neighbours of all rows in [\d.]+ ms", demo.stdout, re.M)
    S = unitdot.cosine_similarity(unitdot.datasets.load_stdlib_docs().embeddings)
    n_pairs = np.count_nonzero(np.triu(S, 1) >= demonstration.THRESHOLD)
    assert re.search(rf"^All {n_pairs:,} pairs with .* in [\d.]+ ms", demo.stdout, re.M)


def test_demo_counts_exact_duplicates_and_lists_close_pairs(demo):
    assert "similarity exactly 1): 1\n" in demo.stdout
    assert re.search(r"^  1 +asyncio\.Event\.is_set +threading\.Event\.isSet$", demo.stdout, re.M)
    close = demo.stdout.split("below 1")[1].split("scikit-learn")[0]
    scores = [float(score) for score in re.findall(r"^  (0\.\d{4})  ", close, re.M)]
    assert len(scores) == demonstration.N_PAIRS
    assert scores == sorted(scores, reverse=True)
    assert re.search(r"^  0\.9982  math\.degrees +math\.radians$", close, re.M)


@pytest.mark.skipif(find_spec("sklearn") is None, reason="needs scikit-learn")
def test_demo_compares_with_sklearn(demo):
    comparison = demo.stdout[demo.stdout.index("scikit-learn") :]
    assert re.search(r"^  time .* ms, median of \d+ runs: unitdot takes", comparison, re.M)
    [difference] = re.findall(r"largest difference (\S+)", comparison)
    # Both are within (sqrt(n_features) + 4) eps of the exact value: contract, clause 1.
    assert float(difference) <= 2 * (np.sqrt(384) + 4) * np.finfo(np.float32).eps


def test_demo_without_sklearn_says_how_to_install_it(demo_without_sklearn):
    assert "scikit-learn is not installed" in demo_without_sklearn.stdout
    assert "pip install scikit-learn" in demo_without_sklearn.stdout
    assert "largest difference" not in demo_without_sklearn.stdout


def test_info_prints_show_config(capfd):
    unitdot.show_config()
    expected = capfd.readouterr().out
    result = run("-m", "unitdot", "info")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == expected != ""


def test_unknown_command_is_an_error():
    result = run("-m", "unitdot", "nonsense")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "nonsense" in result.stderr
    assert "info" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "info" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"unitdot {unitdot.__version__}\n"


def test_main_returns_its_status(capsys):
    assert main(["info"]) == 0
    assert unitdot.show_config(mode="dicts")["instruction_set"] in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and signals")
class TestEndsQuietly:
    def test_broken_pipe(self, started_demo):
        started_demo.stdout.close()
        assert started_demo.stderr.read() == ""
        assert started_demo.wait(60) == 128 + signal.SIGPIPE

    def test_interrupt(self, started_demo):
        started_demo.send_signal(signal.SIGINT)
        assert started_demo.stderr.read() == ""
        assert started_demo.wait(60) == 128 + signal.SIGINT


def test_measure_calls_every_run_and_returns_the_last_result():
    results = [np.full(2, i) for i in range(demonstration.RUNS)]
    seconds, result = demonstration.measure(iter(results).__next__)
    assert seconds >= 0
    assert result is results[-1]
