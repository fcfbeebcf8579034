"""The context that most tests use."""

import pytest
from small_models import TINY, context_of, seeded_network

from zfscope.analysis.contract import Context


@pytest.fixture(scope="session")
def context() -> Context:
    """A request to the tiny network, for tensors only."""
    return context_of(seeded_network(TINY))
