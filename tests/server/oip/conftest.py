"""A stub of GRPCInferenceService, the model behind it, and images."""

from pathlib import Path

import grpc
import numpy as np
import pytest

from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.store import Model, ModelStore


@pytest.fixture
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Three normalised images: float32 (3, 3, 32, 32)."""
    return np.random.default_rng(3).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)
