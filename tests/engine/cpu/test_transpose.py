"""Fast transposed filters: each way to them equals torch's own, whatever the sizes."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.cpu.transpose import (
    FEW_MAPS,
    TransposedFilters,
    nonzero_units,
    transpose_by_filter,
    transpose_by_tap,
    transpose_dense,
)

sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))
sides = st.integers(1, 7)
strides = st.integers(1, 4)
shares = st.sampled_from([0.0, 0.1, 1.0])
Way = Callable[[Tensor, Tensor, int], Tensor]


def as_phases(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    return TransposedFilters(weight, stride)._by_phases(values)


def as_paint(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    return transpose_by_tap(values, TransposedFilters(weight, stride).taps, stride)


def as_whole_paint(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    return transpose_by_filter(values, TransposedFilters(weight, stride).rows, stride)


def as_chosen(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    return TransposedFilters(weight, stride)(values)


WAYS = [as_phases, as_paint, as_whole_paint, transpose_dense, as_chosen]


def numbers(*shape: int, share: float = 1.0, seed: int = 0) -> Tensor:
    """Draw numbers, of which only a share is not zero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return values * (torch.rand(shape, generator=generator) < share)


@pytest.mark.parametrize("way", WAYS)
@given(size=sizes, side=sides, stride=strides, share=shares, seeds=st.integers(1, 2))
def test_filters_are_applied_the_other_way_round(
    way: Way, size: tuple[int, int], side: int, stride: int, share: float, seeds: int
) -> None:
    weight, values = numbers(5, 3, side, side, seed=1), numbers(seeds, 5, *size, share=share)
    expected = F.conv_transpose2d(values, weight, stride=stride)
    torch.testing.assert_close(way(values, weight, stride), expected)


@pytest.mark.parametrize("maps", [3, FEW_MAPS + 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("size", [(3, 4), (9, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whichever_way_is_fast_gives_the_same(
    maps: int, stride: int, share: float, size: tuple[int, int], dtype: torch.dtype
) -> None:
    weight = numbers(5, maps, 5, 5, seed=1).to(dtype)
    values = numbers(2, 5, *size, share=share).to(dtype)
    expected = F.conv_transpose2d(values, weight, stride=stride)
    torch.testing.assert_close(TransposedFilters(weight, stride)(values), expected)


@pytest.mark.parametrize("way", WAYS)
def test_values_may_lie_in_memory_in_any_order(way: Way) -> None:
    weight = numbers(5, 3, 3, 3, seed=1)
    values = numbers(2, 5, 8, 6, share=0.3)
    expected = F.conv_transpose2d(values[:, :, 1:7, 2:], weight, stride=2)
    for layout in (torch.contiguous_format, torch.channels_last):
        window = values.contiguous(memory_format=layout)[:, :, 1:7, 2:]
        torch.testing.assert_close(way(window, weight, 2), expected)


@pytest.mark.parametrize("way", WAYS)
def test_no_signal_makes_no_picture(way: Way) -> None:
    below = way(torch.zeros(1, 5, 4, 4, dtype=torch.float64), numbers(5, 3, 3, 3), 2)
    assert below.shape == (1, 3, 9, 9)
    assert not below.any()


def test_units_with_a_signal_are_listed_place_by_place() -> None:
    signal, map, starts = nonzero_units(torch.tensor([[0.0, 3.0, -1.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    assert signal.tolist() == [3, -1, 5]
    assert map.tolist() == [1, 2, 0]
    assert starts.tolist() == [0, 2, 2]
