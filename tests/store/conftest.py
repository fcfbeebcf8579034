"""A small model, and a store that contains it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.store import (
    Label,
    Manifest,
    ModelStore,
    Provenance,
    RecordedAccuracy,
    write_manifest,
    write_model,
)

WEIGHTS = "weights.safetensors"
# Start of messages about the model of the fixture `write`.
TITLE = "model 'tiny-net' version 1"

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


def replace_weights(folder: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> None:
    """Replace the weights and update their hash, as if they had been published that way."""
    data = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(dict(change(data))))
    rehash(folder)


def rehash(folder: Path) -> None:
    write_manifest(folder, Manifest.model_validate_json((folder / "model.json").read_bytes()))


def edit_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**manifest, **changes}))


def store_of(folder: Path) -> ModelStore:
    return ModelStore(folder.parent.parent)


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
