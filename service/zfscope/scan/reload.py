"""Reloading the photos of an index from their original location."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zfscope.datasets.dataset import ListedFile
from zfscope.datasets.names import quoted
from zfscope.datasets.read import photo_digest, read_range
from zfscope.datasets.tar import tar_photos
from zfscope.errors import InputError, NotFound, TooLarge
from zfscope.images.decode import decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, prepare_photo
from zfscope.records import Record, RecordState
from zfscope.scan.index import Index
from zfscope.store import Model

# Field of requests that names a file.
_HASH = "blake2b"


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """Location of an index's photos, and their decoding limits.

    root: a folder, or a tar file if `packed` is given. packed: the files in the tar, by name.
    """

    root: Path
    limits: DecodeLimits
    packed: Mapping[str, ListedFile] | None = None


def photo_source(index: Index) -> PhotoSource:
    """Return the location of an index's photos. For a tar, reads all its headers."""
    origin = index.manifest.origin
    root, limits = Path(origin.data.root), origin.limits
    return PhotoSource(root, limits, _packed(root) if origin.data.kind == "tar" else None)


def reload_photo(photos: PhotoSource, record: Record, model: Model) -> Prepared | RecordState:
    """Read, verify and prepare the photo of a record as the scan did; return CHANGED or GONE on failure."""
    data = read_verified(photos, record)
    if isinstance(data, RecordState):
        return data
    try:
        photo = decode_photo(data, limits=photos.limits, field=record.path)
        return prepare_photo(photo, model.preprocessing, mean_image=model.mean_image)
    except (ValueError, InputError):
        return RecordState.GONE


def read_verified(photos: PhotoSource, record: Record) -> bytes | RecordState:
    """Read the file of a record and compare its hash; return CHANGED or GONE on failure.

    A file over the limit of bytes is CHANGED: it was within the limit when it was indexed.
    """
    try:
        data = _read_photo(photos, record.path)
    except (OSError, ValueError, LookupError):
        return RecordState.GONE
    return data if photo_digest(data).hex() == record.blake2b else RecordState.CHANGED


def read_indexed_file(index: Index, blake2b: str, *, max_bytes: int) -> tuple[Record, bytes]:
    """Return the file that has this hash, and a record of it.

    max_bytes: maximum size of the file. Raises NotFound if the index records no such file, or if it is gone
    or has changed, and TooLarge if it exceeds the limit.
    """
    records, source = index.records_of_file(blake2b), photo_source(index)
    if not records:
        message = (
            f"index '{index.name}' records no photo with hash {blake2b}; `top-k` lists the hashes of records"
        )
        raise NotFound(message, field=_HASH)
    for record in records:
        data = read_verified(source, record)
        if isinstance(data, bytes):
            return record, _within(data, max_bytes, record)
        state = data
    names = ", ".join(quoted(record.path) for record in records)
    raise NotFound(f"photo {names} of index '{index.name}': {state.meaning}", field=_HASH)


def _within(data: bytes, max_bytes: int, record: Record) -> bytes:
    if len(data) > max_bytes:
        message = f"photo {quoted(record.path)} has {len(data):,} bytes; allowed: at most {max_bytes:,}"
        raise TooLarge(message, field=_HASH)
    return data


def _packed(root: Path) -> Mapping[str, ListedFile]:
    try:
        return tar_photos(root)
    except (OSError, InputError):
        return {}


def _read_photo(photos: PhotoSource, name: str) -> bytes:
    """Read a photo's file, at most one byte over the limit: enough to show that the file has changed.

    Raises OSError if it is not a regular file, ValueError for an invalid file name, LookupError if the tar
    does not contain it.
    """
    max_bytes = photos.limits.bytes + 1
    if photos.packed is None:
        return read_range(photos.root / name, 0, max_bytes)
    file = photos.packed[name]
    return read_range(photos.root, file.offset, min(max_bytes, file.size))
