"""What the chunks of a PNG say that Pillow passes over."""

import struct

_HEADER = struct.Struct(">I4s")
_FIRST_CHUNK = 8
# Chunks that are looked at; the one that is wanted stands among the first.
_MAX_CHUNKS = 100


def png_significant_bits(data: bytes) -> int | None:
    """Return how many bits of a channel count, the most of all colours; None where that is not said."""
    place = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if place + _HEADER.size > len(data):
            return None
        length, kind = _HEADER.unpack_from(data, place)
        if kind in (b"IDAT", b"PLTE", b"IEND"):  # sBIT stands before them
            return None
        if kind == b"sBIT":
            content = data[place + _HEADER.size :][: min(length, 4)]
            colours = content[: 1 if length <= 2 else 3]  # grey, grey and opacity, RGB, RGB and opacity
            return max(colours, default=0) or None
        place += _HEADER.size + length + 4
    return None
