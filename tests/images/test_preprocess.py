"""Tests of the network inputs made from a photo or tensor, and of their position in the photo."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Crops, Preprocessing, centre_square, prepare, prepare_tensor

Rgb = NDArray[np.uint8]
Noise = Callable[..., Rgb]

PAPER = Preprocessing(mean=(0.0, 0.0, 0.0))
UNSCALED = Preprocessing(short_side=0, centre=40, crop=32, mean=(0.0, 0.0, 0.0))


def photo_with_mark(height: int, width: int, box: Box) -> Rgb:
    photo = np.zeros((height, width, 3), np.uint8)
    photo[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = 250
    return photo


def centroid(view: Rgb) -> tuple[float, float]:
    """Return the centroid (x, y) of the bright pixels; pixel i extends from i to i + 1."""
    light = view[..., 0].astype(float)
    y, x = np.mgrid[: view.shape[0], : view.shape[1]] + 0.5
    return float((light * x).sum() / light.sum()), float((light * y).sum() / light.sum())


@settings(max_examples=40)
@given(
    height=st.integers(60, 900),
    width=st.integers(60, 900),
    position=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    crop=st.integers(0, 9),
)
def test_a_mark_in_the_photo_appears_where_the_geometry_predicts(
    height: int, width: int, position: tuple[float, float], crop: int
) -> None:
    side = min(height, width)
    mark = max(4, side // 16)
    x = int((width - side) / 2 + position[0] * side)
    y = int((height - side) / 2 + position[1] * side)
    box = Box(x, y, x + mark, y + mark)
    prepared = prepare(photo_with_mark(height, width, box), PAPER, crops="ten")
    actual = centroid(prepared.views[crop])
    predicted = prepared.geometries[crop].to_network(box)
    assert actual[0] == pytest.approx((predicted.x0 + predicted.x1) / 2, abs=0.1)
    assert actual[1] == pytest.approx((predicted.y0 + predicted.y1) / 2, abs=0.1)
    mapped_back = prepared.geometries[crop].to_photo(Box(actual[0], actual[1], actual[0], actual[1]))
    scale = side / 256
    assert mapped_back.x0 == pytest.approx(x + mark / 2, abs=0.1 * scale)
    assert mapped_back.y0 == pytest.approx(y + mark / 2, abs=0.1 * scale)


@pytest.mark.parametrize("crop", range(10))
@pytest.mark.parametrize("size", [(40, 40), (41, 57), (90, 43)])
def test_without_resampling_network_pixels_equal_photo_pixels(
    crop: int, size: tuple[int, int], noise: Noise
) -> None:
    photo = noise(*size)
    prepared = prepare(photo, UNSCALED, crops="ten")
    geometry = prepared.geometries[crop]
    for x, y in ((0, 0), (31, 0), (5, 17), (31, 31)):
        position = geometry.to_photo(Box(x, y, x + 1, y + 1))
        assert (position.width, position.height) == (1, 1)
        np.testing.assert_array_equal(prepared.views[crop, y, x], photo[int(position.y0), int(position.x0)])


def test_a_photo_with_a_short_side_of_256_is_not_resampled(noise: Noise) -> None:
    photo = noise(256, 300)
    prepared = prepare(photo, PAPER)
    np.testing.assert_array_equal(prepared.views[0], photo[16:240, 38:262])
    assert prepared.geometries[0].region == Box(38, 16, 262, 240)


def test_the_ten_crops_are_corners_centre_and_their_mirror_images(noise: Noise) -> None:
    photo = noise(256, 256)
    prepared = prepare(photo, PAPER, crops="ten")
    corners = [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]
    expected = [photo[y : y + 224, x : x + 224] for x, y in corners]
    expected += [np.fliplr(crop) for crop in expected]
    np.testing.assert_array_equal(prepared.views, np.stack(expected))
    assert [geometry.flipped for geometry in prepared.geometries] == [False] * 5 + [True] * 5
    np.testing.assert_array_equal(prepared.pixels, prepared.views.transpose(0, 3, 1, 2))


def test_the_centre_crop_is_the_fifth_of_the_ten_crops(noise: Noise) -> None:
    photo = noise(300, 411)
    one, ten = prepare(photo, PAPER), prepare(photo, PAPER, crops="ten")
    np.testing.assert_array_equal(one.pixels[0], ten.pixels[4])
    assert one.geometries == ten.geometries[4:5]


@pytest.mark.parametrize(("crops", "count"), [("centre", 1), ("ten", 10)])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_pixels_are_contiguous_float32(crops: Crops, count: int, channels: str, noise: Noise) -> None:
    prepared = prepare(noise(300, 411), PAPER.model_copy(update={"channels": channels}), crops=crops)
    assert prepared.pixels.dtype == np.float32
    assert prepared.pixels.shape == (count, 3, 224, 224)
    assert prepared.pixels.flags.c_contiguous
    assert prepared.views.flags.c_contiguous


@pytest.mark.parametrize("side", [256, 224])
def test_a_mean_image_is_subtracted_before_cropping_and_mirroring(side: int, noise: Noise) -> None:
    photo = noise(256, 256)
    mean = np.random.default_rng(3).random((3, side, side), np.float32) * 255
    preprocessing = Preprocessing(mean="image", channels="BGR")
    prepared = prepare(photo, preprocessing, crops="ten", mean_image=mean)
    bgr = photo.transpose(2, 0, 1)[::-1].astype(np.float32)
    expected = []
    for x, y in ((0, 0), (32, 0), (0, 32), (32, 32), (16, 16)):
        subtracted = (bgr - mean)[:, y : y + 224, x : x + 224] if side == 256 else None
        expected.append(bgr[:, y : y + 224, x : x + 224] - mean if subtracted is None else subtracted)
    expected += [crop[:, :, ::-1] for crop in expected]
    np.testing.assert_allclose(prepared.pixels, np.stack(expected), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(512, 768), (600, 512), (333, 500), (100, 130)])
def test_the_centre_square_is_the_centre_of_the_resized_photo(height: int, width: int) -> None:
    """Compared with resizing the whole photo and then cropping, as in the paper."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9) + np.sin(y / 13), np.cos(x / 17), np.sin((x + y) / 21)], axis=-1)
    photo = (120 + 50 * waves).astype(np.uint8)
    size = (round(width * 256 / min(height, width)), round(height * 256 / min(height, width)))
    unscaled = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    left, top = (size[0] - 256) // 2, (size[1] - 256) // 2
    expected = unscaled[top : top + 256, left : left + 256].astype(int)
    difference = np.abs(centre_square(photo, PAPER).astype(int) - expected)
    assert difference.mean() < 2.5  # each of the two rounds by up to half a pixel


