"""A folder of photos of two colours, which any network can distinguish."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layers import Conv, Dropout, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.network import Network, initialise
from zfscope.networks.spec import NetworkSpec
from zfscope.training.batches import Batches
from zfscope.training.decoded import cached_photos
from zfscope.training.labelled import read_folder
from zfscope.training.recipe import Recipe


def write_photos(root: Path, *, count: int = 8, size: int = 40, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    for channel, name in ((0, "blue"), (2, "red")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            photo = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
            photo[..., 2 - channel] += 120
            Image.fromarray(photo).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(short_side=36, centre=36, crop=32, mean=(120.0, 110.0, 100.0), std=(60, 60, 60))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        summary="for tests",
        optimizer="adamw",
        learning_rate=0.01,
        schedule="cosine",
        mean="channels",
        crop="random",
        batch=4,
        filter_rms=0.5,
    )


@pytest.fixture
def spec() -> NetworkSpec:
    return NetworkSpec(
        name="tiny",
        input_size=32,
        layers=(
            Conv(name="conv1", channels=4, kernel=5, stride=2),
            ReLU(name="relu1"),
            MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
            Flatten(name="flatten"),
            Linear(name="fc2", units=8),
            ReLU(name="relu2"),
            Dropout(name="drop2"),
            Linear(name="fc3", units=2),
        ),
    )


@pytest.fixture
def network(spec: NetworkSpec) -> Network:
    network = Network(spec)
    initialise(network, {}, generator=torch.Generator().manual_seed(2))
    return network


@pytest.fixture
def batches(folder: Path, preprocessing: Preprocessing, recipe: Recipe, tmp_path: Path) -> Batches:
    photos = cached_photos(read_folder(folder), preprocessing, tmp_path / "pixels")
    return Batches(photos.squares, photos.targets, preprocessing, recipe, seed=5)
