"""Reloading the photos of an index from their original location."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zfscope.datasets.dataset import ListedFile
from zfscope.datasets.read import photo_digest, read_range
from zfscope.datasets.tar import tar_photos
from zfscope.errors import InputError
from zfscope.images.decode import decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, prepare_photo
from zfscope.records import Record, RecordState
from zfscope.scan.index import Index
from zfscope.store import Model


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
    try:
        data = _read_photo(photos, record.path)
        if photo_digest(data).hex() != record.blake2b:
            return RecordState.CHANGED
        photo = decode_photo(data, limits=photos.limits, field=record.path)
        return prepare_photo(photo, model.preprocessing, mean_image=model.mean_image)
    except (OSError, ValueError, LookupError, InputError):
        return RecordState.GONE


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