def test_shrinking_a_photo_does_not_alias() -> None:
    photo = np.zeros((1024, 1024, 3), np.uint8)
    photo[:, ::2] = 200
    view = prepare(photo, PAPER).views[0]
    assert np.abs(view.astype(int) - 100).max() <= 2


def test_the_filter_reads_pixels_outside_the_square_at_its_edge() -> None:
    photo = np.zeros((512, 1024, 3), np.uint8)
    photo[:, :256] = 255
    edge = centre_square(photo, PAPER)[:, 0, 0]
    assert (edge > 10).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50_000), (50_000, 1), (3, 2), (255, 255)])
def test_photos_smaller_than_the_input_are_enlarged_whatever_their_shape(
    size: tuple[int, int], noise: Noise
) -> None:
    prepared = prepare(noise(*size), PAPER)
    assert prepared.pixels.shape == (1, 3, 224, 224)
    region = prepared.geometries[0].region
    short = min(size)
    assert region.width == pytest.approx(short * 224 / 256)
    assert region.clip(size) == region


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest", "lanczos"])
@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_photos_are_resampled_like_whole_photos_in_pillow(
    interpolation: str, factor: int, noise: Noise
) -> None:
    photo = noise(factor * 24, factor * 36)
    steps = Preprocessing.model_validate(
        {"short_side": 48, "centre": 40, "crop": 32, "interpolation": interpolation}
    )
    whole = Image.fromarray(photo).resize((72, 48), Image.Resampling[interpolation.upper()])
    np.testing.assert_array_equal(prepare(photo, steps).views[0], np.asarray(whole)[8:40, 20:52])


