"""Photos moved, scaled and turned before they are cropped."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, Preprocessing, prepare, prepare_tensor
from zfscope.images.transform import Fill, Transformation, apply_transformation, fill_colour

Rgb = NDArray[np.uint8]
Noise = Callable[..., Rgb]

PLAIN = Preprocessing(short_side=48, centre=40, crop=32, mean=(0.0, 0.0, 0.0))
"""Of a photo with a short side of 48 pixels nothing is resampled; 8 pixels lie around the crop."""


def moved(photo: Rgb, fill: Fill = "mean", steps: Preprocessing = PLAIN, **how: float) -> Prepared:
    return apply_transformation(prepare(photo, steps), Transformation(**how), steps, fill=fill)


def waves(height: int, width: int) -> Rgb:
    """A smooth photo, so that resampling it in one way or another makes little difference."""
    y, x = np.mgrid[:height, :width]
    bands = [np.sin(x / 9) + np.sin(y / 13), np.cos(x / 17) + np.sin(y / 7), 2 * np.sin((x + y) / 21)]
    return (120 + 50 * np.stack(bands, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize(("right", "down"), [(0, 5), (0, -8), (7, 0), (-3, 4), (8, 8)])
def test_a_move_by_whole_pixels_shows_real_pixels_of_the_photo_where_there_are_any(
    right: int, down: int, noise: Noise
) -> None:
    photo = noise(48, 48)
    seen = moved(photo, right_px=right, down_px=down)
    expected = photo[8 - down : 40 - down, 8 - right : 40 - right]
    np.testing.assert_array_equal(seen.views[0], expected)
    np.testing.assert_array_equal(seen.pixels[0], expected.transpose(2, 0, 1))


def test_a_wide_photo_has_more_to_show_at_its_sides(noise: Noise) -> None:
    photo = noise(48, 90)
    np.testing.assert_array_equal(moved(photo, right_px=-29).views[0], photo[8:40, 58:90])
    np.testing.assert_array_equal(moved(photo, right_px=29).views[0], photo[8:40, 0:32])


def test_a_move_is_measured_in_pixels_of_the_network(noise: Noise) -> None:
    small = noise(48, 48)
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    steps = PLAIN.model_copy(update={"short_side": 16, "centre": 14, "crop": 12})
    stepped = [prepare(large, steps).views[0], moved(large, steps=steps, down_px=1).views[0]]
    np.testing.assert_allclose(stepped[1][1:].astype(int), stepped[0][:-1].astype(int), atol=1)


@pytest.mark.parametrize(
    ("fill", "colour"), [("mean", (10, 20, 31)), ("grey", (128,) * 3), ("black", (0,) * 3)]
)
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_colour_comes_in_where_there_is_no_photo(
    fill: Fill, colour: tuple[int, int, int], channels: str, noise: Noise
) -> None:
    mean = (10.2, 20.0, 30.7) if channels == "RGB" else (30.7, 20.0, 10.2)
    steps = Preprocessing(short_side=48, centre=40, crop=32, mean=mean, channels=channels)
    photo = noise(48, 48)
    view = moved(photo, fill, steps, down_px=12, right_px=-9).views[0]
    assert (view[:4] == colour).all()
    assert (view[:, -1:] == colour).all()
    np.testing.assert_array_equal(view[4:, :-1], photo[:28, 17:])


def test_the_mean_colour_is_nearly_zero_to_the_network(noise: Noise) -> None:
    steps = Preprocessing(short_side=48, centre=40, crop=32, mean=(10.2, 20.0, 30.7), std=(5.0, 5.0, 5.0))
    assert np.abs(moved(noise(48, 48), steps=steps, down_px=200).pixels).max() <= 0.5 / 5


def test_the_edge_of_the_photo_is_repeated(noise: Noise) -> None:
    photo = noise(48, 48)
    view = moved(photo, "edge", down_px=12).views[0]
    np.testing.assert_array_equal(view[:4], photo[:1, 8:40].repeat(4, axis=0))
    np.testing.assert_array_equal(view[4:], photo[:28, 8:40])


def test_a_photo_that_left_the_crop_leaves_only_what_fills(noise: Noise) -> None:
    photo = noise(48, 48)
    assert (moved(photo, "grey", right_px=90).views == 128).all()
    right, up = (moved(photo, "edge", **how).views[0] for how in ({"right_px": 90}, {"down_px": -90}))
    np.testing.assert_array_equal(right, photo[8:40, :1].repeat(32, axis=1))
    np.testing.assert_array_equal(up, photo[-1:, 8:40].repeat(32, axis=0))


@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (270, 3), (-90, 3), (450, 1)])
def test_quarter_turns_are_counter_clockwise_and_exact(degrees: float, quarters: int, noise: Noise) -> None:
    photo = noise(48, 48)
    expected = prepare(np.rot90(photo, quarters).copy(), PLAIN).views
    np.testing.assert_array_equal(moved(photo, rotation_deg=degrees).views, expected)


def test_a_turn_brings_the_corners_of_the_photo_in() -> None:
    """At 45 degrees the crop's corners are 22.6 pixels from its centre, and the photo reaches to 24."""
    assert not (moved(np.full((48, 48, 3), 9, np.uint8), "grey", rotation_deg=45).views == 128).any()
    narrow = PLAIN.model_copy(update={"short_side": 40})
    photo = np.full((40, 40, 3), 9, np.uint8)
    corners = moved(photo, "grey", narrow, rotation_deg=45).views[0][[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 128).all()


def test_a_turn_is_that_of_pillow() -> None:
    photo = waves(96, 96)
    steps = Preprocessing(short_side=96, centre=80, crop=64, mean=(0.0, 0.0, 0.0))
    turned = Image.fromarray(photo).rotate(30, Image.Resampling.BICUBIC)
    expected = np.asarray(turned)[16:80, 16:80].astype(int)
    # Pillow cuts fractions off.
    assert np.abs(moved(photo, steps=steps, rotation_deg=30).views[0] - expected).max() <= 1


def test_scale_two_doubles() -> None:
    small = waves(48, 48)
    doubled = moved(small, scale=2).views[0]
    middle = Image.fromarray(small).resize((32, 32), Image.Resampling.BILINEAR, box=(16, 16, 32, 32))
    np.testing.assert_array_equal(doubled, np.asarray(middle))


def test_a_larger_scale_shows_the_details_of_a_larger_photo() -> None:
    """Twice as large of a photo of twice the size is that photo unresampled, not a blown-up crop."""
    photo = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    np.testing.assert_array_equal(moved(photo, scale=2).views[0], photo[32:64, 32:64])


def test_a_smaller_scale_shows_more_of_the_photo_without_aliasing() -> None:
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[:, ::2] = 200
    view = moved(stripes, "black", scale=0.5).views[0].astype(int)
    assert np.abs(view[4:28, 5:27] - 100).max() <= 2  # the photo's first and last column see one side only
    assert (view[:4] == 0).all()
    assert (view[28:] == 0).all()


def test_half_as_large_and_moved_is_moved_by_as_much() -> None:
    photo = waves(96, 96)
    still, down = (moved(photo, "black", scale=0.5, down_px=step).views[0] for step in (0, 3))
    np.testing.assert_array_equal(down[3:], still[:-3])


@pytest.mark.parametrize("size", [(48, 48), (61, 83), (300, 411), (20, 33), (1, 1), (1, 900)])
def test_what_changes_nothing_gives_what_was_prepared(size: tuple[int, int], noise: Noise) -> None:
    prepared = prepare(noise(*size), PLAIN)
    assert apply_transformation(prepared, Transformation(), PLAIN) is prepared
    assert apply_transformation(prepared, Transformation(rotation_deg=360), PLAIN) is prepared


@pytest.mark.parametrize("size", [(48, 48), (61, 83), (300, 411), (20, 33), (1, 900)])
def test_the_slightest_transformation_is_nearly_the_untransformed_crop(
    size: tuple[int, int], noise: Noise
) -> None:
    """The same filter at the same places: there is no jump between nothing and next to nothing."""
    photo = noise(*size)
    plain = prepare(photo, PLAIN).views[0].astype(int)
    for how in ({"down_px": 1e-4}, {"scale": 1 + 1e-6}, {"rotation_deg": 1e-3}):
        assert np.abs(moved(photo, **how).views[0] - plain).max() <= 1


@pytest.mark.parametrize("how", [{"right_px": 2.5}, {"scale": 0.1}, {"scale": 10}, {"rotation_deg": 33}])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2), (47, 400)])
@pytest.mark.parametrize("fill", ["mean", "edge"])
def test_photos_of_any_shape_can_be_transformed(
    how: dict[str, float], size: tuple[int, int], fill: Fill, noise: Noise
) -> None:
    seen = moved(noise(*size), fill, **how)
    assert seen.views.shape == (1, 32, 32, 3)
    assert seen.pixels.dtype == np.float32
    assert seen.pixels.flags.c_contiguous


