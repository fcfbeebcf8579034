"""Colour spaces declared by files. None is applied, so those that differ from sRGB get a warning."""

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from PIL import Image
from PIL.ExifTags import IFD, Base

from zfscope.images.av1 import BmffBox, read_boxes
from zfscope.images.chunks import png_code_points
from zfscope.results import Notice

_HEADER_BYTES = 128
_MAX_TAGS = 100
_MAX_NAME = 60
_TAG = struct.Struct(">4sII")
_XYZ = struct.Struct(">8x3i")
# Primaries of sRGB (IEC 61966-2-1, adapted to D50), and the tolerance for rounding in profiles.
_PRIMARIES: Mapping[bytes, tuple[float, float, float]] = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_TOLERANCE = 0.01
_NCLX = b"nclx"
# Range of gamma exponents that are close to sRGB, which is about 2.2.
_GAMMAS = (1.8, 2.6)
# gAMA and cHRM of a PNG in sRGB; cHRM is x and y of white, red, green and blue.
_SRGB_GAMMA = 0.45455
_CHROMATICITIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# Code points of ITU-T H.273: primaries of BT.709 and sRGB; transfer functions of these, BT.601 and BT.2020.
_BT709, _SRGB_CURVES, _UNSPECIFIED = 1, (1, 6, 13, 14, 15), 2
_NAMES: tuple[Mapping[int, str], Mapping[int, str]] = (
    {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"},
    {4: "gamma 2.2", 5: "gamma 2.8", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG"},
)
# Formats with boxes of ISO/IEC 23008-12; Pillow names HEIC after its container, HEIF.
_NCLX_FORMATS = ("AVIF", "HEIF", "HEIC")
# EXIF ColorSpace for anything but sRGB, and the tag of the interoperability index (R03 for Adobe RGB).
_UNCALIBRATED, _INTEROP_INDEX = 65535, 1


class IccProfile(NamedTuple):
    """ICC profile. name: its description. is_srgb: whether its colours match sRGB; True for grey."""

    name: str
    is_srgb: bool


def colour_notices(image: Image.Image, data: bytes, field: str) -> tuple[Notice, ...]:
    """Return a warning for colours that are decoded inaccurately: CMYK, and colour spaces other than sRGB.

    image: loaded image. data: bytes of its file.
    """
    if image.mode == "CMYK":
        message = "CMYK was converted without its colour profile, so colours are approximate; convert to sRGB"
        return (Notice("colour-profile", message, field),)
    space = _non_srgb_space(image, data)
    if space is None:
        return ()
    message = f"{space} was not applied: colours were read as sRGB; convert to sRGB"
    return (Notice("colour-profile", message, field),)


def _non_srgb_space(image: Image.Image, data: bytes) -> str | None:
    """Describe the colour space of a file if it differs from sRGB, else return None.

    Of several declarations the first counts, in this order: cICP, ICC profile, nclx; sRGB, gAMA and cHRM of a
    PNG; EXIF.
    """
    points = png_code_points(data) if image.format == "PNG" else None
    if points is not None:
        return None if _is_srgb(*points) else f"the cICP colour space {_describe_code_points(points)}"
    if "icc_profile" in image.info:
        return _non_srgb_profile(image.info["icc_profile"])
    points = nclx_code_points(data) if image.format in _NCLX_FORMATS else None
    if points is not None:
        return None if _is_srgb(*points) else f"the nclx colour space {_describe_code_points(points)}"
    if image.format == "PNG" and not image.info.keys().isdisjoint({"srgb", "gamma", "chromaticity"}):
        return _non_srgb_chunks(image.info)
    return _non_srgb_exif(image)


def _is_srgb(primaries: int, curve: int) -> bool:
    return primaries in (_BT709, _UNSPECIFIED) and curve in (*_SRGB_CURVES, _UNSPECIFIED)


def _describe_code_points(points: tuple[int, int]) -> str:
    """Return code points with their common names, such as `9/16 (BT.2020, PQ)`."""
    names = [table[point] for table, point in zip(_NAMES, points, strict=True) if point in table]
    return f"{points[0]}/{points[1]}" + (f" ({', '.join(names)})" if names else "")


def _non_srgb_profile(data: bytes | None) -> str | None:
    profile = read_profile(data) if data else None
    if profile is None:
        return "a damaged colour profile"
    return None if profile.is_srgb else f"the colour profile '{profile.name}'"


def _non_srgb_chunks(info: Mapping[Any, Any]) -> str | None:
    """Describe gAMA or cHRM of a PNG if they differ from sRGB and the PNG does not declare sRGB."""
    if "srgb" in info:
        return None
    gamma = float(info.get("gamma") or _SRGB_GAMMA)  # viewers ignore 0, which is invalid
    if not _GAMMAS[0] <= 1 / gamma <= _GAMMAS[1]:
        return f"the gAMA value {gamma:.5g}"
    values = info.get("chromaticity", _CHROMATICITIES)
    if any(abs(a - b) > _TOLERANCE for a, b in zip(values, _CHROMATICITIES, strict=True)):
        return "the cHRM colour space"
    return None


def _non_srgb_exif(image: Image.Image) -> str | None:
    """Describe the colour space of EXIF if it is Adobe RGB (interoperability index) or not sRGB."""
    try:
        exif = image.getexif()
        space = exif.get_ifd(IFD.Exif).get(Base.ColorSpace)
        index = exif.get_ifd(IFD.Interop).get(_INTEROP_INDEX)
    except Exception:  # a readable photo is accepted even if its EXIF data is broken
        return None
    if isinstance(index, str) and index.startswith("R03"):
        return "the EXIF colour space (Adobe RGB)"
    return "the EXIF colour space (not sRGB)" if space == _UNCALIBRATED else None


def read_profile(data: bytes) -> IccProfile | None:
    """Parse an ICC profile; return None if the bytes are not a profile or are truncated."""
    if len(data) < _HEADER_BYTES + 4 or data[36:40] != b"acsp" or len(data) < int.from_bytes(data[:4]):
        return None
    tags = _read_tags(data)
    name = _profile_name(tags.get(b"desc", b"")) or "unnamed"
    if data[16:20] == b"GRAY":
        return IccProfile(name, True)
    if _PRIMARIES.keys() <= tags.keys():
        return IccProfile(name, _has_srgb_primaries(tags) and _may_be_srgb_curve(tags.get(b"rTRC", b"")))
    # Profiles of lookup tables can only be identified by name.
    return IccProfile(name, "srgb" in name.lower())


def _read_tags(data: bytes) -> dict[bytes, bytes]:
    """Return the content of each tag of a profile, up to 4096 bytes."""
    count = min(int.from_bytes(data[_HEADER_BYTES : _HEADER_BYTES + 4]), _MAX_TAGS)
    table = data[_HEADER_BYTES + 4 :][: count * _TAG.size]
    entries = _TAG.iter_unpack(table[: len(table) // _TAG.size * _TAG.size])
    return {name: data[offset : offset + min(size, 4096)] for name, offset, size in entries}


def _has_srgb_primaries(tags: Mapping[bytes, bytes]) -> bool:
    """Return whether the primaries match sRGB up to rounding."""
    for name, expected in _PRIMARIES.items():
        if len(tags[name]) < _XYZ.size:
            return False
        values = (value / 65536 for value in _XYZ.unpack_from(tags[name]))
        if any(abs(a - b) > _TOLERANCE for a, b in zip(values, expected, strict=True)):
            return False
    return True


def _may_be_srgb_curve(curve: bytes) -> bool:
    """Return whether a curve may be that of sRGB: a table, formula or similar exponent, but not linear."""
    kind, count = curve[:4], int.from_bytes(curve[8:12])
    if kind == b"curv" and count == 0:
        return False
    if kind == b"curv" and count == 1:
        return _GAMMAS[0] <= int.from_bytes(curve[12:14]) / 256 <= _GAMMAS[1]
    if kind == b"para":
        return _GAMMAS[0] <= int.from_bytes(curve[12:16]) / 65536 <= _GAMMAS[1]
    return True


def _profile_name(description: bytes) -> str:
    """Return the printable name of a profile; it is ASCII in version 2 and UTF-16 in version 4."""
    if description[:4] == b"mluc":
        length, offset = (int.from_bytes(description[position : position + 4]) for position in (20, 24))
        text = description[offset : offset + min(length, 2 * _MAX_NAME)].decode("utf-16-be", "ignore")
    else:
        length = int.from_bytes(description[8:12])
        text = description[12 : 12 + min(length, _MAX_NAME)].decode("ascii", "ignore")
    return "".join(character for character in text if character.isprintable()).strip()


def nclx_code_points(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer function of the primary image of an AVIF or HEIC; None if not declared.

    They are code points of ITU-T H.273 (nclx, ISO/IEC 14496-12). Other images of the file, such as a
    thumbnail or gain map, may declare other colours.
    """
    try:
        return _primary_code_points(data, read_boxes(data))
    except (IndexError, ValueError):
        return None


def _primary_code_points(data: bytes, boxes: list[BmffBox]) -> tuple[int, int] | None:
    container = next((box for box in boxes if box.kind == b"ipco"), None)
    if container is None:
        return None
    properties = [box for box in boxes if container.start < box.start <= container.end]
    for number in _primary_properties(data, boxes):
        box = properties[number - 1]
        if box.kind == b"colr" and data[box.start : box.start + 4] == _NCLX:
            return _uint16(data, box.start + 4), _uint16(data, box.start + 6)
    return None


def _primary_properties(data: bytes, boxes: list[BmffBox]) -> list[int]:
    """Return the property numbers, from 1, of the primary image."""
    primary = next(
        (_read_item_id(data, box.start + 4, data[box.start]) for box in boxes if box.kind == b"pitm"), None
    )
    for box in boxes:
        if box.kind == b"ipma":
            properties = _item_properties(data[box.start : box.end])
            if primary in properties:
                return properties[primary]
    return []


def _item_properties(content: bytes) -> dict[int, list[int]]:
    """Return the property numbers of each item by its ID."""
    version, wide = content[0], content[3] & 1
    properties, position = dict[int, list[int]](), 8
    for _ in range(int.from_bytes(content[4:8])):
        item = _read_item_id(content, position, version)
        position += 4 if version else 2
        count, position = content[position], position + 1
        # The highest bit marks essential properties.
        if wide:
            numbers = [_uint16(content, position + 2 * index) & 0x7FFF for index in range(count)]
        else:
            numbers = [content[position + index] & 0x7F for index in range(count)]
        position += count << wide
        properties[item] = [number for number in numbers if number]
    return properties


def _read_item_id(data: bytes, position: int, version: int) -> int:
    return int.from_bytes(data[position : position + (4 if version else 2)])


def _uint16(data: bytes, position: int) -> int:
    return data[position] << 8 | data[position + 1]
