"""A small model, and a store that contains it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.store import Label, Manifest, Provenance, RecordedAccuracy, write_model

SPEC = NetworkSpec(
    name="tiny",
    input_size=8,
    layers=(
        Conv(name="conv1", channels=4, kernel=3, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=2, stride=2, rounding="ceil"),
        Flatten(name="flatten"),
        Linear(name="fc2", units=3),
    ),
)


@pytest.fixture
def spec() -> NetworkSpec:
    return SPEC


@pytest.fixture
def network() -> Network:
    return build(SPEC, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        name="tiny-net",
        version=1,
        summary="A network of four filters",
        network=SPEC,
        preprocessing=Preprocessing(short_side=8, centre=8, crop=8),
        labels=tuple(Label(id=f"n{number}", name=name) for number, name in enumerate(("cat", "dog", "fish"))),
        accuracy=RecordedAccuracy(top1=50, top5=100, images=4, data="four photos"),
        provenance=Provenance(source="made up in a test", licence="Apache-2.0"),
    )


@pytest.fixture
def write(tmp_path: Path, manifest: Manifest, network: Network) -> Callable[..., Path]:
    """Write the small model, with the given changes, to a temporary store."""

    def write_changed(**changes: object) -> Path:
        return write_model(tmp_path / "store", manifest.model_copy(update=changes), network)

    return write_changed
