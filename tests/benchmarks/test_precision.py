"""The measures of `benchmarks.precision`, on maps and lists made by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.precision import (
    PRECISIONS,
    TOP,
    MapDifference,
    compare_maps,
    shared_records,
    stride_of,
    summary,
)
from zfscope.results import Analysis
from zfscope.scan import Record
from zfscope.training.evaluate import MeasuredAccuracy

# Four windows of 4 pixels, 2 apart.
WINDOWS = np.array([(y, x, 4, 4) for y in (0, 2, 4) for x in (0, 2, 4)])


def occlusion(heat: Sequence[Sequence[float]], lowest: int) -> Analysis:
    values = np.ones((1, len(WINDOWS)), np.float32)
    values[0, lowest] = 0
    return Analysis({"value-maps": np.array([heat], np.float32), "windows": WINDOWS, "values": values})


def test_maps_are_compared_by_shares_of_their_range() -> None:
    exact, rough = occlusion([[0, 2], [4, 4]], 4), occlusion([[0.04, 2], [4, 4.4]], 4)
    compared = compare_maps(exact, rough)
    assert compared.median == pytest.approx(0.005)  # of 0, 0, 0.01 and 0.1
    assert compared.largest == pytest.approx(0.1)
    assert compared.in_place


@pytest.mark.parametrize(("lowest", "in_place"), [(4, True), (3, True), (8, True), (2, False)])
def test_a_minimum_is_in_place_within_one_stride_in_both_directions(lowest: int, in_place: bool) -> None:
    heat = [[0, 1], [2, 3]]
    first = 3 if lowest == 2 else 4
    assert compare_maps(occlusion(heat, first), occlusion(heat, lowest)).in_place is in_place


def test_the_stride_is_the_distance_of_windows() -> None:
    assert stride_of(WINDOWS) == 2


class Lists:
    """An index of a layer with one active map and one that too few photos activate."""

    def __init__(self, photos: Sequence[int], rows: Sequence[int]) -> None:
        self._records = [
            Record("conv", 0, rank, 1.0, 1.0, photo, f"{photo}.jpg", "", y, 0, "")
            for rank, (photo, y) in enumerate(zip(photos, rows, strict=True))
        ]

    def alive(self, layer: str) -> NDArray[np.int64]:
        return np.array([TOP, TOP - 1])

    def records(self, layer: str, map: int) -> Sequence[Record]:
        assert map == 0
        return self._records


def test_indexes_share_photos_and_records() -> None:
    """Two photos have changed places, one is another, and one has another unit."""
    exact = Lists(range(9), [0] * 9)
    rough = Lists([1, 0, 2, 3, 4, 5, 6, 7, 20], [0, 0, 5, 0, 0, 0, 0, 0, 0])
    shared = shared_records(exact, rough, "conv")  # type: ignore[arg-type]
    assert shared == {"maps": 1, "photos": round(100 * 8 / 9, 2), "records": round(100 * 5 / 9, 2)}


def test_the_summary_has_medians_and_the_worst_photo() -> None:
    accuracy = dict(
        zip(PRECISIONS, (MeasuredAccuracy(80, 90, 10), MeasuredAccuracy(79, 90, 10)), strict=True)
    )
    maps = [
        MapDifference(0.01, 0.1, True),
        MapDifference(0.02, 0.3, True),
        MapDifference(0.06, 0.2, False),
    ]
    measured = summary(accuracy, maps, {"conv": {"maps": 1, "photos": 50, "records": 25}})
    assert measured["top1"] == {"float32": 80, "bfloat16": 79}
    assert measured["occlusion"] == {
        "photos": 3, "median": 2, "worst_median": 6, "median_of_largest": 20, "largest": 30, "in_place": 2,
    }  # fmt: skip
