"""A record of decoded photos: which they were, and what has changed since."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from zfscope.datasets import DataSet, UnusablePhoto, read_photo
from zfscope.datasets.dataset import NO_STAMP, Photo
from zfscope.datasets.names import printable, quoted
from zfscope.datasets.read import Skipped, digest_of
from zfscope.files import replacing
from zfscope.images.limits import DecodeLimits
from zfscope.processors import map_in_order
from zfscope.training.labelled import LabelledPhotos

_FORMAT = 1
_ABOUT = b"zfscope"
_LIMITS, _CHECKSUM = "limits", "checksum"
_NAMED = 3

# Names are bytes, as a file system has them: not all are UTF-8.
_COLUMNS = pa.schema(
    {
        "name": pa.binary(),
        "label": pa.binary(),
        "size": pa.int64(),
        "stamp": pa.uint64(),
        "digest": pa.binary(),
        "reason": pa.string(),
    }
)


class RecordedPhoto(NamedTuple):
    """A photo as it was when it was decoded.

    stamp: of its file, see `stamp_of`. digest: BLAKE2b of its bytes, empty where they could not be read.
    reason: why it could not be used, empty where it could be.
    """

    name: str
    label: str
    size: int
    stamp: int
    digest: bytes
    reason: str


class Changes(NamedTuple):
    """What differs between a record and the photos as they are, in words each."""

    added: list[str]
    removed: list[str]
    moved: list[str]
    changed: list[str]

    def __str__(self) -> str:
        parts = [
            f"{len(names):,} {kind} ({_first(names)})" for kind, names in self._asdict().items() if names
        ]
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class CacheRecord:
    """Photos as they were decoded, in their order. about: what else their pixels depend on.

    limits: the settings of images' limits by name. checksum: CRC-32 of the file of pixels. Records of
    earlier versions have neither.
    """

    about: Mapping[str, Any]
    photos: Sequence[RecordedPhoto]
    limits: Mapping[str, int] = field(default_factory=dict)
    checksum: int | None = None

    @property
    def used(self) -> list[RecordedPhoto]:
        """The photos whose pixels were kept."""
        return [photo for photo in self.photos if not photo.reason]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The photos that could not be used."""
        return tuple(Skipped(printable(photo.name), photo.reason) for photo in self.photos if photo.reason)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of names, classes and contents of the photos that were used, in order."""
        digest = hashlib.sha256()
        for photo in self.used:
            digest.update(f"{photo.name}\0{photo.label}\0".encode(errors="surrogateescape") + photo.digest)
        return digest.hexdigest()


def write_record(path: Path, record: CacheRecord) -> None:
    """Write a record, whole or not at all. Raises CannotWrite."""
    columns: dict[str, Any] = {
        name: [getattr(photo, name) for photo in record.photos] for name in RecordedPhoto._fields
    }
    for name in ("name", "label"):
        columns[name] = [text.encode(errors="surrogateescape") for text in columns[name]]
    table = pa.table(columns, schema=_COLUMNS).replace_schema_metadata(
        {_ABOUT: json.dumps(_stated(record) | {_LIMITS: record.limits, _CHECKSUM: record.checksum})}
    )
    with replacing(path, durable=True) as file:
        pq.write_table(table, file, compression="zstd")


def read_record(path: Path, about: Mapping[str, Any]) -> CacheRecord | None:
    """Return a record; None if it does not exist or is about something else than `about`."""
    try:
        table = pq.read_table(path)
        stated = json.loads(table.schema.metadata[_ABOUT])
        limits, checksum = stated.pop(_LIMITS, {}), stated.pop(_CHECKSUM, None)
        record = CacheRecord(about, [_recorded(row) for row in table.to_pylist()], limits, checksum)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    return record if stated == _stated(record) else None


def compare(record: CacheRecord, photos: LabelledPhotos) -> tuple[Changes, CacheRecord]:
    """Return what changed since the record, and the record with the stamps of now.

    A photo of the same name, class and stamp is the same; any other is read, and is the same if its hash is.
    """
    data, before = photos.data, {photo.name: photo for photo in record.photos}
    numbers = {data.names[number]: int(number) for number in photos.numbers}
    fresh = _hashed(data, [numbers[name] for name in numbers if _in_doubt(name, numbers, before, data)])
    kept = [name for name in before if name in numbers]
    changed = [
        name for name in kept if numbers[name] in fresh and fresh[numbers[name]] != before[name].digest
    ]
    relabelled = [
        f"{quoted(name)} from class {quoted(before[name].label)} to {quoted(data.labels[numbers[name]])}"
        for name in kept
        if before[name].label != data.labels[numbers[name]]
    ]
    added, removed, moved = _moves(
        {name: fresh[number] for name, number in numbers.items() if name not in before},
        {name: photo.digest for name, photo in before.items() if name not in numbers},
    )
    changes = Changes(added, removed, [*moved, *relabelled], [f"{quoted(name)}" for name in changed])
    stamps = {name: data.stamps[number] for name, number in numbers.items()}
    now = [photo._replace(stamp=stamps.get(photo.name, NO_STAMP)) for photo in record.photos]
    return changes, replace(record, photos=now)


def stated_limits(limits: DecodeLimits) -> dict[str, int]:
    """Return the limits of images by the names of their settings."""
    return {"max_image_bytes": limits.bytes, "max_image_pixels": limits.pixels}


def changed_limits(record: CacheRecord, limits: DecodeLimits) -> str:
    """Return which limits changed since a record, in words, empty where no photo can differ for it.

    That is known of bytes, not of pixels: the sizes of photos in pixels are not recorded.
    """
    now, sizes = stated_limits(limits), [photo.size for photo in record.photos]
    changed = {name: (before, now[name]) for name, before in record.limits.items() if now[name] != before}
    if "max_image_bytes" in changed and max(sizes, default=0) <= min(changed["max_image_bytes"]):
        del changed["max_image_bytes"]
    return ", ".join(f"{name} from {before:,} to {after:,}" for name, (before, after) in changed.items())


def _in_doubt(
    name: str, numbers: Mapping[str, int], before: Mapping[str, RecordedPhoto], data: DataSet
) -> bool:
    """Return whether a photo has to be read to find out whether it is a recorded one."""
    photo, stamp = before.get(name), data.stamps[numbers[name]]
    return photo is None or stamp == NO_STAMP or stamp != photo.stamp


def _hashed(data: DataSet, numbers: Sequence[int]) -> dict[int, bytes]:
    return dict(zip(numbers, map_in_order(_digest, map(data.photo, numbers)), strict=True))


def _digest(photo: Photo) -> bytes:
    try:
        return digest_of(read_photo(photo))
    except UnusablePhoto:
        return b""


def _moves(
    added: Mapping[str, bytes], removed: Mapping[str, bytes]
) -> tuple[list[str], list[str], list[str]]:
    """Pair photos of the same contents: return those added, those removed, and the moves, in words."""
    gone: dict[bytes, list[str]] = {}
    for name, digest in removed.items():
        gone.setdefault(digest, []).append(name)
    new, moved = list[str](), list[str]()
    for name, digest in added.items():
        if digest and gone.get(digest):
            moved.append(f"{quoted(gone[digest].pop(0))} to {quoted(name)}")
        else:
            new.append(f"{quoted(name)}")
    left = [f"{quoted(name)}" for names in gone.values() for name in names]
    return new, left, moved


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _stated(record: CacheRecord) -> dict[str, Any]:
    return {"format": _FORMAT, **record.about}


def _recorded(row: Mapping[str, Any]) -> RecordedPhoto:
    texts = {name: row[name].decode(errors="surrogateescape") for name in ("name", "label")}
    return RecordedPhoto(**{**row, **texts})
