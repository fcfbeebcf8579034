"""Tests of the rendering of signed values around mid-grey, and of PNGs with text chunks."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.render import (
    encode_png,
    scale_note,
    signed_to_rgb,
    symmetric_scale,
)

Rgb = NDArray[np.uint8]
projections = arrays.arrays(np.float32, (3, 5, 7), elements=st.floats(-1e6, 1e6, width=32))


def reopened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


@given(projections)
def test_zero_is_exactly_mid_grey_at_any_scale(projection: NDArray[np.float32]) -> None:
    projection[:, 2, 3] = 0
    assert signed_to_rgb(projection)[2, 3].tolist() == [128, 128, 128]
    assert signed_to_rgb(projection, scale=1e-3)[2, 3].tolist() == [128, 128, 128]


@given(projections)
def test_one_channel_is_shown_in_grey(projection: NDArray[np.float32]) -> None:
    grey = signed_to_rgb(projection[:1], scale=1e3)
    assert grey.shape == (5, 7, 3)
    np.testing.assert_array_equal(grey, signed_to_rgb(np.repeat(projection[:1], 3, axis=0), scale=1e3))


@given(projections)
def test_opposite_values_have_the_same_distance_from_grey(projection: NDArray[np.float32]) -> None:
    levels, opposite = signed_to_rgb(projection).astype(int), signed_to_rgb(-projection).astype(int)
    np.testing.assert_allclose(levels - 128, 128 - opposite, atol=0)


@given(projections)
def test_larger_values_are_never_darker(projection: NDArray[np.float32]) -> None:
    values, levels = projection.transpose(1, 2, 0).ravel(), signed_to_rgb(projection).ravel()
    assert (np.diff(levels[np.argsort(values)].astype(int)) >= 0).all()


def test_the_scale_is_white_and_its_negative_is_black() -> None:
    projection = np.array([2.0, -2.0, 1.0, -1.0, 5.0, -5.0], np.float32)[None, None].repeat(3, 0)
    levels = signed_to_rgb(projection, scale=2.0)[0, :, 0].tolist()
    assert levels == [255, 1, 192, 64, 255, 1]


def test_channels_become_red_green_blue() -> None:
    projection = np.zeros((3, 1, 1), np.float32)
    projection[0] = 1
    assert signed_to_rgb(projection, scale=1.0)[0, 0].tolist() == [255, 128, 128]


def test_a_projection_of_zeros_is_grey() -> None:
    zeros = np.zeros((3, 4, 5), np.float32)
    assert symmetric_scale(zeros) == 0
    assert (signed_to_rgb(zeros) == 128).all()
    assert scale_note(0.0) == "symmetric linear; 128 grey = 0; all values are 0"


def test_the_scale_is_a_percentile_of_the_nonzero_magnitudes() -> None:
    projection = np.zeros((3, 100, 100), np.float32)
    projection[0, :10] = np.arange(1, 1001).reshape(10, 100) * np.tile([1, -1], 500).reshape(10, 100)
    assert symmetric_scale(projection) == pytest.approx(np.percentile(np.arange(1, 1001), 99.5))


def test_the_note_contains_both_ends_of_the_scale() -> None:
    note = scale_note(0.01234)
    assert note.startswith("symmetric linear; 128 grey = 0; full white = +0.01234")
    assert "full black = -0.01234" in note


def test_a_png_preserves_pixels_and_text() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    text = {"zfscope:scale": "full white = +1", "label": "église 教会"}
    image = reopened(encode_png(rgb, text=text))
    np.testing.assert_array_equal(np.asarray(image), rgb)
    assert image.text == text  # type: ignore[attr-defined]


def test_rounding_errors_do_not_affect_the_scale() -> None:
    projection = np.random.default_rng(0).uniform(-1e-8, 1e-8, (3, 20, 20))
    projection[:, 9, 9] = 1.0
    assert symmetric_scale(projection) == 1
    levels = signed_to_rgb(projection)
    assert levels[9, 9].tolist() == [255, 255, 255]
    levels[9, 9] = 128
    assert (levels == 128).all()
