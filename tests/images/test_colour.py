"""Tests of the conversion of all pixel formats to upright 8-bit RGB."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.image_files import png_16_bit
from zfscope.images.decode import decode, decode_grey, decode_photo

Rgb = NDArray[np.uint8]
Encode = Callable[..., bytes]
Noise = Callable[..., Rgb]

ORIENTATION = 0x0112


def stored_as(upright: Rgb, orientation: int) -> Rgb:
    """Store an upright picture with an EXIF orientation, pixel by pixel, by the table of the EXIF standard.

    The table gives the side of the upright picture where row 0 and column 0 of the stored picture lie.
    """
    height, width = upright.shape[:2]
    upright_index: dict[int, Callable[[int, int], tuple[int, int]]] = {
        1: lambda r, c: (r, c),
        2: lambda r, c: (r, width - 1 - c),
        3: lambda r, c: (height - 1 - r, width - 1 - c),
        4: lambda r, c: (height - 1 - r, c),
        5: lambda r, c: (c, r),
        6: lambda r, c: (c, width - 1 - r),
        7: lambda r, c: (height - 1 - c, width - 1 - r),
        8: lambda r, c: (height - 1 - c, r),
    }
    rows, columns = (height, width) if orientation < 5 else (width, height)
    stored = [[upright[upright_index[orientation](r, c)] for c in range(columns)] for r in range(rows)]
    return np.array(stored, np.uint8)


def tiff(width: int, height: int, bits: int, photometric: int, pixels: bytes, *, order: str = "<") -> bytes:
    """Build an uncompressed grey TIFF of one strip, tag by tag."""
    short, long = 3, 4
    tags = [
        (256, long, width),
        (257, long, height),
        (258, short, bits),
        (259, short, 1),
        (262, short, photometric),
        (273, long, 8),
        (277, short, 1),
        (278, long, height),
        (279, long, len(pixels)),
    ]
    padded = pixels + bytes(len(pixels) % 2)
    entries = b"".join(
        struct.pack(order + "HHI", tag, kind, 1)
        + (struct.pack(order + "HH", value, 0) if kind == short else struct.pack(order + "I", value))
        for tag, kind, value in tags
    )
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8 + len(padded))
    return head + padded + struct.pack(order + "H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, name: str, noise: Noise, encoded: Encode) -> None:
    upright = noise(5, 7)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if name == "WEBP" else {}
    data = encoded(stored_as(upright, orientation), name, exif=exif, **options)
    np.testing.assert_array_equal(decode(data), upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg_is_applied(orientation: int, encoded: Encode) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode(encoded(stored_as(upright, orientation), "JPEG", exif=exif, quality=95))
    np.testing.assert_allclose(decoded.astype(int), upright.astype(int), atol=8)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"nothing"])
@pytest.mark.filterwarnings("ignore:.*EXIF.*:UserWarning")
def test_broken_exif_data_is_ignored(exif: bytes, noise: Noise, encoded: Encode) -> None:
    picture = noise(5, 7)
    np.testing.assert_array_equal(decode(encoded(picture, "PNG", exif=exif)), picture)


def test_an_unknown_orientation_is_ignored(noise: Noise, encoded: Encode) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 77
    picture = noise(5, 7)
    np.testing.assert_array_equal(decode(encoded(picture, "PNG", exif=exif)), picture)


def test_grey_becomes_three_equal_channels(noise: Noise, encoded: Encode) -> None:
    grey = noise(5, 7)[..., 0]
    np.testing.assert_array_equal(decode(encoded(grey, "PNG")), np.stack([grey] * 3, axis=-1))


def test_one_bit_pixels_become_black_and_white(noise: Noise, encoded: Encode) -> None:
    bits = noise(5, 7)[..., 0] > 127
    expected = np.repeat(bits[..., None] * np.uint8(255), 3, axis=-1)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(bits), "PNG")), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_blended_over_mid_grey(mode: str, noise: Noise, encoded: Encode) -> None:
    colour, alpha = noise(16, 16), noise(16, 16, 1)[..., :1]
    if mode == "LA":
        colour = np.repeat(colour[..., :1], 3, axis=-1)
    layer = Image.fromarray(np.concatenate([colour, alpha], axis=-1)).convert(mode)
    share = alpha / 255
    expected = colour * share + 128 * (1 - share)
    np.testing.assert_allclose(decode(encoded(layer, "PNG")), expected, atol=1)


def test_transparent_pixels_are_exactly_mid_grey_and_opaque_ones_unchanged(
    noise: Noise, encoded: Encode
) -> None:
    colour = noise(4, 6)
    alpha = np.repeat(np.array([0, 255], np.uint8), 12).reshape(4, 6, 1)
    decoded = decode(encoded(np.concatenate([colour, alpha], axis=-1), "PNG"))
    assert (decoded[:2] == 128).all()
    np.testing.assert_array_equal(decoded[2:], colour[2:])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("rows", "share"), [(100, "50 %"), (200, "100 %"), (1, ""), (0, "")])
def test_large_transparent_areas_of_photos_get_a_warning_but_not_those_of_masks(
    mode: str, rows: int, share: str, encoded: Encode
) -> None:
    picture = np.full((200, 10, 4), 255, np.uint8)
    picture[:rows, :, 3] = 0
    data = encoded(Image.fromarray(picture).convert(mode), "PNG")
    warnings = [(notice.code, notice.message.split(";")[0]) for notice in decode_photo(data).warnings]
    expected = ("transparency", f"{share} of the image is transparent and was read as grey")
    assert warnings == ([expected] if share else [])
    assert decode_grey(data).warnings == ()


@pytest.mark.parametrize("grey", [0, 200])
def test_the_backdrop_of_transparent_pixels_can_be_chosen(grey: int, encoded: Encode) -> None:
    picture = np.array([[[255, 0, 0, 0], [255, 0, 0, 255]]], np.uint8)
    assert decode(encoded(picture, "PNG"), backdrop=grey).tolist() == [[[grey] * 3, [255, 0, 0]]]


@pytest.mark.parametrize("name", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_mid_grey(name: str, encoded: Encode) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    decoded = decode(encoded(picture, name, transparency=1))
    assert decoded.tolist() == [[[255, 0, 0], [128, 128, 128]], [[0, 0, 255], [128, 128, 128]]]


def test_a_palette_with_partial_transparency_is_blended(encoded: Encode) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    decoded = decode(encoded(picture, "PNG", transparency=bytes([255, 0, 51])))
    np.testing.assert_allclose(decoded, [[[255, 0, 0], [128, 128, 128], [102, 102, 153]]], atol=1)


def test_the_transparent_colour_of_an_rgb_png_becomes_mid_grey(encoded: Encode) -> None:
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    decoded = decode(encoded(picture, "PNG", transparency=(1, 2, 3)))
    assert decoded.tolist() == [[[128, 128, 128], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_is_converted_including_inverted_jpegs_of_adobe(
    name: str, cmyk: tuple[int, ...], rgb: tuple[int, ...], encoded: Encode
) -> None:
    data = encoded(Image.new("CMYK", (16, 16), cmyk), name)
    assert name == "TIFF" or b"Adobe" in data
    np.testing.assert_allclose(decode(data)[8, 8].astype(int), rgb, atol=3)


def sixteen_bit_png(encoded: Encode) -> bytes:
    return encoded(np.arange(65536, dtype=np.uint16).reshape(256, 256), "PNG")


def sixteen_bit_tiff(encoded: Encode) -> bytes:
    return encoded(np.arange(65536, dtype=np.uint16).reshape(256, 256), "TIFF")


def sixteen_bit_deflated_tiff(encoded: Encode) -> bytes:
    return encoded(
        np.arange(65536, dtype=np.uint16).reshape(256, 256), "TIFF", compression="tiff_adobe_deflate"
    )


def big_endian_tiff(_: Encode) -> bytes:
    return tiff(256, 256, 16, 1, np.arange(65536).astype(">u2").tobytes(), order=">")


def white_is_zero_tiff(_: Encode) -> bytes:
    return tiff(256, 256, 16, 0, (65535 - np.arange(65536)).astype("<u2").tobytes())


@pytest.mark.parametrize(
    "make",
    [sixteen_bit_png, sixteen_bit_tiff, sixteen_bit_deflated_tiff, big_endian_tiff, white_is_zero_tiff],
)
def test_16_bit_grey_is_scaled_to_8_bits_and_rounded(
    make: Callable[[Encode], bytes], encoded: Encode
) -> None:
    expected = [round(value * 255 / 65535) for value in range(65536)]
    decoded = decode(make(encoded))
    assert (decoded == decoded[..., :1]).all()
    assert decoded[..., 0].ravel().tolist() == expected


def test_packed_12_bit_values_are_scaled_by_their_own_range() -> None:
    values = range(4096)
    packed = b"".join(
        ((a << 12) | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True)
    )
    decoded = decode(tiff(64, 64, 12, 1, packed))
    assert decoded[..., 0].ravel().tolist() == [round(value * 255 / 4095) for value in values]


def test_16_bit_colour_is_scaled_to_within_one_level() -> None:
    """Pillow keeps the upper eight bits of 16-bit RGB, which is at most one level below the rounded value."""
    values = np.random.default_rng(0).integers(0, 65536, (9, 11, 3))
    np.testing.assert_allclose(decode(png_16_bit(values)), values * 255 / 65535, atol=1)


def test_the_first_of_several_frames_is_decoded(noise: Noise, encoded: Encode) -> None:
    first, second = Image.fromarray(noise(6, 8, 1)), Image.fromarray(noise(6, 8, 2))
    for name, options in (("TIFF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encoded(first, name, save_all=True, append_images=[second], **options)
        assert Image.open(io.BytesIO(data)).n_frames == 2  # type: ignore[attr-defined]
        np.testing.assert_array_equal(decode(data), np.asarray(first))


def test_the_first_frame_of_a_gif_is_decoded(encoded: Encode) -> None:
    red, blue = Image.new("RGB", (4, 3), (255, 0, 0)), Image.new("RGB", (4, 3), (0, 0, 255))
    data = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert (decode(data) == (255, 0, 0)).all()
