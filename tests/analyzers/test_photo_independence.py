"""The warning about projections that are the same for every photo, wherever an analyzer shows projections."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.analyzers.conftest import SPEC, blobs, manifest_of, write_checkpoint
from tests.support.indexes import index_photos
from zfscope.gallery import build_gallery, plan_gallery
from zfscope.local import LocalClient
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.results import Notice
from zfscope.scan import open_index
from zfscope.store import ModelStore, write_model

# The same convolutions without max pooling: strides reduce the maps instead.
STRIDED = NetworkSpec(
    name="strided",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        Conv(name="conv5", channels=12, kernel=3, stride=2),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc8", units=4),
    ),
)
MESSAGE = (
    "there is no max pooling below layer 'conv5', so that the rule deconvnet projects a unit to the same"
)
# Analyzers that show projections of single units, with parameters and the number of photos.
CALLS: tuple[tuple[str, Mapping[str, Any], int], ...] = (
    ("project", {"layer": "conv5"}, 1),
    ("top-k", {"layer": "conv5"}, 0),
    ("evolve", {"layer": "conv5", "settling": False}, 0),
    ("occlude", {"layer": "conv5", "boxes": [{"x0": 4, "y0": 4, "x1": 20, "y1": 20}]}, 1),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClient]:
    """Client of `tiny`, which has max pooling, and `strided`, with indexes of an epoch and the end."""
    folder = tmp_path_factory.mktemp("independence")
    (folder / "photos").mkdir()
    for number in range(6):
        Image.fromarray(blobs(number, 60, 48)).save(folder / "photos" / f"{number}.png")
    for spec in (SPEC, STRIDED):
        early = write_checkpoint(folder / f"{spec.name}.safetensors", 40, spec=spec)
        network = build(spec, generator=torch.Generator().manual_seed(3))
        write_model(folder / "store", manifest_of(spec.name, spec), network, checkpoints={1: early})
        store = ModelStore(folder / "store")
        models = {"all": store.load(spec.name), "all-epoch-001": store.load_checkpoint(spec.name, 1)}
        for name, model in models.items():
            index_photos(model, folder / "photos", name, ["conv1", "conv5"])
    with LocalClient(folder / "store", runtime="torch") as client:
        yield client


def notices(client: LocalClient, model: str, analyzer: str, params: Any, count: int) -> list[Notice]:
    """Return the warnings of an analysis about projections."""
    photos = sorted(client.store.root.parent.glob("photos/*.png"))[:count]
    analyzed = client.analyze(analyzer, photos, params, model=model)
    return [notice for notice in analyzed.analysis.warnings if notice.code == "photo-independent"]


@pytest.mark.parametrize(("analyzer", "params", "count"), CALLS)
def test_every_analyzer_that_shows_projections_warns_once(
    client: LocalClient, analyzer: str, params: Any, count: int
) -> None:
    (notice,) = notices(client, "strided", analyzer, params, count)
    assert notice.message.startswith(MESSAGE)
    assert notice.field == ("rule" if analyzer == "project" else "layer")
    assert notices(client, "tiny", analyzer, params, count) == []


def test_an_occlusion_without_a_projection_does_not_warn(client: LocalClient) -> None:
    photo = next(client.store.root.parent.glob("photos/*.png"))
    assert client.occlude(photo, layer="conv5", model="strided", pictures=False).warnings == ()


def test_a_gallery_warns_on_the_page_of_the_layer(client: LocalClient, tmp_path: Path) -> None:
    def analyze(analyzer: str, parameters: Any, report: Any) -> Any:
        options = {"model": "strided", "pictures": False, "tensors": True}
        return client.analyze(analyzer, [], parameters, **options).analysis

    model = client.store.load("strided")
    gallery = build_gallery(plan_gallery(model, open_index(model, "all")), analyze, tmp_path / "gallery")
    (message,) = gallery.layers["conv5"].warnings
    assert message.startswith(MESSAGE)
    assert gallery.layers["conv1"].warnings == ()
    pages = {name: (tmp_path / "gallery" / name / "index.html").read_text() for name in gallery.layers}
    assert {name: page.count("there is no max pooling") for name, page in pages.items()} == {
        "conv1": 0,
        "conv5": 1,
    }
