"""Batches of a scan; they depend on the photos' numbers only."""

from collections.abc import Iterator

from zfscope.datasets import DataSet
from zfscope.parallel import Batch

# Photos per forward pass. Fixed, and a photo's batch follows from its number, because the last bits of an
# activation may depend on the other photos of the pass. Larger batches are not faster.
BATCH = 16


def batches(data: DataSet, *, done: int = 0) -> Iterator[Batch]:
    """Yield BATCH photos at a time, fewer in the last batch, except batches whose bit is set in `done`."""
    for number, first in enumerate(range(0, len(data), BATCH)):
        if not done >> number & 1:
            photos = range(first, min(len(data), first + BATCH))
            yield Batch(number, tuple(data.photo(photo) for photo in photos))
