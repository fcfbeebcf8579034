"""The plan of a probe, and the photos that each of its splits trains on and tests with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from zfscope.datasets import DataSet
from zfscope.datasets.names import quoted
from zfscope.errors import InputError, NotFound
from zfscope.networks.lookup import MAX_LISTED, join_names
from zfscope.validation import nearest_name

MAX_SPLITS = 100
Numbers = NDArray[np.int64]


class ProbePlan(BaseModel):
    """Parameters of a probe.

    per_class: numbers of photos of each class to train on, ascending; a classifier for each. splits: number
    of random divisions of the photos. test_per_class: largest number of photos of each class to test with;
    None for all others. leave_out: classes to leave out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_class: tuple[PositiveInt, ...]
    splits: PositiveInt
    seed: NonNegativeInt
    test_per_class: PositiveInt | None
    leave_out: tuple[str, ...]


def plan_probe(
    per_class: Sequence[int] = (15,),
    *,
    splits: int = 5,
    seed: int = 0,
    test_per_class: int | None = None,
    leave_out: Sequence[str] = (),
) -> ProbePlan:
    """Return the plan of a probe; see `ProbePlan`. Raises InputError for a number out of its range."""
    limits = {"seed": (seed, 0), "test_per_class": (1 if test_per_class is None else test_per_class, 1)}
    for name, (value, least) in limits.items():
        if value < least:
            raise InputError(f"{name} is {value}; allowed: {least} or more", field=name)
    if not 1 <= splits <= MAX_SPLITS:
        raise InputError(f"splits is {splits}; allowed: 1 to {MAX_SPLITS}", field="splits")
    if not per_class or min(per_class) < 1:
        message = f"per_class is {', '.join(map(str, per_class)) or 'empty'}; allowed: numbers of 1 or more"
        raise InputError(message, field="per_class")
    return ProbePlan(
        per_class=tuple(sorted({*per_class})),
        splits=splits,
        seed=seed,
        test_per_class=test_per_class,
        leave_out=tuple(sorted({*leave_out})),
    )


@dataclass(frozen=True, eq=False)
class Split:
    """Photos of a split, by number: those to train on by their number per class, and those to test with.

    Photos of a smaller number per class are among those of a larger one; those to test with are the same.
    """

    trained: Mapping[int, Numbers]
    tested: Numbers


@dataclass(frozen=True, eq=False)
class ProbedPhotos:
    """The photos of a data set by class, without classes that are left out and photos without a class."""

    data: DataSet
    plan: ProbePlan

    @cached_property
    def by_class(self) -> Mapping[str, Numbers]:
        """Numbers of the photos of each class, sorted by class."""
        numbers: dict[str, list[int]] = {name: [] for name in self.data.classes}
        for number, label in enumerate(self.data.labels):
            if label:
                numbers[label].append(number)
        kept = (name for name in numbers if name not in self.plan.leave_out)
        return {name: np.array(numbers[name], np.int64) for name in kept}

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Index of the class of each photo of the data set; -1 without a class of the probe."""
        labels = np.full(len(self.data), -1, np.int32)
        for index, numbers in enumerate(self.by_class.values()):
            labels[numbers] = index
        return labels

    def splits(self, skipped: frozenset[int] = frozenset()) -> Iterator[Split]:
        """Yield the splits.

        Each split orders the photos of every class at random, whatever the numbers per class. The first ones
        are trained on, and those after the largest number per class tested with. skipped: photos that cannot
        be used; the next ones take their places.
        """
        sizes, tested = self.plan.per_class, self.plan.test_per_class
        for number in range(self.plan.splits):
            generator = np.random.default_rng([self.plan.seed, number])
            orders = [_without(generator.permutation(each), skipped) for each in self.by_class.values()]
            end = None if tested is None else sizes[-1] + tested
            yield Split(
                {size: np.concatenate([order[:size] for order in orders]) for size in sizes},
                np.concatenate([order[sizes[-1] : end] for order in orders]),
            )

    def needed(self, skipped: frozenset[int]) -> Numbers:
        """Return the numbers of the photos that some split uses, sorted. skipped: see `splits`."""
        used = np.zeros(len(self.data), np.bool_)
        for split in self.splits(skipped):
            used[split.trained[self.plan.per_class[-1]]] = True
            used[split.tested] = True
        return np.flatnonzero(used)

    def check(self, skipped: frozenset[int] = frozenset()) -> None:
        """Raise InputError unless there are at least two classes, each with enough photos.

        Raises NotFound for an unknown class to leave out.
        """
        self._check_classes()
        counts = {name: len(_without(each, skipped)) for name, each in self.by_class.items()}
        smallest = min(counts, key=lambda name: counts[name])
        asked, count = self.plan.per_class[-1], counts[smallest]
        if count > asked:
            return
        usable, photos = "usable " if skipped else "", "photo" if count == 1 else "photos"
        fewer = sum(each <= asked for each in counts.values()) - 1
        also = "1 other class has" if fewer == 1 else f"{fewer} other classes have"
        others = f", and {also} too few" if fewer else ""
        most = f"use a per_class of at most {count - 1}, or " if count > 1 else ""
        raise InputError(
            f"class {quoted(smallest)} has {count} {usable}{photos}{others}; a per_class of {asked} needs at "
            f"least {asked + 1} of each class, one of them to test with: {most}leave out such classes",
            field="per_class",
        )

    def _check_classes(self) -> None:
        classes, root = self.data.classes, quoted(str(self.data.root))
        if not classes:
            message = f"{root} has no classes; a probe needs a folder with one subfolder per class"
            raise InputError(f"{message}, or a list of photos with their classes", field="data")
        if unknown := [name for name in self.plan.leave_out if name not in classes]:
            available = join_names(classes, classes[:MAX_LISTED])
            message = f"class {quoted(unknown[0])} is not in {root}; available: {available}"
            raise NotFound(f"{message}{nearest_name(unknown[0], classes)}", field="leave_out")
        if len(self.by_class) < 2:
            names = " and ".join(map(quoted, self.by_class)) or "none"
            message = f"{root} has too few classes for a probe: {names}; at least 2 are needed"
            raise InputError(message, field="data")


def _without(numbers: Numbers, skipped: frozenset[int]) -> Numbers:
    return numbers[[number not in skipped for number in numbers.tolist()]] if skipped else numbers
