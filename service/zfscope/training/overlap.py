"""Photos that are in two places of the data, found by the hash of their bytes."""

from collections.abc import Sequence

from zfscope.datasets.names import quoted
from zfscope.training.record import RecordedPhoto


def count_overlap(training: Sequence[RecordedPhoto], validation: Sequence[RecordedPhoto]) -> int:
    """Return how many validation photos are training photos too."""
    known = {photo.digest for photo in training}
    return sum(photo.digest in known for photo in validation)


def overlap_warning(training: Sequence[RecordedPhoto], validation: Sequence[RecordedPhoto]) -> str:
    """Return a warning about validation photos that are trained on, empty where there are none."""
    count = count_overlap(training, validation)
    if not count:
        return ""
    names = {photo.digest: photo.name for photo in training}
    first = next(photo for photo in validation if photo.digest in names)
    example = f"{quoted(first.name)} is {quoted(names[first.digest])}"
    return (
        f"{count:,} of the {len(validation):,} validation photos are training photos too ({example}): "
        "the accuracy will be too high; remove them from one of the two"
    )


def conflict_warning(photos: Sequence[RecordedPhoto]) -> str:
    """Return a warning about photos that are in two classes, empty where there are none."""
    first = dict[bytes, RecordedPhoto]()
    conflicts = [photo for photo in photos if first.setdefault(photo.digest, photo).label != photo.label]
    if not conflicts:
        return ""
    photo, twin = conflicts[0], first[conflicts[0].digest]
    example = f"{quoted(twin.name)} is {quoted(photo.name)}"
    return f"{len(conflicts):,} training photos are in two classes ({example}); remove them from one"
