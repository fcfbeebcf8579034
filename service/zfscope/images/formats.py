"""Identification of files by their first bytes: supported image formats, and advice for everything else."""

import base64
import codecs
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from PIL import features

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"]

# Number of bytes at the start of a file that `identify` uses; with fewer, it may not recognise a format.
HEAD_BYTES = 1024

_SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
}


@dataclass(frozen=True)
class FileKind:
    """Kind of a file.

    name: name with its article, for messages. advice: how to get a supported image from the file.
    format: format in which `decode` reads it; None if it cannot. image: name of the image format in counts of
    files, such as `JPEG XL`; empty if the file is not an image.
    """

    name: str
    advice: str = ""
    format: Format | None = None
    image: str = ""


_CONVERT_ADVICE = "convert to JPEG or PNG"
_SEND_ADVICE = "send an image instead"
_UNPACK_ADVICE = "unpack it and send the images"
_FRAME_ADVICE = "save a frame as JPEG or PNG"
RAW_ADVICE = "develop it to JPEG or PNG, or use the camera's JPEG"
_CAMERA_RAW = "a camera raw file"
_RENDER_ADVICE = "render to PNG"
_BASE64_ADVICE = "decode it to bytes: base64.b64decode in Python, base64 -d in a shell"
_LOST_ADVICE = "the data is lost; copy the original again in binary mode"
_HEIC_ADVICE = "install zfscope[heic] where photos are decoded, or convert to JPEG"


class _Signature(NamedTuple):
    pattern: re.Pattern[bytes]
    kind: FileKind


def _readable(pattern: bytes, image_format: Format) -> _Signature:
    """Return a table row for a supported format. A dot in a pattern matches any byte."""
    return _Signature(
        re.compile(pattern, re.DOTALL), FileKind(f"a {image_format} file", "", image_format, image_format)
    )


def _unreadable_image(pattern: bytes, name: str, image: str, advice: str = _CONVERT_ADVICE) -> _Signature:
    """Return a table row for an unsupported image format."""
    return _Signature(re.compile(pattern, re.DOTALL), FileKind(name, advice, None, image))


def _not_an_image(pattern: bytes, name: str, advice: str) -> _Signature:
    """Return a table row for a file that is not an image."""
    return _Signature(re.compile(pattern, re.DOTALL), FileKind(name, advice))


