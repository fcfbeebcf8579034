"""A folder of photos of two colours, which any network can distinguish."""

import io
from collections.abc import Callable
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
from zfscope.training.decoded import DecodedPhotos, cached_photos
from zfscope.training.labelled import read_folder
from zfscope.training.recipe import Recipe
from zfscope.training.run import TrainingCallbacks
from zfscope.training.session import TrainingSession
from zfscope.training.settings import TrainingSettings

Decode = Callable[..., DecodedPhotos]

RECIPE = """
summary = "for tests"
optimizer = "adamw"
learning_rate = 0.001
schedule = "cosine"
batch = 2
mean = "channels"
crop = "random"
[[phases]]
size = 64
"""
QUIET = TrainingCallbacks(photos=lambda done, left: None, epoch=lambda row: None, warn=lambda text: None)


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


class Killed(Exception):
    """Simulates a kill."""


def interrupt(settings: TrainingSettings) -> None:
    """Run a session that is killed after its first epoch."""

    def kill(row: dict[str, float]) -> None:
        raise Killed

    with pytest.raises(Killed):
        TrainingSession(settings).train(
            TrainingCallbacks(photos=lambda done, left: None, epoch=kill, warn=lambda text: None)
        )


class Recorder:
    """Recorder of progress and warnings."""

    def __init__(self) -> None:
        self.decoded, self.warnings = 0, list[str]()

    def advance(self, count: int) -> None:
        self.decoded += count


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def decoded(folder: Path, preprocessing: Preprocessing, tmp_path: Path, recorder: Recorder) -> Decode:
    """Return the photos, decoded or from the cache."""

    def decode_folder(*, run_started: bool = False) -> DecodedPhotos:
        cache, warn = tmp_path / "run.pixels", recorder.warnings.append
        photos = read_folder(folder)
        return cached_photos(
            photos, preprocessing, cache, run_started=run_started, advance=recorder.advance, warn=warn
        )

    return decode_folder


def noise(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def settings_in(folder: Path) -> TrainingSettings:
    """Write photos and recipes, and return the settings of a short run."""
    (folder / "quick.toml").write_text(RECIPE)
    (folder / "small.toml").write_text(RECIPE.replace("64", "48"))
    return TrainingSettings(
        data=write_photos(folder / "train", count=2),
        validation=write_photos(folder / "val", count=1, seed=1),
        out=folder / "run",
        name="tiny",
        hidden=8,
        recipe=str(folder / "quick.toml"),
        epochs=1,
        checkpoints=(1,),
        labels={"red": "red things", "blue": "blue"},
    )


@pytest.fixture
def settings(tmp_path: Path) -> TrainingSettings:
    return settings_in(tmp_path)
