"""Recognition of photos and other files by suffix and first bytes."""

import posixpath
import re
from typing import NamedTuple

from zfscope.datasets.skipped_files import BACKUP, OTHER, OWN
from zfscope.images.chunks import is_zfscope_picture
from zfscope.images.formats import RAW_ADVICE, identify, missing_library, photo_suffixes, readable_formats

# Camera raw files have the header of a TIFF, and contain a thumbnail as their first image.
_CAMERA_RAW = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw"
    r"|x3f)",
    re.IGNORECASE,
)
_PNG = ".png"
_OWN_ADVICE = "to use them, pass them by name or list them in a text file"

# Names of backup copies: x.jpg~, x.jpg.~1~, x.jpg.bak, x.jpg.orig, #x.jpg#.
_BACKUP = re.compile(r".*(~|\.(bak|backup|old|orig|save|sav|swo|swp))|#.*#", re.IGNORECASE | re.DOTALL)


class SkipReason(NamedTuple):
    """Kind of a file that is not a photo, and advice for the user."""

    kind: str
    advice: str = ""


def has_photo_suffix(name: str) -> bool:
    """Return whether a file name has the suffix of a photo format."""
    return posixpath.splitext(name)[1].lower() in photo_suffixes()


def is_photo_by_name(name: str) -> bool:
    """Return whether the suffix alone makes a file a photo; a PNG may be an image created by zfscope."""
    return has_photo_suffix(name) and not name.lower().endswith(_PNG)


def skip_reason(name: str, head: bytes) -> SkipReason | None:
    """Return why a file is not a photo; None if it is one.

    head: its first HEAD_BYTES. If the name has the suffix of a photo or a camera raw file, they only serve to
    recognise images created by zfscope.
    """
    if is_zfscope_picture(head):
        return SkipReason(OWN, _OWN_ADVICE)
    if has_photo_suffix(name):
        return None
    if _CAMERA_RAW.fullmatch(posixpath.splitext(name)[1]):
        return SkipReason("camera raw", RAW_ADVICE)
    kind = identify(head)
    if kind is None:
        return SkipReason(OTHER)
    if kind.format in readable_formats():
        return SkipReason(BACKUP) if _BACKUP.fullmatch(posixpath.basename(name)) else None
    return SkipReason(kind.image, kind.advice or missing_library(kind)) if kind.image else SkipReason(OTHER)