# The first match counts: camera raw files start like a TIFF, so they come first.
_SIGNATURES = (
    _readable(rb"\xff\xd8\xff", "JPEG"),
    _readable(rb"\x89PNG\r\n\x1a\n", "PNG"),
    _readable(rb"RIFF.{4}WEBP", "WEBP"),
    _readable(rb"GIF8[79]a", "GIF"),
    _unreadable_image(
        rb"(II\*\0|MM\0\*).{4}CR|IIU\0|IIR[OS]|MMOR|FUJIFILMCCD-RAW|FOVb",
        _CAMERA_RAW,
        "camera raw",
        RAW_ADVICE,
    ),
    _unreadable_image(rb"II\xbc\x01", "a JPEG XR image", "JPEG XR"),
    _readable(rb"II[*+]\0|MM\0[*+]", "TIFF"),
    _unreadable_image(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 image", "JPEG 2000"),
    _unreadable_image(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "a JPEG XL image", "JPEG XL"),
    _unreadable_image(rb"8BPS", "a Photoshop document", "Photoshop"),
    _unreadable_image(rb"gimp xcf ", "a GIMP document", "GIMP"),
    _unreadable_image(rb"\0\0[\x01\x02]\0[^\0]\0", "a Windows icon", "icon"),
    _unreadable_image(rb"icns", "a macOS icon", "icon"),
    _unreadable_image(rb"P[1-6]\s+[#\d]|P7\n|P[Ff]\n", "a Netpbm image", "Netpbm"),
    _unreadable_image(rb"\x76\x2f\x31\x01", "an OpenEXR image", "OpenEXR"),
    _unreadable_image(rb"#\?RADIANCE|#\?RGBE", "a Radiance HDR image", "Radiance HDR"),
    _unreadable_image(
        rb"DDS |qoif|BPG\xfb|FLIF|\x0a[\x02-\x05]\x01", "an image of an unsupported format", "image"
    ),
    _unreadable_image(rb".{128}DICM", "a DICOM file", "DICOM", _RENDER_ADVICE),
    _unreadable_image(rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", "PostScript", _RENDER_ADVICE),
    _unreadable_image(
        rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a Windows metafile", "Windows metafile", _RENDER_ADVICE
    ),
    _not_an_image(rb"%PDF-", "a PDF document", "render a page to PNG"),
    _not_an_image(
        rb"SIMPLE  =|\x89HDF|CDF[\x01\x02\x05]", "scientific data (FITS, HDF5 or NetCDF)", _RENDER_ADVICE
    ),
    _not_an_image(rb"\x93NUMPY", "a NumPy array", "load it and send pixels or a tensor"),
    _not_an_image(rb"\x1a\x45\xdf\xa3", "a Matroska or WebM video", _FRAME_ADVICE),
    _not_an_image(rb"RIFF.{4}AVI |\0\0\x01[\xb3\xba]|FLV\x01|0&\xb2u", "a video", _FRAME_ADVICE),
    _not_an_image(rb"RIFF.{4}WAVE|ID3|OggS|fLaC|MThd", "a sound file", _SEND_ADVICE),
    _not_an_image(rb"\x1f\x8b", "a gzip file", _UNPACK_ADVICE),
    _not_an_image(rb"PK(\x03\x04|\x05\x06)", "a ZIP archive", _UNPACK_ADVICE),
    _not_an_image(
        rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar", "an archive", _UNPACK_ADVICE
    ),
    _not_an_image(rb"\x7fELF|MZ|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "a program", _SEND_ADVICE),
    _not_an_image(rb"\0\x05\x16[\0\x07]", "macOS metadata of a file (._NAME)", "send the file itself"),
    _not_an_image(rb"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"),
    _not_an_image(
        rb"\xef\xbf\xbdPNG|(\xef\xbf\xbd){3}|\x89PNG\n", "an image that was copied as text", _LOST_ADVICE
    ),
    _not_an_image(rb"\0{64}", "a file of zeros", _LOST_ADVICE),
    # Text can start with "BM" as well; in a BMP, the size of the second header, below 256, follows.
    _readable(rb"BM.{12}[\x0c-\x7c]\0\0\0", "BMP"),
)

# Brands of the ISO base media file format, whose files all start with the same box.
_BRANDS: tuple[tuple[frozenset[bytes], FileKind], ...] = (
    (frozenset({b"avif", b"avis"}), FileKind("an AVIF file", "", "AVIF", "AVIF")),
    (
        frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}),
        FileKind("a HEIC file", "", "HEIC", "HEIC"),
    ),
    (frozenset({b"crx "}), FileKind(_CAMERA_RAW, RAW_ADVICE, image="camera raw")),
    (
        frozenset({b"jp2 ", b"jpx ", b"jph "}),
        FileKind("a JPEG 2000 image", _CONVERT_ADVICE, image="JPEG 2000"),
    ),
    (frozenset({b"jxl "}), FileKind("a JPEG XL image", _CONVERT_ADVICE, image="JPEG XL")),
)
PLAIN_TEXT = FileKind("a text file", _SEND_ADVICE)
_VIDEO = FileKind("a video (MP4 or QuickTime)", _FRAME_ADVICE)

_DATA_URL = re.compile(rb"data:[\w/+.-]*[;,]", re.IGNORECASE)
_URL = re.compile(rb"(https?|ftp|file|s3|gs)://", re.IGNORECASE)
_MARKUP = re.compile(
    rb"<(?P<svg>svg[\s>]|!doctype svg)|<(!doctype html|html|head|body|script|title|meta)\b", re.IGNORECASE
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_CONTROL_CHARACTERS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def identify(head: bytes) -> FileKind | None:
    """Identify a file by its first HEAD_BYTES; return None if they match nothing known.

    A result with a `format` means that the file starts like this format; it may still be damaged.
    """
    head = head[:HEAD_BYTES]
    if head[4:8] == b"ftyp":
        return _identify_brand(head)
    for signature in _SIGNATURES:
        if signature.pattern.match(head):
            return signature.kind
    return _identify_text(head)


@cache
def photo_suffixes() -> frozenset[str]:
    """Return the file name suffixes of the readable formats, in lower case.

    Files with another suffix or none may be photos, too: see `identify`.
    """
    return frozenset(suffix for image_format in readable_formats() for suffix in _SUFFIXES[image_format])


@cache
def readable_formats() -> tuple[Format, ...]:
    """Return the formats that this environment can decode; AVIF and HEIC each need a library."""
    formats: list[Format] = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
    if features.check("avif"):
        formats.append("AVIF")
    if importlib.util.find_spec("pillow_heif"):
        formats.append("HEIC")
    return tuple(formats)


def missing_library(kind: FileKind) -> str:
    """Return advice on how to make an image format readable; empty if it already is."""
    if kind.format is None or kind.format in readable_formats():
        return ""
    if kind.format == "HEIC":
        return _HEIC_ADVICE
    return f"install a Pillow build with {kind.format} support, or {_CONVERT_ADVICE}"


def _identify_brand(head: bytes) -> FileKind:
    """Identify a file of the ISO base media format by its major brand, else by a compatible one."""
    size = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[position : position + 4] for position in range(16, size - 3, 4))]
    generic = {b"mif1", b"msf1"}  # images of any codec; another brand names the codec
    for brand in [*(brand for brand in brands if brand not in generic), *generic & set(brands)]:
        for known, kind in _BRANDS:
            if brand in known:
                return kind
    return _VIDEO


def _identify_text(head: bytes) -> FileKind | None:
    """Identify text: a data URL, URL, base64 of an image, markup or plain text; None if it is not text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n\"'")
    if not text or _CONTROL_CHARACTERS.search(text):
        return None
    for pattern, kind in (
        (_DATA_URL, FileKind("a data URL", f"take the part after the comma; {_BASE64_ADVICE}")),
        (_URL, FileKind("a URL", "fetch it and send the bytes")),
    ):
        if pattern.match(text):
            return kind
    return _identify_base64(text) or _identify_markup(text)


def _identify_base64(text: bytes) -> FileKind | None:
    joined = re.sub(rb"\s", b"", text.rstrip(b"\"'\r\n"))
    if not _BASE64.fullmatch(joined):
        return None
    unpadded = joined.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    kind = identify(base64.b64decode(unpadded[: len(unpadded) // 4 * 4]))
    if kind is None or not kind.format:
        return None
    return FileKind(f"base64 text of {kind.name}", _BASE64_ADVICE)


def _identify_markup(text: bytes) -> FileKind | None:
    if text.startswith(b"<"):
        if match := _MARKUP.search(text):
            page = FileKind("an HTML page", "fetch the image itself")
            return FileKind("an SVG drawing", _RENDER_ADVICE, image="SVG") if match["svg"] else page
        return FileKind("an XML document", _SEND_ADVICE)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)  # the last character may be truncated
    except UnicodeDecodeError:
        return None
    return PLAIN_TEXT
