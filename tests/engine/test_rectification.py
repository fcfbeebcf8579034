"""The effect of rectification in the backward pass, measured: an answer to a question about the paper.

"After unpooling, all values are non-negative; is the ReLU that follows redundant?" Directly below the seed it
is: activations rectified in the forward pass are not negative, and unpooling only moves them. Everywhere
else, a transposed filter comes first. Its weights have both signs, so that a large part of the signal is
negative and is removed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from zfscope.engine import Trace, project, strongest_units, trace
from zfscope.engine.backward import BACKWARD, LayerContext
from zfscope.engine.signal import Signal
from zfscope.networks import Network, zfnet


@pytest.fixture
def network(seeded_network: Callable[..., Network]) -> Network:
    """ZFNet for images of full size, with an eighth of its maps and random weights."""
    spec = zfnet(classes=10, hidden=64)
    layers = tuple(
        layer.model_copy(update={"channels": layer.channels // 8}) if layer.kind == "conv" else layer
        for layer in spec.layers
    )
    return seeded_network(spec.model_copy(update={"layers": layers}), dtype=torch.float32)


@pytest.fixture
def traced(network: Network, images_for: Callable[..., Tensor]) -> Trace:
    return trace(network, images_for(network, 1))


@pytest.fixture
def removed_shares(
    network: Network, traced: Trace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, float]]:
    """Projects a layer's strongest units; returns the share of the signal that each ReLU removes."""

    def measure(layer: str) -> dict[str, float]:
        sums: dict[str, tuple[float, float]] = {}
        rectify = BACKWARD["relu"]

        def measured(relu: Any, signal: Signal, context: LayerContext) -> Sequence[Signal]:
            negative, total = sums.get(relu.name, (0.0, 0.0))
            values = signal.values
            sums[relu.name] = negative - float(values.clamp(max=0).sum()), total + float(values.abs().sum())
            return rectify(relu, signal, context)

        with monkeypatch.context() as patch:
            patch.setitem(BACKWARD, "relu", measured)  # type: ignore[misc]  # a dict
            project(network, traced, layer, strongest_units(traced, layer, 0, 9))
        return {relu: negative / total for relu, (negative, total) in sums.items()}

    return measure


def test_nothing_is_removed_directly_below_the_seed(
    removed_shares: Callable[[str], dict[str, float]],
) -> None:
    assert removed_shares("relu5")["relu5"] == 0


@pytest.mark.parametrize(("seed", "relu"), [("pool1", "relu1"), ("pool2", "relu2"), ("pool5", "relu5")])
def test_nothing_is_removed_after_mere_unpooling(
    seed: str, relu: str, removed_shares: Callable[[str], dict[str, float]]
) -> None:
    assert removed_shares(seed)[relu] == 0


def test_a_third_to_two_thirds_is_removed_after_every_transposed_filter(
    removed_shares: Callable[[str], dict[str, float]],
) -> None:
    shares = removed_shares("pool5")
    assert list(shares) == ["relu5", "relu4", "relu3", "relu2", "relu1"]
    assert shares.pop("relu5") == 0
    assert all(1 / 3 < share < 2 / 3 for share in shares.values()), shares


def test_as_much_is_removed_after_fully_connected_layers(
    removed_shares: Callable[[str], dict[str, float]],
) -> None:
    shares = removed_shares("fc8")
    assert list(shares) == ["relu7", "relu6", "relu5", "relu4", "relu3", "relu2", "relu1"]
    assert all(1 / 4 < share < 3 / 4 for share in shares.values()), shares


def test_unpooling_does_not_make_the_signal_of_a_filter_positive(
    removed_shares: Callable[[str], dict[str, float]],
) -> None:
    """The case of the question: relu2 directly follows unpooling, after the filters of layer 3."""
    assert removed_shares("conv3")["relu2"] > 1 / 3
