import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from unitdot import datasets
from unitdot._machine.dispatch import use_isa

from . import helpers

# `isa` is the same for all examples of a test, so its being a function's fixture does no harm
settings.register_profile(
    "unitdot",
    deadline=None,
    max_examples=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("unitdot"), max_examples=2000)
settings.load_profile(os.environ.get("UNITDOT_HYPOTHESIS", "unitdot"))


@pytest.fixture(params=helpers.ISAS)
def isa(request):
    """Run the test under every instruction set that this build and machine offer."""
    with use_isa(request.param):
        yield request.param


@pytest.fixture(scope="session")
def embeddings():
    """Real data: the sentence embeddings that the package ships, float16."""
    return np.asarray(datasets.load_stdlib_docs().embeddings)
