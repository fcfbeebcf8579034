"""Tests of the colour space declared by nclx in AVIF and HEIC."""

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from zfscope.images.decode import decode_photo
from zfscope.images.profiles import nclx_code_points

PHOTO = Image.new("RGB", (64, 48), (200, 100, 50))


def avif(**options: Any) -> bytes:
    file = io.BytesIO()
    PHOTO.save(file, "AVIF", speed=10, **options)
    return file.getvalue()


def with_code_points(data: bytes, primaries: int, curve: int) -> bytes:
    changed = bytearray(data)
    position = changed.index(b"nclx") + 4
    changed[position : position + 4] = struct.pack(">HH", primaries, curve)
    return bytes(changed)


def heic(primaries: int, curve: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    file = io.BytesIO()
    pillow_heif.from_pillow(PHOTO).save(
        file, color_primaries=primaries, transfer_characteristics=curve, matrix_coefficients=1
    )
    return file.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def nclx(primaries: int, curve: int) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, curve, 1, 128))


@pytest.mark.parametrize(
    ("points", "name"),
    [
        ((1, 13), None),
        ((1, 1), None),
        ((2, 2), None),
        ((9, 16), "9/16 (BT.2020, PQ)"),
        ((9, 18), "9/18 (BT.2020, HLG)"),
        ((12, 13), "12/13 (Display P3, sRGB)"),
        ((1, 8), "1/8 (BT.709, linear)"),
    ],
)
def test_colour_spaces_other_than_srgb_get_a_warning(points: tuple[int, int], name: str | None) -> None:
    for data in (with_code_points(avif(), *points), heic(*points)):
        assert nclx_code_points(data) == points
        messages = [(notice.code, notice.message) for notice in decode_photo(data).warnings]
        message = f"the nclx colour space {name} was not applied: colours were read as sRGB"
        assert messages == ([("colour-profile", f"{message}; convert to sRGB")] if name else [])


def test_an_icc_profile_takes_precedence() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode_photo(avif(icc_profile=srgb)).warnings == ()


@pytest.mark.parametrize("wide", [0, 1])
@pytest.mark.parametrize("version", [0, 1])
def test_only_the_primary_image_counts(wide: int, version: int) -> None:
    def item(number: int) -> bytes:
        return struct.pack(">I" if version else ">H", number)

    def associations(number: int, *properties: int) -> bytes:
        numbers = b"".join(
            struct.pack(">H", 0x8000 | index) if wide else bytes([0x80 | index]) for index in properties
        )
        return item(number) + bytes([len(properties)]) + numbers

    container = box(b"ipco", box(b"ispe", bytes(12)) + nclx(9, 16) + nclx(1, 13))
    items = associations(1, 1, 2) + associations(2, 0, 1, 3)
    ipma = box(b"ipma", bytes([version, 0, 0, wide]) + struct.pack(">I", 2) + items)
    pitm = bytes([version, 0, 0, 0]) + item(2)
    data = box(b"ftyp", b"avif") + box(
        b"meta", bytes(4) + box(b"pitm", pitm) + box(b"iprp", container + ipma)
    )
    assert nclx_code_points(data) == (1, 13)
    assert nclx_code_points(data.replace(pitm, bytes([version, 0, 0, 0]) + item(1))) == (9, 16)
    assert nclx_code_points(data.replace(pitm, bytes([version, 0, 0, 0]) + item(3))) is None


@given(position=st.integers(0, 300), byte=st.integers(0, 255), length=st.integers(0, 400))
def test_broken_boxes_do_not_raise(position: int, byte: int, length: int) -> None:
    data = bytearray(with_code_points(avif(), 9, 16)[:length])
    data[position : position + 1] = bytes([byte])
    assert nclx_code_points(bytes(data)) is None or len(nclx_code_points(bytes(data)) or ()) == 2
