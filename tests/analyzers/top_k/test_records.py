"""Records of the analyzer `top-k`, compared with a search over all activations of every photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.conftest import SPEC, blobs
from tests.analyzers.top_k.conftest import (
    CHANGED,
    DEAD,
    DIFFERS,
    GONE,
    OK,
    RARE,
    SILENT,
    MakeIndex,
    TracedPhoto,
    analyze,
    records,
)
from zfscope.analysis.contract import Context
from zfscope.choices import PrecisionName
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.runtimes import create_runtime
from zfscope.store import Model
from zfscope_analyzers.top_k.inspect import TOLERANCES, is_reproduced


def project_by_hand(
    model: Model, layer: str, map: int, result: TracedPhoto
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the projection and the patch of a map's strongest unit in the photo, pixel by pixel."""
    maps = result.outputs[layer][0].reshape(result.outputs[layer].shape[1], -1)
    columns = result.outputs[layer].shape[-1] if result.outputs[layer].dim() == 4 else 1
    y, x = divmod(int(maps[map].argmax()), columns)
    traced = trace(model.network, result.images, until=layer)
    pixels = project(model.network, traced, layer, [Unit(0, map, y, x)])[0].numpy()
    view = result.prepared.views[0]
    if result.outputs[layer].dim() == 2:
        return pixels, view, y, x
    field = receptive_fields(SPEC)[layer]
    left, top, _, _ = field.box(y, x)
    projection = np.zeros((3, field.size, field.size), np.float32)
    patch = np.zeros((field.size, field.size, 3), np.uint8)
    for row in range(field.size):
        for column in range(field.size):
            if 0 <= top + row < 32 and 0 <= left + column < 32:
                projection[:, row, column] = pixels[:, top + row, left + column]
                patch[row, column] = view[top + row, left + column]
    return projection, patch, y, x


@pytest.mark.parametrize("layer", ["conv1", "conv5", "fc6", "fc8"])
def test_projections_and_patches_match_a_search_over_all_activations(
    ready: Context, traced_photos: list[TracedPhoto], layer: str
) -> None:
    maps = [0, 3, 2]
    result = analyze(ready, layer=layer, maps=maps, top=4)
    rows = iter(records(result))
    for index, number in enumerate(maps):
        strengths = [float(each.outputs[layer][0, number].max()) for each in traced_photos]
        expected = sorted(range(20), key=lambda photo: -strengths[photo])[:4]
        for rank, photo in enumerate(expected):
            row = next(rows)
            projection, patch, y, x = project_by_hand(ready.model, layer, number, traced_photos[photo])
            assert (row["map"], row["rank"], row["path"]) == (number, rank, traced_photos[photo].name)
            assert row["class"] == traced_photos[photo].name.split("/")[0]
            assert row["value"] == pytest.approx(strengths[photo], rel=1e-4)
            assert (row["y"], row["x"]) == ((None, None) if layer.startswith("fc") else (y, x))
            if strengths[photo] <= 0:
                assert row["state"] == "silent"
                continue
            assert row["recomputed"] == pytest.approx(strengths[photo], rel=1e-4)
            assert row["state"] == "ok"
            shown = result.tensors["projections"][index, rank]
            np.testing.assert_allclose(shown, projection, atol=1e-5 * np.abs(projection).max())
            np.testing.assert_array_equal(result.tensors["patches"][index, rank], patch)
    assert next(rows, None) is None


def test_patches_are_in_photo_pixels_clipped_to_the_photo(
    ready: Context, traced_photos: list[TracedPhoto]
) -> None:
    field = receptive_fields(SPEC)["conv5"]
    names = {each.name: each.prepared for each in traced_photos}
    for row in records(analyze(ready, count=12)):
        if row["state"] != "ok":
            continue
        prepared = names[row["path"]]
        region = prepared.geometries[0].region
        left, top, right, bottom = (side * region.width / 32 for side in field.box(row["y"], row["x"]))
        height, width = prepared.photo.shape[:2]
        sides = [left + region.x0, top + region.y0, right + region.x0, bottom + region.y0]
        clipped = np.clip(sides, 0, [width, height] * 2)
        assert [row["x0"], row["y0"], row["x1"], row["y1"]] == pytest.approx(clipped.tolist())


