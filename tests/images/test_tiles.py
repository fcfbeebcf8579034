"""Tests of the tiles of units, at the border too, and of panels, marks and rows of tiles."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box
from zfscope.images.render import scale_note, signed_to_rgb, symmetric_scale
from zfscope.images.tiles import (
    SILENT_NOTE,
    Panel,
    column_count,
    crop_padded,
    grey_outside,
    mark_tile,
    projection_panel,
)
from zfscope.images.tiles import tiles as draw_tiles

Rgb = NDArray[np.uint8]


def tiles(unit: Panel, size_px: int) -> list[Rgb]:
    return [np.asarray(tile) for tile in draw_tiles(unit, size_px)]


def reopened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def panel(size: int = 20, box: Box | None = None, **options: object) -> Panel:
    rng = np.random.default_rng(0)
    fields: dict[str, object] = {
        "caption": "map 17 | 3.21 at (5, 7)",
        "projection": rng.normal(size=(3, size, size)).astype(np.float32),
        "view": rng.integers(0, 256, (size, size, 3), np.uint8),
        "box": box or Box(2, 3, 12, 13),
    }
    return Panel(**(fields | options))  # type: ignore[arg-type]


@given(x0=st.integers(-30, 30), y0=st.integers(-30, 30), width=st.integers(1, 40), height=st.integers(1, 40))
def test_a_crop_contains_the_pixels_of_its_box_and_grey_outside(
    x0: int, y0: int, width: int, height: int
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    crop = crop_padded(picture, Box(x0, y0, x0 + width, y0 + height))
    canvas = np.full((120, 120, 3), 128, np.uint8)
    canvas[40:55, 40:60] = picture
    expected = canvas[40 + y0 : 40 + y0 + height, 40 + x0 : 40 + x0 + width]
    np.testing.assert_array_equal(crop, expected)


def test_a_crop_is_widened_to_whole_pixels() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(crop_padded(picture, Box(0.5, 1.2, 2.5, 2.9)), picture[1:3, 0:3])


def test_tiles_of_the_size_of_the_field_contain_its_pixels() -> None:
    unit = panel(box=Box(2, 3, 12, 13))
    projection, photo = tiles(unit, 10)
    np.testing.assert_array_equal(projection, signed_to_rgb(unit.projection)[3:13, 2:12])
    np.testing.assert_array_equal(photo, unit.view[3:13, 2:12])


def test_strongly_enlarged_pixels_stay_squares() -> None:
    unit = panel(box=Box(2, 3, 9, 10))
    _, photo = tiles(unit, 70)
    np.testing.assert_array_equal(photo, unit.view[3:10, 2:9].repeat(10, 0).repeat(10, 1))


@pytest.mark.parametrize("size_px", [17, 64, 200])
def test_zero_stays_exactly_mid_grey_when_resampled(size_px: int) -> None:
    for tile in tiles(panel(projection=np.zeros((3, 20, 20), np.float32)), size_px)[:1]:
        assert tile.shape == (size_px, size_px, 3)
        assert (tile == 128).all()


def test_a_field_at_the_border_is_padded_to_full_size() -> None:
    unit = panel(box=Box(-4, -2, 6, 8))
    projection, photo = tiles(unit, 10)
    for tile in (projection, photo):
        assert (tile[:2] == 128).all()
        assert (tile[:, :4] == 128).all()
    np.testing.assert_array_equal(photo[2:, 4:], unit.view[:8, :6])


def test_a_field_that_covers_the_picture_is_clipped_to_it() -> None:
    unit = panel(box=Box(0, 0, 31, 31))
    np.testing.assert_array_equal(tiles(unit, 20)[1], unit.view)


def test_a_field_that_is_not_square_keeps_its_aspect_ratio() -> None:
    _, photo = tiles(panel(box=Box(0, 0, 20, 10), view=np.full((20, 20, 3), 7, np.uint8)), 40)
    assert (photo[10:30] == 7).all()
    assert (photo[:10] == 128).all()
    assert (photo[30:] == 128).all()


def test_a_panel_shows_projection_photo_and_control_side_by_side() -> None:
    control = np.random.default_rng(1).normal(size=(3, 20, 20)).astype(np.float32) * 100
    unit = panel(control=control)
    rgb = projection_panel(unit, tile_px=50).rgb
    assert rgb.shape == (50, 3 * 50 + 2 * 4, 3)
    for index, tile in enumerate(tiles(unit, 50)):
        np.testing.assert_array_equal(rgb[:, index * 54 : index * 54 + 50], tile)
    assert (rgb[:, 50:54] == 255).all()


def test_the_control_has_its_own_scale_and_the_png_contains_both() -> None:
    plain = panel()
    unit = panel(control=plain.projection * 1000)
    projection, _, control = tiles(unit, 32)
    np.testing.assert_array_equal(projection, control)
    text = reopened(projection_panel(unit).png()).text  # type: ignore[attr-defined]
    scale, control_scale = symmetric_scale(plain.projection), symmetric_scale(plain.projection * 1000)
    assert text["zfscope:scale"] == (
        f"projection: {scale_note(scale)}; control (randomised weights): {scale_note(control_scale)}"
    )


def test_without_a_control_the_png_contains_one_scale() -> None:
    unit = panel()
    rendering = projection_panel(unit)
    assert rendering.rgb.shape == (224, 452, 3)
    assert rendering.scale == f"projection: {scale_note(symmetric_scale(unit.projection))}"
    assert reopened(rendering.png()).text == {"zfscope:scale": rendering.scale}  # type: ignore[attr-defined]


def test_the_projection_of_a_silent_unit_is_grey_and_the_note_explains_it() -> None:
    loud, silent = panel(), panel(silent=True)
    assert (tiles(silent, 40)[0] == 128).all()
    np.testing.assert_array_equal(tiles(silent, 40)[1], tiles(loud, 40)[1])
    assert projection_panel(silent).scale == f"projection: {SILENT_NOTE}"


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (9, 3)])
def test_tiles_are_arranged_in_a_square_and_up_to_three_in_one_row(count: int, columns: int) -> None:
    assert column_count(count) == columns


def test_a_patch_is_grey_outside_the_photo() -> None:
    patch = np.full((4, 6, 3), 7, np.uint8)
    unit = grey_outside(patch, Box(1, 2, 6, 4))
    assert (unit[2:, 1:] == 7).all()
    assert (unit[:2] == 128).all()
    assert (unit[:, :1] == 128).all()
    assert (patch == 7).all()


def test_a_mark_adds_a_frame_and_a_label_to_a_copy_of_the_tile() -> None:
    tile, colour = Image.new("RGB", (80, 60), (1, 2, 3)), (190, 40, 20)
    unit = np.asarray(mark_tile(tile, "changed", colour))
    edge = np.ones((60, 80), bool)
    edge[3:-3, 3:-3] = False
    assert (unit[edge] == colour).all()
    assert (unit[3:20, 3:-3] == (1, 2, 3)).all()
    assert ((unit[20:40, 10:70] == colour).all(axis=-1)).any()
    assert np.asarray(tile).reshape(-1, 3).max(axis=0).tolist() == [1, 2, 3]
