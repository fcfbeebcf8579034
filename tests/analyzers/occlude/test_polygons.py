"""Polygons: the pixels of the network's crop that they occlude, compared with exact arithmetic."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.analyzers.occlude.conftest import SIDE, analyze, box, mask_file
from tests.analyzers.occlude.test_masks import blank_photo
from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context
from zfscope.engine import trace
from zfscope.images.normalise import normalise
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.polygons import pixels_inside, window_from_polygon
from zfscope_analyzers.params import PhotoPolygon

Vertices = list[tuple[float, float]]


def relation(vertices: Vertices, x: Fraction, y: Fraction) -> str:
    """Return whether a point is inside a polygon by the even-odd rule, outside, or on its outline."""
    inside = False
    exact = [(Fraction(a), Fraction(b)) for a, b in vertices]
    for (x0, y0), (x1, y1) in pairwise([*exact, exact[0]]):
        cross = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        if cross == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
            return "outline"
        # The edge crosses the ray to the right if the point is left of it, looking upwards.
        if (y0 <= y) != (y1 <= y) and (cross > 0) == (y1 > y0):
            inside = not inside
    return "inside" if inside else "outside"


def relations(vertices: Vertices, height: int, width: int) -> NDArray[np.str_]:
    half = Fraction(1, 2)
    return np.array([[relation(vertices, x + half, y + half) for x in range(width)] for y in range(height)])


@pytest.mark.parametrize("seed", range(40))
def test_pixels_whose_centre_is_inside_belong_to_any_polygon(seed: int) -> None:
    """Vertices at eighths of a pixel, some outside of the image; most polygons cross themselves."""
    generator = np.random.default_rng(seed)
    vertices = (generator.integers(-24, 120, (int(generator.integers(3, 10)), 2)) / 8).tolist()
    expected = relations(vertices, 10, 12)
    inside = pixels_inside(np.array(vertices), (10, 12))
    decided = expected != "outline"
    np.testing.assert_array_equal(inside[decided], (expected == "inside")[decided])


@pytest.mark.parametrize("turn", [1, -1])
def test_pixels_whose_centre_is_on_the_outline_belong_to_a_simple_polygon(turn: int) -> None:
    vertices = [(1.5, 1.5), (6.5, 1.5), (6.5, 3.5), (4.5, 5.5), (1.5, 5.5)][::turn]
    assert pixels_inside(np.array(vertices), (7, 8)).astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_the_middle_of_a_pentagram_is_open() -> None:
    angles = np.pi / 2 + np.arange(5) * 4 * np.pi / 5
    star = 15 + 14 * np.stack([np.cos(angles), -np.sin(angles)], axis=1)
    inside = pixels_inside(star, (30, 30))
    assert not inside[13:17, 13:17].any()
    assert inside[3:6, 14:16].all()


@pytest.mark.parametrize(("width", "height"), [(36, 36), (60, 48), (33, 90), (20, 20), (201, 77)])
def test_a_polygon_in_photo_pixels_occludes_pixels_of_the_crop_by_their_centres(
    width: int, height: int
) -> None:
    """The crop is the middle 32/36 of the photo's short side, from a whole pixel of the centre square."""
    generator = np.random.default_rng(width)
    vertices = (generator.random((6, 2)) * (width, height)).tolist()
    short = min(width, height)
    scale = short / 36
    left, top = (width - short) // 2 + 2 * scale, (height - short) // 2 + 2 * scale
    expected = [
        [
            relation(vertices, Fraction(left + (x + 0.5) * scale), Fraction(top + (y + 0.5) * scale))
            == "inside"
            for x in range(SIDE)
        ]
        for y in range(SIDE)
    ]
    window = window_from_polygon(
        PhotoPolygon.model_validate(vertices), blank_photo(width, height), "polygons[0]"
    )
    whole = np.zeros((SIDE, SIDE), bool)
    whole[window.area] = window.mask
    np.testing.assert_array_equal(whole, expected)
    mask = np.asarray(window.mask)
    assert all(edge.any() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def test_a_rectangular_polygon_equals_a_box(plain_context: Context) -> None:
    region = plain_context.images[0].geometries[0].region
    scale = region.width / SIDE
    x0, y0, x1, y1 = (
        region.x0 + 4 * scale,
        region.y0 + 6 * scale,
        region.x0 + 20 * scale,
        region.y0 + 9 * scale,
    )
    boxed = analyze(plain_context, boxes=[box(x0 + 1e-6, y0 + 1e-6, x1 - 1e-6, y1 - 1e-6)])
    drawn = analyze(plain_context, polygons=[[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]])
    assert drawn.tensors["windows"].tolist() == [[6, 4, 3, 16]]
    assert drawn.tables == boxed.tables
    for name, tensor in boxed.tensors.items():
        np.testing.assert_array_equal(drawn.tensors[name], tensor)


@pytest.mark.parametrize("method", ["incremental", "full"])
def test_a_polygon_matches_a_full_pass_over_its_painted_pixels(plain_context: Context, method: str) -> None:
    polygons: list[Vertices] = [
        [(5, -20), (58, 12), (22, 90)],
        [(20.1, 10), (40.3, 30), (40, 11.7), (20, 31.2)],
        [(30.5, 20.25), (36, 22), (31, 27)],
    ]
    region = plain_context.images[0].geometries[0].region
    scale = region.width / SIDE
    view, steps = plain_context.images[0].views[0], plain_context.model.preprocessing
    images = [view]
    for polygon in polygons:
        shifted = [((x - region.x0) / scale, (y - region.y0) / scale) for x, y in polygon]
        mask = relations(shifted, SIDE, SIDE) == "inside"
        images.append(np.where(mask[..., None], (255, 128, 0), view).astype(np.uint8))
    pixels = np.stack([normalise(image, steps) for image in images])
    outputs = trace(plain_context.model.network, torch.from_numpy(pixels)).outputs
    clean, *logits = outputs["fc8"].numpy()

    result = analyze(plain_context, polygons=polygons, fill="#ff8000", layer="conv5", map=4, method=method)

    values = result.tensors["values"][0]
    np.testing.assert_allclose(values, softmax(np.array(logits))[:, clean.argmax()], rtol=1e-4)
    totals = outputs["conv5"][1:, 4].sum((1, 2)).numpy()
    np.testing.assert_allclose(result.tensors["totals"], totals, rtol=1e-4, atol=1e-4)


def test_a_polygon_equals_a_mask_of_the_same_pixels(plain_context: Context) -> None:
    star = [[30, 4], [44, 44], [10, 18], [50, 18], [16, 44]]
    drawn = analyze(plain_context, polygons=[star])
    # A mask with a pixel of the photo for each pixel of the crop, at its centre.
    window, mask = drawn.tensors["windows"][0], np.zeros((48, 60), bool)
    occluded = drawn.tensors["value-maps"][0] != np.float32(drawn.tables["classes"].records()[0]["clean"])
    region = plain_context.images[0].geometries[0].region
    for y, x in np.argwhere(occluded):
        scale = region.width / SIDE
        mask[int(region.y0 + (y + 0.5) * scale), int(region.x0 + (x + 0.5) * scale)] = True
    masked = analyze(plain_context, masks=[mask_file(mask)])
    assert masked.tensors["windows"][0].tolist() == window.tolist()
    np.testing.assert_allclose(masked.tensors["values"], drawn.tensors["values"], rtol=1e-6)


def test_the_picture_names_polygons(context: Context) -> None:
    (picture,) = analyze(context, polygons=[[[10, 10], [40, 10], [25, 40]]]).pictures
    assert picture.png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "polygon",
    [
        [[1, 2], [3, 4.5], [5, 0]],
        ((1, 2), (3, 4.5), (5, 0)),
        {"vertices": [{"x": 1, "y": 2}, {"x": 3, "y": 4.5}, {"x": 5, "y": 0}]},
        [{"x": 1, "y": 2}, [3, 4.5], {"x": 5, "y": 0}],
    ],
)
def test_vertices_may_be_pairs_or_objects(polygon: Any) -> None:
    (read,) = OccludeParams(polygons=[polygon]).polygons
    assert [(vertex.x, vertex.y) for vertex in read.vertices] == [(1, 2), (3, 4.5), (5, 0)]


def test_the_schema_has_the_short_form() -> None:
    items = OccludeParams.model_json_schema()["properties"]["polygons"]["items"]
    assert (items["type"], items["format"], items["minItems"]) == ("array", "polygon", 3)
    assert items["items"] == {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
