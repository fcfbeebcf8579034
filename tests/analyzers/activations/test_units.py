"""The analyzer `activations`: units and ranks by brute force over a forward pass, places, boxes, errors."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from zfscope.analysis.contract import Analysis, Context, array, images_of
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import ReceptiveField, Trace, receptive_fields, strongest_units, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.preprocess import prepare

ACTIVATIONS = load_analyzers().analyzer("activations")
SIDE = 32
# Place in photo pixels of network pixel (0, 0), as (y, x), and photo pixels per network pixel.
Corner = tuple[float, float]


def analyze(context: Context, **parameters: Any) -> Analysis:
    return ACTIVATIONS.analyze(context, read_params(ACTIVATIONS, parameters))


def rows_of(context: Context, **parameters: Any) -> list[dict[str, Any]]:
    return analyze(context, **parameters).tables["units"].records()


@pytest.fixture
def numbers(plain_context: Context) -> Context:
    """A context that requests neither pictures nor tensors."""
    return replace(plain_context, tensors=False)


@pytest.fixture
def traced(context: Context) -> Trace:
    return trace(context.model.network, images_of(context.model, context.images[0].pixels))


def in_photo(context: Context, y: float, x: float) -> dict[str, float]:
    """Return a place of the network's input in photo pixels."""
    box = context.images[0].geometries[0].to_photo(Box(x, y, x, y))
    return {"y": box.y0, "x": box.x0}


def box_in_photo(context: Context, box: Box) -> Mapping[str, float]:
    return vars(context.images[0].geometries[0].to_photo(box))


def centre(field: ReceptiveField, y: int, x: int) -> tuple[float, float]:
    """Return the centre (y, x) of a unit's field, within the network's input."""
    left, top, right, bottom = field.box(y, x)
    return min(max((top + bottom) / 2, 0), SIDE), min(max((left + right) / 2, 0), SIDE)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "conv5"])
@pytest.mark.parametrize("rank", ["max", "sum"])
def test_the_strongest_maps_are_those_of_a_sort_by_hand(
    numbers: Context, traced: Trace, layer: str, rank: str
) -> None:
    outputs = traced.outputs[layer][0].flatten(1)
    scores = outputs.max(1).values if rank == "max" else outputs.sum(1)
    expected = torch.topk(scores, 4)

    rows = rows_of(numbers, layer=layer, rank=rank, top=4)

    assert [row["map"] for row in rows] == expected.indices.tolist()
    assert [row["rank"] for row in rows] == [0, 1, 2, 3]
    score = "activation" if rank == "max" else "total"
    np.testing.assert_allclose([row[score] for row in rows], expected.values, rtol=1e-5)
    for row in rows:
        feature_map = traced.outputs[layer][0, row["map"]]
        assert row["activation"] == float(feature_map.max()) == float(feature_map[row["y"], row["x"]])
        assert row["total"] == pytest.approx(float(feature_map.sum()), rel=1e-5)


def test_the_strongest_maps_are_those_that_are_projected(context: Context, traced: Trace) -> None:
    units = strongest_units(traced, "conv5", 0, 5)
    rows = rows_of(context, top=5)
    assert [(row["map"], row["y"], row["x"]) for row in rows] == [(u.map, u.y, u.x) for u in units]
    assert {row["layer"] for row in rows} == {"conv5"}


def test_receptive_fields_are_those_of_the_engine_in_photo_pixels(numbers: Context) -> None:
    field = receptive_fields(numbers.model.spec)["conv5"]
    geometry = numbers.images[0].geometries[0]
    for row in rows_of(numbers, layer="conv5", top=12):
        expected = geometry.to_photo(Box(*field.box(row["y"], row["x"]))).clip(geometry.photo_size)
        assert Box(row["x0"], row["y0"], row["x1"], row["y1"]) == expected


