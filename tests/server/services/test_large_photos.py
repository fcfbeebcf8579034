"""A JPEG above the limit of pixels: smaller inside, and in its own pixels wherever it is answered."""

import io

import numpy as np
import pytest
from PIL import Image

from zfscope.client import Box, Client
from zfscope.errors import TooLarge

WIDTH, HEIGHT = 1600, 1200
"""1.92 million pixels; the service of the tests allows one million."""


def stripes() -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    levels = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x // 80 + y // 80) % 2 * 200], axis=-1)
    return Image.fromarray(levels.astype(np.uint8))


def encoded(picture: Image.Image, name: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    return encoded(stripes(), "JPEG")


@pytest.fixture(scope="module")
def small() -> bytes:
    """The same at half the size, which is allowed."""
    return encoded(stripes().resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX), "JPEG")


def test_a_large_jpeg_is_classified_like_a_smaller_copy(client: Client, large: bytes, small: bytes) -> None:
    answer, other = client.classify(large), client.classify(small)
    assert answer.photo_size == (HEIGHT, WIDTH)
    assert [notice.code for notice in answer.warnings] == ["smaller-scale"]
    mine, its = ({each.index: each.probability for each in found.classes} for found in (answer, other))
    assert [mine[index] for index in range(4)] == pytest.approx([its[index] for index in range(4)], abs=0.02)


def test_receptive_fields_are_in_pixels_of_the_original(client: Client, large: bytes, small: bytes) -> None:
    mine, its = (client.project(photo, top=3) for photo in (large, small))
    assert mine.photo_size == (HEIGHT, WIDTH)
    for projection, other in zip(mine.projections, its.projections, strict=True):
        assert (projection.map, projection.y, projection.x) == (other.map, other.y, other.x)
        box, half = projection.receptive_field, other.receptive_field
        assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(
            (2 * half.x0, 2 * half.y0, 2 * half.x1, 2 * half.y1)
        )


def test_boxes_and_masks_are_in_pixels_of_the_original(client: Client, large: bytes, small: bytes) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[400:700, 600:1000] = 255
    picture, halved = Image.fromarray(mask), Image.fromarray(mask[::2, ::2])
    wanted = client.occlude(small, masks=[encoded(halved, "PNG")])
    for name in ("PNG", "JPEG"):  # a mask as large as the photo: whole, and at the same smaller scale
        found = client.occlude(large, masks=[encoded(picture, name)])
        assert found.photo_size == (HEIGHT, WIDTH)
        assert found.classes[0].lowest == pytest.approx(wanted.classes[0].lowest, abs=0.02)
        codes = [notice.code for notice in found.warnings]
        assert codes == ["smaller-scale"] if name == "PNG" else ["smaller-scale", "smaller-scale"]
    wanted = client.occlude(small, boxes=[Box(300, 200, 500, 350)], tensors=True)
    boxed = client.occlude(large, boxes=[Box(600, 400, 1000, 700)], tensors=True)
    np.testing.assert_array_equal(boxed.positions, wanted.positions)
    value_map = boxed.classes[0].photo_value_map
    assert value_map is not None
    assert value_map.shape == (HEIGHT // 2, WIDTH // 2)


def test_invariance_is_measured_as_on_a_smaller_copy(client: Client, large: bytes, small: bytes) -> None:
    mine, its = (
        client.measure_invariance([photo], transformations=["scale"], scales=[0.7, 1.5], layers=["relu1"])
        for photo in (large, small)
    )
    (curve,), (other,) = mine.photos[0].curves, its.photos[0].curves
    assert curve.probabilities == pytest.approx(other.probabilities, abs=0.03)


def test_large_photos_in_other_formats_are_rejected(client: Client) -> None:
    with pytest.raises(TooLarge, match="1600 x 1200 = 1,920,000 pixels; at most 1,000,000 are allowed"):
        client.classify(encoded(stripes(), "PNG"))
