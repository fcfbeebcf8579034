"""Fixtures of the analyzer `evolve`: a model with checkpoints, photos, and indexes of every epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.analyzers.conftest import SPEC, blobs, manifest_of, write_checkpoint
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.images.decode import decode
from zfscope.images.preprocess import Prepared, prepare
from zfscope.networks import build
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, plan_scan
from zfscope.store import Model, ModelStore, write_model

EVOLVE = load_analyzers().analyzer("evolve")
# A map of conv5 that no photo activates after epoch 1.
DEAD = 4
EPOCHS = (1, 2, None)
MakeIndex = Callable[..., None]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos in two folders."""
    for number in range(12):
        folder = tmp_path / "photos" / ("ant" if number < 7 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(number, 60 - number, 40 + number)).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A model with checkpoints of epochs 1 and 2 of 3, and one without checkpoints."""
    root = tmp_path / "store"
    files = {
        1: write_checkpoint(tmp_path / "1.safetensors", 40, dead=DEAD),
        2: write_checkpoint(tmp_path / "2.safetensors", 3, noise=0.03),
    }
    manifest = manifest_of("tiny", SPEC)
    provenance = manifest.provenance.model_copy(update={"epochs": 3})
    network = build(SPEC, generator=torch.Generator().manual_seed(3))
    write_model(root, manifest.model_copy(update={"provenance": provenance}), network, checkpoints=files)
    write_model(root, manifest_of("plain", SPEC), network)
    return ModelStore(root)


def model_at(store: ModelStore, epoch: int | None) -> Model:
    return store.load("tiny") if epoch is None else store.load_checkpoint("tiny", epoch)


@pytest.fixture
def make_index(store: ModelStore, photos: Path) -> MakeIndex:
    """Function that indexes photos with the model of an epoch."""

    def make(epoch: int | None, base: str = "val", data: Path = photos, **options: Any) -> None:
        model, plan = model_at(store, epoch), plan_scan(SPEC, **{"layers": ("conv1", "conv5"), **options})
        name = base if epoch is None else f"{base}-epoch-{epoch:03d}"
        runtime = create_runtime("torch", model)
        build_index(model, open_data(data), plan, indexes_folder(model) / name, runtime=runtime)

    return make


@pytest.fixture
def unindexed(store: ModelStore) -> Context:
    model = store.load("tiny")
    return Context(model, create_runtime("torch", model), (), tensors=True, store=store)


@pytest.fixture
def ready(unindexed: Context, make_index: MakeIndex) -> Context:
    """A context in which every epoch has its index."""
    for epoch in EPOCHS:
        make_index(epoch)
    return unindexed


def evolve(context: Context, **params: Any) -> Analysis:
    return EVOLVE.analyze(context, read_params(EVOLVE, {"layer": "conv5", **params}))


def rows(analysis: Analysis, table: str = "evolution") -> list[dict[str, Any]]:
    return analysis.tables[table].records()


class LayerActivations:
    """All activations of a layer in all photos, with the weights of an epoch."""

    def __init__(self, store: ModelStore, photos: Path, epoch: int | None, layer: str = "conv5") -> None:
        self.model, self.layer = model_at(store, epoch), layer
        self.paths = sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).as_posix())
        self.prepared: list[Prepared] = [
            prepare(decode(path.read_bytes()), self.model.preprocessing) for path in self.paths
        ]
        pixels = np.concatenate([photo.pixels for photo in self.prepared])
        self.trace = trace(self.model.network, torch.from_numpy(pixels), until=layer)

    def strongest(self, map: int) -> tuple[float, int, int, int]:
        """Return the strongest activation of a map, with its photo, row and column."""
        outputs = self.trace.outputs[self.layer][:, map].numpy()
        photo, y, x = (int(index) for index in np.unravel_index(outputs.argmax(), outputs.shape))
        return float(outputs[photo, y, x]), photo, y, x

    def crop_field(self, picture: NDArray[Any], y: int, x: int) -> NDArray[Any]:
        """Crop the receptive field of a unit from a picture (channels, H, W), padded with zeros."""
        box, margin = receptive_fields(SPEC)[self.layer].box(y, x), 64
        whole = np.pad(picture, ((0, 0), (margin, margin), (margin, margin)))
        x0, y0, x1, y1 = (side + margin for side in box)
        return whole[:, y0:y1, x0:x1]

    def projection(self, photo: int, map: int, y: int, x: int) -> NDArray[np.float32]:
        (pixels,) = project(self.model.network, self.trace, self.layer, [Unit(photo, map, y, x)])
        return pixels.numpy()
