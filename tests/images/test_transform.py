"""Tests of photos that are translated, scaled and rotated before they are cropped."""

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

# A photo with a short side of 48 pixels is not resampled and has 8 pixels around the crop.
PLAIN = Preprocessing(short_side=48, centre=40, crop=32, mean=(0.0, 0.0, 0.0))


def transform(
    photo: Rgb, fill: Fill = "mean", preprocessing: Preprocessing = PLAIN, **options: float
) -> Prepared:
    return apply_transformation(
        prepare(photo, preprocessing), Transformation(**options), preprocessing, fill=fill
    )


def waves(height: int, width: int) -> Rgb:
    """Return a smooth photo, for which the method of resampling makes little difference."""
    y, x = np.mgrid[:height, :width]
    bands = [np.sin(x / 9) + np.sin(y / 13), np.cos(x / 17) + np.sin(y / 7), 2 * np.sin((x + y) / 21)]
    return (120 + 50 * np.stack(bands, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["bicubic", "nearest", "lanczos"])
def test_a_scaled_photo_is_resampled_with_the_filter_of_the_model(interpolation: str, noise: Noise) -> None:
    photo = noise(24, 24)
    steps = PLAIN.model_copy(update={"interpolation": interpolation})
    whole = Image.fromarray(photo).resize((72, 72), Image.Resampling[interpolation.upper()])
    enlarged = transform(photo, preprocessing=steps, scale=1.5).views[0]
    np.testing.assert_allclose(enlarged, np.asarray(whole)[20:52, 20:52].astype(int), atol=1)


@pytest.mark.parametrize(
    "options", [{"right_px": 20}, {"rotation_deg": 30, "right_px": 30}, {"down_px": 20.5}]
)
@pytest.mark.parametrize(("fill", "level"), [("mean", 77), ("grey", 128), ("black", 0)])
def test_a_grey_network_sees_a_transformed_photo_in_grey(
    options: dict[str, float], fill: Fill, level: int, noise: Noise
) -> None:
    steps = PLAIN.model_copy(update={"channels": "grey", "mean": (77.2,), "std": (1.0,)})
    assert fill == "edge" or fill_colour(fill, steps).tolist() == [level] * 3
    result = transform(noise(48, 48), fill, steps, **options)
    (view,) = result.views
    assert (view == view[..., :1]).all()
    np.testing.assert_allclose(result.pixels[0, 0], view[..., 0] - np.float32(77.2))
    assert (view == level).any()


@pytest.mark.parametrize(("right", "down"), [(0, 5), (0, -8), (7, 0), (-3, 4), (8, 8)])
def test_a_translation_by_whole_pixels_shows_pixels_from_outside_the_crop(
    right: int, down: int, noise: Noise
) -> None:
    photo = noise(48, 48)
    result = transform(photo, right_px=right, down_px=down)
    expected = photo[8 - down : 40 - down, 8 - right : 40 - right]
    np.testing.assert_array_equal(result.views[0], expected)
    np.testing.assert_array_equal(result.pixels[0], expected.transpose(2, 0, 1))


def test_a_wide_photo_has_more_pixels_at_its_sides(noise: Noise) -> None:
    photo = noise(48, 90)
    np.testing.assert_array_equal(transform(photo, right_px=-29).views[0], photo[8:40, 58:90])
    np.testing.assert_array_equal(transform(photo, right_px=29).views[0], photo[8:40, 0:32])


def test_a_translation_is_measured_in_network_pixels(noise: Noise) -> None:
    small = noise(48, 48)
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    preprocessing = PLAIN.model_copy(update={"short_side": 16, "centre": 14, "crop": 12})
    views = [
        prepare(large, preprocessing).views[0],
        transform(large, preprocessing=preprocessing, down_px=1).views[0],
    ]
    np.testing.assert_allclose(views[1][1:].astype(int), views[0][:-1].astype(int), atol=1)


@pytest.mark.parametrize(
    ("fill", "colour"), [("mean", (10, 20, 31)), ("grey", (128,) * 3), ("black", (0,) * 3)]
)
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_area_outside_the_photo_is_filled_with_a_colour(
    fill: Fill, colour: tuple[int, int, int], channels: str, noise: Noise
) -> None:
    mean = (10.2, 20.0, 30.7) if channels == "RGB" else (30.7, 20.0, 10.2)
    preprocessing = Preprocessing(short_side=48, centre=40, crop=32, mean=mean, channels=channels)
    photo = noise(48, 48)
    view = transform(photo, fill, preprocessing, down_px=12, right_px=-9).views[0]
    assert (view[:4] == colour).all()
    assert (view[:, -1:] == colour).all()
    np.testing.assert_array_equal(view[4:, :-1], photo[:28, 17:])


def test_the_mean_colour_is_nearly_zero_after_normalisation(noise: Noise) -> None:
    preprocessing = Preprocessing(
        short_side=48, centre=40, crop=32, mean=(10.2, 20.0, 30.7), std=(5.0, 5.0, 5.0)
    )
    assert np.abs(transform(noise(48, 48), preprocessing=preprocessing, down_px=200).pixels).max() <= 0.5 / 5


def test_the_edge_of_the_photo_can_be_repeated(noise: Noise) -> None:
    photo = noise(48, 48)
    view = transform(photo, "edge", down_px=12).views[0]
    np.testing.assert_array_equal(view[:4], photo[:1, 8:40].repeat(4, axis=0))
    np.testing.assert_array_equal(view[4:], photo[:28, 8:40])


def test_a_photo_moved_out_of_the_crop_leaves_only_the_fill(noise: Noise) -> None:
    photo = noise(48, 48)
    assert (transform(photo, "grey", right_px=90).views == 128).all()
    right, up = (
        transform(photo, "edge", **options).views[0] for options in ({"right_px": 90}, {"down_px": -90})
    )
    np.testing.assert_array_equal(right, photo[8:40, :1].repeat(32, axis=1))
    np.testing.assert_array_equal(up, photo[-1:, 8:40].repeat(32, axis=0))


@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (180, 2), (270, 3), (-90, 3), (450, 1)])
def test_quarter_turns_are_counter_clockwise_and_exact(degrees: float, quarters: int, noise: Noise) -> None:
    photo = noise(48, 48)
    expected = prepare(np.rot90(photo, quarters).copy(), PLAIN).views
    np.testing.assert_array_equal(transform(photo, rotation_deg=degrees).views, expected)


