"""Masks: the pixels of the network's crop that an image file occludes."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, Preprocessing, prepare, prepare_tensor
from zfscope_analyzers.occlude.windows import light_pixels, window_from_mask
from zfscope_analyzers.params import FileBytes

STEPS = Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50))
Mask = NDArray[np.bool_]

# A mask whose left three columns are occluded.
HALF = np.arange(8)[None].repeat(6, axis=0) < 3


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(levels: Any) -> bytes:
    return encoded(Image.fromarray(np.asarray(levels, np.uint8)))


def blank_photo(width: int, height: int) -> Prepared:
    return prepare(np.zeros((height, width, 3), np.uint8), STEPS)


def occluded_pixels(data: bytes, prepared: Prepared) -> Mask:
    """Return the pixels of the crop that a mask occludes."""
    window, whole = window_from_mask(data, prepared, "mask", DecodeLimits()), np.zeros((32, 32), bool)
    whole[window.area] = window.mask
    return whole


def with_palette(mask: Mask) -> Image.Image:
    image = Image.fromarray(np.where(mask, 7, 2).astype(np.uint8), "P")
    image.putpalette(
        [level for index in range(256) for level in ([0, 9, 200] if index == 2 else [250, 250, 9])]
    )
    return image


def with_alpha(mask: Mask) -> Image.Image:
    alpha = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    image = Image.new("RGB", alpha.size, "white")
    image.putalpha(alpha)
    return image


KINDS: dict[str, Callable[[Mask], Image.Image]] = {
    "1 bit": Image.fromarray,
    "grey": lambda mask: Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)),
    "16 bits": lambda mask: Image.fromarray(np.where(mask, 65_535, 100).astype(np.uint16)),
    "palette": with_palette,
    "colours": lambda mask: Image.fromarray(
        np.where(mask[..., None], (0, 255, 0), (255, 0, 0)).astype(np.uint8)
    ),
    "alpha": with_alpha,
    "grey with alpha": lambda mask: with_alpha(mask).convert("LA"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_every_pixel_format_are_supported(kind: str) -> None:
    np.testing.assert_array_equal(light_pixels(encoded(KINDS[kind](HALF)), (6, 8), "mask").pixels, HALF)


def test_pixels_lighter_than_127_are_occluded() -> None:
    assert light_pixels(grey([[0, 126, 127, 128, 255]]), (1, 5), "mask").pixels.tolist() == [[0, 0, 0, 1, 1]]


def test_exif_orientation_is_applied_to_a_mask() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored image has to be rotated clockwise
    stored = encoded(KINDS["grey"](np.rot90(HALF)), exif=exif)
    np.testing.assert_array_equal(light_pixels(stored, (6, 8), "mask").pixels, HALF)


def test_without_resampling_the_crop_is_taken_directly_from_the_mask() -> None:
    mask = np.random.default_rng(1).random((36, 36)) < 0.3
    np.testing.assert_array_equal(
        occluded_pixels(encoded(KINDS["grey"](mask)), blank_photo(36, 36)), mask[2:34, 2:34]
    )


def test_a_pixel_of_the_crop_is_occluded_if_the_photo_pixel_at_its_centre_is() -> None:
    """The photo is twice as large, and its crop starts at (4, 4): pixel centres are at 5, 7, 9 ..."""
    mask = np.zeros((72, 72), bool)
    mask[5, 9] = mask[8, 9] = mask[8, 8] = mask[7, 12] = True
    assert np.argwhere(occluded_pixels(encoded(KINDS["grey"](mask)), blank_photo(72, 72))).tolist() == [
        [0, 2]
    ]


@pytest.mark.parametrize(("width", "height"), [(60, 48), (33, 90), (20, 20), (201, 77)])
def test_any_mask_is_sampled_pixel_by_pixel(width: int, height: int) -> None:
    mask = np.random.default_rng(2).random((height, width)) < 0.5
    prepared = blank_photo(width, height)
    region, result = prepared.geometries[0].region, occluded_pixels(encoded(KINDS["1 bit"](mask)), prepared)
    for row in range(32):
        for column in range(32):
            x = region.x0 + (column + 0.5) / 32 * region.width
            y = region.y0 + (row + 0.5) / 32 * region.height
            assert result[row, column] == mask[int(y), int(x)]


def test_the_window_is_the_bounding_box_of_the_mask() -> None:
    mask = np.zeros((36, 36), np.uint8)
    mask[10, 12:15] = mask[12, 13] = 255
    window = window_from_mask(grey(mask), blank_photo(36, 36), "mask", DecodeLimits())
    assert (window.y, window.x, window.height, window.width) == (8, 10, 3, 3)
    assert np.asarray(window.mask).tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]


def test_the_mask_of_a_tensor_has_the_size_of_the_network_input() -> None:
    mask = np.random.default_rng(1).random((32, 32)) < 0.3
    prepared = prepare_tensor(np.zeros((3, 32, 32), np.float32), STEPS)
    np.testing.assert_array_equal(occluded_pixels(encoded(KINDS["grey"](mask)), prepared), mask)


EDGE = np.zeros((48, 60), np.uint8)
EDGE[:, :8] = 255


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "masks[2] is empty: 0 bytes"),
        (b"nose.png", "masks[2] is not an image: it starts with 6e 6f 73 65"),
        (grey(EDGE)[:60], "masks[2] is a damaged or incomplete PNG file"),
        (grey(EDGE.T), "masks[2] is 48 x 60 pixels; the photo is 60 x 48: a mask must have the photo's size"),
        (grey(np.zeros((8, 9))), "masks[2] is 9 x 8 pixels; the photo is 60 x 48"),
        (
            grey(EDGE),
            "masks[2] has no occluded pixel within the part of the photo that the network sees, "
            "(8.66667, 2.66667) to (51.3333, 45.3333); pixels lighter than 127 are occluded",
        ),
        (grey(np.full((48, 60), 127)), "masks[2] has no occluded pixel"),
    ],
)
def test_the_error_names_an_unusable_mask_and_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        window_from_mask(data, blank_photo(60, 48), "masks[2]", DecodeLimits())
    assert caught.value.field == "masks[2]"
    assert message in caught.value.message


def test_a_mask_of_another_size_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope_analyzers.occlude.windows.decode_grey", None)
    with pytest.raises(InputError, match="9 x 8 pixels"):
        window_from_mask(grey(np.zeros((8, 9))), blank_photo(60, 48), "mask", DecodeLimits())


@pytest.mark.parametrize("write", [base64.b64encode, base64.encodebytes])
def test_a_file_is_base64_in_json_and_bytes_in_python(write: Callable[[bytes], bytes]) -> None:
    data = bytes(range(256))
    files = TypeAdapter(FileBytes)
    assert files.validate_python(write(data).decode()) == files.validate_python(data) == data
    assert files.json_schema() == {"type": "string", "format": "base64"}


@pytest.mark.parametrize("text", ["nose.png", "abc"])
def test_invalid_base64_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="not valid base64: "):
        TypeAdapter(FileBytes).validate_python(text)