def test_pages_show_every_map_once_strongest_first(ready: Context) -> None:
    pages = [analyze(ready, count=5, first=first, top=1) for first in (0, 5, 10)]
    shown = [row for page in pages for row in records(page)]
    assert [len(page.tables["maps"].rows) for page in pages] == [5, 5, 2]
    assert sorted(row["map"] for row in shown) == list(range(12))
    values = [row["value"] for row in shown]
    assert values == sorted(values, reverse=True)


def test_a_dead_map_is_marked_and_has_no_views(ready: Context) -> None:
    result = analyze(ready, layer="relu5", maps=[0, DEAD])
    alive, dead = result.tables["maps"].records()
    expected = {"map": DEAD, "alive": 0, "images": 20, "dead": 1, "index": "photos"}
    assert (alive["dead"], dead) == (0, expected)
    assert alive["alive"] > 0
    assert [row["state"] for row in records(result)[9:]] == ["silent"] * 9
    assert (result.tensors["states"][1] == SILENT).all()
    assert not result.tensors["projections"][1].any()
    assert not result.tensors["patches"][1].any()


def test_photos_that_do_not_activate_a_map_are_silent_records(ready: Context) -> None:
    result = analyze(ready, layer="relu5", maps=[RARE])
    (about,) = result.tables["maps"].records()
    assert about["alive"] == 5
    states = [row["state"] for row in records(result)]
    assert states == ["ok"] * about["alive"] + ["silent"] * (9 - about["alive"])
    assert [row["recomputed"] is None for row in records(result)] == [state == "silent" for state in states]


def test_a_changed_or_missing_photo_is_marked_and_not_shown(ready: Context, photos: Path) -> None:
    before = analyze(ready, maps=[0])
    first, second, third, *others = [row["path"] for row in records(before)]
    Image.fromarray(blobs(99)).save(photos / first)
    (photos / second).unlink()
    (photos / third).write_text("no photo any more")
    after = analyze(ready, maps=[0])
    states = [row["state"] for row in records(after)]
    assert states == ["changed", "gone", "changed"] + ["ok"] * len(others)
    assert after.tensors["states"].tolist() == [[CHANGED, GONE, CHANGED] + [OK] * len(others)]
    assert not after.tensors["projections"][0, :3].any()
    assert not after.tensors["patches"][0, :3].any()
    np.testing.assert_array_equal(after.tensors["patches"][0, 3:], before.tensors["patches"][0, 3:])
    assert [records(after)[0][name] for name in ("recomputed", "x0", "ssim")] == [None] * 3


def test_an_activation_that_is_not_reproduced_is_marked(ready: Context) -> None:
    ready.model.network.filters["conv5"].bias[0] += 0.5
    result = analyze(ready, maps=[0, 1])
    states = [row["state"] for row in records(result)]
    assert states == ["differs"] * 9 + ["ok"] * 9
    assert result.tensors["states"][0].tolist() == [DIFFERS] * 9
    for row in records(result)[:9]:
        assert row["recomputed"] == pytest.approx(row["value"] + 0.5, abs=1e-4)


@pytest.mark.parametrize("precision", list(PrecisionName))
def test_an_activation_may_differ_by_rounding(precision: str) -> None:
    relative, floor = TOLERANCES[precision]
    assert is_reproduced(2, 2 + 0.9 * 2 * relative, 0, precision)
    assert not is_reproduced(2, 2 - 1.1 * 2 * relative, 0, precision)
    assert is_reproduced(2, 2 + 2 * relative + 0.9 * 50 * floor, 50, precision)
    assert not is_reproduced(2, 2 + 2 * relative + 1.1 * 50 * floor, 50, precision)


def test_an_activation_within_rounding_of_the_largest_in_its_layer_is_silent(
    model: Model, photos: Path, make_index: MakeIndex
) -> None:
    """A map whose activations are only rounding is drawn as silent."""
    quiet = 3
    model.network.filters["conv5"].weight[quiet] *= 1e-9
    model.network.filters["conv5"].bias[quiet] = 0
    make_index(photos)
    context = Context(model, create_runtime("torch", model), (), tensors=True)
    result = analyze(context, layer="relu5", maps=[quiet, 0])
    states = [(row["map"], row["state"]) for row in records(result)]
    assert {state for map, state in states if map == quiet} == {"silent"}
    assert "ok" in {state for map, state in states if map == 0}
    assert not result.tensors["projections"][0].any()
