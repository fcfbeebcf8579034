"""Fixtures: stored models, and a real TorchServe that serves them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.runtimes.conftest import seeded_network
from tests.support.torchserve import RunningTorchServe
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec
from zfscope.networks.spec import shapes
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, write_model

ROOT = Path(__file__).resolve().parents[3]
DEFAULT = "zfnet-imagenette"


def write_seeded(store: Path, spec: NetworkSpec, version: int = 1) -> Model:
    """Write a network with random weights to a store, and load it from there."""
    (classes,) = shapes(spec)[spec.scores]
    side, grey = spec.input_size, spec.input_channels == 1
    colours = {"channels": "grey", "mean": (120.0,), "std": (60.0,)} if grey else {}
    manifest = Manifest(
        name=spec.name,
        version=version,
        summary="Random weights",
        network=spec,
        preprocessing=Preprocessing(short_side=side, centre=side, crop=side).model_copy(update=colours),
        labels=tuple(Label(id=f"n{number}", name=f"class {number}") for number in range(classes)),
        provenance=Provenance(source="made up in a test"),
    )
    write_model(store, manifest, seeded_network(spec))
    return ModelStore(store).load(spec.name, version)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Model]:
    """The models `tiny` and `zfnet-imagenette` (the default model), by name."""
    tiny = write_seeded(tmp_path_factory.mktemp("torchserve-models"), TINY)
    return {"tiny": tiny, DEFAULT: ModelStore(ROOT / "model_store").load(DEFAULT)}


@pytest.fixture(scope="session")
def torchserve(tmp_path_factory: pytest.TempPathFactory, models: Mapping[str, Model]) -> Iterator[TorchServe]:
    """A running TorchServe that serves all of `models`."""
    running = RunningTorchServe(tmp_path_factory.mktemp("torchserve"), models.values())
    running.start()
    yield running.torchserve
    running.stop()


@pytest.fixture
def tiny(models: Mapping[str, Model]) -> Model:
    return models["tiny"]
