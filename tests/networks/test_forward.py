"""Forward steps: equal to torch's layers, and max pooling to a search of each window."""

from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.forward import FORWARD, max_pool
from zfscope.networks.layer import computed_kinds
from zfscope.networks.layers import Add, AvgPool, Concat, Conv, Dropout, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.windows import Padding


def numbers(*shape: int) -> Tensor:
    """Draw small integers, so that windows have ties."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(0)).double()


@st.composite
def pools(draw: st.DrawFn) -> MaxPool:
    kernel = draw(st.integers(1, 4))
    sides = st.integers(0, kernel - 1)
    return MaxPool(
        name="pool",
        kernel=kernel,
        stride=draw(st.integers(1, 4)),
        padding=Padding(draw(sides), draw(sides), draw(sides), draw(sides)),
        rounding=draw(st.sampled_from(["floor", "ceil"])),
    )


def pool_by_search(layer: MaxPool, feature_map: Tensor, row: int, column: int) -> tuple[float, int]:
    """Search a window of a map for the first maximum in row-major order; return it and its switch."""
    best, switch = -inf, -1
    rows, columns = feature_map.shape
    for y in range(
        row * layer.stride - layer.padding.top, row * layer.stride - layer.padding.top + layer.kernel
    ):
        for x in range(
            column * layer.stride - layer.padding.left,
            column * layer.stride - layer.padding.left + layer.kernel,
        ):
            if 0 <= y < rows and 0 <= x < columns and float(feature_map[y, x]) > best:
                best, switch = float(feature_map[y, x]), y * columns + x
    return best, switch


@given(layer=pools(), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_max_pooling_finds_the_first_maximum_of_each_window(layer: MaxPool, rows: int, columns: int) -> None:
    height, width = layer.window.grid(rows, columns)
    if not height or not width:
        return
    maps = numbers(1, 2, rows, columns)
    values, switches = max_pool(layer, maps)
    assert values.shape == switches.shape == (1, 2, height, width)
    for index in range(2):
        for row in range(height):
            for column in range(width):
                pooled = float(values[0, index, row, column]), int(switches[0, index, row, column])
                assert pooled == pool_by_search(layer, maps[0, index], row, column)


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    rows=st.integers(5, 12),
    columns=st.integers(5, 12),
    rounding=st.sampled_from(["floor", "ceil"]),
)
def test_max_pooling_with_symmetric_padding_equals_torch(
    kernel: int, stride: int, padding: int, rows: int, columns: int, rounding: str
) -> None:
    padding = min(padding, kernel // 2)
    layer = MaxPool.model_validate(
        {"name": "pool", "kernel": kernel, "stride": stride, "padding": [padding] * 4, "rounding": rounding}
    )
    maps = numbers(2, 3, rows, columns)
    expected, indices = F.max_pool2d(
        maps, kernel, stride, padding, ceil_mode=rounding == "ceil", return_indices=True
    )
    values, switches = max_pool(layer, maps)
    assert torch.equal(values, expected)
    assert torch.equal(switches, indices)


@pytest.mark.parametrize(
    "padding", [Padding(), Padding(1, 1, 1, 1), Padding(1, 2, 1, 2), Padding(0, 1, 2, 0)]
)
def test_convolution_pads_with_zeros(padding: Padding) -> None:
    layer = Conv(name="conv", channels=4, kernel=3, stride=2, padding=padding)
    maps, weight, bias = numbers(2, 3, 8, 9), numbers(4, 3, 3, 3), numbers(4)
    left, top, right, bottom = padding
    expected = F.conv2d(F.pad(maps, (left, right, top, bottom)), weight, bias, stride=2)
    assert torch.equal(FORWARD["conv"](layer, [maps], (weight, bias)), expected)


def test_average_pooling_counts_padding_as_zeros() -> None:
    layer = AvgPool(name="mean", kernel=2, stride=2, padding=Padding(left=1))
    maps = torch.tensor([[[[4.0, 8.0, 2.0], [0.0, 4.0, 6.0]]]])
    assert FORWARD["avg_pool"](layer, [maps], None).tolist() == [[[[1.0, 5.0]]]]


def test_average_pooling_drops_incomplete_windows() -> None:
    layer = AvgPool(name="mean", kernel=2, stride=2)
    assert FORWARD["avg_pool"](layer, [torch.ones(1, 1, 5, 4)], None).shape == (1, 1, 2, 2)


def test_joins_concatenate_or_add() -> None:
    first, second = numbers(2, 3, 4, 4), numbers(2, 3, 4, 4) + 1
    assert torch.equal(
        FORWARD["concat"](Concat(name="both"), [first, second], None), torch.cat([first, second], 1)
    )
    assert torch.equal(FORWARD["add"](Add(name="sum"), [first, second, first], None), first + second + first)


def test_layers_of_vectors_equal_their_formulas() -> None:
    maps, weight, bias = numbers(2, 3, 2, 2), numbers(5, 12), numbers(5)
    vector = FORWARD["flatten"](Flatten(name="flatten"), [maps], None)
    assert torch.equal(vector, maps.reshape(2, 12))
    full = FORWARD["linear"](Linear(name="fc", units=5), [vector], (weight, bias))
    torch.testing.assert_close(full, vector @ weight.T + bias)
    assert torch.equal(FORWARD["relu"](ReLU(name="relu"), [full], None), full.clamp(min=0))
    assert FORWARD["dropout"](Dropout(name="drop"), [full], None) is full


def test_no_step_modifies_its_input() -> None:
    maps = numbers(2, 3, 8, 8)
    FORWARD["relu"](ReLU(name="relu"), [maps], None)
    FORWARD["add"](Add(name="sum"), [maps, maps], None)
    max_pool(MaxPool(name="pool", kernel=3, padding=Padding(1, 1, 1, 1)), maps)
    assert torch.equal(maps, numbers(2, 3, 8, 8))


def test_every_kind_of_layer_has_a_forward_step() -> None:
    assert set(FORWARD) == computed_kinds()
