"""Small models structured like ZFNet and AlexNet, and photos for them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.store import Label, Manifest, Model, Provenance, RecordedAccuracy, Weights

SIDE = 96


def layers(kernel: int, stride: int) -> tuple[Layer, ...]:
    return (
        Conv(name="conv1", channels=6, kernel=kernel, stride=stride),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        Conv(name="conv2", channels=8, kernel=3),
        ReLU(name="relu2"),
        Flatten(name="flatten"),
        Linear(name="fc3", units=2),
    )


def active_network(spec: NetworkSpec) -> Network:
    """Build a network whose layer-2 maps are active in every photo."""
    network = build(spec, generator=torch.Generator().manual_seed(3)).eval().requires_grad_(False)
    network.filters["conv2"].bias.fill_(1e3)
    return network


def model_of(
    spec: NetworkSpec,
    *,
    name: str = "small",
    accuracy: RecordedAccuracy | None = None,
    preprocessing: Preprocessing | None = None,
    network: Network | None = None,
) -> Model:
    used = network or active_network(spec)
    side = spec.input_size
    manifest = Manifest(
        name=name,
        version=1,
        summary="A small network",
        network=spec,
        preprocessing=preprocessing or Preprocessing(short_side=side, centre=side, crop=side),
        labels=(Label(id="a", name="a"), Label(id="b", name="b")),
        accuracy=accuracy,
        provenance=Provenance(source="made up in a test"),
    )
    return Model(manifest, Weights.from_network(used))


@pytest.fixture
def spec() -> NetworkSpec:
    """A network with 5 x 5 filters of stride 2, with the first layers of ZFNet."""
    return NetworkSpec(name="small", input_size=SIDE, layers=layers(5, 2))


@pytest.fixture
def coarse_spec() -> NetworkSpec:
    """A network with 7 x 7 filters of stride 4, like the first layers of AlexNet."""
    return NetworkSpec(name="coarse", input_size=SIDE, layers=layers(7, 4))


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Function that makes a model of a spec, with seeded weights unless a network is given."""
    return model_of


@pytest.fixture
def photos() -> tuple[NDArray[np.uint8], ...]:
    """Three photos: noise, stripes and a gradient."""
    generator = np.random.default_rng(0)
    stripes = np.where(np.arange(120) // 6 % 2, 230, 20)
    shades = (stripes, np.linspace(0, 255, 120))
    patterns = [np.broadcast_to(shade[None, :, None], (100, 120, 3)).astype(np.uint8) for shade in shades]
    return generator.integers(0, 256, (100, 120, 3), np.uint8), *patterns
