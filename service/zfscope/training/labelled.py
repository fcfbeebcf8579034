"""Photos of a data set with their classes, for training and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets import DataSet, SkippedFiles, open_data
from zfscope.datasets.names import as_unicode, quoted
from zfscope.datasets.skipped_files import UNCLASSIFIED, describe_skipped
from zfscope.errors import InputError
from zfscope.images.formats import photo_suffixes

# Maximum number of names in a message.
_MAX_NAMED = 5


@dataclass(frozen=True, eq=False)
class LabelledPhotos:
    """Photos with their classes, sorted by class in the order of `classes`, and by name within a class.

    numbers: number of each photo in the data set. targets: its class number.
    """

    data: DataSet
    classes: tuple[str, ...]
    numbers: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def skipped_files(self) -> tuple[SkippedFiles, ...]:
        """Files that are not among the photos, including photos outside the class folders."""
        unclassified = [
            name for name, label in zip(self.data.names, self.data.labels, strict=True) if not label
        ]
        if not unclassified:
            return self.data.skipped_files
        examples = tuple(as_unicode(name) for name in unclassified[:3])
        return (*self.data.skipped_files, SkippedFiles(UNCLASSIFIED, len(unclassified), examples))


def read_folder(path: Path, classes: Sequence[str] | None = None) -> LabelledPhotos:
    """List the photos of a data set by class.

    path: as in `open_data`: ROOT/CLASS/..., a tar with this layout, or a list with classes. classes: order of
    the classes; alphabetical by default.

    Raises InputError if the data set does not exist, has fewer than two classes, a class that is not in
    `classes`, or a class whose name is not UTF-8; without `classes`, also if a class has no photos.
    """
    data = open_data(path)
    names = tuple(classes or data.classes)
    _check_classes(path, data, names)
    indices = {name: index for index, name in enumerate(names)}
    labels = np.array([indices.get(label, -1) for label in data.labels], np.int64)
    order = np.argsort(labels, kind="stable")
    numbers = order[np.count_nonzero(labels < 0) :]
    photos = LabelledPhotos(data, names, numbers, labels[numbers])
    if classes is None:
        check_filled(photos, np.bincount(photos.targets, minlength=len(names)))
    return photos


def check_filled(photos: LabelledPhotos, counts: NDArray[np.int64], reason: str = "") -> None:
    """Raise InputError for the first class without photos.

    counts: number of photos per class. reason: possible cause, for the message.
    """
    for name, count in zip(photos.classes, counts, strict=True):
        if not count:
            folder = f"{photos.data.root}/{name}" if photos.data.kind != "list" else name
            others = describe_skipped(photos.data.skipped_files)
            cause = reason or (f"; skipped in all classes: {others}" if others else "")
            kinds = ", ".join(sorted(photo_suffixes()))
            raise InputError(f"{quoted(folder)} contains no photos ({kinds}){cause}", field="data")


def preview_names(names: Sequence[str]) -> str:
    """Return the first names as text, with their total number if there are more."""
    first = ", ".join(as_unicode(name) for name in names[:_MAX_NAMED])
    return f"{first}, ... ({len(names):,} in all)" if len(names) > _MAX_NAMED else first


def _check_classes(path: Path, data: DataSet, names: Sequence[str]) -> None:
    """Raise InputError if a class name is not UTF-8 or not in `names`, or if there are fewer than two."""
    present, root = data.classes, quoted(str(path))
    unprintable = [name for name in present if as_unicode(name) != name]
    if unprintable:
        message = f"class {quoted(unprintable[0])} in {root} has a name that is not UTF-8; rename it"
        raise InputError(message, field="data")
    if data.kind == "list" and not present:
        message = f"no line of {root} has a class; expected lines of a path, a TAB and the photo's class"
        raise InputError(message, field="data")
    unknown = [name for name in present if name not in set(names)]
    if len(names) < 2 or not present or unknown:
        noun, each = ("classes", "") if data.kind == "list" else ("folders", ", one per class")
        wanted = f"{noun} among {preview_names(names)}" if unknown else f"at least two {noun}{each}"
        has = [as_unicode(name) for name in (unknown or present)[:_MAX_NAMED]]
        raise InputError(
            f"{root} has {f'the {noun} {has}' if has else f'no {noun}'}; expected {wanted}", field="data"
        )
