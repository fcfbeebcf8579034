"""Files in every form that callers may pass."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from zfscope.client.files import contents, is_file
from zfscope.client.photos import image_to_wire
from zfscope.errors import InputError
from zfscope.images.decode import decode, decode_photo

PIXELS = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_of_every_type_are_sent_unchanged(kind: Any) -> None:
    assert image_to_wire(kind(b"anything")).encoded == b"anything"


def test_a_strided_view_is_sent_as_its_elements() -> None:
    assert contents(memoryview(b"abcdef")[::2], field="image") == b"ace"


def test_an_open_file_is_read_from_its_position(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"header photo")
    with (tmp_path / "a").open("rb") as file:
        assert contents(file, field="image") == b"header photo"
        file.seek(7)
        assert contents(file, field="image") == b"photo"


@pytest.mark.parametrize(
    ("mode", "decoded"), [("RGB", "RGB"), ("L", "L"), ("RGBA", "RGBA"), ("P", "RGB"), ("YCbCr", "RGB")]
)
def test_a_pillow_image_is_sent_losslessly(mode: str, decoded: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    expected = decode(encoded(picture if mode != "YCbCr" else picture.convert("RGB")))
    np.testing.assert_array_equal(decode(image_to_wire(picture).encoded), expected)


def test_a_copy_is_sent_with_the_orientation_of_its_file() -> None:
    """The orientation and the colour profile are kept; other tags are not sent."""
    tags = Image.Exif()
    tags[Base.Orientation], tags[Base.Artist] = 6, "me"
    file = encoded(Image.fromarray(PIXELS), "PNG", exif=tags)
    picture = Image.open(io.BytesIO(file)).copy()
    sent = image_to_wire(picture).encoded
    np.testing.assert_array_equal(decode(sent), decode(file))
    assert decode(sent).shape == (7, 5, 3)
    assert dict(Image.open(io.BytesIO(sent)).getexif()) == {Base.Orientation: 6}


def png_of_12_bits() -> bytes:
    """Return a colour PNG with 16 bits per channel, 12 of them used; Pillow keeps only the upper 8 bits."""
    rows = b"".join(b"\0" + (row.astype(">u2") * 16).tobytes() for row in PIXELS)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff_with_0_as_white() -> bytes:
    file = io.BytesIO()
    values = PIXELS[..., 0].astype(np.uint16) * 257
    tifffile.imwrite(file, values, photometric="miniswhite", metadata=None)
    return file.getvalue()


FILES: dict[str, bytes] = {
    "12 bits": png_of_12_bits(),
    "0 is white": tiff_with_0_as_white(),
    "JPEG": encoded(Image.fromarray(PIXELS), "JPEG"),
    "numbers": encoded(Image.fromarray(PIXELS[..., 0] / np.float32(255)), "TIFF"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("path", [False, True])
def test_an_unmodified_image_is_sent_as_its_file(
    tmp_path: Path, kind: str, *, loaded: bool, path: bool
) -> None:
    (tmp_path / "photo").write_bytes(FILES[kind])
    picture = Image.open(tmp_path / "photo" if path else io.BytesIO(FILES[kind]))
    if loaded:
        picture.load()
    if kind == "JPEG" and loaded and not path:  # Pillow no longer has the file, only its pixels
        np.testing.assert_array_equal(decode(contents(picture, field="image")), decode(FILES[kind]))
    else:
        assert contents(picture, field="image") == FILES[kind]


def draw(picture: Image.Image) -> None:
    picture.paste(7, (0, 0, 2, 2))


def rotate(picture: Image.Image) -> None:
    picture.getexif()[Base.Orientation] = 6


def shrink(picture: Image.Image) -> None:
    picture.draft("L", (8, 8))


@pytest.mark.parametrize("change", [draw, rotate, shrink])
def test_a_modified_image_is_sent_with_its_changes(tmp_path: Path, change: Any) -> None:
    file = encoded(Image.fromarray(PIXELS).resize((64, 32)).convert("L"), "JPEG")
    (tmp_path / "photo.jpg").write_bytes(file)
    picture = Image.open(tmp_path / "photo.jpg")
    change(picture)
    sent = decode(contents(picture, field="image"))
    expected = np.asarray(picture)
    np.testing.assert_array_equal(sent[..., 0], np.rot90(expected, -1) if change is rotate else expected)
    assert sent.shape != decode(file).shape or (sent != decode(file)).any()


def test_an_image_whose_file_was_replaced_is_sent_as_loaded(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.fromarray(PIXELS)))
    picture = Image.open(path)
    picture.load()
    path.write_bytes(encoded(Image.fromarray(255 - PIXELS)))
    np.testing.assert_array_equal(decode(contents(picture, field="image")), PIXELS)


def test_only_the_current_frame_is_sent() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    picture = Image.open(io.BytesIO(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])))
    picture.seek(1)
    np.testing.assert_array_equal(decode(contents(picture, field="image")), 255 - PIXELS)


def test_metadata_of_a_modified_image_is_kept() -> None:
    """The gamma of a PNG, and the photometric interpretation of a TIFF."""
    chunks = PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", 100_000))
    picture = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), pnginfo=chunks)))
    sent = decode_photo(contents(picture.resize((9, 9)), field="image"))
    assert [notice.code for notice in sent.warnings] == ["colour-profile"]
    white = Image.open(io.BytesIO(FILES["0 is white"]))
    white.putpixel((0, 0), 0)
    pixels = decode(contents(white, field="image"))
    assert pixels[0, 0, 0] == 255
    np.testing.assert_array_equal(pixels[1:], decode(FILES["0 is white"])[1:])


def test_a_cmyk_image_is_sent_as_tiff() -> None:
    picture = Image.fromarray(PIXELS).convert("CMYK")
    expected = decode(encoded(picture, "TIFF"))
    np.testing.assert_array_equal(decode(image_to_wire(picture).encoded), expected)


class TextFile(io.StringIO):
    """A file opened in text mode."""


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("https://example.org/a.jpg", "'https://example.org/a.jpg' is a URL; .*: download the file"),
        (TextFile("text"), "photo: the file is open in text mode; open it in binary mode: open"),
        (io.BytesIO(b""), "photo: the open file is at its end; rewind it: file.seek"),
        (None, "photo is of type NoneType; allowed: bytes, a path, a file opened in binary mode, or a"),
        (7, "photo is of type int; allowed:"),
        ("a\0b", "cannot be read: embedded null byte"),
        (Image.new("F", (4, 4)), "photo is a picture of mode 'F'; allowed: 1, CMYK, HSV"),
    ],
)
def test_a_value_that_is_not_a_file_is_rejected_with_advice(file: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        contents(file, field="photo")
    assert refusal.value.field == "photo"


def test_a_closed_file_is_rejected() -> None:
    file = io.BytesIO(b"data")
    file.close()
    with pytest.raises(InputError, match="image: the open file cannot be read: I/O operation on closed file"):
        contents(file, field="image")


def test_a_truncated_image_is_rejected() -> None:
    picture = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS).resize((300, 300)))[:2000]))
    with pytest.raises(InputError, match="image: the picture cannot be read: "):
        contents(picture, field="image")


@pytest.mark.parametrize("file", [bytearray(b"a"), io.BytesIO(b"a"), Image.new("L", (4, 4)), Path("a")])
def test_one_file_is_not_a_list_of_files(file: Any) -> None:
    assert is_file(file)
    assert not is_file([file])
