"""The batches of a scan, which follow from the numbers of photos alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.datasets import DataSet, Photo

# Photos of one forward pass. Fixed, and a photo's batch follows from its number: the last bits of an
# activation may depend on what is computed beside it. More photos a pass are no faster.
BATCH = 16


@dataclass(frozen=True)
class ScanBatch:
    """Photos of consecutive numbers: BATCH of them, fewer in the last batch."""

    number: int
    photos: tuple[Photo, ...]


def batches(data: DataSet, *, done: int = 0) -> Iterator[ScanBatch]:
    """Return the batches of a data set in order, without those whose bit is set in `done`."""
    for number, first in enumerate(range(0, len(data), BATCH)):
        if not done >> number & 1:
            numbers = range(first, min(len(data), first + BATCH))
            yield ScanBatch(number, tuple(data.photo(each) for each in numbers))
