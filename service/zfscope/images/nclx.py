"""The colour space that an AVIF or HEIC states by code points of ITU-T H.273 (nclx, ISO/IEC 14496-12)."""

from zfscope.images.av1 import Box, read_boxes

_NCLX = b"nclx"


def code_points(data: bytes) -> tuple[int, int] | None:
    """Return the primaries and the curve of a file's primary picture, None where it states none.

    Other pictures of the file, such as its thumbnail and its gain map, may have colours of their own.
    """
    try:
        return _of_primary(data, read_boxes(data))
    except (IndexError, ValueError):
        return None


def _of_primary(data: bytes, boxes: list[Box]) -> tuple[int, int] | None:
    container = next((box for box in boxes if box.kind == b"ipco"), None)
    if container is None:
        return None
    properties = [box for box in boxes if container.start < box.start <= container.end]
    for number in _associated(data, boxes):
        box = properties[number - 1]
        if box.kind == b"colr" and data[box.start : box.start + 4] == _NCLX:
            return _uint16(data, box.start + 4), _uint16(data, box.start + 6)
    return None


def _associated(data: bytes, boxes: list[Box]) -> list[int]:
    """Return the numbers, from 1, of the primary picture's properties."""
    primary = next(
        (_item(data, box.start + 4, data[box.start]) for box in boxes if box.kind == b"pitm"), None
    )
    for box in boxes:
        if box.kind == b"ipma":
            found = _associations(data[box.start : box.end])
            if primary in found:
                return found[primary]
    return []


def _associations(content: bytes) -> dict[int, list[int]]:
    """Return the numbers of each item's properties; the highest bit of each says whether it is essential."""
    version, wide = content[0], content[3] & 1
    found, place = dict[int, list[int]](), 8
    for _ in range(int.from_bytes(content[4:8])):
        item = _item(content, place, version)
        place += 4 if version else 2
        count, place = content[place], place + 1
        if wide:
            numbers = [_uint16(content, place + 2 * each) & 0x7FFF for each in range(count)]
        else:
            numbers = [content[place + each] & 0x7F for each in range(count)]
        place += count << wide
        found[item] = [number for number in numbers if number]
    return found


def _item(data: bytes, place: int, version: int) -> int:
    return int.from_bytes(data[place : place + (4 if version else 2)])


def _uint16(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]
