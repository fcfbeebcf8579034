"""The context that most tests use."""

import pytest
from small_models import TINY, context_of, seeded

from zfscope.analysis.contract import Context


@pytest.fixture
def context() -> Context:
    """A request to the tiny network, for tensors only."""
    return context_of(seeded(TINY))
