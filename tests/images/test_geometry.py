"""Tests of boxes, and of the mapping between network and photo pixels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfscope.images.geometry import Box, Geometry

positions = st.floats(-500, 500)
sizes = st.floats(0.5, 500)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), positions, positions, sizes, sizes)
geometries = st.builds(
    Geometry, st.just((300, 400)), st.tuples(st.integers(1, 512), st.integers(1, 512)), boxes, st.booleans()
)


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.x0, box.y0, box.x1, box.y1


@given(geometries, boxes)
def test_mapping_to_the_photo_and_back_returns_the_same_box(geometry: Geometry, box: Box) -> None:
    assert edges(geometry.to_network(geometry.to_photo(box))) == pytest.approx(edges(box), abs=1e-6)
    assert edges(geometry.to_photo(geometry.to_network(box))) == pytest.approx(edges(box), abs=1e-3)


@given(geometries)
def test_the_whole_input_maps_to_the_region(geometry: Geometry) -> None:
    height, width = geometry.network_size
    whole = geometry.to_photo(Box(0, 0, width, height))
    assert edges(whole) == pytest.approx(edges(geometry.region), abs=1e-6)


@given(geometries, boxes)
def test_edges_stay_in_order_even_if_mirrored(geometry: Geometry, box: Box) -> None:
    photo = geometry.to_photo(box)
    assert photo.x0 <= photo.x1
    assert photo.y0 <= photo.y1


def test_a_box_is_scaled_and_shifted_to_its_region() -> None:
    geometry = Geometry((300, 400), (100, 100), Box(50, 20, 250, 220))
    assert geometry.to_photo(Box(10, 30, 11, 32)) == Box(70, 80, 72, 84)


def test_columns_of_a_mirrored_input_count_from_the_right() -> None:
    geometry = Geometry((300, 400), (100, 100), Box(50, 20, 250, 220), flipped=True)
    assert geometry.to_photo(Box(0, 0, 1, 1)) == Box(248, 20, 250, 22)
    assert geometry.to_network(Box(50, 20, 52, 22)) == Box(99, 0, 100, 1)


def test_boxes_beyond_the_border_are_not_clipped_by_the_mapping() -> None:
    geometry = Geometry((100, 100), (100, 100), Box(0, 0, 100, 100))
    assert geometry.to_photo(Box(-7, -3, 5, 4)) == Box(-7, -3, 5, 4)


def test_clipping_keeps_the_part_inside_the_image() -> None:
    assert Box(-7, -3, 5, 4).clip((50, 60)) == Box(0, 0, 5, 4)
    assert Box(55, 45, 70, 70).clip((50, 60)) == Box(55, 45, 60, 50)


def test_clipping_a_box_outside_the_image_leaves_no_area() -> None:
    outside = Box(70, 10, 90, 20).clip((50, 60))
    assert outside.width == 0


def test_whole_returns_the_smallest_integer_box_around_it() -> None:
    assert Box(-0.5, 1.0, 2.1, 3.9).whole() == Box(-1, 1, 3, 4)


def test_width_and_height_of_a_box() -> None:
    box = Box(1, 2, 4, 8)
    assert (box.width, box.height) == (3, 6)
