"""Batches of a scan; they depend on the photos' numbers only."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.datasets import DataSet, Photo

# Photos per forward pass. Fixed, and a photo's batch follows from its number, because the last bits of an
# activation may depend on the other photos of the pass. Larger batches are not faster.
BATCH = 16


@dataclass(frozen=True)
class ScanBatch:
    """BATCH photos with consecutive numbers; fewer in the last batch."""

    number: int
    photos: tuple[Photo, ...]


def batches(data: DataSet, *, done: int = 0) -> Iterator[ScanBatch]:
    """Yield the batches of a data set in order, except those whose bit is set in `done`."""
    for number, first in enumerate(range(0, len(data), BATCH)):
        if not done >> number & 1:
            photos = range(first, min(len(data), first + BATCH))
            yield ScanBatch(number, tuple(data.photo(photo) for photo in photos))
