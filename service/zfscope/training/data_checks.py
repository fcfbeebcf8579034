"""Checks of a run's data: class names, and photos that occur more than once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zfscope.datasets.names import quoted
from zfscope.errors import InputError
from zfscope.training.labelled import preview_names
from zfscope.training.record import RecordedPhoto


def check_names(classes: Sequence[str], names: Mapping[str, str]) -> None:
    """Raise InputError if names are given and none of them is for a class of the data."""
    if names and not set(classes) & set(names):
        raise InputError(
            f"none of the {len(names):,} labels matches a class of the data; labels: "
            f"{preview_names(list(names))}; classes: {preview_names(classes)}. Separate a class name that "
            "contains spaces from its label with a TAB",
            field="labels",
        )


def name_warnings(classes: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    """Yield warnings about labels without a class, classes without a label, and labels used twice."""
    if not names:
        return
    unknown = [name for name in names if name not in set(classes)]
    if unknown:
        count = f"{len(unknown):,} of {len(names):,} labels"
        yield f"{count} match no class of the data: {preview_names(unknown)}"
    unnamed = [name for name in classes if name not in names]
    if unnamed:
        yield (
            f"{len(unnamed):,} of {len(classes):,} classes have no label and keep their folder names: "
            f"{preview_names(unnamed)}. Separate a class name that contains spaces from its label with a TAB"
        )
    counts = Counter(names.get(name, name) for name in classes)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        yield f"several classes have the same label: {preview_names(duplicates)}"


def count_overlap(training: Sequence[RecordedPhoto], validation: Sequence[RecordedPhoto]) -> int:
    """Return the number of validation photos that are also training photos, by the hash of their bytes."""
    known = {photo.digest for photo in training}
    return sum(photo.digest in known for photo in validation)


def overlap_warning(training: Sequence[RecordedPhoto], validation: Sequence[RecordedPhoto]) -> str:
    """Return a warning about validation photos that are also training photos; empty if there are none."""
    count = count_overlap(training, validation)
    if not count:
        return ""
    names = {photo.digest: photo.name for photo in training}
    first = next(photo for photo in validation if photo.digest in names)
    example = f"{quoted(first.name)} is {quoted(names[first.digest])}"
    return (
        f"{count:,} of the {len(validation):,} validation photos are also training photos ({example}): "
        "the measured accuracy will be too high; remove them from one of the two data sets"
    )


def repeat_warnings(photos: Sequence[RecordedPhoto], noun: str) -> Iterator[str]:
    """Yield warnings about photos that occur in two classes, or more than once in a class.

    noun: name of the photos in the warning, such as `training photos`.
    """
    first = dict[bytes, RecordedPhoto]()
    repeats = [photo for photo in photos if first.setdefault(photo.digest, photo) is not photo]
    conflicts = [photo for photo in repeats if first[photo.digest].label != photo.label]
    duplicates = [photo for photo in repeats if first[photo.digest].label == photo.label]
    for affected, fault in (
        (conflicts, "are in two classes ({}); remove them from one"),
        (duplicates, "are duplicates within a class ({}); they count more than others"),
    ):
        if affected:
            example = f"{quoted(first[affected[0].digest].name)} is {quoted(affected[0].name)}"
            yield f"{len(affected):,} {noun} {fault.format(example)}"
