"""The file of a photo that an index records, by its hash: no caller names a path."""

import re

from zfscope.answers import IndexedPhoto
from zfscope.datasets.read import DIGEST_BYTES
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits
from zfscope.scan import open_index
from zfscope.scan.open import only_index
from zfscope.scan.reload import read_indexed_file
from zfscope.store import StoredModel

_HASH = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")


def indexed_photo(model: StoredModel, index: str, blake2b: str, limits: DecodeLimits) -> IndexedPhoto:
    """Return a photo that an index of a model records.

    index: empty for the model's only index. blake2b: hash of the file, as in the records of `top-k`.
    Raises InputError for a value that is not such a hash, and the errors of `only_index`, `open_index` and
    `read_indexed_file`.
    """
    if not _HASH.fullmatch(blake2b):
        message = (
            f"blake2b is '{blake2b:.80}'; allowed: {2 * DIGEST_BYTES} hexadecimal digits, as `top-k` lists"
        )
        raise InputError(message, field="blake2b")
    opened = open_index(model, index or only_index(model))
    record, data = read_indexed_file(opened, blake2b, max_bytes=limits.bytes)
    manifest = model.manifest
    return IndexedPhoto(
        manifest.name, manifest.version, opened.name, record.path, record.label, blake2b, data
    )
