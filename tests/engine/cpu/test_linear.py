"""Fully connected layers by oneDNN: equal to torch's, and left to torch where that is not possible."""

import pytest
import torch
from torch.nn import functional as F

from tests.support.numeric import assert_close
from zfscope.engine.cpu import linear
from zfscope.engine.cpu.linear import packed_linear


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("rows", [1, 7, 313])
@pytest.mark.parametrize("with_bias", [True, False])
def test_products_equal_those_of_torch(rows: int, with_bias: bool) -> None:
    weight, bias = numbers(33, 70), numbers(33) if with_bias else None
    multiply = packed_linear(weight, bias)
    assert multiply is not None
    inputs = numbers(rows, 70)
    assert_close(multiply(inputs).numpy(), F.linear(inputs, weight, bias).numpy())


def test_weights_may_be_a_transposed_view() -> None:
    weight, inputs = numbers(70, 33).T, numbers(5, 70)
    multiply = packed_linear(weight, None)
    assert multiply is not None
    assert_close(multiply(inputs).numpy(), (inputs @ weight.T).numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_left_to_torch(dtype: torch.dtype) -> None:
    assert packed_linear(numbers(3, 4).to(dtype), None) is None


def test_a_build_without_the_operators_leaves_it_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_OPERATORS", "missing")
    assert packed_linear(numbers(3, 4), None) is None
