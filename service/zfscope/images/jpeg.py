"""What the markers of a JPEG say, up to the end of its first image: what decoding it would cost.

Behind that end phones keep videos and further pictures, and in the segments before it previews; neither is
decoded, so neither counts.
"""

import re
from typing import NamedTuple

from zfscope.images.malformed import Malformed

# Within compressed data a byte 255 is followed by 0 or a restart marker; anything else is a marker. Between
# segments libjpeg skips everything that is not a marker.
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_MARKER_IN_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})  # tables, and one that is reserved
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_HUFFMAN_SEQUENTIAL = frozenset({0xC0, 0xC1})
_LOSSLESS_LS = 0xF7
# Bits of 1, each byte with the zero that marks it as data: no Huffman code of a JPEG is all ones.
_PADDING = b"\xff\x00" * 16
_MAX_SEGMENTS = 10_000
# Line feeds in compressed data that all follow a carriage return: by chance, 20 of them are one in 256 ** 20.
_MIN_FEEDS = 20
_BLOCK, _COEFFICIENT_BYTES = 8, 2


class JpegHeader(NamedTuple):
    """What a JPEG is before it is decoded.

    scans: passes over its pixels. bits: of a sample, 0 where no frame was found. coefficients: bytes that a
    decoder keeps of the whole picture between scans, 0 where one scan has everything. lossless: JPEG-LS.
    data_end: where the compressed data of a Huffman-coded JPEG of one scan ends, None for others.
    lacks_scans: whether scans are missing that would complete the picture.
    """

    scans: int
    bits: int
    coefficients: int
    lossless: bool
    data_end: int | None = None
    lacks_scans: bool = False


class _Frame(NamedTuple):
    marker: int
    content: bytes


def read_jpeg(data: bytes) -> JpegHeader:
    """Read the markers of a JPEG up to the end of its first image, or of the data.

    Raises Malformed where there are more than 10,000 segments: to find each takes Python's time.
    """
    frame, scans, data_end, place = _Frame(0, b""), list[bytes](), None, 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None or found[1][0] == _END_OF_IMAGE:
            return _header(frame, scans, data_end)
        marker, place = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        length = max(int.from_bytes(data[place : place + 2]), 2)
        content = data[place + 2 : place + min(length, 64)]
        place += length
        if marker in _FRAMES and not frame.marker:
            frame = _Frame(marker, content)
        elif marker == _START_OF_SCAN:
            scans.append(content)
            after = _MARKER_IN_DATA.search(data, place)
            place = after.start() if after else len(data)
            data_end = data_end or (place if after else None)
    raise Malformed(f"more than {_MAX_SEGMENTS:,} segments")


def copied_as_text(data: bytes) -> bool:
    """Return whether a copy in text mode put a carriage return before each line feed of the last scan."""
    start, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    feeds = data.count(b"\n", start, end) if 0 <= start < end else 0
    return feeds >= _MIN_FEEDS and feeds == data.count(b"\r\n", start, end)


def with_open_end(data: bytes, header: JpegHeader) -> bytes:
    """Return a JPEG of one scan without its end marker, so that a decoder that lacks data asks for more.

    At a marker libjpeg fills the rest of a picture with grey, and its warning is not visible through Pillow.
    Without one it waits, and Pillow raises OSError. The padding is what a decoder reads ahead behind
    complete data; as a code it is invalid, so it stands for a few blocks at most.
    """
    return data if header.data_end is None else data[: header.data_end] + _PADDING


def _header(frame: _Frame, scans: list[bytes], data_end: int | None) -> JpegHeader:
    """scans: the content of each scan's header, of which the first byte counts its channels."""
    bits = frame.content[0] if frame.content else 0
    channels = frame.content[5] if len(frame.content) > 5 else 0
    progressive = frame.marker in _PROGRESSIVE
    interleaved = next((scan[0] for scan in scans if scan and scan[0]), 0)
    several = progressive or interleaved < channels
    return JpegHeader(
        scans=len(scans),
        bits=bits,
        coefficients=_coefficients(frame.content) if several else 0,
        lossless=frame.marker == _LOSSLESS_LS,
        data_end=None if several or frame.marker not in _HUFFMAN_SEQUENTIAL else data_end,
        lacks_scans=several and _lacks_scans(frame.content, scans, progressive),
    )


def _lacks_scans(frame: bytes, scans: list[bytes], progressive: bool) -> bool:
    """Return whether scans leave a coefficient of a channel without its last bit, or a channel out.

    A progressive scan has coefficients from Ss to Se, without their Al lowest bits (ITU-T T.81, section G.1).
    """
    missing = {channel: set(range(_BLOCK**2 if progressive else 1)) for channel in frame[6::3]}
    for scan in scans:
        count = scan[0] if scan else 0
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count] if len(scan) >= 4 + 2 * count else (0, 0, 1)
        if not progressive or bits & 15 == 0:
            for channel in scan[1 : 1 + 2 * count : 2]:
                missing.get(channel, set()).difference_update(range(first, last + 1) if progressive else (0,))
    return any(missing.values())


def _coefficients(content: bytes) -> int:
    """Return the bytes of all coefficients, by the size and the sampling of each channel of a frame."""
    height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
    sampling = [(factors >> 4 or 1, factors & 15 or 1) for factors in content[7::3]]
    across, down = (max((each[axis] for each in sampling), default=1) for axis in (0, 1))
    return sum(
        _blocks(width * x, across) * _blocks(height * y, down) * _BLOCK**2 * _COEFFICIENT_BYTES
        for x, y in sampling
    )


def _blocks(pixels: int, share: int) -> int:
    return -(-pixels // (share * _BLOCK))
