"""The photos of an index, read again where they were when it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zfscope.datasets.dataset import ListedFile
from zfscope.datasets.read import contents, digest_of
from zfscope.datasets.tar import packed_photos
from zfscope.errors import InputError
from zfscope.images.decode import decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, prepare_photo
from zfscope.records import Record, RecordState
from zfscope.scan.index import Index
from zfscope.store import Model


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """Where photos are: below a folder, or, with `packed`, in the file `root` itself; and their limits."""

    root: Path
    limits: DecodeLimits
    packed: Mapping[str, ListedFile] | None = None


def photo_source(index: Index) -> PhotoSource:
    """Say where the photos of an index are; of a tar, every header is read."""
    origin = index.manifest.origin
    root, limits = Path(origin.data.root), origin.limits
    return PhotoSource(root, limits, _packed(root) if origin.data.kind == "tar" else None)


def reload_photo(photos: PhotoSource, record: Record, model: Model) -> Prepared | RecordState:
    """Read, verify and prepare the photo of a record as the scan did, or return CHANGED or GONE."""
    try:
        data = _contents(photos, record.path)
        if digest_of(data).hex() != record.blake2b:
            return RecordState.CHANGED
        photo = decode_photo(data, limits=photos.limits, field=record.path)
        return prepare_photo(photo, model.preprocessing, mean_image=model.mean_image)
    except (OSError, ValueError, LookupError, InputError):
        return RecordState.GONE


def _packed(root: Path) -> Mapping[str, ListedFile]:
    try:
        return packed_photos(root)
    except (OSError, InputError):
        return {}


def _contents(photos: PhotoSource, name: str) -> bytes:
    """Read a photo, of a file that is too large no more than shows that it is another one.

    Raises OSError where there is no plain file, ValueError for a name that none can have, LookupError for
    one that is not in the tar.
    """
    most = photos.limits.bytes + 1
    if photos.packed is None:
        return contents(photos.root / name, 0, most)
    found = photos.packed[name]
    return contents(photos.root, found.offset, min(most, found.size))