def test_the_result_is_a_photo_of_its_own(noise: Noise) -> None:
    photo = noise(60, 48)
    seen = moved(photo, rotation_deg=10)
    np.testing.assert_array_equal(seen.photo, seen.views[0])
    assert seen.geometries[0].to_photo(Box(1, 2, 3, 4)) == Box(1, 2, 3, 4)
    np.testing.assert_array_equal(photo, noise(60, 48))


def test_of_a_tensor_only_its_own_pixels_come_in(noise: Noise) -> None:
    prepared = prepare_tensor(prepare(noise(48, 48), PLAIN).pixels[0], PLAIN)
    view = apply_transformation(prepared, Transformation(down_px=2), PLAIN, fill="grey").views[0]
    assert (view[:2] == 128).all()
    np.testing.assert_array_equal(view[2:], prepared.views[0, :-2])


def test_a_mean_image_is_subtracted_where_the_crop_is(noise: Noise) -> None:
    steps = Preprocessing(short_side=48, centre=40, crop=32, mean="image", channels="BGR")
    mean = np.random.default_rng(3).random((3, 40, 40), np.float32) * 255
    photo = noise(48, 48)
    prepared = prepare(photo, steps, mean_image=mean)
    seen = apply_transformation(prepared, Transformation(down_px=5), steps, mean_image=mean)
    expected = photo[3:35, 8:40].transpose(2, 0, 1)[::-1] - mean[:, 4:36, 4:36]
    np.testing.assert_allclose(seen.pixels[0], expected, atol=1e-4)
    np.testing.assert_array_equal(
        fill_colour("mean", steps, mean), mean.mean(axis=(1, 2))[::-1].round().astype(np.uint8)
    )