def test_a_rotation_shows_pixels_from_outside_the_crop() -> None:
    """At 45 degrees the corners of the crop are 22.6 pixels from its centre; the photo extends to 24."""
    assert not (transform(np.full((48, 48, 3), 9, np.uint8), "grey", rotation_deg=45).views == 128).any()
    narrow = PLAIN.model_copy(update={"short_side": 40})
    photo = np.full((40, 40, 3), 9, np.uint8)
    corners = transform(photo, "grey", narrow, rotation_deg=45).views[0][[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 128).all()


def test_a_rotation_matches_pillow() -> None:
    photo = waves(96, 96)
    preprocessing = Preprocessing(short_side=96, centre=80, crop=64, mean=(0.0, 0.0, 0.0))
    turned = Image.fromarray(photo).rotate(30, Image.Resampling.BICUBIC)
    expected = np.asarray(turned)[16:80, 16:80].astype(int)
    # Pillow truncates fractions.
    assert (
        np.abs(transform(photo, preprocessing=preprocessing, rotation_deg=30).views[0] - expected).max() <= 1
    )


def test_scale_2_doubles_the_size() -> None:
    small = waves(48, 48)
    doubled = transform(small, scale=2).views[0]
    middle = Image.fromarray(small).resize((32, 32), Image.Resampling.BILINEAR, box=(16, 16, 32, 32))
    np.testing.assert_array_equal(doubled, np.asarray(middle))


def test_a_larger_scale_shows_the_details_of_a_larger_photo() -> None:
    """At scale 2, a photo of twice the size is shown without resampling, not as an enlarged crop."""
    photo = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    np.testing.assert_array_equal(transform(photo, scale=2).views[0], photo[32:64, 32:64])


def test_a_smaller_scale_shows_more_of_the_photo_without_aliasing() -> None:
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[:, ::2] = 200
    view = transform(stripes, "black", scale=0.5).views[0].astype(int)
    # Without the first and last column of the photo, which have only one neighbour.
    assert np.abs(view[4:28, 5:27] - 100).max() <= 2
    assert (view[:4] == 0).all()
    assert (view[28:] == 0).all()


def test_a_translation_does_not_depend_on_the_scale() -> None:
    photo = waves(96, 96)
    still, down = (transform(photo, "black", scale=0.5, down_px=step).views[0] for step in (0, 3))
    np.testing.assert_array_equal(down[3:], still[:-3])


@pytest.mark.parametrize("size", [(48, 48), (61, 83), (300, 411), (20, 33), (1, 1), (1, 900)])
def test_the_identity_returns_its_input(size: tuple[int, int], noise: Noise) -> None:
    prepared = prepare(noise(*size), PLAIN)
    assert apply_transformation(prepared, Transformation(), PLAIN) is prepared
    assert apply_transformation(prepared, Transformation(rotation_deg=360), PLAIN) is prepared


@pytest.mark.parametrize("size", [(48, 48), (61, 83), (300, 411), (20, 33), (1, 900)])
def test_a_tiny_transformation_is_nearly_the_identity(size: tuple[int, int], noise: Noise) -> None:
    """The filter and its positions are the same, so there is no jump at the identity."""
    photo = noise(*size)
    plain = prepare(photo, PLAIN).views[0].astype(int)
    for options in ({"down_px": 1e-4}, {"scale": 1 + 1e-6}, {"rotation_deg": 1e-3}):
        assert np.abs(transform(photo, **options).views[0] - plain).max() <= 1


@pytest.mark.parametrize("options", [{"right_px": 2.5}, {"scale": 0.1}, {"scale": 10}, {"rotation_deg": 33}])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2), (47, 400)])
@pytest.mark.parametrize("fill", ["mean", "edge"])
def test_photos_of_any_shape_can_be_transformed(
    options: dict[str, float], size: tuple[int, int], fill: Fill, noise: Noise
) -> None:
    result = transform(noise(*size), fill, **options)
    assert result.views.shape == (1, 32, 32, 3)
    assert result.pixels.dtype == np.float32
    assert result.pixels.flags.c_contiguous


