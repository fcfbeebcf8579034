"""Signed values as levels around mid-grey, and the pictures made of them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box
from zfscope.images.render import (
    SILENT_NOTE,
    Panel,
    crop_padded,
    encode_png,
    projection_panel,
    scale_note,
    signed_to_rgb,
    symmetric_scale,
    tiles,
)

Rgb = NDArray[np.uint8]
projections = arrays.arrays(np.float32, (3, 5, 7), elements=st.floats(-1e6, 1e6, width=32))


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


@given(projections)
def test_zero_is_exactly_mid_grey_at_every_scale(projection: NDArray[np.float32]) -> None:
    projection[:, 2, 3] = 0
    assert signed_to_rgb(projection)[2, 3].tolist() == [128, 128, 128]
    assert signed_to_rgb(projection, scale=1e-3)[2, 3].tolist() == [128, 128, 128]


@given(projections)
def test_opposite_values_are_equally_far_from_grey(projection: NDArray[np.float32]) -> None:
    levels, opposite = signed_to_rgb(projection).astype(int), signed_to_rgb(-projection).astype(int)
    np.testing.assert_allclose(levels - 128, 128 - opposite, atol=0)


@given(projections)
def test_stronger_values_are_never_darker(projection: NDArray[np.float32]) -> None:
    values, levels = projection.transpose(1, 2, 0).ravel(), signed_to_rgb(projection).ravel()
    assert (np.diff(levels[np.argsort(values)].astype(int)) >= 0).all()


def test_the_scale_is_full_white_and_its_opposite_full_black() -> None:
    projection = np.array([2.0, -2.0, 1.0, -1.0, 5.0, -5.0], np.float32)[None, None].repeat(3, 0)
    levels = signed_to_rgb(projection, scale=2.0)[0, :, 0].tolist()
    assert levels == [255, 1, 192, 64, 255, 1]


def test_channels_become_red_green_blue() -> None:
    projection = np.zeros((3, 1, 1), np.float32)
    projection[0] = 1
    assert signed_to_rgb(projection, scale=1.0)[0, 0].tolist() == [255, 128, 128]


def test_a_projection_of_zeros_is_grey_and_says_so() -> None:
    zeros = np.zeros((3, 4, 5), np.float32)
    assert symmetric_scale(zeros) == 0
    assert (signed_to_rgb(zeros) == 128).all()
    assert scale_note(0.0) == "symmetric linear; 128 grey = 0; every value is 0"


def test_the_scale_is_a_percentile_of_the_magnitudes_that_are_not_zero() -> None:
    projection = np.zeros((3, 100, 100), np.float32)
    projection[0, :10] = np.arange(1, 1001).reshape(10, 100) * np.tile([1, -1], 500).reshape(10, 100)
    assert symmetric_scale(projection) == pytest.approx(np.percentile(np.arange(1, 1001), 99.5))


def test_the_note_states_both_ends_of_the_scale() -> None:
    note = scale_note(0.01234)
    assert note.startswith("symmetric linear; 128 grey = 0; full white = +0.01234")
    assert "full black = -0.01234" in note


def test_a_png_gives_back_pixels_and_text() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    text = {"zfscope:scale": "full white = +1", "label": "église 教会"}
    image = reopened(encode_png(rgb, text=text))
    np.testing.assert_array_equal(np.asarray(image), rgb)
    assert image.text == text  # type: ignore[attr-defined]


@given(x0=st.integers(-30, 30), y0=st.integers(-30, 30), width=st.integers(1, 40), height=st.integers(1, 40))
def test_a_crop_is_the_pixels_of_its_box_and_grey_outside(x0: int, y0: int, width: int, height: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    crop = crop_padded(picture, Box(x0, y0, x0 + width, y0 + height))
    canvas = np.full((120, 120, 3), 128, np.uint8)
    canvas[40:55, 40:60] = picture
    expected = canvas[40 + y0 : 40 + y0 + height, 40 + x0 : 40 + x0 + width]
    np.testing.assert_array_equal(crop, expected)


def test_a_crop_of_parts_of_pixels_holds_them_whole() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(crop_padded(picture, Box(0.5, 1.2, 2.5, 2.9)), picture[1:3, 0:3])


def test_tiles_of_the_fields_size_are_its_pixels() -> None:
    shown = panel(box=Box(2, 3, 12, 13))
    projection, photo = tiles(shown, 10)
    np.testing.assert_array_equal(projection, signed_to_rgb(shown.projection)[3:13, 2:12])
    np.testing.assert_array_equal(photo, shown.view[3:13, 2:12])


def test_pixels_that_are_much_enlarged_stay_visible_as_squares() -> None:
    shown = panel(box=Box(2, 3, 9, 10))
    _, photo = tiles(shown, 70)
    np.testing.assert_array_equal(photo, shown.view[3:10, 2:9].repeat(10, 0).repeat(10, 1))


@pytest.mark.parametrize("size_px", [17, 64, 200])
def test_zero_stays_exactly_mid_grey_when_resampled(size_px: int) -> None:
    for tile in tiles(panel(projection=np.zeros((3, 20, 20), np.float32)), size_px)[:1]:
        assert tile.shape == (size_px, size_px, 3)
        assert (tile == 128).all()


def test_a_field_at_the_border_is_padded_to_the_size_of_others() -> None:
    shown = panel(box=Box(-4, -2, 6, 8))
    projection, photo = tiles(shown, 10)
    for tile in (projection, photo):
        assert (tile[:2] == 128).all()
        assert (tile[:, :4] == 128).all()
    np.testing.assert_array_equal(photo[2:, 4:], shown.view[:8, :6])


def test_a_field_that_covers_the_picture_is_shown_as_the_picture() -> None:
    shown = panel(box=Box(0, 0, 31, 31))
    np.testing.assert_array_equal(tiles(shown, 20)[1], shown.view)


def test_a_field_that_is_not_square_keeps_its_shape() -> None:
    _, photo = tiles(panel(box=Box(0, 0, 20, 10), view=np.full((20, 20, 3), 7, np.uint8)), 40)
    assert (photo[10:30] == 7).all()
    assert (photo[:10] == 128).all()
    assert (photo[30:] == 128).all()


def test_a_panel_shows_projection_photo_and_control_side_by_side() -> None:
    control = np.random.default_rng(1).normal(size=(3, 20, 20)).astype(np.float32) * 100
    shown = panel(control=control)
    rgb = projection_panel(shown, tile_px=50).rgb
    assert rgb.shape == (50, 3 * 50 + 2 * 4, 3)
    for place, tile in enumerate(tiles(shown, 50)):
        np.testing.assert_array_equal(rgb[:, place * 54 : place * 54 + 50], tile)
    assert (rgb[:, 50:54] == 255).all()


def test_the_control_has_a_scale_of_its_own_and_the_png_states_both() -> None:
    plain = panel()
    shown = panel(control=plain.projection * 1000)
    projection, _, control = tiles(shown, 32)
    np.testing.assert_array_equal(projection, control)
    text = reopened(projection_panel(shown).png()).text  # type: ignore[attr-defined]
    scale, control_scale = symmetric_scale(plain.projection), symmetric_scale(plain.projection * 1000)
    assert text["zfscope:scale"] == (
        f"projection: {scale_note(scale)}; control (randomised weights): {scale_note(control_scale)}"
    )


def test_without_a_control_the_png_states_one_scale() -> None:
    shown = panel()
    rendering = projection_panel(shown)
    assert rendering.rgb.shape == (224, 452, 3)
    assert rendering.scale == f"projection: {scale_note(symmetric_scale(shown.projection))}"
    assert reopened(rendering.png()).text == {"zfscope:scale": rendering.scale}  # type: ignore[attr-defined]


def test_the_scale_is_that_of_the_signal_and_not_of_the_rounding_around_it() -> None:
    projection = np.random.default_rng(0).uniform(-1e-8, 1e-8, (3, 20, 20))
    projection[:, 9, 9] = 1.0
    assert symmetric_scale(projection) == 1
    levels = signed_to_rgb(projection)
    assert levels[9, 9].tolist() == [255, 255, 255]
    levels[9, 9] = 128
    assert (levels == 128).all()


def test_the_projection_of_a_silent_unit_is_grey_and_the_note_says_why() -> None:
    loud, silent = panel(), panel(silent=True)
    assert (tiles(silent, 40)[0] == 128).all()
    np.testing.assert_array_equal(tiles(silent, 40)[1], tiles(loud, 40)[1])
    assert projection_panel(silent).scale == f"projection: {SILENT_NOTE}"
