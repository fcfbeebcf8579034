"""Photos decoded once into a file of pixels, with a record of which photos they are."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets import Photo, read_photo
from zfscope.datasets.read import FIELD, Skipped, digest_of, none_usable
from zfscope.errors import InputError
from zfscope.files import replacing
from zfscope.images.decode import decode
from zfscope.images.limits import environment_limits
from zfscope.images.preprocess import Preprocessing, centre_square
from zfscope.processors import map_in_order
from zfscope.training.batches import Pixels
from zfscope.training.labelled import LabelledPhotos
from zfscope.training.record import (
    CacheRecord,
    Changes,
    RecordedPhoto,
    changed_limits,
    compare,
    read_record,
    stated_limits,
    write_record,
)

# Bytes of the file of pixels that are read at once.
_PART = 2**22


class _Square(NamedTuple):
    """The centre square of a photo, or the reason why it cannot be used; and the hash of its bytes."""

    pixels: Pixels | None
    digest: bytes
    reason: str = ""


@dataclass(frozen=True, eq=False)
class DecodedPhotos:
    """The photos that can be used: `squares`, (photos, side, side, 3), and `targets` run side by side."""

    squares: Pixels
    targets: NDArray[np.int64]
    record: CacheRecord

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The photos that could not be used."""
        return self.record.skipped


def decode_squares(photos: LabelledPhotos, preprocessing: Preprocessing) -> Iterator[_Square]:
    """Decode every photo to the centre square that crops are taken from: (256, 256, 3) in the paper."""

    def square(photo: Photo) -> _Square:
        digest = b""
        try:
            data = read_photo(photo)
            digest = digest_of(data)
            return _Square(centre_square(decode(data, field=FIELD), preprocessing), digest)
        except InputError as error:
            return _Square(None, digest, " ".join(error.message.split()))

    yield from map_in_order(square, map(photos.data.photo, photos.numbers.tolist()))


def cached_photos(
    photos: LabelledPhotos,
    preprocessing: Preprocessing,
    cache: Path,
    *,
    begun: bool = False,
    advance: Callable[[int], None] = lambda photos: None,
    warn: Callable[[str], None] = lambda message: None,
) -> DecodedPhotos:
    """Return all photos decoded, from a file of pixels that is written once, and again after any change.

    It takes 196 kB a photo at 256 pixels; CACHE.parquet beside it records the photos and a checksum. The file
    is read once to verify it, and written again where it is damaged. begun: a network was trained on these
    pixels, so photos that changed are refused. advance: called with the number of photos decoded.
    warn: called with what changed.

    Raises InputError where photos changed or none can be used, CannotWrite where the file cannot be written.
    """
    about = {
        "short_side": preprocessing.short_side,
        "centre": preprocessing.centre,
        "classes": list(photos.classes),
    }
    record = read_record(_record_path(cache), about)
    if record and _holds(cache, record, preprocessing):
        changes, now = compare(record, photos)
        limits = changed_limits(record, environment_limits())
        if any(changes) or limits:
            _check_not_begun(cache, changes, limits, begun=begun)
            changed = "; ".join(filter(None, (str(changes), limits)))
            warn(f"photos or limits changed since they were decoded: {changed}; all are decoded again")
        elif verified := _verified(cache, now):
            if (verified.photos, verified.checksum) != (record.photos, record.checksum):
                write_record(_record_path(cache), verified)
            return _loaded(cache, verified, photos, preprocessing)
        else:
            warn(
                f"'{cache}' is damaged: its pixels are not those of its record; all photos are decoded again"
            )
    return _loaded(cache, _decode(photos, preprocessing, cache, about, advance), photos, preprocessing)


def _check_not_begun(cache: Path, changes: Changes, limits: str, *, begun: bool) -> None:
    """Raise InputError for photos or limits that changed since a run was begun."""
    if begun and limits:
        message = f"'{cache.parent}' holds a run whose photos were decoded within other limits: {limits}"
        raise InputError(f"{message}; set them back to resume it, or give another folder", field="out")
    if begun:
        message = f"'{cache.parent}' holds a run of other photos: since it was begun, {changes}"
        raise InputError(f"{message}; put them back to resume it, or give another folder", field="out")


def _verified(cache: Path, record: CacheRecord) -> CacheRecord | None:
    """Return a record with the checksum of its file of pixels, None where that is not the recorded one."""
    checksum = 0
    with cache.open("rb", buffering=0) as file:
        while part := file.read(_PART):
            checksum = zlib.crc32(part, checksum)
    return replace(record, checksum=checksum) if record.checksum in (None, checksum) else None


def _decode(
    photos: LabelledPhotos,
    preprocessing: Preprocessing,
    cache: Path,
    about: dict[str, Any],
    advance: Callable[[int], None],
) -> CacheRecord:
    """Write the file of pixels and its record."""
    data, recorded, checksum = photos.data, list[RecordedPhoto](), 0
    with replacing(cache, durable=True) as file:
        for number, square in zip(photos.numbers, decode_squares(photos, preprocessing), strict=True):
            if square.pixels is not None:
                pixels = np.ascontiguousarray(square.pixels).data
                file.write(pixels)
                checksum = zlib.crc32(pixels, checksum)
            known = data.names[number], data.labels[number], data.sizes[number], data.stamps[number]
            recorded.append(RecordedPhoto(*known, square.digest, square.reason))
            advance(1)
        record = CacheRecord(about, recorded, stated_limits(environment_limits()), checksum)
        if not record.used:
            raise none_usable(photos.data, record.skipped[0])
        # The old record first: it is not of these pixels. A process that maps the old ones keeps them.
        _record_path(cache).unlink(missing_ok=True)
    write_record(_record_path(cache), record)
    return record


def _loaded(
    cache: Path, record: CacheRecord, photos: LabelledPhotos, preprocessing: Preprocessing
) -> DecodedPhotos:
    targets = [
        target for target, photo in zip(photos.targets, record.photos, strict=True) if not photo.reason
    ]
    side = preprocessing.centre
    squares = np.memmap(cache, np.uint8, "r", shape=(len(targets), side, side, 3))
    return DecodedPhotos(squares, np.array(targets, np.int64), record)


def _holds(cache: Path, record: CacheRecord, preprocessing: Preprocessing) -> bool:
    """Return whether the file of pixels is there, and as long as its record says."""
    try:
        return cache.stat().st_size == len(record.used) * 3 * preprocessing.centre**2
    except OSError:
        return False


def _record_path(cache: Path) -> Path:
    return cache.with_suffix(".parquet")
