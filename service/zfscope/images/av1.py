"""Frame sizes of an AVIF, read from the AV1 streams because the header of the file may understate them.

An AVIF of two kilobytes can declare 100 x 100 pixels and contain a frame of 16,000 x 16,000; the decoder
unpacks the frame (400 MB) before it compares the two. This module therefore reads the sequence headers (AV1
bitstream specification, section 5.5) of every item and track (ISO/IEC 14496-12 and 23008-12).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zfscope.images.malformed import Malformed

# Maximum number of boxes, extents and AV1 units to parse; a photo has a few dozen.
_MAX_STEPS = 50_000
# Boxes that contain other boxes, and the number of bytes before the first child. The value of iinf is not
# used: its header depends on the version.
_CONTAINER_HEADERS: Mapping[bytes, int] = {
    b"meta": 4,
    b"iinf": 0,
    b"iprp": 0,
    b"ipco": 0,
    b"moov": 0,
    b"trak": 0,
    b"mdia": 0,
    b"minf": 0,
    b"stbl": 0,
}
# Length of an extent that runs to the end of the file.
_TO_THE_END = 1 << 62
# Type of an AV1 unit (OBU).
_SEQUENCE_HEADER = 1


class StepLimit:
    """Counter of parsing steps that stops a file with far more parts than a photo has."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS

    def count(self) -> None:
        """Count one step. Raises Malformed after 50,000."""
        self._left -= 1
        if self._left < 0:
            raise Malformed(f"it has more than {_MAX_STEPS:,} boxes and units")


class BmffBox(NamedTuple):
    """A box: its four-character type, and the start and end of its content as byte offsets in the file."""

    kind: bytes
    start: int
    end: int


class _FileRange(NamedTuple):
    """A byte range of an item, in the file or in the box idat."""

    start: int
    length: int
    in_idat: bool


def frame_pixels(data: bytes) -> int:
    """Return the number of pixels that decoding an AVIF may unpack: one frame of each item and track.

    Raises Malformed for overlapping items or more than 50,000 parts, IndexError if the file is truncated.
    """
    limit = StepLimit()
    boxes = list(_boxes(data, 0, len(data), limit))
    coded = _coded_items(data, boxes)
    idat = next((data[box.start : box.end] for box in boxes if box.kind == b"idat"), b"")
    # Ranges may overlap, so a small file can describe huge items: limit the bytes read to 4 times the file.
    total, bytes_left = 0, 4 * len(data)
    for item, ranges in _item_ranges(data, boxes, limit).items():
        if item not in coded:
            continue
        bytes_left -= sum(min(item_range.length, len(data)) for item_range in ranges)
        if bytes_left < 0:
            raise Malformed("its items overlap")
        total += _max_frame_pixels(
            b"".join(_read_range(idat if item_range.in_idat else data, item_range) for item_range in ranges),
            limit,
        )
    return total + sum(_max_frame_pixels(sample, limit) for sample in _first_samples(data, boxes))


def read_boxes(data: bytes) -> list[BmffBox]:
    """Return all boxes of a file, including nested ones. Raises Malformed for more than 50,000."""
    return list(_boxes(data, 0, len(data), StepLimit()))


def _boxes(data: bytes, start: int, end: int, limit: StepLimit) -> Iterator[BmffBox]:
    """Yield all boxes between two byte offsets, including nested ones."""
    while start + 8 <= end:
        limit.count()
        size, kind, header = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:  # a 64-bit size follows the type; 0 means "to the end"
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        stop = end if size == 0 else min(start + size, end)
        box = BmffBox(kind, start + header, stop)
        yield box
        if kind in _CONTAINER_HEADERS and box.start < stop:
            yield from _boxes(data, box.start + _content_offset(data, box), stop, limit)
        if stop <= start + 7:
            return
        start = stop


def _content_offset(data: bytes, box: BmffBox) -> int:
    if box.kind == b"iinf":
        return 6 if data[box.start] == 0 else 8
    return _CONTAINER_HEADERS[box.kind]


def _coded_items(data: bytes, boxes: list[BmffBox]) -> set[int]:
    """Return the IDs of the items that are AV1 streams; other items contain EXIF and the like."""
    items = set()
    for box in boxes:
        if box.kind == b"infe":
            width = 2 if data[box.start] < 3 else 4
            kind = box.start + 4 + width + 2
            if data[kind : kind + 4] == b"av01":
                items.add(int.from_bytes(data[box.start + 4 : box.start + 4 + width]))
    return items


