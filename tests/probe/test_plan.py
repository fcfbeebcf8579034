"""The plan of a probe: which photos train and test, and what it refuses."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zfscope.datasets import DataSet
from zfscope.datasets.dataset import ListedFile, build_data_set
from zfscope.errors import InputError, NotFound
from zfscope.probe import plan_probe
from zfscope.probe.plan import ProbedPhotos


def data_set(*, classes: Sequence[str] = (), **counts: int) -> DataSet:
    """Return a data set with the given number of photos of each class, and three photos without one."""
    photos = {
        f"{name}/{number}.png": ListedFile(name, 1) for name in counts for number in range(counts[name])
    }
    loose = {f"{number}.png": ListedFile("", 1) for number in range(3)}
    return build_data_set("folder", Path("data"), {**photos, **loose}, classes=classes)


def drawn(data: DataSet, skipped: frozenset[int] = frozenset(), **plan: Any) -> ProbedPhotos:
    return ProbedPhotos(data, plan_probe(**plan))


def test_each_split_trains_on_the_given_numbers_and_tests_with_all_others() -> None:
    data = data_set(a=9, b=5, c=7)
    photos = drawn(data, per_class=(4, 2, 4), splits=3)
    splits = [*photos.splits()]
    labelled = [number for number, label in enumerate(data.labels) if label]
    assert len(splits) == 3
    for split in splits:
        for size, numbers in split.trained.items():
            assert Counter(data.labels[number] for number in numbers) == dict.fromkeys("abc", size)
        assert {*split.trained[2]} < {*split.trained[4]}
        assert sorted([*split.trained[4], *split.tested]) == labelled
    assert len({tuple(split.tested) for split in splits}) == 3
    again, other = ([*drawn(data, per_class=(4,), splits=3, seed=seed).splits()] for seed in (0, 1))
    assert [split.tested.tolist() for split in again] == [split.tested.tolist() for split in splits]
    assert [split.tested.tolist() for split in other] != [split.tested.tolist() for split in splits]


def test_a_class_is_tested_with_at_most_the_given_number() -> None:
    data = data_set(a=9, b=5, left=1)
    photos = drawn(data, per_class=(4,), splits=2, test_per_class=3, leave_out=["left"])
    for split in photos.splits():
        assert Counter(data.labels[number] for number in split.tested) == {"a": 3, "b": 1}
    used = {number for split in photos.splits() for number in (*split.trained[4], *split.tested)}
    assert photos.needed(frozenset()).tolist() == sorted(used)
    assert photos.labels.tolist() == [{"a": 0, "b": 1}.get(label, -1) for label in data.labels]


def test_the_next_photos_take_the_places_of_those_that_cannot_be_used() -> None:
    data = data_set(a=9, b=8)
    photos = drawn(data, per_class=(3,), splits=1, test_per_class=2)
    (before,) = photos.splits()
    lost = int(before.trained[3][1])
    (after,) = photos.splits(frozenset([lost]))
    order = [*before.trained[3][:3], *before.tested[:2]]
    assert [*after.trained[3][:3]] == [number for number in order if number != lost][:3]
    np.testing.assert_array_equal(after.trained[3][3:], before.trained[3][3:])
    assert len(after.tested) == 4


@pytest.mark.parametrize(
    ("options", "message", "field"),
    [
        ({"per_class": ()}, "per_class is empty; allowed: numbers of 1 or more", "per_class"),
        ({"per_class": (3, 0)}, "per_class is 3, 0; allowed: numbers of 1 or more", "per_class"),
        ({"splits": 0}, "splits is 0; allowed: 1 to 100", "splits"),
        ({"splits": 101}, "splits is 101; allowed: 1 to 100", "splits"),
        ({"seed": -1}, "seed is -1; allowed: 0 or more", "seed"),
        ({"test_per_class": 0}, "test_per_class is 0; allowed: 1 or more", "test_per_class"),
    ],
)
def test_a_number_out_of_its_range_is_rejected(options: Any, message: str, field: str) -> None:
    with pytest.raises(InputError, match=rf"^{re.escape(message)}$") as caught:
        plan_probe(**options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("data", "plan", "message", "field"),
    [
        (data_set(), {}, "'data' has no classes; a probe needs a folder with one subfolder per", "data"),
        (data_set(a=5), {}, "'data' has too few classes for a probe: 'a'; at least 2 are needed", "data"),
        (
            data_set(a=5, b=5),
            {"leave_out": ["a", "b"]},
            "'data' has too few classes for a probe: none; at least 2 are needed",
            "data",
        ),
        (
            data_set(a=20, b=12, c=15),
            {},
            "class 'b' has 12 photos, and 1 other class has too few; a per_class of 15 needs at least 16 of "
            "each class, one of them to test with: use a per_class of at most 11, or leave out such classes",
            "per_class",
        ),
        (
            data_set(a=20, b=20, classes=["empty"]),
            {},
            "class 'empty' has 0 photos; a per_class of 15 needs at least 16 of each class, one of them to "
            "test with: leave out such classes",
            "per_class",
        ),
    ],
)
def test_a_data_set_that_cannot_be_probed_is_rejected(
    data: DataSet, plan: Any, message: str, field: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        drawn(data, **plan).check()
    assert caught.value.field == field


def test_photos_that_cannot_be_used_do_not_count() -> None:
    photos = drawn(data_set(a=5, b=5), per_class=(4,))
    photos.check()
    lost = frozenset([int(photos.by_class["b"][2])])
    with pytest.raises(InputError, match=r"class 'b' has 4 usable photos; a per_class of 4 needs at least 5"):
        photos.check(lost)


def test_an_unknown_class_to_leave_out_is_rejected() -> None:
    with pytest.raises(NotFound, match=r"class 'dag' is not in 'data'; available: cat, dog.*dog") as caught:
        drawn(data_set(cat=5, dog=5), leave_out=["dag"]).check()
    assert caught.value.field == "leave_out"
