"""Uploaded photos: checked by decoding, and held in memory under the hash of their bytes."""

import re
from dataclasses import dataclass
from hashlib import sha256

from zfscope.errors import NotFound
from zfscope.images.decode import decode_photo
from zfscope.images.formats import identify
from zfscope.page.memory import BoundedMemory, MemoryLimits

HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredPhoto:
    """A photo file. width, height: upright, in pixels."""

    hash: str
    data: bytes
    width: int
    height: int
    media_type: str


def check_photo(data: bytes) -> StoredPhoto:
    """Decode a photo to check it. Raises InputError for an unusable file, TooLarge above a limit. Blocks."""
    height, width = decode_photo(data, field="photo").size
    kind = identify(data)
    media_type = f"image/{kind.format.lower()}" if kind and kind.format else "application/octet-stream"
    return StoredPhoto(sha256(data).hexdigest(), data, width, height, media_type)


class PhotoMemory:
    """Uploaded photos by hash."""

    def __init__(self, limits: MemoryLimits) -> None:
        self._limits = limits
        self._photos: BoundedMemory[StoredPhoto] = BoundedMemory(limits)

    @property
    def bytes(self) -> int:
        """Total size of the photos."""
        return self._photos.bytes

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, photo: StoredPhoto) -> None:
        """Keep a photo."""
        self._photos.put(photo.hash, photo, len(photo.data))

    def get(self, key: str, *, field: str) -> StoredPhoto:
        """Return a photo. Raises NotFound, naming `field`, if it is not in memory."""
        photo = self._photos.get(key)
        if photo is None:
            limits = self._limits
            raise NotFound(
                f"photo '{key:.64}' is not in memory; the last {limits.items} photos are kept for "
                f"{limits.seconds / 60:g} minutes: upload it again",
                field=field,
            )
        return photo

    def evict(self) -> None:
        """Remove the photos that have expired."""
        self._photos.evict()