@pytest.mark.parametrize("layer", ["conv1", "conv5"])
@pytest.mark.parametrize(("y", "x"), [(0, 0), (32, 32), (7.3, 19.8), (31, 2), (16, 16)])
def test_units_at_a_place_are_those_centred_nearest_to_it(
    numbers: Context, traced: Trace, layer: str, y: float, x: float
) -> None:
    field, (maps, rows, columns) = (
        receptive_fields(numbers.model.spec)[layer],
        numbers.model.network.shapes[layer],
    )
    place = in_photo(numbers, y, x)

    found = rows_of(numbers, layer=layer, top=maps, **place)

    (unit,) = {(row["y"], row["x"]) for row in found}
    positions = list(product(range(rows), range(columns)))
    distances = {position: np.hypot(*np.subtract(centre(field, *position), (y, x))) for position in positions}
    assert distances[unit] == pytest.approx(min(distances.values()), abs=1e-6)
    values = traced.outputs[layer][0, :, *unit]
    assert [row["map"] for row in found] == values.sort(descending=True, stable=True).indices.tolist()
    assert [row["activation"] for row in found] == values.sort(descending=True).values.tolist()
    assert all(row["total"] == row["activation"] for row in found)


@pytest.mark.parametrize("layer", ["conv1", "relu5"])
@pytest.mark.parametrize("rank", ["max", "sum"])
def test_units_in_a_box_are_those_centred_in_it(
    numbers: Context, traced: Trace, layer: str, rank: str
) -> None:
    box = Box(8.2, 3.1, 25.3, 18.4)
    field, (maps, rows, columns) = (
        receptive_fields(numbers.model.spec)[layer],
        numbers.model.network.shapes[layer],
    )
    inside = np.zeros((rows, columns), bool)
    for y, x in product(range(rows), range(columns)):
        row, column = centre(field, y, x)
        inside[y, x] = box.y0 <= row < box.y1 and box.x0 <= column < box.x1
    outputs = array(traced.outputs[layer][0])[:, inside].astype(np.float64)
    scores = outputs.max(1) if rank == "max" else outputs.sum(1)

    found = rows_of(numbers, layer=layer, rank=rank, top=maps, box=box_in_photo(numbers, box))

    assert 1 < inside.sum() < rows * columns
    by_map = {row["map"]: row for row in found}
    for number in range(maps):
        row = by_map[number]
        assert inside[row["y"], row["x"]]
        assert row["activation"] == pytest.approx(outputs[number].max())
        assert row["total"] == pytest.approx(outputs[number].sum(), rel=1e-5, abs=1e-6)
    ordered = [scores[row["map"]] for row in found]
    np.testing.assert_allclose(ordered, sorted(scores, reverse=True), rtol=1e-5, atol=1e-6)


def test_a_box_around_the_crop_means_the_whole_maps(numbers: Context) -> None:
    everything = {"x0": -100, "y0": -100, "x1": 1000, "y1": 1000}
    assert rows_of(numbers, box=everything) == rows_of(numbers)


def test_a_box_smaller_than_the_distance_of_units_means_the_nearest_unit(numbers: Context) -> None:
    box = Box(13.0, 9.0, 13.2, 9.2)
    in_box = rows_of(numbers, box=box_in_photo(numbers, box))
    assert in_box == rows_of(numbers, **in_photo(numbers, 9.1, 13.1))


def test_boxes_side_by_side_share_no_unit(numbers: Context) -> None:
    def positions(left: float, right: float) -> set[int]:
        box = box_in_photo(numbers, Box(left, 0, right, SIDE))
        units = (rows_of(numbers, layer="conv1", maps=[n], box=box)[0]["x"] for n in range(6))
        return set(units)

    assert positions(0, 16.5).isdisjoint(positions(16.5, SIDE))


def test_requested_maps_keep_their_order_and_their_rank_among_all(numbers: Context) -> None:
    ranks = {row["map"]: row["rank"] for row in rows_of(numbers, top=12)}
    rows = rows_of(numbers, maps=[7, 0, 11])
    assert [(row["map"], row["rank"]) for row in rows] == [(n, ranks[n]) for n in (7, 0, 11)]


def test_units_of_a_mirrored_crop_are_mirrored_in_the_photo(numbers: Context, photo: "np.ndarray") -> None:
    mirrored = prepare(photo[:, ::-1].copy(), numbers.model.preprocessing)
    crop = replace(mirrored.geometries[0], flipped=True)
    flipped = replace(numbers, images=(replace(mirrored, geometries=(crop,)),))
    place = in_photo(flipped, 10, 20)
    assert place["x"] == pytest.approx(in_photo(numbers, 10, SIDE - 20)["x"])
    (unit,) = {(row["y"], row["x"]) for row in rows_of(flipped, **place)}
    (expected,) = {(row["y"], row["x"]) for row in rows_of(numbers, **in_photo(numbers, 10, 20))}
    assert unit == expected


