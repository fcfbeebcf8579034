"""Files as callers have them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from zfscope.client.files import contents, is_file
from zfscope.client.requests import image_to_wire
from zfscope.errors import InputError
from zfscope.images.decode import decode

PIXELS = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_of_every_kind_are_sent_as_they_are(kind: Any) -> None:
    assert image_to_wire(kind(b"anything")).encoded == b"anything"


def test_every_second_byte_of_a_view_is_sent_as_such() -> None:
    assert contents(memoryview(b"abcdef")[::2], field="image") == b"ace"


def test_an_open_file_is_read_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"header photo")
    with (tmp_path / "a").open("rb") as file:
        assert contents(file, field="image") == b"header photo"
        file.seek(7)
        assert contents(file, field="image") == b"photo"


@pytest.mark.parametrize(
    ("mode", "decoded"), [("RGB", "RGB"), ("L", "L"), ("RGBA", "RGBA"), ("P", "RGB"), ("YCbCr", "RGB")]
)
def test_a_picture_of_pillow_is_sent_without_loss(mode: str, decoded: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    wanted = decode(encoded(picture if mode != "YCbCr" else picture.convert("RGB")))
    np.testing.assert_array_equal(decode(image_to_wire(picture).encoded), wanted)


def test_a_picture_gives_what_its_file_gives() -> None:
    """The orientation and the colour profile count, the other tags stay here."""
    tags = Image.Exif()
    tags[Base.Orientation], tags[Base.Artist] = 6, "me"
    file = encoded(Image.fromarray(PIXELS), "PNG", exif=tags)
    picture = Image.open(io.BytesIO(file))
    sent = image_to_wire(picture).encoded
    np.testing.assert_array_equal(decode(sent), decode(file))
    assert decode(sent).shape == (7, 5, 3)
    assert dict(Image.open(io.BytesIO(sent)).getexif()) == {Base.Orientation: 6}


def test_a_picture_of_printing_inks_is_sent_as_tiff() -> None:
    picture = Image.fromarray(PIXELS).convert("CMYK")
    wanted = decode(encoded(picture, "TIFF"))
    np.testing.assert_array_equal(decode(image_to_wire(picture).encoded), wanted)


class TextFile(io.StringIO):
    """A file that is open for text."""


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("https://example.org/a.jpg", "'https://example.org/a.jpg' is a URL, .*; fetch it yourself"),
        (TextFile("text"), "photo: the file is open for text; open it for bytes: open"),
        (io.BytesIO(b""), "photo: the open file is at its end; go back to its start: file.seek"),
        (None, "photo is a NoneType; allowed are bytes, a path, a file opened for reading bytes, or a"),
        (7, "photo is a int; allowed are"),
        ("a\0b", "cannot be read: embedded null byte"),
        (Image.new("F", (4, 4)), "photo is a picture of mode 'F'; allowed are 1, CMYK, HSV"),
    ],
)
def test_what_is_no_file_is_refused_with_what_to_do(file: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        contents(file, field="photo")
    assert refused.value.field == "photo"


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(b"data")
    file.close()
    with pytest.raises(InputError, match="image: the open file cannot be read: I/O operation on closed file"):
        contents(file, field="image")


def test_a_picture_that_is_cut_off_is_refused() -> None:
    picture = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS).resize((300, 300)))[:2000]))
    with pytest.raises(InputError, match="image: the picture cannot be read: "):
        contents(picture, field="image")


@pytest.mark.parametrize("one", [bytearray(b"a"), io.BytesIO(b"a"), Image.new("L", (4, 4)), Path("a")])
def test_one_file_is_not_a_list_of_files(one: Any) -> None:
    assert is_file(one)
    assert not is_file([one])
