"""What the chunks of a PNG say that Pillow passes over."""

import struct
from collections.abc import Iterator

from zfscope.images.malformed import Malformed

_HEADER = struct.Struct(">I4s")
_FIRST_CHUNK = 8
# Chunks that are looked at; the one that is wanted stands among the first.
_MAX_CHUNKS_SEARCHED = 100
# Chunks of a whole file; encoders write some thousands. Each one takes Pillow's time: 4 million of them, in
# 48 MiB, take 13 seconds.
_MAX_CHUNKS = 100_000
# How the keys of text chunks in pictures that zfscope makes begin; and one of them, for what a picture is.
KEY_PREFIX = "zfscope:"
PICTURE_KEY = f"{KEY_PREFIX}picture"
_TEXT_CHUNKS = (b"tEXt", b"iTXt", b"zTXt")


def is_zfscope_picture(head: bytes) -> bool:
    """Return whether a file is a PNG that zfscope made. head: its first bytes, which hold such a chunk."""
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    prefix = KEY_PREFIX.encode()
    return any(kind in _TEXT_CHUNKS and content.startswith(prefix) for kind, content in png_chunks(head))


def png_significant_bits(data: bytes) -> int | None:
    """Return how many bits of a channel count, the most of all colours; None where that is not said."""
    content = _find_chunk(data, b"sBIT")
    if content is None:
        return None
    colours = content[: 1 if len(content) <= 2 else 3]  # grey, grey and opacity, RGB, RGB and opacity
    return max(colours, default=0) or None


def png_code_points(data: bytes) -> tuple[int, int] | None:
    """Return the primaries and the curve that cICP states (ITU-T H.273), None without it."""
    content = _find_chunk(data, b"cICP")
    return (content[0], content[1]) if content is not None and len(content) >= 4 else None


def check_chunk_count(data: bytes) -> None:
    """Raise Malformed for a PNG of far too many chunks up to its end."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if position + _HEADER.size > len(data):
            return
        length, kind = _HEADER.unpack_from(data, position)
        if kind == b"IEND":
            return
        position += _HEADER.size + length + 4
    raise Malformed(f"more than {_MAX_CHUNKS:,} chunks")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return the kind and the content of each chunk, the last one as far as the file goes."""
    position = _FIRST_CHUNK
    while position + _HEADER.size <= len(data):
        length, kind = _HEADER.unpack_from(data, position)
        yield kind, data[position + _HEADER.size : position + _HEADER.size + length]
        position += _HEADER.size + length + 4


def _find_chunk(data: bytes, wanted: bytes) -> bytes | None:
    """Return the first bytes of a chunk that stands before palette and pixels, None without it."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS_SEARCHED):
        if position + _HEADER.size > len(data):
            return None
        length, kind = _HEADER.unpack_from(data, position)
        if kind in (b"IDAT", b"PLTE", b"IEND"):
            return None
        if kind == wanted:
            return data[position + _HEADER.size :][: min(length, 4)]
        position += _HEADER.size + length + 4
    return None
