"""Bytes become pixels, or an error that says why; limits hold before anything is unpacked."""

import io
import struct
import tracemalloc
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

from zfscope.errors import InputError, TooLarge
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


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes, *extra: bytes, bits: int = 8) -> bytes:
    """Build a grey PNG; `pixels` is the compressed stream, `extra` are chunks before it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pixel_bomb() -> bytes:
    """A real PNG of 30000 x 30000 pixels in about a hundred kB."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(1 + 30_000 // 8)) for _ in range(30_000)) + packer.flush()
    return png(30_000, 30_000, pixels, bits=1)


def webp_header(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def gif_with_large_frame() -> bytes:
    """A GIF of 4 x 4 pixels whose frame, to be disposed of to the background, has 9000 x 9000."""
    control = b"\x21\xf9\x04" + bytes([0b1001, 0, 0, 0, 0])
    frame = b"," + struct.pack("<HHHHB", 0, 0, 9000, 9000, 0) + b"\x02\x02\x44\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6) + control + frame


def tiff_with_large_tile() -> bytes:
    """A TIFF of 10 x 10 pixels in one deflated tile of 8000 x 8000."""
    pixels = zlib.compress(bytes(8000 * 8000), 9)
    pixels += bytes(len(pixels) % 2)
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, 8000), (323, 8000), (324, 8)]
    tags.append((325, len(pixels)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (61, 47)])
def test_lossless_files_give_back_their_pixels(
    kind: str, height: int, width: int, noise: Noise, encoded: Encode
) -> None:
    name, options = LOSSLESS[kind]
    picture = noise(height, width)
    decoded = decode(encoded(picture, name, **options))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, picture)


