"""Tests of decoding: the pixels of valid files, and the errors of all others."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings, strategies
from numpy.typing import NDArray
from PIL import Image

from tests.support.image_files import grey_png, webp_header
from zfscope.errors import InputError
from zfscope.images.decode import decode, decode_photo, stored_size
from zfscope.images.limits import DecodeLimits
from zfscope.results import Notice

Rgb = NDArray[np.uint8]
Encode = Callable[..., bytes]
Noise = Callable[..., Rgb]

LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (61, 47)])
def test_lossless_files_are_decoded_exactly(
    kind: str, height: int, width: int, noise: Noise, encoded: Encode
) -> None:
    name, options = LOSSLESS[kind]
    picture = noise(height, width)
    decoded = decode(encoded(picture, name, **options))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, picture)


def test_a_gif_is_decoded_exactly(encoded: Encode) -> None:
    palette = Image.fromarray(np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8), "P")
    palette.putpalette(bytes(range(27)))
    np.testing.assert_array_equal(decode(encoded(palette, "GIF")), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_is_decoded_approximately(progressive: bool, encoded: Encode) -> None:
    y, x = np.mgrid[:64, :80]
    picture = np.stack([x * 3, y * 3, x + y], axis=-1).astype(np.uint8)
    decoded = decode(encoded(picture, "JPEG", quality=95, progressive=progressive))
    np.testing.assert_allclose(decoded.astype(int), picture.astype(int), atol=12)


def assert_rejected(data: bytes, message: str, **options: Any) -> InputError:
    with pytest.raises(InputError, match=message) as error:
        decode(data, **options)
    return error.value


def outcome(data: bytes, **options: Any) -> Rgb | InputError:
    try:
        return decode(data, **options)
    except InputError as error:
        return error


def test_an_empty_file_is_rejected() -> None:
    error = assert_rejected(b"", "^image.encoded is empty: 0 bytes$", field="image.encoded")
    assert error.field == "image.encoded"


@pytest.mark.parametrize("data", [b"\x01\x02\x03", b"\xfe\xed and more", b"G\xc3IF89a", bytes(3)])
def test_a_file_that_is_not_an_image_is_rejected_with_its_first_bytes(data: bytes) -> None:
    start = data[:8].hex(" ")
    error = assert_rejected(
        data, f"^image is not an image: it starts with {start}; allowed: JPEG, PNG, WEBP, GIF"
    )
    assert error.field == "image"


def test_a_format_that_is_not_allowed_is_rejected(noise: Noise, encoded: Encode) -> None:
    limits = DecodeLimits(formats=("PNG", "JPEG"))
    assert_rejected(encoded(noise(2, 2), "BMP"), "^image is a BMP file; allowed: PNG, JPEG$", limits=limits)
    assert decode(encoded(noise(2, 2), "PNG"), limits=limits).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "is empty"), (b"nose", "is not an image"), (b"GIF89a", "damaged")]
)
def test_stored_size_rejects_files_that_are_not_images(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^mask.*{message}") as error:
        stored_size(data, field="mask")
    assert error.value.field == "mask"


def gif_without_size() -> bytes:
    return b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\x02\0;"


@pytest.mark.parametrize("data", [grey_png(0, 7, zlib.compress(b"")), gif_without_size()])
def test_an_image_without_width_is_rejected(data: bytes) -> None:
    assert_rejected(data, "^image is a damaged or incomplete (PNG|GIF) file: ")


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_truncated_file_is_rejected_or_decoded_completely(name: str, noise: Noise, encoded: Encode) -> None:
    """Some formats end with bytes without pixels; half a file is never enough."""
    data = encoded(noise(24, 24), name)
    lengths = range(1, len(data), max(1, len(data) // 150))
    outcomes = {length: outcome(data[:length]) for length in lengths}
    complete = {length: result for length, result in outcomes.items() if isinstance(result, np.ndarray)}
    assert all(length > 0.9 * len(data) for length in complete)
    assert all(np.array_equal(result, decode(data)) for result in complete.values())


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_error_for_a_truncated_file_names_its_format(name: str, noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(64, 64), name)
    assert_rejected(data[: len(data) // 2], f"^image is a damaged or incomplete {name} file: .+")


FILES = [*LOSSLESS.values(), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("WEBP", {})]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_decoded_or_raise_an_input_error(
    data: strategies.DataObject, encoded: Encode, noise: Noise
) -> None:
    name, options = data.draw(strategies.sampled_from(FILES))
    damaged = bytearray(encoded(noise(16, 16), name, **options))
    for _ in range(data.draw(strategies.integers(1, 8))):
        damaged[data.draw(strategies.integers(0, len(damaged) - 1))] = data.draw(strategies.integers(0, 255))
    result = outcome(bytes(damaged), limits=DecodeLimits(pixels=100_000))
    if isinstance(result, InputError):
        assert result.field == "image"
        assert result.message.startswith("image ")
    else:
        assert result.dtype == np.uint8
        assert result.shape[2:] == (3,)


def test_decoding_in_threads_does_not_change_global_state(noise: Noise, encoded: Encode) -> None:
    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    good = encoded(noise(40, 40), "PNG")
    bomb, broken = webp_header(16_000, 16_000), good[:200]

    def attempt(data: bytes) -> Rgb | str:
        result = outcome(data)
        return result.message if isinstance(result, InputError) else result

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(attempt, [good, bomb, broken] * 40))
    assert all(np.array_equal(result, noise(40, 40)) for result in results[::3])
    assert set(results[1::3]) == {attempt(bomb)}
    assert set(results[2::3]) == {attempt(broken)}
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_decoded_with_a_warning(
    name: str, noise: Noise, encoded: Encode
) -> None:
    frames = [Image.fromarray(noise(20, 30, seed)).quantize(16).convert("RGB") for seed in range(3)]
    options = {"lossless": True} if name == "WEBP" else {}
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:], **options)
    photo = decode_photo(data, field="images[3].encoded")
    np.testing.assert_array_equal(photo.pixels, np.asarray(frames[0]))
    message = (
        f"the {name} file has several frames or pages, and the first was used; "
        "to use another one, save it as a separate file"
    )
    assert photo.warnings == (Notice("first-frame", message, "images[3].encoded"),)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "BMP", "JPEG"])
def test_a_file_with_one_frame_gets_no_warning(name: str, noise: Noise, encoded: Encode) -> None:
    assert decode_photo(encoded(noise(20, 30), name)).warnings == ()


@pytest.mark.parametrize("raw_tags", [[(50706, 0x0401)], [(254, 1), (330, 8), (34665, 8)]])
def test_a_raw_file_in_tiff_format_is_not_decoded_as_its_thumbnail(
    raw_tags: list[tuple[int, int]],
) -> None:
    """Examples are DNG, NEF and ARW."""
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 16)]
    tags = sorted([*tags, *raw_tags])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    raw = b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory
    assert_rejected(
        raw, "^image is a camera raw file; its first image is only a thumbnail: develop it to JPEG or PNG"
    )


def test_a_tiff_with_only_a_reduced_version_is_decoded(noise: Noise) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, noise(6, 8), photometric="rgb", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(decode(file.getvalue()), noise(6, 8))
