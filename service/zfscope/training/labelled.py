"""Photos of a data set that have a class each, for training and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets import DataSet, PassedOver, open_data
from zfscope.datasets.names import printable, quoted
from zfscope.datasets.passed_over import UNCLASSIFIED, in_words
from zfscope.errors import InputError
from zfscope.images.formats import photo_suffixes

# Classes or photos that a message names.
_NAMED = 5


@dataclass(frozen=True, eq=False)
class LabelledPhotos:
    """Photos with their classes. `numbers` (in the data set) and `targets` (class numbers) run side by side.

    They come class by class, in the order of `classes`, and by name in each.
    """

    data: DataSet
    classes: tuple[str, ...]
    numbers: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What is not among the photos; those outside of all class folders included."""
        loose = [name for name, label in zip(self.data.names, self.data.labels, strict=True) if not label]
        if not loose:
            return self.data.passed_over
        examples = tuple(printable(name) for name in loose[:3])
        return (*self.data.passed_over, PassedOver(UNCLASSIFIED, len(loose), examples))


def read_folder(path: Path, classes: Sequence[str] | None = None) -> LabelledPhotos:
    """List the photos of a data set by class, in alphabetical order of the classes unless they are given.

    path: as `open_data` takes it: ROOT/CLASS/..., a tar of that, or a list with classes. Raises InputError
    where there is no such data set, fewer than two classes, a class that is not among those given, one
    whose name is not UTF-8, or, where none are given, one without photos.
    """
    data = open_data(path)
    names = tuple(classes or data.classes)
    _check_classes(path, data, names)
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places.get(label, -1) for label in data.labels], np.int64)
    order = np.argsort(labels, kind="stable")
    numbers = order[np.count_nonzero(labels < 0) :]
    photos = LabelledPhotos(data, names, numbers, labels[numbers])
    if classes is None:
        check_filled(photos, np.bincount(photos.targets, minlength=len(names)))
    return photos


def check_filled(photos: LabelledPhotos, counts: NDArray[np.int64], reason: str = "") -> None:
    """Raise InputError for the first class without photos. counts: of each. reason: why that may be."""
    for name, count in zip(photos.classes, counts, strict=True):
        if not count:
            folder = f"{photos.data.root}/{name}" if photos.data.kind != "list" else name
            others = in_words(photos.data.passed_over)
            why = reason or (f"; passed over in all classes: {others}" if others else "")
            kinds = ", ".join(sorted(photo_suffixes()))
            raise InputError(f"{quoted(folder)} holds no photos ({kinds}){why}", field="data")


def preview_names(names: Sequence[str]) -> str:
    """Name the first of some names, and their number where they are many."""
    first = ", ".join(printable(name) for name in names[:_NAMED])
    return f"{first}, ... ({len(names):,} in all)" if len(names) > _NAMED else first


def _check_classes(path: Path, data: DataSet, names: Sequence[str]) -> None:
    """Raise InputError for classes that cannot be named, are not among `names`, or are fewer than two."""
    found, root = data.classes, quoted(str(path))
    unnamed = [name for name in found if printable(name) != name]
    if unnamed:
        message = f"class {quoted(unnamed[0])} in {root} is not named in UTF-8; rename it"
        raise InputError(message, field="data")
    if data.kind == "list" and not found:
        message = f"no line of {root} has a class; a line is a path, a TAB and the photo's class"
        raise InputError(message, field="data")
    strange = [name for name in found if name not in set(names)]
    if len(names) < 2 or not found or strange:
        noun, each = ("classes", "") if data.kind == "list" else ("folders", ", one per class")
        wanted = f"{noun} among {preview_names(names)}" if strange else f"at least two {noun}{each}"
        has = [printable(name) for name in (strange or found)[:_NAMED]]
        raise InputError(
            f"{root} has {f'the {noun} {has}' if has else f'no {noun}'}; expected {wanted}", field="data"
        )
