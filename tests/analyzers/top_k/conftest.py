"""Fixtures of the analyzer `top-k`: a model with a dead and a rare map, photos and an index of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.analyzers.conftest import SPEC, blobs, manifest_of
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import trace
from zfscope.images.decode import decode
from zfscope.images.preprocess import Prepared, prepare
from zfscope.networks import build
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, indexes_folder, open_data, plan_scan
from zfscope.store import Model, Weights
from zfscope.store.manifest import WEIGHTS

TOP_K = load_analyzers().analyzer("top-k")
LAYERS = ("conv1", "conv5", "relu5", "fc6", "fc8")
OK, DIFFERS, CHANGED, GONE, SILENT = range(5)
# Maps of relu5: one that no photo activates, and one that few photos do.
DEAD, RARE = 4, 7
MakeIndex = Callable[..., Index]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos in two folders."""
    for number in range(20):
        folder = tmp_path / "photos" / ("ant" if number < 12 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(number, 60 - number, 40 + number)).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model in a temporary folder; in conv5, map DEAD is never active, and map RARE seldom is."""
    network = build(SPEC, generator=torch.Generator().manual_seed(3)).eval().requires_grad_(False)
    network.filters["conv5"].bias[DEAD] = -100
    network.filters["conv5"].bias[RARE] -= 2.15
    manifest = manifest_of("tiny", SPEC).model_copy(update={"files": {WEIGHTS: "0" * 64}})
    return Model(manifest, Weights.from_network(network), None, tmp_path / "model")


@pytest.fixture
def make_index(model: Model) -> MakeIndex:
    """Function that indexes photos with that model, in torch."""

    def make(data: Path, name: str = "photos", *, by: Model = model, **options: Any) -> Index:
        plan = plan_scan(SPEC, **{"layers": LAYERS, **options})
        runtime = create_runtime("torch", by)
        target = indexes_folder(by) / name
        return build_index(by, open_data(data), plan, target, runtime=runtime)

    return make


@pytest.fixture
def ready(model: Model, photos: Path, make_index: MakeIndex) -> Context:
    """A context that requests everything, with an index of the photos."""
    make_index(photos)
    return Context(model, create_runtime("torch", model), (), tensors=True)


def analyze(context: Context, **params: Any) -> Analysis:
    return TOP_K.analyze(context, read_params(TOP_K, params))


def records(analysis: Analysis) -> list[dict[str, Any]]:
    return analysis.tables["records"].records()


@dataclass
class TracedPhoto:
    """A prepared photo and the outputs of all layers."""

    name: str
    prepared: Prepared
    images: torch.Tensor
    outputs: Mapping[str, torch.Tensor]


@pytest.fixture
def traced_photos(model: Model, photos: Path) -> list[TracedPhoto]:
    """Traces of the single photos, in order of file names."""
    result = []
    for name in open_data(photos).names:
        prepared = prepare(decode((photos / name).read_bytes()), model.preprocessing)
        images = torch.from_numpy(prepared.pixels)
        result.append(TracedPhoto(name, prepared, images, trace(model.network, images).outputs))
    return result
