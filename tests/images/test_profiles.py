"""Tests of the warnings for colour spaces other than sRGB, which are not applied."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from zfscope.images.decode import decode_photo
from zfscope.images.profiles import read_profile

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = {
    b"rXYZ": (0.5151, 0.2412, -0.0011),
    b"gXYZ": (0.2919, 0.6922, 0.0419),
    b"bXYZ": (0.1572, 0.0666, 0.7841),
}
PLAIN = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
GAMMA = b"curv" + bytes(4) + struct.pack(">IH", 1, 563)  # 2.2
LINE = b"curv" + bytes(8)


def profile(
    name: str,
    primaries: dict[bytes, tuple[float, float, float]],
    curve: bytes = GAMMA,
    space: bytes = b"RGB ",
) -> bytes:
    """Return an ICC profile with these tags."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + b"\0"}
    for tag, xyz in primaries.items():
        tags[tag] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in xyz))
    tags[b"rTRC"] = curve
    offset, table, contents = 132 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, offset + len(contents), len(content))
        contents += content + bytes(-len(content) % 4)
    head = bytes(16) + space + b"XYZ " + bytes(12) + b"acsp" + bytes(88)
    return head + struct.pack(">I", len(tags)) + table + contents


@pytest.mark.parametrize(
    ("data", "name", "is_srgb"),
    [
        (SRGB, "sRGB built-in", True),
        (profile("c2", PLAIN), "c2", True),
        (profile("Display P3", P3), "Display P3", False),
        (profile("linear", PLAIN, LINE), "linear", False),
        (
            profile("a gamma of 1", PLAIN, b"curv" + bytes(4) + struct.pack(">IH", 1, 256)),
            "a gamma of 1",
            False,
        ),
        (profile("sRGB v4 by tables", {}), "sRGB v4 by tables", True),
        (profile("a printer", {}), "a printer", False),
        (profile("Dot Gain 20%", {}, space=b"GRAY"), "Dot Gain 20%", True),
    ],
)
def test_srgb_is_recognised_by_primaries_and_curve_or_else_by_name(
    data: bytes, name: str, is_srgb: bool
) -> None:
    parsed = read_profile(data)
    assert parsed is not None
    assert (parsed.name, parsed.is_srgb) == (name, is_srgb)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: SRGB[:150] + tail))
def test_reading_any_bytes_as_a_profile_does_not_raise(data: bytes) -> None:
    parsed = read_profile(data)
    assert parsed is None or len(parsed.name) <= 60


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_photo_with_a_profile_other_than_srgb_gets_a_warning(
    name: str, encoded: Callable[..., bytes]
) -> None:
    picture = Image.fromarray(np.full((16, 16, 3), 90, np.uint8))
    photo = decode_photo(encoded(picture, name, icc_profile=profile("Display P3", P3)), field="image.encoded")
    (notice,) = photo.warnings
    assert (notice.code, notice.field) == ("colour-profile", "image.encoded")
    assert notice.message == (
        "the colour profile 'Display P3' was not applied: colours were read as sRGB; convert to sRGB"
    )
    assert decode_photo(encoded(picture, name, icc_profile=SRGB)).warnings == ()


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_gets_a_warning(name: str, encoded: Callable[..., bytes]) -> None:
    (notice,) = decode_photo(encoded(Image.new("CMYK", (16, 16), (10, 20, 30, 40)), name)).warnings
    assert notice.code == "colour-profile"
    assert notice.message.startswith("CMYK was converted without its colour profile")


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a grey-blue PNG with chunks before its pixels."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (90, 90, 120)).save(file, "PNG")
    data, extra = file.getvalue(), b""
    for kind, content in chunks:
        extra += struct.pack(">I", len(content)) + kind + content
        extra += struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + extra + data[33:]


SRGB_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], "the gAMA value 1 was not applied"),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"gAMA", bytes(4))], None),
        ([(b"cHRM", ADOBE_CHROMATICITIES)], "the cHRM colour space was not applied"),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", SRGB_CHROMATICITIES)], None),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], None),
        (
            [(b"cICP", bytes([9, 16, 0, 1]))],
            "the cICP colour space 9/16 (BT.2020, PQ) was not applied",
        ),
        ([(b"cICP", bytes([1, 13, 0, 1])), (b"cHRM", ADOBE_CHROMATICITIES)], None),
        ([(b"iCCP", b"x\0\0broken")], "a damaged colour profile was not applied"),
    ],
)
def test_png_chunks_with_colours_other_than_srgb_get_a_warning(
    chunks: list[tuple[bytes, bytes]], message: str | None
) -> None:
    warnings = [(notice.code, notice.message) for notice in decode_photo(png_with(*chunks)).warnings]
    expected = ("colour-profile", f"{message}: colours were read as sRGB; convert to sRGB")
    assert warnings == ([expected] if message else [])


@pytest.mark.parametrize("damaged", [SRGB[:-200], SRGB[:36] + b"none" + SRGB[40:], b"junk"])
def test_a_damaged_profile_gets_a_warning(damaged: bytes, encoded: Callable[..., bytes]) -> None:
    (notice,) = decode_photo(encoded(Image.new("RGB", (16, 16)), "JPEG", icc_profile=damaged)).warnings
    assert (notice.code, notice.message.split(":")[0]) == (
        "colour-profile",
        "a damaged colour profile was not applied",
    )


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("space", "index", "message"),
    [
        (1, "R98", None),
        (65535, None, "the EXIF colour space (not sRGB) was not applied"),
        (65535, "R03", "the EXIF colour space (Adobe RGB) was not applied"),
    ],
)
def test_the_exif_colour_space_gets_a_warning_unless_there_is_a_profile(
    name: str, space: int, index: str | None, message: str | None, encoded: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    interop = {IFD.Interop: {1: index}} if index else {}
    exif.get_ifd(IFD.Exif).update({Base.ColorSpace: space, **interop})
    exif[IFD.Exif] = 0  # Pillow writes the data of get_ifd only if its tag is set
    picture = Image.new("RGB", (16, 16))
    warnings = [
        notice.message.split(":")[0] for notice in decode_photo(encoded(picture, name, exif=exif)).warnings
    ]
    assert warnings == ([message] if message else [])
    assert decode_photo(encoded(picture, name, exif=exif, icc_profile=SRGB)).warnings == ()