def test_the_photo_of_the_result_is_its_view(noise: Noise) -> None:
    photo = noise(60, 48)
    result = transform(photo, rotation_deg=10)
    np.testing.assert_array_equal(result.photo, result.views[0])
    assert result.geometries[0].to_photo(Box(1, 2, 3, 4)) == Box(1, 2, 3, 4)
    np.testing.assert_array_equal(photo, noise(60, 48))


def test_a_translated_tensor_is_filled_outside_its_own_pixels(noise: Noise) -> None:
    prepared = prepare_tensor(prepare(noise(48, 48), PLAIN).pixels[0], PLAIN)
    view = apply_transformation(prepared, Transformation(down_px=2), PLAIN, fill="grey").views[0]
    assert (view[:2] == 128).all()
    np.testing.assert_array_equal(view[2:], prepared.views[0, :-2])


def test_a_mean_image_is_subtracted_at_the_position_of_the_crop(noise: Noise) -> None:
    preprocessing = Preprocessing(short_side=48, centre=40, crop=32, mean="image", channels="BGR")
    mean = np.random.default_rng(3).random((3, 40, 40), np.float32) * 255
    photo = noise(48, 48)
    prepared = prepare(photo, preprocessing, mean_image=mean)
    result = apply_transformation(prepared, Transformation(down_px=5), preprocessing, mean_image=mean)
    expected = photo[3:35, 8:40].transpose(2, 0, 1)[::-1] - mean[:, 4:36, 4:36]
    np.testing.assert_allclose(result.pixels[0], expected, atol=1e-4)
    np.testing.assert_array_equal(
        fill_colour("mean", preprocessing, mean), mean.mean(axis=(1, 2))[::-1].round().astype(np.uint8)
    )
