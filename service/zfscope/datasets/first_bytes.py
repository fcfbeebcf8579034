"""What a file is by its first bytes: for files whose suffix does not say that they are photos."""

import posixpath
import re
from typing import NamedTuple

from zfscope.datasets.passed_over import BACKUP, OTHER, OWN
from zfscope.images.chunks import is_zfscope_picture
from zfscope.images.formats import RAW_ADVICE, identify, missing_library, photo_suffixes, readable_formats

# Raw files of cameras begin as TIFF files do, and hold a thumbnail as their first picture.
_CAMERA_RAW = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw"
    r"|x3f)",
    re.IGNORECASE,
)
_PNG = ".png"
_NAME_IT = "to use them, name them, or list them in a file"

# Names of an editor's or a tool's copy of a file: x.jpg~, x.jpg.~1~, x.jpg.bak, x.jpg.orig, #x.jpg#.
_BACKUP = re.compile(r".*(~|\.(bak|backup|old|orig|save|sav|swo|swp))|#.*#", re.IGNORECASE | re.DOTALL)


class Refusal(NamedTuple):
    """A file that is not a photo: its kind, and what to do about it."""

    kind: str
    advice: str = ""


def has_photo_suffix(name: str) -> bool:
    """Return whether a file's name is that of a photo."""
    return posixpath.splitext(name)[1].lower() in photo_suffixes()


def is_photo_by_name(name: str) -> bool:
    """Return whether a file is taken for a photo by its name alone; a PNG may be a picture of zfscope."""
    return has_photo_suffix(name) and not name.lower().endswith(_PNG)


def refusal_of(name: str, head: bytes) -> Refusal | None:
    """Return why a file is not a photo, None where it is one.

    head: its first HEAD_BYTES, which decide unless the name is that of a photo or of a camera's raw file.
    """
    if is_zfscope_picture(head):
        return Refusal(OWN, _NAME_IT)
    if has_photo_suffix(name):
        return None
    if _CAMERA_RAW.fullmatch(posixpath.splitext(name)[1]):
        return Refusal("camera raw", RAW_ADVICE)
    kind = identify(head)
    if kind is None:
        return Refusal(OTHER)
    if kind.format in readable_formats():
        return Refusal(BACKUP) if _BACKUP.fullmatch(posixpath.basename(name)) else None
    return Refusal(kind.image, kind.advice or missing_library(kind)) if kind.image else Refusal(OTHER)