def test_a_grey_network_sees_the_photo_in_grey(noise: Noise) -> None:
    photo = noise(48, 60)
    steps = Preprocessing(short_side=48, centre=40, crop=32, channels="grey", mean=(9.0,), std=(2.0,))
    prepared = prepare(photo, steps, crops="ten")
    grey = np.asarray(Image.fromarray(photo).convert("L"))[8:40, 14:46]
    np.testing.assert_array_equal(prepared.photo, photo)
    np.testing.assert_array_equal(prepared.views[4], np.repeat(grey[..., None], 3, axis=-1))
    assert prepared.pixels.shape == (10, 1, 32, 32)
    np.testing.assert_array_equal(prepared.pixels[4, 0], (grey.astype(np.float32) - 9) / 2)
    np.testing.assert_array_equal(prepare_tensor(prepared.pixels[4], steps).views[0], prepared.views[4])


def test_a_square_smaller_than_the_short_side_is_cut_from_the_middle(noise: Noise) -> None:
    photo = noise(100, 160)
    prepared = prepare(photo, Preprocessing(short_side=100, centre=60, crop=50))
    np.testing.assert_array_equal(prepared.views[0], photo[25:75, 55:105])


def test_a_photo_too_small_for_a_model_that_does_not_resample_is_rejected(noise: Noise) -> None:
    message = (
        "^image.encoded has 80 x 39 pixels; the model does not resample photos and needs at least 40 x 40$"
    )
    with pytest.raises(InputError, match=message) as error:
        prepare(noise(39, 80), UNSCALED, field="image.encoded")
    assert error.value.field == "image.encoded"


def test_the_photo_is_not_changed(noise: Noise) -> None:
    photo = noise(300, 400)
    prepared = prepare(photo, PAPER)
    np.testing.assert_array_equal(prepared.photo, noise(300, 400))
    assert prepared.geometries[0].photo_size == (300, 400)
    assert prepared.geometries[0].network_size == (224, 224)


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 3, 224, 224)])
def test_a_tensor_is_its_own_photo(shape: tuple[int, ...], noise: Noise) -> None:
    photo = noise(224, 224)
    preprocessing = Preprocessing(std=(58.0, 57.0, 56.0), channels="BGR")
    unscaled = preprocessing.model_copy(update={"short_side": 0, "centre": 224})
    tensor = prepare(photo, unscaled).pixels[0].reshape(shape)
    prepared = prepare_tensor(tensor, preprocessing)
    np.testing.assert_array_equal(prepared.pixels, tensor.reshape(1, 3, 224, 224))
    np.testing.assert_array_equal(prepared.photo, photo)
    np.testing.assert_array_equal(prepared.views[0], photo)
    assert prepared.geometries[0].to_photo(Box(3, 4, 5, 6)) == Box(3, 4, 5, 6)


def test_a_read_only_tensor_is_copied() -> None:
    tensor = np.frombuffer(np.zeros((3, 224, 224), np.float32).tobytes(), np.float32).reshape(3, 224, 224)
    assert prepare_tensor(tensor, PAPER).pixels.flags.writeable


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.zeros((3, 224, 224)), "has type float64; allowed for scale normalised: float32"),
        (
            np.zeros((3, 224, 225), np.float32),
            r"has shape \(3, 224, 225\); allowed: \(3, 224, 224\), \(1, 3",
        ),
        (np.zeros((2, 3, 224, 224), np.float32), r"has shape \(2, 3, 224, 224\); allowed"),
        (np.zeros((), np.float32), r"has shape \(\); allowed"),
    ],
)
def test_a_tensor_of_another_type_or_shape_is_rejected(tensor: NDArray[np.float32], message: str) -> None:
    with pytest.raises(InputError, match=f"^image.tensor {message}") as error:
        prepare_tensor(tensor, PAPER, field="image.tensor")
    assert error.value.field == "image.tensor"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_tensor_with_a_value_out_of_range_is_rejected_with_its_position(value: float) -> None:
    tensor = np.zeros((3, 224, 224), np.float32)
    tensor[1, 7, 9] = value
    with pytest.raises(InputError) as error:
        prepare_tensor(tensor, PAPER)
    assert error.value.message == (
        f"tensor is {np.float32(value)} at channel 1, y 7, x 9 (1 of 150,528 values are out of range); "
        "allowed: finite values from -1e+06 to 1e+06"
    )
