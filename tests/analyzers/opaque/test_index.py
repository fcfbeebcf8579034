"""Indexes, top-k and probes of opaque models, compared with all outputs of all photos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.conftest import blobs
from tests.analyzers.opaque.conftest import REASON, analyze, context_of, maps_layer
from tests.probe.test_extract import features_by_loops
from tests.support.indexes import index_photos
from tests.support.opaque_models import add_opaque_model, input_by_hand, reference_outputs
from zfscope.datasets import open_data
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import prepare
from zfscope.images.tiles import fit_square
from zfscope.parallel import Batch
from zfscope.probe.build import select_layers
from zfscope.probe.extract import BATCH, Extractor
from zfscope.runtimes import create_runtime
from zfscope.scan import plan_scan
from zfscope.scan.open import open_index
from zfscope.store import Model
from zfscope_analyzers.top_k import figure

PHOTOS = 8


@pytest.fixture
def own(model: Model, tmp_path: Path) -> Model:
    """The model in a store of its own, for indexes."""
    return add_opaque_model(tmp_path / "store", model.name)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        Image.fromarray(blobs(number)).save(folder / f"{number}.png")
    return folder


def all_outputs(model: Model, photos: Path, layer: str) -> np.ndarray:
    """Return the outputs of a layer for all photos, (photos, maps, rows, columns) or (photos, units)."""
    views = [
        prepare(decode(path.read_bytes()), model.preprocessing).views[0] for path in sorted(photos.iterdir())
    ]
    return reference_outputs(model, np.stack([input_by_hand(view) for view in views]), [layer])[layer]


def test_records_are_the_strongest_of_all_photos(own: Model, photos: Path) -> None:
    layer = maps_layer(own)
    index_photos(own, photos, "photos", [layer], top=3)
    index, outputs = open_index(own, "photos"), all_outputs(own, photos, layer)
    # A quantised value next to the edge of its step may be rounded to the other.
    tolerance = (1e-5 if "int8" not in own.name else 2e-2) * float(np.abs(outputs).max())
    for number, maxima in enumerate(outputs.max((2, 3)).T):
        records = index.records(layer, number)
        assert [each.value for each in records] == pytest.approx(sorted(maxima)[:-4:-1], abs=tolerance)
        for each in records:
            values = outputs[int(Path(each.path).stem), number]
            assert values[each.y, each.x] == pytest.approx(values.max(), abs=tolerance)


def test_the_layers_of_an_index_are_stages_with_maps(model: Model) -> None:
    plan = plan_scan(model.spec)
    assert plan.layers
    assert all(model.spec.has_maps(layer) for layer in plan.layers)


def test_photos_read_again_have_the_recorded_activations(own: Model, photos: Path) -> None:
    layer = maps_layer(own)
    index_photos(own, photos, "photos", [layer])
    result = analyze("top-k", context_of(own), layer=layer, count=4, top=2)
    rows = list(result.tables["records"].records())
    assert {row["state"] for row in rows if row["value"] > 0} == {"ok"}
    assert {(row["ssim"], row["rank_correlation"]) for row in rows} == {(None, None)}
    assert "projections" not in result.tensors
    assert result.tensors["patches"].shape == (4, 2, 32, 32, 3)


def test_a_changed_photo_is_reported(own: Model, photos: Path) -> None:
    layer = maps_layer(own)
    index_photos(own, photos, "photos", [layer])
    for path in photos.iterdir():
        Image.fromarray(blobs(100)).save(path)
    rows = analyze("top-k", context_of(own), layer=layer, count=2, top=2).tables["records"].records()
    assert {row["state"] for row in rows if row["value"] > 0} == {"changed"}


@pytest.mark.parametrize("layer", ["maps", "scores"])
def test_the_figure_shows_the_crop_with_a_frame_around_the_cell(
    own: Model, photos: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    name = own.spec.scores if layer == "scores" else maps_layer(own)
    index = index_photos(own, photos, "photos", [name])
    number = int(np.argmax(index.alive(name)))
    (record, *_) = index.records(name, number)
    tiles: list[np.ndarray] = []
    draw = figure.record_tiles

    def drawn(*arguments: Any, **options: Any) -> tuple[Image.Image, ...]:
        (tile,) = draw(*arguments, **options)
        tiles.append(np.asarray(tile))
        return (tile,)

    monkeypatch.setattr(figure, "record_tiles", drawn)
    result = analyze("top-k", replace(context_of(own), pictures=True), layer=name, maps=[number], top=1)
    (tile,) = tiles
    whole = np.asarray(fit_square(result.tensors["patches"][0, 0], len(tile)))
    changed = (tile != whole).any(axis=2)
    assert changed.any() == (layer == "maps")
    if layer == "maps":
        _, rows, columns = own.spec.by_name[name].shape  # type: ignore[attr-defined]
        height, width = len(tile) / rows, len(tile) / columns
        y0, x0 = round(record.y * height), round(record.x * width)
        y1, x1 = round((record.y + 1) * height), round((record.x + 1) * width)
        assert not changed[y0:y1, x0:x1].any(), "the cell stays visible"
        around = changed[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4]
        assert around.sum() == changed.sum(), "nothing else changes"


def test_an_index_of_other_weights_is_rejected(own: Model, photos: Path) -> None:
    index_photos(own, photos, "photos", [maps_layer(own)])
    files = own.manifest.files | {own.manifest.weights_file: "0" * 64}
    other = replace(own, manifest=own.manifest.model_copy(update={"files": files}))
    with pytest.raises(NotFound, match="it differs in weights_sha256"):
        open_index(other, "photos")


def test_the_control_of_top_k_is_rejected(own: Model, photos: Path) -> None:
    index_photos(own, photos, "photos", [maps_layer(own)])
    with pytest.raises(InputError, match="control is set, but model '.*' version 1 " + REASON) as caught:
        analyze("top-k", context_of(own), control=True)
    assert caught.value.field == "control"


def test_features_of_a_probe_are_maxima_of_cells(model: Model, photos: Path) -> None:
    layers = (maps_layer(model), model.spec.scores)
    runtime = create_runtime("onnx", model, threads=1)
    data = open_data(photos)
    batch = Batch(0, tuple(data.photo(number) for number in range(min(PHOTOS, BATCH))))
    result = Extractor(runtime, layers, model.preprocessing, model.mean_image, DecodeLimits())(batch)
    for layer in layers:
        outputs = all_outputs(model, photos, layer)
        expected = [features_by_loops(each) for each in outputs]
        # Features are stored as float16.
        tolerance = 2e-3 if "int8" not in model.name else 5e-2
        np.testing.assert_allclose(result.layers[layer], expected, rtol=0, atol=tolerance)


def test_the_layers_of_a_probe_leave_out_the_class_scores(model: Model) -> None:
    layers = select_layers(model.spec, [], has_classes=True)
    assert layers
    assert model.spec.scores not in layers
