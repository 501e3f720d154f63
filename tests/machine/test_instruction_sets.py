"""The instruction set is chosen once, at import; it can be forced, and it is reported."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import unitdot
from unitdot._machine.dispatch import active_isa, available_isas, kernels, use_isa

from ..helpers import ISAS, assert_same_bits, normal, run_python

KNOWN = ("avx512vnni", "avx512", "avx2", "neondot", "neon", "baseline")
REPORT = 'import unitdot; print(unitdot.show_config(mode="dicts")["instruction_set"])'


def test_available_best_first():
    assert [isa for isa in KNOWN if isa in ISAS] == ISAS
    assert ISAS[-1] == "baseline" or platform.machine() in ("arm64", "aarch64")
    assert list(unitdot.show_config(mode="dicts")["instruction_sets"]) == ISAS == available_isas()


def test_the_best_is_chosen():
    run = run_python(REPORT)
    assert run.stdout.split() == ISAS[:1], run.stderr


@pytest.mark.parametrize("isa", ISAS)
def test_forced(isa):
    run = run_python(REPORT, UNITDOT_ISA=isa)
    assert run.stdout.split() == [isa], run.stderr


@pytest.mark.parametrize("isa", ISAS)
def test_vnni_is_used_only_where_it_is_named(isa, monkeypatch):
    # the same modules serve avx512 and avx512vnni, whose instruction some processors lack; and so
    # on Arm
    turned = []
    for name in (isa, active_isa()):
        with use_isa(name):
            for wide in (False, True):
                monkeypatch.setattr(kernels(wide), "use_vnni", turned.append)
    turned.clear()
    with use_isa(isa):
        assert turned == 2 * [isa in ("avx512vnni", "neondot")]
    assert turned[2:] == 2 * [active_isa() in ("avx512vnni", "neondot")]


@pytest.mark.parametrize("name", ["sse9", "AVX1024", *(isa for isa in KNOWN if isa not in ISAS)])
def test_unknown_or_unsupported_is_an_import_error_that_lists_the_others(name):
    run = run_python("import unitdot", UNITDOT_ISA=name)
    assert run.returncode != 0
    last_line = run.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ImportError")
    assert all(word in last_line for word in ("UNITDOT_ISA", name, *ISAS))


@pytest.mark.parametrize("command", ["-m unitdot", "-W error -m unitdot", "script"])
def test_unknown_is_one_line_of_the_command_line(command, tmp_path):
    script = tmp_path / "unitdot"  # as pip writes it
    script.write_text("import sys\nfrom unitdot.__main__ import main\nsys.exit(main())\n")
    command = [str(script)] if command == "script" else command.split()
    environment = os.environ | {"UNITDOT_ISA": "sse9"}
    run = subprocess.run(
        [sys.executable, *command, "info"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("unitdot: error: UNITDOT_ISA='sse9' is not")
    assert run.stderr.count("\n") == 1


def test_use_isa_switches_and_restores():
    before = unitdot.show_config(mode="dicts")["instruction_set"]
    for isa in ISAS:
        with use_isa(isa):
            assert unitdot.show_config(mode="dicts")["instruction_set"] == isa
        assert unitdot.show_config(mode="dicts")["instruction_set"] == before
    with pytest.raises(KeyError), use_isa(ISAS[-1]):
        raise KeyError
    assert unitdot.show_config(mode="dicts")["instruction_set"] == before


@pytest.mark.skipif("baseline" not in ISAS or len(ISAS) < 2, reason="one kind of arithmetic here")
def test_use_isa_really_switches_kernels():
    """Without fused multiply-add some last bits differ; if none do, the switch does nothing."""
    X = normal((200, 300), np.float32)
    with use_isa("baseline"):
        plain = unitdot.cosine_similarity(X)
    with use_isa(ISAS[0]):
        fused = unitdot.cosine_similarity(X)
    assert np.allclose(plain, fused, rtol=0, atol=1e-5)
    assert (plain != fused).any()


@pytest.mark.parametrize("isa", ISAS)
def test_a_forced_interpreter_gives_the_same_bits(isa, tmp_path):
    """What the tests see through use_isa is what a user sees who forces the instruction set."""
    X = normal((30, 400), np.float32)
    np.save(tmp_path / "X.npy", X)
    code = f"""
        import numpy as np, unitdot
        X = np.load({str(tmp_path / "X.npy")!r})
        np.save({str(tmp_path / "S.npy")!r}, unitdot.cosine_similarity(X))
        """
    assert run_python(code, UNITDOT_ISA=isa).returncode == 0
    with use_isa(isa):
        assert_same_bits(np.load(tmp_path / "S.npy"), unitdot.cosine_similarity(X))


def test_import_needs_numpy_alone():
    """No SciPy, no scikit-learn, no threads: importing has no side effects on the process."""
    code = """
        import sys, threading
        import numpy
        before, threads = set(sys.modules), threading.active_count()
        import unitdot
        new = {name.split(".")[0] for name in set(sys.modules) - before}
        print(sorted(new & {"scipy", "sklearn", "pandas", "tqdm", "numba", "torch", "pyarrow"}))
        print(threading.active_count() - threads)
        """
    run = run_python(code)
    assert run.stdout.split() == ["[]", "0"], run.stderr
