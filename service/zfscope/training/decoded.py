"""A cache of decoded photos: a file of pixels, and a record of the photos in it."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets import Photo, read_photo
from zfscope.datasets.read import FILE_FIELD, SkippedPhoto, no_usable_photo_error, photo_digest
from zfscope.errors import InputError
from zfscope.files import replacing
from zfscope.images.decode import decode
from zfscope.images.limits import environment_limits
from zfscope.images.preprocess import Preprocessing, centre_square
from zfscope.processors import map_in_order
from zfscope.text import one_line
from zfscope.training.batches import Pixels
from zfscope.training.labelled import LabelledPhotos
from zfscope.training.record import (
    CacheRecord,
    Changes,
    RecordedPhoto,
    changed_limits,
    compare_photos,
    limit_settings,
    read_record,
    write_record,
)

# Chunk size for reading the file of pixels, in bytes.
_CHUNK = 2**22


class _Square(NamedTuple):
    """The centre square of a photo and the hash of its bytes; if it cannot be used, the reason."""

    pixels: Pixels | None
    digest: bytes
    reason: str = ""


@dataclass(frozen=True, eq=False)
class DecodedPhotos:
    """The usable photos: `squares`, uint8 (photos, side, side, 3), and `targets`, class numbers (photos,)."""

    squares: Pixels
    targets: NDArray[np.int64]
    record: CacheRecord

    @property
    def skipped(self) -> tuple[SkippedPhoto, ...]:
        """The photos that could not be used, with reasons."""
        return self.record.skipped


def decode_squares(photos: LabelledPhotos, preprocessing: Preprocessing) -> Iterator[_Square]:
    """Yield the centre square of each photo, from which crops are taken: (256, 256, 3) in the paper."""

    def square(photo: Photo) -> _Square:
        digest = b""
        try:
            data = read_photo(photo)
            digest = photo_digest(data)
            return _Square(centre_square(decode(data, field=FILE_FIELD), preprocessing), digest)
        except InputError as error:
            return _Square(None, digest, one_line(error.message))

    yield from map_in_order(square, map(photos.data.photo, photos.numbers.tolist()))


def cached_photos(
    photos: LabelledPhotos,
    preprocessing: Preprocessing,
    cache: Path,
    *,
    run_started: bool = False,
    advance: Callable[[int], None] = lambda photos: None,
    warn: Callable[[str], None] = lambda message: None,
) -> DecodedPhotos:
    """Return the decoded photos from a file of pixels, which is created or, after any change, rewritten.

    The file takes 196 kB per photo at 256 pixels; CACHE.parquet next to it records the photos and a checksum.
    The file is read once to verify it, and rewritten if damaged.

    run_started: whether a network has been trained on these pixels; if so, changed photos are an error.
    advance: called with the number of photos decoded since the last call. warn: called with a description of
    any changes.

    Raises InputError if photos changed after the run started or none can be used, CannotWrite if the file
    cannot be written.
    """
    settings = {
        "short_side": preprocessing.short_side,
        "centre": preprocessing.centre,
        **_stated_interpolation(preprocessing),
        "classes": list(photos.classes),
    }
    record = read_record(_record_path(cache), settings)
    if record and _has_pixels(cache, record, preprocessing):
        changes, now = compare_photos(record, photos)
        limits = changed_limits(record, environment_limits())
        if any(changes) or limits:
            _check_not_started(cache, changes, limits, run_started=run_started)
            changed = "; ".join(filter(None, (str(changes), limits)))
            warn(f"photos or limits changed since decoding: {changed}; decoding all photos again")
        elif verified := _verified(cache, now):
            if (verified.photos, verified.checksum) != (record.photos, record.checksum):
                write_record(_record_path(cache), verified)
            return _map_pixels(cache, verified, photos, preprocessing)
        else:
            warn(
                f"'{cache}' is damaged: its checksum differs from the recorded one; decoding all photos again"
            )
    return _map_pixels(cache, _decode(photos, preprocessing, cache, settings, advance), photos, preprocessing)


def _stated_interpolation(preprocessing: Preprocessing) -> dict[str, str]:
    """Return the setting of the filter; none for bilinear, which records of older versions do not state."""
    interpolation = preprocessing.interpolation
    return {} if interpolation == "bilinear" else {"interpolation": interpolation}


def _check_not_started(cache: Path, changes: Changes, limits: str, *, run_started: bool) -> None:
    """Raise InputError if photos or limits changed after a run started."""
    if run_started and limits:
        message = f"'{cache.parent}' holds a run whose photos were decoded with other limits: {limits}"
        raise InputError(f"{message}; restore them to resume the run, or choose another folder", field="out")
    if run_started:
        message = f"'{cache.parent}' holds a run with other photos; since it started: {changes}"
        raise InputError(f"{message}; restore them to resume the run, or choose another folder", field="out")


def _verified(cache: Path, record: CacheRecord) -> CacheRecord | None:
    """Return the record with the checksum of its file of pixels; None if it differs from the recorded one."""
    checksum = 0
    with cache.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return replace(record, checksum=checksum) if record.checksum in (None, checksum) else None


def _decode(
    photos: LabelledPhotos,
    preprocessing: Preprocessing,
    cache: Path,
    settings: dict[str, Any],
    advance: Callable[[int], None],
) -> CacheRecord:
    """Decode all photos; write the file of pixels and its record."""
    data, recorded, checksum = photos.data, list[RecordedPhoto](), 0
    with replacing(cache, durable=True) as file:
        for number, square in zip(photos.numbers, decode_squares(photos, preprocessing), strict=True):
            if square.pixels is not None:
                pixels = np.ascontiguousarray(square.pixels).data
                file.write(pixels)
                checksum = zlib.crc32(pixels, checksum)
            listed = data.names[number], data.labels[number], data.sizes[number], data.stamps[number]
            recorded.append(RecordedPhoto(*listed, square.digest, square.reason))
            advance(1)
        record = CacheRecord(settings, recorded, limit_settings(environment_limits()), checksum)
        if not record.used:
            raise no_usable_photo_error(photos.data, record.skipped[0])
        # Remove the old record before its pixels are replaced, so that a kill never leaves a record of other
        # pixels. A process that has mapped the old pixels keeps them.
        _record_path(cache).unlink(missing_ok=True)
    write_record(_record_path(cache), record)
    return record


def _map_pixels(
    cache: Path, record: CacheRecord, photos: LabelledPhotos, preprocessing: Preprocessing
) -> DecodedPhotos:
    targets = [
        target for target, photo in zip(photos.targets, record.photos, strict=True) if not photo.reason
    ]
    side = preprocessing.centre
    squares = np.memmap(cache, np.uint8, "r", shape=(len(targets), side, side, 3))
    return DecodedPhotos(squares, np.array(targets, np.int64), record)


def _has_pixels(cache: Path, record: CacheRecord, preprocessing: Preprocessing) -> bool:
    """Return whether the file of pixels exists and has the size given by its record."""
    try:
        return cache.stat().st_size == len(record.used) * 3 * preprocessing.centre**2
    except OSError:
        return False


def _record_path(cache: Path) -> Path:
    return cache.with_suffix(".parquet")
