"""The measures of `benchmarks.ranking`, on lists made by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ranking import RANKS, TOP, chance_level, compare, most_frequent
from zfscope.datasets.dataset import ListedFile, build_data_set
from zfscope.scan import DataSet, Record


class Lists:
    """An index with two active maps and one that too few photos activate."""

    def __init__(self, photos: Sequence[str], labels: str, value: float) -> None:
        self._records = [
            Record("conv", 0, rank, 1.0, value, rank, path, label, 0, 0, "")
            for rank, (path, label) in enumerate(zip(photos, labels, strict=True))
        ]

    def alive(self, layer: str) -> NDArray[np.int64]:
        return np.array([TOP, TOP - 1, TOP])

    def records(self, layer: str, map: int) -> Sequence[Record]:
        assert map != 1
        return self._records


def test_two_rankings_are_compared_by_their_photos_classes_and_activations() -> None:
    by_max = Lists([f"{number}.jpg" for number in range(9)], "aaaaaaaab", 4.0)
    by_sum = Lists([f"{number}.jpg" for number in range(6, 15)], "aaaaaaaaa", 3.0)
    measures = compare(dict(zip(RANKS, (by_max, by_sum), strict=True)), "conv")  # type: ignore[arg-type]
    assert measures == {
        "active": 2, "common": 3, "disjoint": 0, "by_max": 8, "by_sum": 9, "pure_by_max": 0, "pure_by_sum": 1,
        "peak": 0.75,
    }  # fmt: skip


def test_the_most_frequent_label_is_counted() -> None:
    assert most_frequent("abcbb") == 3


def test_the_chance_level_is_between_even_counts_and_all_photos() -> None:
    assert chance_level(photos("a" * 30)) == TOP
    assert TOP / 3 < chance_level(photos("abc" * 10)) < TOP


def photos(labels: str) -> DataSet:
    """Return a data set of photos that need not exist."""
    listed = {f"{number:02}.jpg": ListedFile(label, 1) for number, label in enumerate(labels)}
    return build_data_set("folder", Path("photos"), listed)
