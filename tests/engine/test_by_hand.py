"""A network small enough to compute its passes and projections by hand.

    image         conv1: 1 -1   relu1       pool1 (2 x 2, step 1)   conv2: 2 1
                         0  2                                             -3 1
    1 0 2 0       7 -2  4       7 0 4       7 5
    0 3 0 1      -3  5 -1       0 5 0       5 5                     14 + 5 - 15 + 5 = 9
    2 0 1 0       4 -1  5       4 0 5
    0 1 0 2

The first maximum is at (0, 0) of relu1; the other three are all the 5 in the middle, which in the last window
precedes the other 5 in row-major order.
"""

import pytest
import torch

from zfscope.engine import Unit, project, trace
from zfscope.engine.backward import Rule
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layers import Conv, MaxPool, ReLU

SPEC = NetworkSpec(
    name="by-hand",
    input_channels=1,
    input_size=4,
    layers=(
        Conv(name="conv1", channels=1, kernel=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=2),
        Conv(name="conv2", channels=1, kernel=2),
    ),
)
IMAGE = torch.tensor([[1.0, 0, 2, 0], [0, 3, 0, 1], [2, 0, 1, 0], [0, 1, 0, 2]])[None, None]


@pytest.fixture
def network() -> Network:
    network = Network(SPEC).requires_grad_(False)
    network.filters["conv1"].weight.copy_(torch.tensor([[[[1.0, -1.0], [0.0, 2.0]]]]))
    network.filters["conv2"].weight.copy_(torch.tensor([[[[2.0, 1.0], [-3.0, 1.0]]]]))
    return network


def test_the_trace_equals_the_values_by_hand(network: Network) -> None:
    traced = trace(network, IMAGE)
    assert traced.outputs["conv1"][0, 0].tolist() == [[7, -2, 4], [-3, 5, -1], [4, -1, 5]]
    assert traced.outputs["relu1"][0, 0].tolist() == [[7, 0, 4], [0, 5, 0], [4, 0, 5]]
    assert traced.outputs["pool1"][0, 0].tolist() == [[7, 5], [5, 5]]
    assert traced.switches["pool1"][0, 0].tolist() == [[0, 4], [4, 4]]
    assert traced.outputs["conv2"].item() == 9


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_negative_signal_is_removed_by_rectification(network: Network, rule: Rule) -> None:
    # 9 x (2 1 / -3 1) is 18 at the corner, and 9 - 27 + 9 = -9 in the middle, which is set to zero.
    # Both units were active in the forward pass, so that guided backpropagation is the same.
    (pixels,) = project(network, trace(network, IMAGE), "conv2", [Unit(0, 0)], rule=rule)
    assert pixels[0].tolist() == [[18, -18, 0, 0], [0, 36, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_negative_signal_is_kept_by_the_gradient(network: Network) -> None:
    # -9 x (1 -1 / 0 2) is added one position further: 36 - 9 = 27, then 9, and -18.
    (pixels,) = project(network, trace(network, IMAGE), "conv2", [Unit(0, 0)], rule="gradient")
    assert pixels[0].tolist() == [[18, -18, 0, 0], [0, 27, 9, 0], [0, 0, -18, 0], [0, 0, 0, 0]]


def test_a_pooled_unit_is_projected_from_its_switch(network: Network) -> None:
    # The maximum of the last window is the 5 in the middle, not the one in its corner.
    (pixels,) = project(network, trace(network, IMAGE), "pool1", [Unit(0, 0, y=1, x=1)])
    assert pixels[0].tolist() == [[0, 0, 0, 0], [0, 5, -5, 0], [0, 0, 10, 0], [0, 0, 0, 0]]


def test_a_unit_before_pooling_projects_its_scaled_filter(network: Network) -> None:
    (pixels,) = project(network, trace(network, IMAGE), "conv1", [Unit(0, 0, y=1, x=0)])
    assert pixels[0].tolist() == [[0, 0, 0, 0], [-3, 3, 0, 0], [0, -6, 0, 0], [0, 0, 0, 0]]
