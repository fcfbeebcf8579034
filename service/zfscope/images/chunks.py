"""Chunks of a PNG that Pillow does not read, and the text chunks of PNGs made by zfscope."""

import struct
from collections.abc import Iterator

from zfscope.images.malformed import Malformed

_HEADER = struct.Struct(">I4s")
_FIRST_CHUNK = 8
# Maximum number of chunks searched for one that must precede the pixels.
_MAX_CHUNKS_SEARCHED = 100
# Maximum number of chunks of a file; encoders write up to a few thousand. Pillow takes 13 seconds for 4
# million chunks in 48 MiB.
_MAX_CHUNKS = 100_000
# Prefix of the text-chunk keys in PNGs made by zfscope, and the key for the kind of figure.
KEY_PREFIX = "zfscope:"
PICTURE_KEY = f"{KEY_PREFIX}picture"
_TEXT_CHUNKS = (b"tEXt", b"iTXt", b"zTXt")


def is_zfscope_picture(head: bytes) -> bool:
    """Return whether a file is a PNG made by zfscope. head: its first bytes, which contain the text chunk."""
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    prefix = KEY_PREFIX.encode()
    return any(kind in _TEXT_CHUNKS and content.startswith(prefix) for kind, content in png_chunks(head))


def png_significant_bits(data: bytes) -> int | None:
    """Return the significant bits (sBIT), maximum over the colour channels; None without sBIT."""
    content = _find_chunk(data, b"sBIT")
    if content is None:
        return None
    colours = content[: 1 if len(content) <= 2 else 3]  # grey, grey + alpha, RGB, RGBA
    return max(colours, default=0) or None


def png_code_points(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer function of cICP (code points of ITU-T H.273); None without cICP."""
    content = _find_chunk(data, b"cICP")
    return (content[0], content[1]) if content is not None and len(content) >= 4 else None


def check_chunk_count(data: bytes) -> None:
    """Raise Malformed for a PNG with more than 100,000 chunks up to IEND."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if position + _HEADER.size > len(data):
            return
        length, kind = _HEADER.unpack_from(data, position)
        if kind == b"IEND":
            return
        position += _HEADER.size + length + 4
    raise Malformed(f"it has more than {_MAX_CHUNKS:,} chunks")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk; the content of the last one may be truncated."""
    position = _FIRST_CHUNK
    while position + _HEADER.size <= len(data):
        length, kind = _HEADER.unpack_from(data, position)
        yield kind, data[position + _HEADER.size : position + _HEADER.size + length]
        position += _HEADER.size + length + 4


def _find_chunk(data: bytes, chunk_type: bytes) -> bytes | None:
    """Return up to 4 bytes of a chunk that precedes palette and pixels; None if it is missing."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS_SEARCHED):
        if position + _HEADER.size > len(data):
            return None
        length, kind = _HEADER.unpack_from(data, position)
        if kind in (b"IDAT", b"PLTE", b"IEND"):
            return None
        if kind == chunk_type:
            return data[position + _HEADER.size :][: min(length, 4)]
        position += _HEADER.size + length + 4
    return None
