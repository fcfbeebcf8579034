"""Embedded colour profiles: none is applied, so one that differs from sRGB is worth a warning."""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from PIL import Image

from zfscope.results import Notice

_HEADER_BYTES = 128
_MAX_TAGS = 100
_MAX_NAME = 60
_TAG = struct.Struct(">4sII")
_XYZ = struct.Struct(">8x3i")
# Where sRGB's primaries lie (IEC 61966-2-1, adapted to D50), and how far rounding moves them in profiles.
_PRIMARIES: Mapping[bytes, tuple[float, float, float]] = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_TOLERANCE = 0.01
# A curve of one exponent: those near sRGB's own, about 2.2.
_GAMMAS = (1.8, 2.6)


class Profile(NamedTuple):
    """An ICC profile: what it calls itself, and whether its colours are those of sRGB, or grey."""

    name: str
    like_srgb: bool


def colour_notices(image: Image.Image, field: str) -> tuple[Notice, ...]:
    """Return a warning for colours that are not shown as they are meant: CMYK, and profiles unlike sRGB."""
    if image.mode == "CMYK":
        message = "CMYK was converted without its profile, so colours are approximate; convert to sRGB"
        return (Notice("colour-profile", message, field),)
    data = image.info.get("icc_profile")
    profile = read_profile(data) if isinstance(data, bytes) else None
    if profile is None or profile.like_srgb:
        return ()
    message = (
        f"the colour profile '{profile.name}' was not applied: colours were read as sRGB; convert to sRGB"
    )
    return (Notice("colour-profile", message, field),)


def read_profile(data: bytes) -> Profile | None:
    """Read an ICC profile, None for bytes that are none; no more of it than its name, primaries and curve."""
    if len(data) < _HEADER_BYTES + 4 or data[36:40] != b"acsp":
        return None
    tags = _tags(data)
    name = _name(tags.get(b"desc", b"")) or "unnamed"
    if data[16:20] == b"GRAY":
        return Profile(name, True)
    if _PRIMARIES.keys() <= tags.keys():
        return Profile(name, _has_primaries(tags) and _has_curve(tags.get(b"rTRC", b"")))
    return Profile(name, "srgb" in name.lower())  # colour tables: only the name identifies them


def _tags(data: bytes) -> dict[bytes, bytes]:
    """Return the contents of a profile's tags that lie inside of it."""
    count = min(int.from_bytes(data[_HEADER_BYTES : _HEADER_BYTES + 4]), _MAX_TAGS)
    table = data[_HEADER_BYTES + 4 :][: count * _TAG.size]
    entries = _TAG.iter_unpack(table[: len(table) // _TAG.size * _TAG.size])
    return {name: data[offset : offset + min(size, 4096)] for name, offset, size in entries}


def _has_primaries(tags: Mapping[bytes, bytes]) -> bool:
    for name, wanted in _PRIMARIES.items():
        if len(tags[name]) < _XYZ.size:
            return False
        found = (value / 65536 for value in _XYZ.unpack_from(tags[name]))
        if any(abs(a - b) > _TOLERANCE for a, b in zip(found, wanted, strict=True)):
            return False
    return True


def _has_curve(curve: bytes) -> bool:
    """Return whether a curve may be sRGB's: a table, a formula, or an exponent near it, but not a line."""
    kind, count = curve[:4], int.from_bytes(curve[8:12])
    if kind == b"curv" and count == 0:
        return False
    if kind == b"curv" and count == 1:
        return _GAMMAS[0] <= int.from_bytes(curve[12:14]) / 256 <= _GAMMAS[1]
    if kind == b"para":
        return _GAMMAS[0] <= int.from_bytes(curve[12:16]) / 65536 <= _GAMMAS[1]
    return True


def _name(description: bytes) -> str:
    """Return what a profile calls itself, printable: in version 2 it is ASCII, in version 4 UTF-16."""
    if description[:4] == b"mluc":
        length, offset = (int.from_bytes(description[place : place + 4]) for place in (20, 24))
        text = description[offset : offset + min(length, 2 * _MAX_NAME)].decode("utf-16-be", "ignore")
    else:
        length = int.from_bytes(description[8:12])
        text = description[12 : 12 + min(length, _MAX_NAME)].decode("ascii", "ignore")
    return "".join(character for character in text if character.isprintable()).strip()
