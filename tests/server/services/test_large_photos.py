"""A JPEG over the pixel limit is decoded at a smaller scale; responses use pixels of the original."""

import io

import numpy as np
import pytest
from PIL import Image

from zfscope.client import Box, Client
from zfscope.errors import TooLarge

# 1.92 million pixels; the service under test allows one million.
WIDTH, HEIGHT = 1600, 1200


def stripes() -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    levels = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x // 80 + y // 80) % 2 * 200], axis=-1)
    return Image.fromarray(levels.astype(np.uint8))


def encode(image: Image.Image, file_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    return encode(stripes(), "JPEG")


@pytest.fixture(scope="module")
def small() -> bytes:
    """The same photo at half the size, which is within the limit."""
    return encode(stripes().resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX), "JPEG")


def test_a_large_jpeg_is_classified_like_a_smaller_copy(client: Client, large: bytes, small: bytes) -> None:
    of_large, of_small = client.classify(large), client.classify(small)
    assert of_large.photo_size == (HEIGHT, WIDTH)
    assert [notice.code for notice in of_large.warnings] == ["smaller-scale"]
    actual, expected = (
        {score.index: score.probability for score in answer.classes} for answer in (of_large, of_small)
    )
    assert actual == pytest.approx(expected, abs=0.02)


def test_receptive_fields_are_in_pixels_of_the_original(client: Client, large: bytes, small: bytes) -> None:
    of_large, of_small = (client.project(photo, top=3) for photo in (large, small))
    assert of_large.photo_size == (HEIGHT, WIDTH)
    for projection, other in zip(of_large.projections, of_small.projections, strict=True):
        assert (projection.map, projection.y, projection.x) == (other.map, other.y, other.x)
        box, half = projection.receptive_field, other.receptive_field
        assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(
            (2 * half.x0, 2 * half.y0, 2 * half.x1, 2 * half.y1)
        )


def test_boxes_and_masks_are_in_pixels_of_the_original(client: Client, large: bytes, small: bytes) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[400:700, 600:1000] = 255
    full, halved = Image.fromarray(mask), Image.fromarray(mask[::2, ::2])
    expected = client.occlude(small, masks=[encode(halved, "PNG")])
    for file_format in ("PNG", "JPEG"):  # decoded at full size, and at the smaller scale of the photo
        actual = client.occlude(large, masks=[encode(full, file_format)])
        assert actual.photo_size == (HEIGHT, WIDTH)
        assert actual.classes[0].lowest == pytest.approx(expected.classes[0].lowest, abs=0.02)
        codes = [notice.code for notice in actual.warnings]
        assert codes == ["smaller-scale"] if file_format == "PNG" else ["smaller-scale", "smaller-scale"]
    expected = client.occlude(small, boxes=[Box(300, 200, 500, 350)], tensors=True)
    actual = client.occlude(large, boxes=[Box(600, 400, 1000, 700)], tensors=True)
    np.testing.assert_array_equal(actual.positions, expected.positions)
    value_map = actual.classes[0].photo_value_map
    assert value_map is not None
    assert value_map.shape == (HEIGHT // 2, WIDTH // 2)


def test_invariance_is_measured_as_on_a_smaller_copy(client: Client, large: bytes, small: bytes) -> None:
    of_large, of_small = (
        client.measure_invariance([photo], transformations=["scale"], scales=[0.7, 1.5], layers=["relu1"])
        for photo in (large, small)
    )
    (curve,), (other,) = of_large.photos[0].curves, of_small.photos[0].curves
    assert curve.probabilities == pytest.approx(other.probabilities, abs=0.03)


def test_large_photos_in_other_formats_are_rejected(client: Client) -> None:
    with pytest.raises(TooLarge, match="1600 x 1200 = 1,920,000 pixels; allowed: at most 1,000,000"):
        client.classify(encode(stripes(), "PNG"))
