"""Merging: any split, order and grouping of the photos gives the result of a single pass."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from zfscope.parallel import UnusedPhoto
from zfscope.runtimes import MapMaxima
from zfscope.scan.partial import BINS, EDGES, RECORD, PartialResult, layer_result

Floats = NDArray[np.float32]
# Number of photos per batch in these tests.
SIZE = 4


def part_of(values: Floats, batch: int, *, top: int, sums: Floats | None = None) -> PartialResult:
    """Return the result of one batch of a layer, given all values (photos, maps)."""
    numbers = np.arange(len(values))[batch * SIZE : (batch + 1) * SIZE]
    photos = np.zeros(len(numbers), RECORD)
    photos["photo"], photos["digest"] = numbers, [np.void(bytes([number] * 16)) for number in numbers]
    positions = np.repeat(numbers[:, None], values.shape[1], axis=1)
    result = MapMaxima(values[numbers], positions, None if sums is None else sums[numbers])
    layers = {"layer": layer_result(result, photos, top=top)}
    skipped = (UnusedPhoto(1000 + batch, "broken"),)
    return PartialResult(top, 1 << batch, len(numbers), skipped, layers)


def content(partial: PartialResult) -> tuple[object, ...]:
    layers = {
        name: (part.records.tobytes(), part.records.shape, part.histogram.tobytes())
        for name, part in partial.layers.items()
    }
    return partial.top, partial.batches, partial.photos, partial.skipped, layers


def in_groups(parts: Sequence[PartialResult], data: st.DataObject) -> PartialResult:
    """Merge neighbours in random order."""
    pending = list(parts)
    while len(pending) > 1:
        position = data.draw(st.integers(0, len(pending) - 2))
        pending[position : position + 2] = [pending[position].merge(pending[position + 1])]
    return pending[0]


activations = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 4)),
    elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 5000.0]),
)


@given(values=activations, top=st.integers(1, 12), data=st.data())
def test_any_split_order_and_grouping_gives_the_same_result(
    values: Floats, top: int, data: st.DataObject
) -> None:
    batches = data.draw(st.permutations(range(-(-len(values) // SIZE))))
    result = in_groups([PartialResult(top), *(part_of(values, batch, top=top) for batch in batches)], data)
    part = result.layers["layer"]
    for number, column in enumerate(values.T):
        expected = sorted(range(len(column)), key=lambda photo: (-column[photo], photo))[:top]
        assert part.records["photo"][number].tolist() == expected
        assert part.records["place"][number].tolist() == expected
        assert part.records["value"][number].tolist() == column[expected].tolist()
        assert [digest[0] for digest in part.records["digest"][number].tolist()] == expected
    in_order = [part_of(values, batch, top=top) for batch in sorted(batches)]
    assert content(result) == content(reduce(PartialResult.merge, in_order))
    assert result.photos == len(values)
    assert [photo for photo, _ in result.skipped] == [1000 + batch for batch in sorted(batches)]


@given(values=activations, data=st.data())
def test_ranking_by_sum_keeps_the_largest_activation(values: Floats, data: st.DataObject) -> None:
    sums = data.draw(hnp.arrays(np.float32, values.shape, elements=st.sampled_from([-2.0, 0.0, 7.0])))
    batches = range(-(-len(values) // SIZE))
    records = (
        reduce(PartialResult.merge, [part_of(values, batch, top=3, sums=sums) for batch in batches])
        .layers["layer"]
        .records
    )
    for number, column in enumerate(sums.T):
        expected = sorted(range(len(column)), key=lambda photo: (-column[photo], photo))[:3]
        assert records["photo"][number].tolist() == expected
        assert records["score"][number].tolist() == column[expected].tolist()
        assert records["value"][number].tolist() == values[expected, number].tolist()


def test_merging_with_an_empty_result_changes_nothing() -> None:
    part = part_of(np.ones((3, 2), np.float32), 0, top=2)
    assert content(PartialResult(2).merge(part)) == content(part.merge(PartialResult(2))) == content(part)


def test_a_batch_cannot_be_merged_twice() -> None:
    part = part_of(np.ones((8, 2), np.float32), 0, top=2)
    both = part.merge(part_of(np.ones((8, 2), np.float32), 1, top=2))
    with pytest.raises(ValueError, match="include the same batch"):
        both.merge(part)


@pytest.mark.parametrize(
    ("value", "position"),
    [
        (-3, 0),
        (0, 0),
        (1e-45, 1),
        (2**-10 * 0.999, 1),
        (2**-10, 2),
        (2**-9.75 * 1.001, 3),
        (1, 42),
        (2**0.25 * 0.999, 42),
        (2**12 * 0.999, 89),
        (2**12, 90),
        (3e38, 90),
    ],
)
def test_the_bin_of_a_maximum_does_not_depend_on_other_maxima(value: float, position: int) -> None:
    histogram = part_of(np.array([[value]], np.float32), 0, top=1).layers["layer"].histogram
    assert histogram.shape == (1, BINS)
    assert np.flatnonzero(histogram).tolist() == [position]


def test_bins_are_quarter_octaves_from_a_thousandth_to_four_thousand() -> None:
    assert (EDGES[1], EDGES[-1], len(EDGES)) == (2**-10, 2**12, 90)
    np.testing.assert_allclose(EDGES[2:] / EDGES[1:-1], 2**0.25, rtol=1e-6)
