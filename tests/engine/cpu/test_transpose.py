"""Fast transposed convolutions: every variant equals torch's `conv_transpose2d` for all sizes."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.cpu.transpose import (
    FEW_MAPS,
    MANY_SEEDS,
    TransposedFilters,
    nonzero_units,
    transpose_by_filter,
    transpose_by_tap,
    transpose_dense,
)
from zfscope.networks.windows import Pair

sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))
sides = st.integers(1, 7)
kernels = st.tuples(sides, sides)
strides = st.tuples(st.integers(1, 4), st.integers(1, 4))
shares = st.sampled_from([0.0, 0.1, 1.0])
Variant = Callable[[Tensor, Tensor, Pair], Tensor]


def by_phases(values: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    if stride[0] != stride[1]:  # phases require equal strides; the class selects another variant
        return TransposedFilters(weight, stride)(values)
    return TransposedFilters(weight, stride)._by_phases(values)


def by_tap(values: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    return transpose_by_tap(values, TransposedFilters(weight, stride).taps, stride)


def by_filter(values: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    return transpose_by_filter(values, TransposedFilters(weight, stride).filter_rows, weight.shape[1], stride)


def automatic(values: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    return TransposedFilters(weight, stride)(values)


VARIANTS = [by_phases, by_tap, by_filter, transpose_dense, automatic]


def numbers(*shape: int, share: float = 1.0, seed: int = 0) -> Tensor:
    """Draw random numbers of which the given share is nonzero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return values * (torch.rand(shape, generator=generator) < share)


@pytest.mark.parametrize("variant", VARIANTS)
@given(size=sizes, kernel=kernels, stride=strides, share=shares, seeds=st.sampled_from([1, 2, MANY_SEEDS]))
def test_every_variant_equals_torch_for_random_sizes(
    variant: Variant, size: Pair, kernel: Pair, stride: Pair, share: float, seeds: int
) -> None:
    weight, values = numbers(5, 3, *kernel, seed=1), numbers(seeds, 5, *size, share=share)
    expected = F.conv_transpose2d(values, weight, stride=stride)
    torch.testing.assert_close(variant(values, weight, stride), expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_every_variant_adds_up_bfloat16_in_float32(variant: Variant, stride: Pair, share: float) -> None:
    """Sums of whole numbers up to 256 are exact; adding them up in bfloat16 would round those above."""
    weight = numbers(5, 3, 5, 5, seed=1).sign()
    values = (numbers(2, 5, 6, 7, share=share) * 8).round().clamp(-8, 8)
    expected = F.conv_transpose2d(values, weight, stride=stride)
    result = variant(values.bfloat16(), weight.bfloat16(), stride)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, expected.bfloat16())


@pytest.mark.parametrize("maps", [3, FEW_MAPS + 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("size", [(3, 4), (9, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_variant_chosen_by_size_and_sparsity_equals_torch(
    maps: int, stride: int, share: float, size: tuple[int, int], dtype: torch.dtype
) -> None:
    weight = numbers(5, maps, 5, 5, seed=1).to(dtype)
    values = numbers(2, 5, *size, share=share).to(dtype)
    expected = F.conv_transpose2d(values, weight, stride=stride)
    torch.testing.assert_close(TransposedFilters(weight, (stride, stride))(values), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_may_be_non_contiguous_in_any_memory_format(variant: Variant) -> None:
    weight = numbers(5, 3, 3, 3, seed=1)
    values = numbers(2, 5, 8, 6, share=0.3)
    expected = F.conv_transpose2d(values[:, :, 1:7, 2:], weight, stride=2)
    for layout in (torch.contiguous_format, torch.channels_last):
        window = values.contiguous(memory_format=layout)[:, :, 1:7, 2:]
        torch.testing.assert_close(variant(window, weight, (2, 2)), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_zero_signal_yields_zeros(variant: Variant) -> None:
    below = variant(torch.zeros(1, 5, 4, 4, dtype=torch.float64), numbers(5, 3, 3, 3), (2, 2))
    assert below.shape == (1, 3, 9, 9)
    assert not below.any()


def test_nonzero_units_are_listed_by_position() -> None:
    signal, maps, starts = nonzero_units(torch.tensor([[0.0, 3.0, -1.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    assert signal.tolist() == [3, -1, 5]
    assert maps.tolist() == [1, 2, 0]
    assert starts.tolist() == [0, 2, 2]
