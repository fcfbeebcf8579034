"""Fixtures: stored models, among them an imported one, and a real TorchServe that serves them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import pytest
import torch

from tests.conftest import TINY
from tests.runtimes.conftest import seeded_network
from tests.support.onnx_exports import Excited, export, randomise
from tests.support.torchserve import RunningTorchServe
from zfscope.images.preprocess import Preprocessing
from zfscope.images.presets import preprocessing_for
from zfscope.networks import NetworkSpec
from zfscope.networks.spec import shapes
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, write_model
from zfscope.store.importing import ImportedModel, publish, read_onnx

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
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network with a depthwise convolution, clipping, and squeeze-and-excitation."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("exported") / "excited.onnx"
    onnx.save(export(randomise(Excited(classes=3)), "script"), file)
    return file


@pytest.fixture(scope="session")
def imported_store(tmp_path_factory: pytest.TempPathFactory, onnx_file: Path) -> Path:
    """A store with the model `imported`, read from `onnx_file`."""
    store = tmp_path_factory.mktemp("imported-models")
    network = read_onnx(onnx_file, name="imported").network
    steps = preprocessing_for("torchvision", network.spec.input_size)
    imported = ImportedModel(network, steps, "Exported in a test")
    publish(store, "imported", imported, provenance=Provenance(source="made up in a test"))
    return store


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, imported_store: Path) -> Mapping[str, Model]:
    """The models `tiny`, `imported` and `zfnet-imagenette` (the default model), by name."""
    tiny = write_seeded(tmp_path_factory.mktemp("torchserve-models"), TINY)
    imported = ModelStore(imported_store).load("imported")
    return {"tiny": tiny, "imported": imported, DEFAULT: ModelStore(ROOT / "model_store").load(DEFAULT)}


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
