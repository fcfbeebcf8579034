"""What the markers of a JPEG say, up to the end of its first image: what decoding it would cost.

Behind that end phones keep videos and further pictures, and in the segments before it previews; neither is
decoded, so neither counts.
"""

import re
from typing import NamedTuple

# Within compressed data a byte 255 is followed by 0 or a restart marker; anything else is a marker. Between
# segments libjpeg skips whatever is no marker.
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_MARKER_IN_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})  # tables, and one that is reserved
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS_LS = 0xF7
_MAX_SEGMENTS = 10_000
# So many line feeds of compressed data, all behind a carriage return, are no chance: one in 256 ** 20.
_MIN_FEEDS = 20
_BLOCK, _COEFFICIENT_BYTES = 8, 2


class JpegHeader(NamedTuple):
    """What a JPEG is before it is decoded.

    scans: passes over its pixels. bits: of a sample, 0 where no frame was found. coefficients: bytes that a
    decoder keeps of the whole picture between scans, 0 where one scan has everything. lossless: JPEG-LS.
    """

    scans: int
    bits: int
    coefficients: int
    lossless: bool


class _Frame(NamedTuple):
    marker: int
    content: bytes


def read_jpeg(data: bytes) -> JpegHeader:
    """Read the markers of a JPEG up to the end of its first image, or of the data.

    Raises ValueError where there are more than 10,000 segments: to find each takes Python's time.
    """
    frame, scans, interleaved, place = _Frame(0, b""), 0, 0, 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None or found[1][0] == _END_OF_IMAGE:
            return _header(frame, scans, interleaved)
        marker, place = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        length = max(int.from_bytes(data[place : place + 2]), 2)
        content = data[place + 2 : place + min(length, 64)]
        place += length
        if marker in _FRAMES and not frame.marker:
            frame = _Frame(marker, content)
        elif marker == _START_OF_SCAN:
            scans, interleaved = scans + 1, interleaved or (content[0] if content else 0)
            after = _MARKER_IN_DATA.search(data, place)
            place = after.start() if after else len(data)
    raise ValueError(f"more than {_MAX_SEGMENTS:,} segments")


def copied_as_text(data: bytes) -> bool:
    """Return whether a copy in text mode put a carriage return before each line feed of the last scan."""
    start, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    feeds = data.count(b"\n", start, end) if 0 <= start < end else 0
    return feeds >= _MIN_FEEDS and feeds == data.count(b"\r\n", start, end)


def _header(frame: _Frame, scans: int, interleaved: int) -> JpegHeader:
    """interleaved: how many channels the first scan has."""
    bits = frame.content[0] if frame.content else 0
    channels = frame.content[5] if len(frame.content) > 5 else 0
    several = frame.marker in _PROGRESSIVE or interleaved < channels
    return JpegHeader(
        scans, bits, _coefficients(frame.content) if several else 0, frame.marker == _LOSSLESS_LS
    )


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
