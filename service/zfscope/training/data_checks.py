"""Checks of the data of a run: names of classes, and photos that are in two places."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zfscope.datasets.names import quoted
from zfscope.errors import InputError
from zfscope.training.labelled import preview_names
from zfscope.training.record import RecordedPhoto


def check_names(classes: Sequence[str], names: Mapping[str, str]) -> None:
    """Raise InputError where names are given and none of them is that of a class."""
    if names and not set(classes) & set(names):
        raise InputError(
            f"none of the {len(names):,} labels names a class of the data; labels: "
            f"{preview_names(list(names))}; classes: {preview_names(classes)}. Put a TAB behind a class with "
            "spaces",
            field="labels",
        )


def name_warnings(classes: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    """Return a warning about labels that fit no class, one about classes without one, and one about twins."""
    if not names:
        return
    strange = [name for name in names if name not in set(classes)]
    if strange:
        yield f"{len(strange):,} of {len(names):,} labels name no class of the data: {preview_names(strange)}"
    bare = [name for name in classes if name not in names]
    if bare:
        yield (
            f"{len(bare):,} of {len(classes):,} classes have no label, and are called as their folders: "
            f"{preview_names(bare)}. Put a TAB behind a class with spaces"
        )
    called = Counter(names.get(name, name) for name in classes)
    twins = [name for name, count in called.items() if count > 1]
    if twins:
        yield f"several classes have the same label: {preview_names(twins)}"


def count_overlap(training: Sequence[RecordedPhoto], validation: Sequence[RecordedPhoto]) -> int:
    """Return how many validation photos are training photos too, by the hash of their bytes."""
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
