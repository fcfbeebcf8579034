"""Fixtures: a small loaded model, and networks, models and images made from a spec."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.spec import shapes
from zfscope.store import Label, Manifest, Model, Provenance, Weights

Images = NDArray[np.float32]

SMALL = NetworkSpec(
    name="small",
    input_size=16,
    layers=(
        Conv(name="conv1", channels=4, kernel=3, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        Flatten(name="flatten"),
        Linear(name="fc2", units=5),
    ),
)


def seeded_network(spec: NetworkSpec) -> Network:
    """Return a network with seeded random weights and nonzero biases."""
    generator = torch.Generator().manual_seed(1)
    network = build(spec, generator=generator).eval().requires_grad_(False)
    for filters in network.filters.values():
        filters.bias.normal_(0, 0.1, generator=generator)
    return network


def images_for(spec: NetworkSpec, count: int = 2) -> Images:
    size = (count, spec.input_channels, spec.input_size, spec.input_size)
    return np.random.default_rng(0).normal(0, 1, size).astype(np.float32)


@pytest.fixture
def make_network() -> Callable[[NetworkSpec], Network]:
    return seeded_network


@pytest.fixture
def make_images() -> Callable[..., Images]:
    return images_for


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Makes a model of a spec, as if loaded from a store; `weights` is repeated as the hash of its file."""

    def make(spec: NetworkSpec = SMALL, *, weights: str = "a") -> Model:
        (classes,), side = shapes(spec)[spec.scores], spec.input_size
        manifest = Manifest(
            name="small",
            version=3,
            summary="",
            network=spec,
            preprocessing=Preprocessing(short_side=side, centre=side, crop=side),
            labels=tuple(Label(id=f"n{number}", name=f"class {number}") for number in range(classes)),
            provenance=Provenance(source="made up in a test"),
            files={"weights.safetensors": weights * 64},
        )
        return Model(manifest, Weights.from_network(seeded_network(spec)))

    return make


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model()