def test_a_gif_gives_back_its_pixels(encoded: Encode) -> None:
    palette = Image.fromarray(np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8), "P")
    palette.putpalette(bytes(range(27)))
    np.testing.assert_array_equal(decode(encoded(palette, "GIF")), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_comes_close_to_its_pixels(progressive: bool, encoded: Encode) -> None:
    y, x = np.mgrid[:64, :80]
    picture = np.stack([x * 3, y * 3, x + y], axis=-1).astype(np.uint8)
    decoded = decode(encoded(picture, "JPEG", quality=95, progressive=progressive))
    np.testing.assert_allclose(decoded.astype(int), picture.astype(int), atol=12)


def refused(data: bytes, message: str, **options: Any) -> InputError:
    with pytest.raises(InputError, match=message) as error:
        decode(data, **options)
    return error.value


def outcome(data: bytes, **options: Any) -> Rgb | InputError:
    try:
        return decode(data, **options)
    except InputError as error:
        return error


def test_no_bytes_are_refused() -> None:
    error = refused(b"", "^image.encoded is empty: 0 bytes$", field="image.encoded")
    assert error.field == "image.encoded"


@pytest.mark.parametrize("data", [b"\x01\x02\x03", b"\xfe\xed and more", b"G\xc3IF89a", bytes(3)])
def test_what_is_not_an_image_is_refused_with_its_first_bytes(data: bytes) -> None:
    start = data[:8].hex(" ")
    error = refused(data, f"^image is not an image: it starts with {start}; allowed are JPEG, PNG, WEBP, GIF")
    assert error.field == "image"


def test_a_format_that_is_not_allowed_is_refused(noise: Noise, encoded: Encode) -> None:
    limits = DecodeLimits(formats=("PNG", "JPEG"))
    refused(encoded(noise(2, 2), "BMP"), "^image is a BMP file; allowed are PNG, JPEG$", limits=limits)
    assert decode(encoded(noise(2, 2), "PNG"), limits=limits).shape == (2, 2, 3)


def test_too_many_bytes_are_refused_and_as_many_as_allowed_are_not(noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(9, 9), "PNG")
    assert decode(data, limits=DecodeLimits(bytes=len(data))).shape == (9, 9, 3)
    message = rf"^image has {len(data)} bytes; at most {len(data) - 1} are allowed$"
    error = refused(data, message, limits=DecodeLimits(bytes=len(data) - 1))
    assert isinstance(error, TooLarge)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_too_many_pixels_are_refused_and_as_many_as_allowed_are_not(
    name: str, noise: Noise, encoded: Encode
) -> None:
    data = encoded(noise(30, 40), name)
    assert decode(data, limits=DecodeLimits(pixels=1200)).shape == (30, 40, 3)
    message = r"^image holds a picture of 40 x 30 = 1,200 pixels; at most 1,199 are allowed$"
    if name == "JPEG":  # it is decoded at a smaller scale, up to four times the limit
        assert decode(data, limits=DecodeLimits(pixels=1199)).shape == (15, 20, 3)
        message = (
            r"^image holds a picture of 40 x 30 = 1,200 pixels; at most 299 are allowed, 1,196 in a JPEG$"
        )
    limits = DecodeLimits(pixels=299 if name == "JPEG" else 1199)
    assert isinstance(refused(data, message, limits=limits), TooLarge)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_size_is_known_before_anything_is_unpacked(name: str, noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(30, 40), name)
    Image.core.reset_stats()  # type: ignore[attr-defined]
    assert stored_size(data) == (30, 40)
    assert Image.core.get_stats()["new_count"] == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "is empty"), (b"nose", "is not an image"), (b"GIF89a", "damaged")]
)
def test_what_is_no_image_has_no_size(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=f"^mask.*{told}") as error:
        stored_size(data, field="mask")
    assert error.value.field == "mask"


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "png": (pixel_bomb, "30000 x 30000 = 900,000,000 pixels; at most 50,000,000 are allowed"),
    "gif": (gif_with_large_frame, "9000 x 9000 = 81,000,000 pixels; at most 50,000,000 are allowed"),
    "tiff": (tiff_with_large_tile, "a tile of 8000 x 8000 = 64,000,000 pixels; at most 50,000,000"),
    "webp": (lambda: webp_header(16_000, 16_000), "WEBP file of far too many pixels; at most 50,000,000"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_a_pixel_is_unpacked(kind: str) -> None:
    make, message = BOMBS[kind]
    data = make()
    assert len(data) < 120_000
    Image.core.reset_stats()  # type: ignore[attr-defined]
    tracemalloc.start()
    assert isinstance(refused(data, message), TooLarge)
    python_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    made = Image.core.get_stats()["new_count"]  # type: ignore[attr-defined]
    assert made == 0  # no picture, of whatever size
    assert python_bytes < 2_000_000


def test_a_jpeg_of_endless_scans_is_refused(encoded: Encode, noise: Noise) -> None:
    data = encoded(noise(16, 16), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4")
    bomb = data[:-2] + data[last:-2] * 200 + data[-2:]
    refused(bomb, "^image is a JPEG of 210 scans; at most 100 are allowed$")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_chunk_that_unpacks_to_megabytes_is_refused(kind: bytes) -> None:
    packed = zlib.compress(bytes(30_000_000), 9)
    content = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\x01\0\0\0", b"iCCP": b"a\0\0"}[kind] + packed
    data = png(1, 1, zlib.compress(bytes(2)), chunk(kind, content))
    tracemalloc.start()
    refused(data, "^image is a damaged or incomplete PNG file: Decompressed data too large")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_many_text_chunks_that_unpack_to_megabytes_together_are_refused() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    data = png(1, 1, zlib.compress(bytes(2)), *[text] * 80)
    refused(data, "^image is a damaged or incomplete PNG file: Too much memory used in text chunks")


@pytest.mark.parametrize("kind", [b"abCd", b"IDAT"])
def test_a_png_of_endless_tiny_chunks_is_refused_before_it_is_opened(kind: bytes) -> None:
    def with_chunks(count: int) -> bytes:
        return png(1, 1, zlib.compress(bytes(2)), *[chunk(kind, b"")] * count)

    refused(with_chunks(100_001), "^image is a damaged or incomplete PNG file: more than 100,000 chunks$")
    assert decode(with_chunks(1_000) + chunk(kind, b"") * 100_001).shape == (1, 1, 3)


def gif_of_no_size() -> bytes:
    return b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\x02\0;"


@pytest.mark.parametrize("data", [png(0, 7, zlib.compress(b"")), gif_of_no_size()])
def test_an_image_of_no_width_is_refused(data: bytes) -> None:
    refused(data, "^image is a damaged or incomplete (PNG|GIF) file: ")


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_cut_short_anywhere_is_refused_or_lost_nothing(
    name: str, noise: Noise, encoded: Encode
) -> None:
    """Some formats end with bytes that hold no pixels; half a file is never enough."""
    data = encoded(noise(24, 24), name)
    lengths = range(1, len(data), max(1, len(data) // 150))
    outcomes = {length: outcome(data[:length]) for length in lengths}
    complete = {length: result for length, result in outcomes.items() if isinstance(result, np.ndarray)}
    assert all(length > 0.9 * len(data) for length in complete)
    assert all(np.array_equal(result, decode(data)) for result in complete.values())


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_says_what_it_is(name: str, noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(64, 64), name)
    refused(data[: len(data) // 2], f"^image is a damaged or incomplete {name} file: .+")


FILES = [*LOSSLESS.values(), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("WEBP", {})]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_give_pixels_or_an_input_error_and_nothing_else(
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


def test_decoding_in_many_threads_changes_nothing_global(noise: Noise, encoded: Encode) -> None:
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


def test_pillows_own_limit_is_an_input_error_where_ours_is_raised(encoded: Encode) -> None:
    """Pillow refuses to unpack more than 179 million pixels of a TIFF, whatever our limits say."""
    header = io.BytesIO()
    Image.new("L", (1, 1)).save(header, "TIFF")
    large = header.getvalue().replace(
        struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 20_000)
    )
    large = large.replace(struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 257, 4, 1, 20_000))
    message = "^image is a TIFF file of far too many pixels; at most 1,000,000,000 are allowed$"
    refused(large, message, limits=DecodeLimits(pixels=10**9))


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_shown_and_said_to_be(
    name: str, noise: Noise, encoded: Encode
) -> None:
    frames = [Image.fromarray(noise(20, 30, seed)).quantize(16).convert("RGB") for seed in range(3)]
    options = {"lossless": True} if name == "WEBP" else {}
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:], **options)
    found = decode_photo(data, field="images[3].encoded")
    np.testing.assert_array_equal(found.pixels, np.asarray(frames[0]))
    message = (
        f"a {name} file of several frames or pages, of which the first was used; "
        "to use another, save it as a file of its own"
    )
    assert found.warnings == (Notice("first-frame", message, "images[3].encoded"),)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "BMP", "JPEG"])
def test_of_a_file_of_one_frame_nothing_is_said(name: str, noise: Noise, encoded: Encode) -> None:
    assert decode_photo(encoded(noise(20, 30), name)).warnings == ()


@pytest.mark.parametrize("special", [[(50706, 0x0401)], [(254, 1), (330, 8), (34665, 8)]])
def test_a_raw_file_in_the_form_of_a_tiff_is_not_taken_for_its_thumbnail(
    special: list[tuple[int, int]],
) -> None:
    """As DNG, NEF and ARW are."""
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 16)]
    tags = sorted([*tags, *special])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    raw = b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory
    refused(raw, "^image is a camera's raw file, and its first picture a thumbnail: develop to JPEG or PNG")


def test_a_tiff_whose_page_is_a_smaller_version_of_another_is_read(noise: Noise) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, noise(6, 8), photometric="rgb", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(decode(file.getvalue()), noise(6, 8))
