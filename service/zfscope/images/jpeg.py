"""Markers of a JPEG up to the end of its first image, which reveal the cost of decoding and missing scans.

Phones store videos and further images after that end, and previews in the segments before it. Neither is
decoded, so neither counts.
"""

import re
from typing import NamedTuple

from zfscope.images.malformed import Malformed

# A marker is a byte 255 and then a byte that is neither 0 nor 255. Between segments, libjpeg skips all other
# bytes. Compressed data contains escaped bytes (255, 0) and restart markers, which do not end it.
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_MARKER_IN_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_MARKERS_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
# C4 and CC define tables, C8 is reserved.
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_HUFFMAN_SEQUENTIAL = frozenset({0xC0, 0xC1})
_LOSSLESS_LS = 0xF7
# Sixteen bytes of 1 bits, each followed by the 0 that escapes it. No Huffman code of a JPEG is all ones.
_PADDING = b"\xff\x00" * 16
_MAX_SEGMENTS = 10_000
# Number of line feeds that must all follow a carriage return; by chance that has probability 256 ** -20.
_MIN_LINE_FEEDS = 20
# Side of a block in pixels, and size of one of its coefficients.
_BLOCK_SIDE, _COEFFICIENT_BYTES = 8, 2


class JpegHeader(NamedTuple):
    """Properties of a JPEG that are known before it is decoded.

    scans: number of passes over the pixels. bits: per sample; 0 if no frame was found. coefficients: bytes
    that a decoder keeps between scans; 0 for a single scan. lossless: whether it is a JPEG-LS file. data_end:
    offset of the end of the compressed data, for a Huffman-coded JPEG with a single scan; None for others.
    lacks_scans: whether scans are missing.
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

    Raises Malformed for more than 10,000 segments, since Python needs time for each.
    """
    frame, scans, data_end, position = _Frame(0, b""), list[bytes](), None, 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if match is None or match[1][0] == _END_OF_IMAGE:
            return _make_header(frame, scans, data_end)
        marker, position = match[1][0], match.end()
        if marker in _MARKERS_WITHOUT_LENGTH:
            continue
        length = max(int.from_bytes(data[position : position + 2]), 2)
        content = data[position + 2 : position + min(length, 64)]
        position += length
        if marker in _FRAME_MARKERS and not frame.marker:
            frame = _Frame(marker, content)
        elif marker == _START_OF_SCAN:
            scans.append(content)
            end = _MARKER_IN_DATA.search(data, position)
            position = end.start() if end else len(data)
            data_end = data_end or (position if end else None)
    raise Malformed(f"it has more than {_MAX_SEGMENTS:,} segments")


def copied_as_text(data: bytes) -> bool:
    """Return whether all line feeds of the last scan follow a carriage return, as after a text-mode copy."""
    start, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    line_feeds = data.count(b"\n", start, end) if 0 <= start < end else 0
    return line_feeds >= _MIN_LINE_FEEDS and line_feeds == data.count(b"\r\n", start, end)


def with_open_end(data: bytes, header: JpegHeader) -> bytes:
    """Return a JPEG of one scan without its end marker, so that truncated data raises an error.

    At a marker, libjpeg fills the rest of the image with grey, and Pillow does not report its warning.
    Without one it waits for more data, and Pillow raises OSError. The padding is for decoders that read ahead
    after complete data; it is not a valid code, so it decodes to a few blocks at most.
    """
    return data if header.data_end is None else data[: header.data_end] + _PADDING


def _make_header(frame: _Frame, scans: list[bytes], data_end: int | None) -> JpegHeader:
    """Return the properties of a JPEG.

    scans: contents of the scan headers, whose first byte is the number of channels.
    """
    bits = frame.content[0] if frame.content else 0
    channels = frame.content[5] if len(frame.content) > 5 else 0
    progressive = frame.marker in _PROGRESSIVE
    interleaved = next((scan[0] for scan in scans if scan and scan[0]), 0)
    multiple_scans = progressive or interleaved < channels
    return JpegHeader(
        scans=len(scans),
        bits=bits,
        coefficients=_coefficient_bytes(frame.content) if multiple_scans else 0,
        lossless=frame.marker == _LOSSLESS_LS,
        data_end=None if multiple_scans or frame.marker not in _HUFFMAN_SEQUENTIAL else data_end,
        lacks_scans=multiple_scans and _lacks_scans(frame.content, scans, progressive),
    )


def _lacks_scans(frame: bytes, scans: list[bytes], progressive: bool) -> bool:
    """Return whether the scans omit a channel, or the lowest bit of a coefficient of a channel.

    A progressive scan contains the coefficients Ss to Se without their Al lowest bits (ITU-T T.81, section
    G.1), so a coefficient is complete after a scan with Al = 0.
    """
    missing = {channel: set(range(_BLOCK_SIDE**2 if progressive else 1)) for channel in frame[6::3]}
    for scan in scans:
        count = scan[0] if scan else 0
        first, last, bits = scan[1 + 2 * count : 4 + 2 * count] if len(scan) >= 4 + 2 * count else (0, 0, 1)
        if not progressive or bits & 15 == 0:
            for channel in scan[1 : 1 + 2 * count : 2]:
                missing.get(channel, set()).difference_update(range(first, last + 1) if progressive else (0,))
    return any(missing.values())


def _coefficient_bytes(content: bytes) -> int:
    """Return the size in bytes of all coefficients. content: frame header, with size and subsampling."""
    height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
    sampling = [(factors >> 4 or 1, factors & 15 or 1) for factors in content[7::3]]
    across, down = (max((factors_xy[axis] for factors_xy in sampling), default=1) for axis in (0, 1))
    return sum(
        _blocks(width * x, across) * _blocks(height * y, down) * _BLOCK_SIDE**2 * _COEFFICIENT_BYTES
        for x, y in sampling
    )


def _blocks(pixels: int, share: int) -> int:
    return -(-pixels // (share * _BLOCK_SIDE))
