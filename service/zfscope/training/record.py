"""The record of a cache of decoded photos, and what has changed since."""

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
from zfscope.datasets.names import as_unicode, quoted
from zfscope.datasets.read import SkippedPhoto, photo_digest
from zfscope.files import replacing
from zfscope.images.limits import DecodeLimits
from zfscope.processors import map_in_order
from zfscope.training.labelled import LabelledPhotos

_FORMAT = 1
# Key of the metadata in the Parquet schema.
_METADATA = b"zfscope"
_LIMITS, _CHECKSUM = "limits", "checksum"
# Maximum number of names per kind of change in a message.
_MAX_NAMED = 3

# File names are bytes: not all are valid UTF-8.
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
    """A photo at the time of decoding.

    stamp: stamp of its file; see `file_stamp`. digest: BLAKE2b of its bytes; empty if they could not be read.
    reason: why it could not be used; empty if it was.
    """

    name: str
    label: str
    size: int
    stamp: int
    digest: bytes
    reason: str


class Changes(NamedTuple):
    """Differences between a record and the current photos, each as text."""

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
    """Record of the decoded photos, in order.

    settings: everything else that the pixels depend on. limits: decoding limits by setting name; empty in
    records of earlier versions. checksum: CRC-32 of the file of pixels; None in records of earlier versions.
    """

    settings: Mapping[str, Any]
    photos: Sequence[RecordedPhoto]
    limits: Mapping[str, int] = field(default_factory=dict)
    checksum: int | None = None

    @property
    def used(self) -> list[RecordedPhoto]:
        """The photos whose pixels were kept."""
        return [photo for photo in self.photos if not photo.reason]

    @property
    def skipped(self) -> tuple[SkippedPhoto, ...]:
        """The photos that could not be used, with reasons."""
        return tuple(
            SkippedPhoto(as_unicode(photo.name), photo.reason) for photo in self.photos if photo.reason
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, classes and contents of the used photos, in order."""
        digest = hashlib.sha256()
        for photo in self.used:
            digest.update(f"{photo.name}\0{photo.label}\0".encode(errors="surrogateescape") + photo.digest)
        return digest.hexdigest()


def write_record(path: Path, record: CacheRecord) -> None:
    """Write a record atomically. Raises CannotWrite."""
    columns: dict[str, Any] = {
        name: [getattr(photo, name) for photo in record.photos] for name in RecordedPhoto._fields
    }
    for name in ("name", "label"):
        columns[name] = [text.encode(errors="surrogateescape") for text in columns[name]]
    table = pa.table(columns, schema=_COLUMNS).replace_schema_metadata(
        {_METADATA: json.dumps(_metadata(record) | {_LIMITS: record.limits, _CHECKSUM: record.checksum})}
    )
    with replacing(path, durable=True) as file:
        pq.write_table(table, file, compression="zstd")


def read_record(path: Path, settings: Mapping[str, Any]) -> CacheRecord | None:
    """Read a record; return None if it does not exist, is damaged, or was made with other settings."""
    try:
        table = pq.read_table(path)
        metadata = json.loads(table.schema.metadata[_METADATA])
        limits, checksum = metadata.pop(_LIMITS, {}), metadata.pop(_CHECKSUM, None)
        record = CacheRecord(settings, [_recorded(row) for row in table.to_pylist()], limits, checksum)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    return record if metadata == _metadata(record) else None


def compare_photos(record: CacheRecord, photos: LabelledPhotos) -> tuple[Changes, CacheRecord]:
    """Return the changes since a record, and the record with current stamps.

    A photo with the same name, class and stamp is taken as unchanged; others are read and compared by hash.
    """
    data, before = photos.data, {photo.name: photo for photo in record.photos}
    numbers = {data.names[number]: int(number) for number in photos.numbers}
    fresh = _hash_photos(
        data, [numbers[name] for name in numbers if _needs_hash(name, numbers, before, data)]
    )
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
    restamped = [photo._replace(stamp=stamps.get(photo.name, NO_STAMP)) for photo in record.photos]
    return changes, replace(record, photos=restamped)


def limit_settings(limits: DecodeLimits) -> dict[str, int]:
    """Return the decoding limits by setting name."""
    return {"max_image_bytes": limits.bytes, "max_image_pixels": limits.pixels}


def changed_limits(record: CacheRecord, limits: DecodeLimits) -> str:
    """Return the limits that changed since a record, as text; empty if no photo can be affected.

    A changed limit in bytes is ignored if all photos are below both values. A changed limit in pixels always
    counts, since the sizes of photos in pixels are not recorded.
    """
    now, sizes = limit_settings(limits), [photo.size for photo in record.photos]
    changed = {name: (before, now[name]) for name, before in record.limits.items() if now[name] != before}
    if "max_image_bytes" in changed and max(sizes, default=0) <= min(changed["max_image_bytes"]):
        del changed["max_image_bytes"]
    return ", ".join(f"{name} from {before:,} to {after:,}" for name, (before, after) in changed.items())


def _needs_hash(
    name: str, numbers: Mapping[str, int], before: Mapping[str, RecordedPhoto], data: DataSet
) -> bool:
    """Return whether a photo has to be read to compare it with the record."""
    photo, stamp = before.get(name), data.stamps[numbers[name]]
    return photo is None or stamp == NO_STAMP or stamp != photo.stamp


def _hash_photos(data: DataSet, numbers: Sequence[int]) -> dict[int, bytes]:
    return dict(zip(numbers, map_in_order(_digest, map(data.photo, numbers)), strict=True))


def _digest(photo: Photo) -> bytes:
    try:
        return photo_digest(read_photo(photo))
    except UnusablePhoto:
        return b""


def _moves(
    added: Mapping[str, bytes], removed: Mapping[str, bytes]
) -> tuple[list[str], list[str], list[str]]:
    """Pair added and removed photos with the same contents; return additions, removals and moves as text."""
    unpaired: dict[bytes, list[str]] = {}
    for name, digest in removed.items():
        unpaired.setdefault(digest, []).append(name)
    still_added, moved = list[str](), list[str]()
    for name, digest in added.items():
        if digest and unpaired.get(digest):
            moved.append(f"{quoted(unpaired[digest].pop(0))} to {quoted(name)}")
        else:
            still_added.append(f"{quoted(name)}")
    still_removed = [f"{quoted(name)}" for names in unpaired.values() for name in names]
    return still_added, still_removed, moved


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")


def _metadata(record: CacheRecord) -> dict[str, Any]:
    return {"format": _FORMAT, **record.settings}


def _recorded(row: Mapping[str, Any]) -> RecordedPhoto:
    texts = {name: row[name].decode(errors="surrogateescape") for name in ("name", "label")}
    return RecordedPhoto(**{**row, **texts})
