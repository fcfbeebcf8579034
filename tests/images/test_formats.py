"""Tests of the identification of files by their first bytes, and of the advice for unsupported ones."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.formats import (
    HEAD_BYTES,
    FileKind,
    identify,
    missing_library,
    photo_suffixes,
    readable_formats,
)

PNG_HEAD = b"\x89PNG\r\n\x1a\n" + bytes(24)
JPEG_HEAD = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(30)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    """Return the first box of a file of the ISO base media format."""
    brands = major + bytes(4) + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4) + b"ftyp" + brands + b"\0\0\0\x20meta"


def identified(data: bytes) -> FileKind:
    kind = identify(data)
    assert kind is not None
    return kind


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_supported_formats_are_identified_by_their_first_bytes(
    name: Any, encoded: Callable[..., bytes], noise: Callable[..., Any]
) -> None:
    kind = identified(encoded(noise(20, 30), name)[:64])
    assert (kind.format, kind.image, kind.advice) == (name, name, "")
    assert name in readable_formats()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ftyp(b"avif", b"avif", b"mif1", b"miaf"), "AVIF"),
        (ftyp(b"avis", b"avif", b"msf1"), "AVIF"),
        (ftyp(b"mif1", b"mif1", b"avif"), "AVIF"),
        (ftyp(b"heic", b"mif1", b"heic"), "HEIC"),
        (ftyp(b"mif1", b"mif1", b"heic"), "HEIC"),
        (ftyp(b"mif1"), "HEIC"),
        (ftyp(b"hevc", b"msf1"), "HEIC"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
    ],
)
def test_variants_of_image_formats_are_identified(data: bytes, name: str) -> None:
    assert identified(data).format == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ftyp(b"mp42", b"isom"), "a video (MP4 or QuickTime)"),
        (ftyp(b"qt  "), "a video (MP4 or QuickTime)"),
        (ftyp(b"crx ", b"isom"), "a camera raw file"),
        (ftyp(b"jp2 "), "a JPEG 2000 image"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera raw file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0\x10\x10", "a Windows icon"),
        (b"%PDF-1.7", "a PDF document"),
        (b"P6 1 1 255 abc", "a Netpbm image"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\3\4\x14\0", "a ZIP archive"),
        (bytes(64), "a file of zeros"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab",
            "a Git LFS pointer, not the file itself",
        ),
        (b"\xef\xbf\xbdPNG\r\n\x1a\n", "an image that was copied as text"),
        (b"\xef\xbf\xbd" * 4 + b"\0\x10JFIF", "an image that was copied as text"),
        (b"\0\x05\x16\x07\0\2", "macOS metadata of a file (._NAME)"),
        (b"<svg xmlns='a'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg>", "an SVG drawing"),
        (b"\n<!DOCTYPE html><html><body><svg/>", "an HTML page"),
        (b"<?xml version='1.0'?><rss/>", "an XML document"),
        (b"data:image/png;base64,iVBORw0KGgo", "a data URL"),
        (b'"data:image/svg+xml,%3Csvg', "a data URL"),
        (b"https://example.org/cat.jpg", "a URL"),
        (base64.b64encode(PNG_HEAD), "base64 text of a PNG file"),
        (base64.encodebytes(JPEG_HEAD * 9), "base64 text of a JPEG file"),
        (base64.urlsafe_b64encode(JPEG_HEAD), "base64 text of a JPEG file"),
    ],
)
def test_unsupported_files_are_rejected_by_name_with_advice(data: bytes, name: str) -> None:
    kind = identified(data)
    assert (kind.name, kind.format) == (name, None)
    assert kind.advice
    with pytest.raises(InputError) as caught:
        decode(data, field="image.encoded")
    allowed = ", ".join(readable_formats())
    assert caught.value.message == f"image.encoded is {name}; allowed: {allowed}; {kind.advice}"
    assert caught.value.field == "image.encoded"


@pytest.mark.parametrize(
    "data", [b"BMW 320\nBMW 520 with more", "Grüße".encode(), "Grüße".encode("utf-16"), b"x"]
)
def test_text_is_rejected_as_text(data: bytes) -> None:
    assert identified(data).name == "a text file"
    message = f"image is not an image: it starts with {data[:8].hex(' ')}, like text; allowed: JPEG"
    with pytest.raises(InputError, match=message):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"\1\2\3", b"\xc3\x28 x", b"ABCDEFGH" * 3 + b"\0"])
def test_unknown_bytes_are_not_identified(data: bytes) -> None:
    assert identify(data) is None


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_accepted_and_only_the_first_ones_matter(data: bytes) -> None:
    kind = identify(data)
    assert kind is None or kind.format or kind.advice
    assert identify(data + b"\n" * (HEAD_BYTES - len(data)) + b"\xff") == identify(
        data + b"\n" * (HEAD_BYTES - len(data))
    )


def test_photo_suffixes_cover_all_readable_formats_in_lower_case() -> None:
    assert {".jfif", ".jpe", ".avif"} <= photo_suffixes()
    assert all(suffix == suffix.lower() for suffix in photo_suffixes())


def test_the_advice_for_a_missing_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.images.formats.readable_formats", lambda: ("JPEG", "PNG"))
    heic, avif = identified(ftyp(b"heic")), identified(ftyp(b"avif"))
    assert missing_library(heic) == "install zfscope[heic] where photos are decoded, or convert to JPEG"
    assert missing_library(avif) == "install a Pillow build with AVIF support, or convert to JPEG or PNG"
    assert missing_library(identified(PNG_HEAD)) == ""


def test_an_avif_photo_is_decoded_upright(encoded: Callable[..., bytes]) -> None:
    y, x = np.mgrid[:40, :60]
    photo = np.stack([x * 4, y * 6, x + y], axis=-1).astype(np.uint8)
    data = encoded(photo, "AVIF", quality=95)
    np.testing.assert_allclose(decode(data).astype(int), photo.astype(int), atol=12)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(photo, "AVIF", quality=95, exif=exif))
    np.testing.assert_allclose(turned.astype(int), np.rot90(photo, -1).astype(int), atol=12)


def test_a_heic_photo_is_decoded_with_the_extra(encoded: Callable[..., bytes]) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    y, x = np.mgrid[:40, :60]
    photo = np.stack([x * 4, y * 6, x + y], axis=-1).astype(np.uint8)
    file = heif.from_pillow(Image.fromarray(photo))
    assert "HEIC" in readable_formats()
    data = save_heif(file)
    assert identified(data).format == "HEIC"
    np.testing.assert_allclose(decode(data).astype(int), photo.astype(int), atol=16)


def save_heif(heif: Any) -> bytes:
    import io

    file = io.BytesIO()
    heif.save(file, quality=95)
    return file.getvalue()