def _item_ranges(data: bytes, boxes: list[BmffBox], limit: StepLimit) -> dict[int, list[_FileRange]]:
    """Return the byte ranges of each item by its ID."""
    items: dict[int, list[_FileRange]] = {}
    for box in boxes:
        if box.kind == b"iloc":
            for item, item_range in _read_iloc(_ByteReader(data[box.start : box.end]), limit):
                items.setdefault(item, []).append(item_range)
    return items


class _ByteReader:
    """Reader of big-endian unsigned integers. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def read(self, size: int) -> int:
        """Return the next integer of `size` bytes; 0 for a size of 0."""
        self._position += size
        if self._position > len(self._data):
            raise IndexError("the box iloc is truncated")
        return int.from_bytes(self._data[self._position - size : self._position])


def _read_iloc(reader: _ByteReader, limit: StepLimit) -> Iterator[tuple[int, _FileRange]]:
    version, _, sizes, base_and_index = reader.read(1), reader.read(3), reader.read(1), reader.read(1)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, base_and_index >> 4
    index_size = base_and_index & 15 if version in (1, 2) else 0
    id_size = 4 if version == 2 else 2  # of item IDs, and of their number
    for _ in range(reader.read(id_size)):
        item = reader.read(id_size)
        method = reader.read(2) & 15 if version in (1, 2) else 0
        reader.read(2)
        base = reader.read(base_size)
        for _ in range(reader.read(2)):
            limit.count()
            reader.read(index_size)
            start, length = base + reader.read(offset_size), reader.read(length_size)
            yield item, _FileRange(start, length or _TO_THE_END, method == 1)


def _read_range(source: bytes, item_range: _FileRange) -> bytes:
    return source[item_range.start : item_range.start + item_range.length]


def _first_samples(data: bytes, boxes: list[BmffBox]) -> Iterator[bytes]:
    """Yield the first sample of each track.

    stsz has the sample sizes (one for all, or a list), stco or co64 the chunk offsets. Every track has one
    box of each, in the same order.
    """
    sizes = [
        int.from_bytes(data[box.start + 4 : box.start + 8])
        or int.from_bytes(data[box.start + 12 : box.start + 16])
        for box in boxes
        if box.kind == b"stsz"
    ]
    widths = {b"stco": 4, b"co64": 8}
    starts = [
        int.from_bytes(data[box.start + 8 : box.start + 8 + widths[box.kind]])
        for box in boxes
        if box.kind in widths
    ]
    for start, size in zip(starts, sizes, strict=False):
        yield data[start : start + size]


def _max_frame_pixels(stream: bytes, limit: StepLimit) -> int:
    """Return the maximum number of pixels per frame of an AV1 stream; 0 without a sequence header."""
    max_pixels, position = 0, 0
    while position < len(stream):
        limit.count()
        header = stream[position]
        position += 2 if header & 4 else 1
        size = len(stream) - position
        if header & 2:
            size, position = _leb128(stream, position)
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            width, height = _frame_size(_BitReader(stream[position : position + min(size, 4096)]))
            max_pixels = max(max_pixels, width * height)
        position += size
    return max_pixels


def _leb128(stream: bytes, position: int) -> tuple[int, int]:
    """Return the LEB128 number (7 bits per byte) at a position, and the position after it."""
    value = 0
    for index in range(8):
        byte = stream[position + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    raise Malformed("a size has more than eight bytes")


class _BitReader:
    """Reader of unsigned integers of any number of bits. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def read(self, bits: int) -> int:
        """Return the next integer of the given number of bits."""
        self._left -= bits
        if self._left < 0:
            raise IndexError("a sequence header is truncated")
        return self._value >> self._left & (1 << bits) - 1


def _frame_size(bits: _BitReader) -> tuple[int, int]:
    """Return the maximum frame width and height of a sequence header (section 5.5.1)."""
    bits.read(3 + 1)  # seq_profile, still_picture
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_operating_points(bits: _BitReader) -> None:
    """Skip timing info, decoder model info and operating points (sections 5.5.1 to 5.5.5)."""
    delay_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(32 + 32)
        if bits.read(1):  # equal_picture_interval
            _skip_uvlc(bits)
        if bits.read(1):  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    display_delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if display_delays and bits.read(1):
            bits.read(4)


def _skip_uvlc(bits: _BitReader) -> None:
    """Skip an Exp-Golomb coded number (section 4.10.3)."""
    zeros = 0
    while not bits.read(1):
        zeros += 1
    if zeros < 32:
        bits.read(zeros)
