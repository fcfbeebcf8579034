"""A tiny model, photos of three classes that differ in brightness, and probes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.scan.conftest import write_tiny
from zfscope.probe import ProbeResult, open_data, plan_probe, probe_layers
from zfscope.runtimes import create_runtime
from zfscope.store import Model, ModelStore

CLASSES, COUNT = ("bright", "dark", "grey"), 9
LAYERS = ("relu1", "relu2", "relu3")
BROKEN = ("dark/03.png", "grey/00.png")


def write_photos(root: Path) -> Path:
    """Write 9 photos of each of three classes, two of them broken, and one without a class."""
    generator = np.random.default_rng(5)
    for low, name in zip((100, 0, 50), CLASSES, strict=True):
        (root / name).mkdir(parents=True)
        for number in range(COUNT):
            pixels = generator.integers(low, low + 120, (5, 5, 3), dtype=np.uint8)
            photo = Image.fromarray(pixels).resize((40, 44), Image.Resampling.BICUBIC)
            photo.save(root / name / f"{number:02}.png")
    for name in BROKEN:
        (root / name).write_text("no photo")
    photo.save(root / "loose.png")
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos; see `write_photos`. Read-only."""
    return write_photos(tmp_path_factory.mktemp("probe") / "photos")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the model `tiny`."""
    folder = tmp_path_factory.mktemp("probe-models")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture
def make(model: Model, photos: Path, tmp_path: Path) -> Callable[..., ProbeResult]:
    """Probes the photos as `out/NAME`, by default with 2 and 4 photos per class and 2 splits."""

    def make_probe(
        name: str = "it", *, data: Path = photos, runtime: str = "onnx", options: Any = None, **plan: Any
    ) -> ProbeResult:
        return probe_layers(
            model,
            open_data(data),
            tmp_path / "out" / name,
            plan_probe(**{"per_class": (2, 4), "splits": 2, **plan}),
            runtime=create_runtime(runtime, model, threads=1, cache=tmp_path / "graphs"),
            **(options or {}),
        )

    return make_probe


def results(folder: Path) -> dict[str, bytes]:
    """Return the contents of a probe's files except its journals, which depend on the order of the work."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
