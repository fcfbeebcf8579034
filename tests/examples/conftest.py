"""A store with a tiny model that has the layers used by the examples."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.networks.windows import Padding
from zfscope.store import Label, Manifest, Provenance, write_model

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="session")
def write_store() -> Callable[..., Path]:
    """Writes a store with a model, which has five convolutions, and returns its folder."""
    return write_tiny


def write_tiny(store: Path, *, name: str = "tiny", last: str = "conv5") -> Path:
    convolutions = [
        layer
        for conv in (*LAYERS[:-1], last)
        for layer in (
            Conv(name=conv, channels=9, kernel=3, padding=Padding(1, 1, 1, 1)),
            ReLU(name=conv.replace("conv", "relu") if conv in LAYERS else f"{conv}-relu"),
        )
    ]
    spec = NetworkSpec(
        name="tiny",
        input_size=16,
        layers=(*convolutions, Flatten(name="flatten"), Linear(name="fc6", units=2)),
    )
    manifest = Manifest(
        name=name,
        version=1,
        summary="Random weights",
        network=spec,
        preprocessing=Preprocessing(short_side=16, centre=16, crop=16),
        labels=(Label(id="n0", name="church"), Label(id="n1", name="tench")),
        provenance=Provenance(source="made up in a test"),
    )
    write_model(store, manifest, build(spec, generator=torch.Generator().manual_seed(1)))
    return store
