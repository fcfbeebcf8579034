"""Strongest units of opaque models, compared with a search in the tensors of the exported file."""

from dataclasses import replace

import numpy as np
import pytest

from tests.analyzers.opaque.conftest import analyze, maps_layer
from tests.support.opaque_models import input_by_hand, reference_outputs
from zfscope.analysis.contract import Context
from zfscope.errors import NotFound


def test_units_are_the_maxima_of_their_maps(context: Context) -> None:
    layer = maps_layer(context.model)
    result = analyze("activations", context, layer=layer, top=4)
    image = input_by_hand(context.images[0].views[0])[None]
    maps = reference_outputs(context.model, image, [layer])[layer][0]
    # A quantised value next to the edge of its step may be rounded to the other.
    tolerance = (1e-5 if "int8" not in context.model.name else 2e-2) * float(np.abs(maps).max())
    rows = list(result.tables["units"].records())
    assert [row["activation"] for row in rows] == pytest.approx(
        sorted(maps.max((1, 2)).tolist(), reverse=True)[:4], abs=tolerance
    )
    for row, shown in zip(rows, result.tensors["maps"], strict=True):
        expected = maps[row["map"]]
        np.testing.assert_allclose(shown, expected, rtol=0, atol=tolerance)
        assert expected[row["y"], row["x"]] == pytest.approx(expected.max(), abs=tolerance)
        assert row["total"] == pytest.approx(float(expected.sum()), abs=tolerance * expected.size)


def test_the_receptive_field_is_the_crop(context: Context) -> None:
    rows = analyze("activations", context, layer=maps_layer(context.model), top=3).tables["units"].records()
    region = context.images[0].geometries[0].region
    for row in rows:
        field = row["x0"], row["y0"], row["x1"], row["y1"]
        assert field == pytest.approx((region.x0, region.y0, region.x1, region.y1))


def test_the_units_at_a_place_are_those_of_its_share_of_the_crop(context: Context) -> None:
    layer, geometry = maps_layer(context.model), context.images[0].geometries[0]
    _, rows, columns = context.model.spec.by_name[layer].shape  # type: ignore[attr-defined]
    for y, x in ((5, 27), (20, 12)):
        region = geometry.region
        place = {
            "y": region.y0 + (y + 0.5) * region.height / 32,
            "x": region.x0 + (x + 0.5) * region.width / 32,
        }
        found = list(analyze("activations", context, layer=layer, top=2, **place).tables["units"].records())
        assert [(row["y"], row["x"]) for row in found] == [(y * rows // 32, x * columns // 32)] * 2


def test_the_sheet_has_a_tile_per_map(context: Context) -> None:
    layer = maps_layer(context.model)
    result = analyze("activations", replace(context, pictures=True), layer=layer, top=2)
    assert len(result.pictures) == 3


def test_an_unknown_layer_is_rejected(context: Context) -> None:
    with pytest.raises(NotFound, match="layer 'conv9' not found") as caught:
        analyze("activations", context, layer="conv9")
    assert caught.value.field == "layer"
