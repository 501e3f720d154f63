"""Fuzz with atheris: ``python -m tests.fuzz [libFuzzer's options] [FOLDER of inputs]``.

Needs ``pip install atheris``. Stops at the first finding, whose input it writes to a file; put
that into tests/fuzz/corpus, where tests/project/test_fuzz.py runs it for ever.
"""

import os
import sys
import warnings

import atheris

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # calls are small: threads only wait

# not the questions' own modules: atheris 3.0 leaks what an instrumented comparison of arrays gives
with atheris.instrument_imports(include=["unitdot"]):
    from .check import check

if __name__ == "__main__":
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
