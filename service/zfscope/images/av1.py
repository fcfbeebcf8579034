"""The frames inside of an AVIF: their size by the AV1 stream itself, which the file's header need not tell.

An AVIF of two kilobytes may state 100 x 100 pixels and hold a frame of 16,000 x 16,000: the decoder unpacks
the frame, 400 MB, before anybody compares the two. So the sequence headers are read here (AV1 bitstream
specification, section 5.5), in every item and track of the file (ISO/IEC 14496-12 and 23008-12).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zfscope.images.malformed import Malformed

# Boxes, extents, and pieces of a stream that are looked at: a photo has some tens.
_MAX_STEPS = 50_000
_PARENTS: Mapping[bytes, int] = {
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
"""Boxes that hold others, and the bytes before the first of them; of iinf that depends on its version."""
_SEQUENCE_HEADER = 1


class StepLimit:
    """Counts what was looked at. Raises Malformed once that is too much for a photo."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS

    def count(self) -> None:
        """Count one."""
        self._left -= 1
        if self._left < 0:
            raise Malformed(f"more than {_MAX_STEPS:,} boxes and units")


class BmffBox(NamedTuple):
    """A box of a file: its kind, and where its content lies."""

    kind: bytes
    start: int
    end: int


class _FileRange(NamedTuple):
    """A part of an item: in the file, or in the box idat."""

    start: int
    length: int
    in_idat: bool


def frame_pixels(data: bytes) -> int:
    """Return the pixels of all frames that decoding an AVIF may unpack: one of each item and each track.

    Raises Malformed for a file of far too many parts, IndexError for one that ends too early.
    """
    limit = StepLimit()
    boxes = list(_boxes(data, 0, len(data), limit))
    coded = _coded_items(data, boxes)
    idat = next((data[box.start : box.end] for box in boxes if box.kind == b"idat"), b"")
    total, room = 0, 4 * len(data)
    for item, ranges in _item_ranges(data, boxes, limit).items():
        if item not in coded:
            continue
        room -= sum(min(item_range.length, len(data)) for item_range in ranges)
        if room < 0:
            raise Malformed("items that overlap")
        total += _max_frame_pixels(
            b"".join(_read_range(idat if item_range.in_idat else data, item_range) for item_range in ranges),
            limit,
        )
    return total + sum(_max_frame_pixels(sample, limit) for sample in _first_samples(data, boxes))


def read_boxes(data: bytes) -> list[BmffBox]:
    """Return all boxes of a file. Raises Malformed for far too many."""
    return list(_boxes(data, 0, len(data), StepLimit()))


def _boxes(data: bytes, start: int, end: int, limit: StepLimit) -> Iterator[BmffBox]:
    """Return all boxes of a part of a file, those inside of others too."""
    while start + 8 <= end:
        limit.count()
        size, kind, head = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        stop = end if size == 0 else min(start + size, end)
        box = BmffBox(kind, start + head, stop)
        yield box
        if kind in _PARENTS and box.start < stop:
            yield from _boxes(data, box.start + _content_offset(data, box), stop, limit)
        if stop <= start + 7:
            return
        start = stop


def _content_offset(data: bytes, box: BmffBox) -> int:
    if box.kind == b"iinf":
        return 6 if data[box.start] == 0 else 8
    return _PARENTS[box.kind]


def _coded_items(data: bytes, boxes: list[BmffBox]) -> set[int]:
    """Return the numbers of the items that are AV1 streams; others hold EXIF and the like."""
    items = set()
    for box in boxes:
        if box.kind == b"infe":
            width = 2 if data[box.start] < 3 else 4
            kind = box.start + 4 + width + 2
            if data[kind : kind + 4] == b"av01":
                items.add(int.from_bytes(data[box.start + 4 : box.start + 4 + width]))
    return items


def _item_ranges(data: bytes, boxes: list[BmffBox], limit: StepLimit) -> dict[int, list[_FileRange]]:
    items: dict[int, list[_FileRange]] = {}
    for box in boxes:
        if box.kind == b"iloc":
            for item, item_range in _read_iloc(_ByteReader(data[box.start : box.end]), limit):
                items.setdefault(item, []).append(item_range)
    return items


class _ByteReader:
    """Reads whole numbers of some bytes, one after the other. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def read(self, size: int) -> int:
        """Return the next number of `size` bytes, 0 for none."""
        self._position += size
        if self._position > len(self._data):
            raise IndexError("the box iloc is cut off")
        return int.from_bytes(self._data[self._position - size : self._position])


def _read_iloc(reader: _ByteReader, limit: StepLimit) -> Iterator[tuple[int, _FileRange]]:
    version, _, sizes, others = reader.read(1), reader.read(3), reader.read(1), reader.read(1)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, others >> 4
    index_size = others & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    for _ in range(reader.read(wide)):
        item = reader.read(wide)
        method = reader.read(2) & 15 if version in (1, 2) else 0
        reader.read(2)
        base = reader.read(base_size)
        for _ in range(reader.read(2)):
            limit.count()
            reader.read(index_size)
            start, length = base + reader.read(offset_size), reader.read(length_size)
            yield item, _FileRange(start, length or 1 << 62, method == 1)


def _read_range(source: bytes, item_range: _FileRange) -> bytes:
    return source[item_range.start : item_range.start + item_range.length]


def _first_samples(data: bytes, boxes: list[BmffBox]) -> Iterator[bytes]:
    """Return the first sample of each track, as the boxes of its sample table say, which come in pairs."""
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
    """Return the most pixels that a frame of an AV1 stream may have, 0 where no sequence header is found."""
    most, position = 0, 0
    while position < len(stream):
        limit.count()
        head = stream[position]
        position += 2 if head & 4 else 1
        size = len(stream) - position
        if head & 2:
            size, position = _leb128(stream, position)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            width, height = _frame_size(_BitReader(stream[position : position + min(size, 4096)]))
            most = max(most, width * height)
        position += size
    return most


def _leb128(stream: bytes, position: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, and the place behind it."""
    value = 0
    for index in range(8):
        byte = stream[position + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    raise Malformed("a size of more than eight bytes")


class _BitReader:
    """Reads whole numbers of some bits. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def read(self, bits: int) -> int:
        """Return the next number, of the given bits."""
        self._left -= bits
        if self._left < 0:
            raise IndexError("a sequence header is cut off")
        return self._value >> self._left & (1 << bits) - 1


def _frame_size(bits: _BitReader) -> tuple[int, int]:
    """Return the largest width and height of a sequence's frames (section 5.5.1)."""
    bits.read(3 + 1)  # seq_profile, still_picture
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_operating_points(bits: _BitReader) -> None:
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
    """Skip a number in Exp-Golomb code (section 4.10.3)."""
    zeros = 0
    while not bits.read(1):
        zeros += 1
    if zeros < 32:
        bits.read(zeros)
