"""Windows of maps: extracting, writing, clipping and adding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zfscope.engine.signal import Signal, add, clip, extract, on_canvas

ROWS, COLUMNS = 4, 5
MAPS = torch.arange(2 * 3 * ROWS * COLUMNS, dtype=torch.float64).view(2, 3, ROWS, COLUMNS) + 1


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Draw windows of one size that each overlap the map."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    seeds = draw(st.integers(1, 3))
    tops = [draw(st.integers(1 - height, ROWS - 1)) for _ in range(seeds)]
    lefts = [draw(st.integers(1 - width, COLUMNS - 1)) for _ in range(seeds)]
    images = [draw(st.integers(0, 1)) for _ in range(seeds)]
    values = torch.arange(seeds * 3 * height * width, dtype=torch.float64).view(seeds, 3, height, width) + 1
    origins = torch.tensor(list(zip(tops, lefts, strict=True)))
    return Signal(values, torch.tensor(images), origins)


def value_at(signal: Signal, seed: int, y: int, x: int) -> Tensor:
    """Return the values of a window at position (y, x) of the map; zeros outside the window."""
    top, left = signal.origins[seed].tolist()
    if 0 <= y - top < signal.size[0] and 0 <= x - left < signal.size[1]:
        return signal.values[seed, :, y - top, x - left]
    return torch.zeros(3, dtype=torch.float64)


@given(signals())
def test_whole_maps_have_the_windows_in_place_and_zeros_elsewhere(signal: Signal) -> None:
    maps = on_canvas(signal, ROWS, COLUMNS)
    assert maps.shape == (len(signal.values), 3, ROWS, COLUMNS)
    for seed in range(len(maps)):
        for y in range(ROWS):
            for x in range(COLUMNS):
                assert torch.equal(maps[seed, :, y, x], value_at(signal, seed, y, x))


@given(signals())
def test_extracted_windows_are_from_the_image_of_the_seed_and_zero_beyond_the_edge(signal: Signal) -> None:
    windows = extract(MAPS, signal)
    assert windows.shape == signal.values.shape
    for seed, (top, left) in enumerate(signal.origins.tolist()):
        for y in range(signal.size[0]):
            for x in range(signal.size[1]):
                inside = 0 <= top + y < ROWS and 0 <= left + x < COLUMNS
                expected = MAPS[signal.images[seed], :, top + y, left + x] if inside else torch.zeros(3)
                assert torch.equal(windows[seed, :, y, x], expected.double())


def test_all_units_of_the_image_of_the_seed_are_extracted() -> None:
    vectors = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    signal = Signal(torch.zeros(3, 2), torch.tensor([1, 0, 1]), torch.zeros(3, 2, dtype=torch.int64))
    assert extract(vectors, signal).tolist() == [[3, 4], [1, 2], [3, 4]]


@given(signals())
def test_clipping_preserves_values_inside_the_map(signal: Signal) -> None:
    expected = on_canvas(signal, ROWS, COLUMNS)
    assert torch.equal(on_canvas(clip(signal, ROWS, COLUMNS), ROWS, COLUMNS), expected)


@given(signals())
def test_clipping_removes_values_outside_the_map(signal: Signal) -> None:
    clipped = clip(signal, ROWS, COLUMNS)
    assert clipped.values.sum() == on_canvas(clipped, ROWS, COLUMNS).sum()


@given(signals())
def test_a_single_window_is_cropped_to_the_map(signal: Signal) -> None:
    clipped = clip(signal.select([0]), ROWS, COLUMNS)
    (top, left), (height, width) = clipped.origins[0].tolist(), clipped.size
    assert top >= 0
    assert left >= 0
    assert top + height <= ROWS
    assert left + width <= COLUMNS


@given(signals(), st.data())
def test_signals_are_added_by_position(one: Signal, data: st.DataObject) -> None:
    seeds = len(one.values)
    other = data.draw(signals().filter(lambda signal: len(signal.values) == seeds))
    one, other = (clip(Signal(part.values, one.images, part.origins), ROWS, COLUMNS) for part in (one, other))
    total = add(one, other, ROWS, COLUMNS)
    assert clip(total, ROWS, COLUMNS).size == total.size
    expected = on_canvas(one, ROWS, COLUMNS) + on_canvas(other, ROWS, COLUMNS)
    assert torch.equal(on_canvas(total, ROWS, COLUMNS), expected)


def test_signals_of_fully_connected_layers_are_added() -> None:
    origins = torch.zeros(1, 2, dtype=torch.int64)
    one = Signal(torch.tensor([[1.0, 2.0]]), torch.tensor([0]), origins)
    assert add(one, one, 1, 1).values.tolist() == [[2, 4]]


@pytest.mark.parametrize(
    "operation",
    [lambda s: clip(s, ROWS, COLUMNS), lambda s: add(s, s, ROWS, COLUMNS), lambda s: extract(MAPS, s)],
)
def test_no_operation_modifies_its_input(operation: object) -> None:
    values = torch.ones(1, 3, 6, 2, dtype=torch.float64)
    signal = Signal(values, torch.tensor([1]), torch.tensor([[-1, 4]]))
    operation(signal)  # type: ignore[operator]  # one of the above
    assert torch.equal(values, torch.ones_like(values))
    assert signal.origins.tolist() == [[-1, 4]]
