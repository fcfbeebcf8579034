"""What a file is by its first bytes: for files whose suffix does not say that they are photos."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from zfscope.datasets.passed_over import OTHER
from zfscope.images.decode import SUFFIXES, format_of

# All that is read of a file while it is listed.
HEAD_BYTES = 64

_CONVERT = "convert them to JPEG or PNG"
_OTHER_FORMATS: Mapping[str, re.Pattern[bytes]] = {
    "HEIC": re.compile(rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb".{4}ftypavi[fs]", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", re.DOTALL),
    "Photoshop": re.compile(rb"8BPS"),
    "SVG": re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg"),
}
# Raw files of cameras begin as TIFF files do, and hold a thumbnail as their first picture.
_CAMERA_RAW = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw"
    r"|x3f)",
    re.IGNORECASE,
)
# "BM" is two letters of text as well: the sizes that the header behind it can have in a BMP.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


class Refusal(NamedTuple):
    """A file that is not a photo: its kind, and what to do about it."""

    kind: str
    advice: str = ""


def has_photo_suffix(name: str) -> bool:
    """Return whether a file is taken for a photo by its name alone."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def refusal_of(name: str, head: bytes) -> Refusal | None:
    """Return why a file is not a photo, None where it is one.

    head: its first HEAD_BYTES, which decide unless the name is that of a camera's raw file.
    """
    if _CAMERA_RAW.fullmatch(PurePosixPath(name).suffix):
        return Refusal("camera raw", _CONVERT)
    known = format_of(head)
    if known and (known != "BMP" or int.from_bytes(head[14:18], "little") in _BMP_HEADERS):
        return None
    kind = next((kind for kind, start in _OTHER_FORMATS.items() if start.match(head)), OTHER)
    return Refusal(kind, "" if kind == OTHER else _CONVERT)
