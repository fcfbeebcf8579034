"""Photos that are in two places of the data, found by the hash of their bytes."""

from collections.abc import Iterator, Sequence

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


def repeat_warnings(photos: Sequence[RecordedPhoto], noun: str) -> Iterator[str]:
    """Return warnings about photos that are in two classes, and in one class more than once.

    noun: for the photos, such as `training photos`.
    """
    first = dict[bytes, RecordedPhoto]()
    repeats = [photo for photo in photos if first.setdefault(photo.digest, photo) is not photo]
    conflicts = [photo for photo in repeats if first[photo.digest].label != photo.label]
    twins = [photo for photo in repeats if first[photo.digest].label == photo.label]
    for found, fault in (
        (conflicts, "are in two classes ({}); remove them from one"),
        (twins, "repeat another of their class ({}); they count more than others"),
    ):
        if found:
            example = f"{quoted(first[found[0].digest].name)} is {quoted(found[0].name)}"
            yield f"{len(found):,} {noun} {fault.format(example)}"