def test_units_of_a_fully_connected_layer_have_no_place(numbers: Context, traced: Trace) -> None:
    rows = rows_of(numbers, layer="fc8")
    expected = traced.outputs["fc8"][0].sort(descending=True)
    assert [row["map"] for row in rows] == expected.indices.tolist()
    assert [row["activation"] for row in rows] == expected.values.tolist()
    assert {(row["y"], row["x"]) for row in rows} == {(None, None)}
    assert [row["label"] for row in rows] == [("ant", "bee", "cat", "dog")[row["map"]] for row in rows]
    assert rows_of(numbers, layer="fc6")[0]["label"] == ""


@pytest.mark.parametrize(("layer", "shape"), [("conv5", (3, 7, 7)), ("fc6", (3,))])
def test_the_tensor_has_the_whole_maps_in_order(
    plain_context: Context, traced: Trace, layer: str, shape: tuple[int, ...]
) -> None:
    result = analyze(plain_context, layer=layer, maps=[4, 0, 2])
    assert result.tensors["maps"].shape == shape
    assert result.tensors["maps"].dtype == np.float32
    np.testing.assert_array_equal(result.tensors["maps"], traced.outputs[layer][0, [4, 0, 2]])


def test_the_number_of_maps_is_that_of_the_layer(numbers: Context) -> None:
    assert analyze(numbers, layer="conv5").numbers == {"maps": 12}
    assert analyze(numbers, layer="fc6").numbers == {"maps": 9}


def test_a_layer_with_fewer_maps_than_the_default_shows_all(numbers: Context) -> None:
    assert len(rows_of(numbers, layer="conv1")) == 6


@pytest.mark.parametrize(
    ("parameters", "error", "field", "message"),
    [
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1"),
        ({"top": 13}, InputError, "top", r"top is 13; allowed: 1 to 12 \(layer 'conv5' has 12 maps\)"),
        ({"top": 0}, InputError, "top", "top is 0: "),
        ({"maps": [3, 12]}, NotFound, "maps[1]", "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        ({"maps": [3, 3]}, InputError, "maps", "'3' is named more than once"),
        ({"maps": [-1]}, InputError, "maps[0]", "-1"),
        ({"maps": [3], "top": 2}, InputError, "top", "top is 2: maps are set too; set only one of them"),
        ({"y": 20}, InputError, "x", "x is invalid: set both y and x, or neither"),
        ({"x": 20}, InputError, "x", "x is 20.*: set both y and x, or neither"),
        ({"y": float("nan"), "x": 20}, InputError, "y", "finite"),
        (
            {"y": 2, "x": 20},
            InputError,
            "y",
            r"y is 2, outside of the part of the photo that the network sees; allowed: 2\.6\d+ to 45\.3",
        ),
        ({"y": 20, "x": 52.5}, InputError, "x", r"x is 52\.5, outside of .* allowed: 8\.6\d+ to 51\.3"),
        (
            {"box": {"x0": 0, "y0": 0, "x1": 8, "y1": 48}},
            InputError,
            "box",
            r"box is \(0, 0, 8, 48\), outside of the part of the photo that the network sees, \(8\.6",
        ),
        ({"box": {"x0": 9, "y0": 9, "x1": 9, "y1": 20}}, InputError, "box", "the box is empty"),
        (
            {"y": 20, "x": 20, "box": {"x0": 9, "y0": 9, "x1": 19, "y1": 20}},
            InputError,
            "box",
            "y and x are set too; set either a place or a box",
        ),
        (
            {"layer": "fc7", "y": 20, "x": 20},
            InputError,
            "y",
            "y is set, but layer 'fc7' is fully connected: .* leave out y and x",
        ),
        (
            {"layer": "fc7", "box": {"x0": 9, "y0": 9, "x1": 19, "y1": 20}},
            InputError,
            "box",
            "box is set, but layer 'fc7' is fully connected: .* leave out box",
        ),
    ],
)
def test_invalid_parameters_are_rejected_with_what_is_allowed(
    numbers: Context, parameters: dict[str, Any], error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        analyze(numbers, **parameters)
    assert caught.value.field == field


def test_the_cost_is_one_pass(numbers: Context) -> None:
    assert ACTIVATIONS.cost(numbers.model, read_params(ACTIVATIONS, {"top": 12})) == 1
