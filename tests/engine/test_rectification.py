"""What rectification on the way down is for: an answer to a question about the paper, by measurement.

"After unpooling everything is non-negative already, so is the ReLU there meaningless?" Directly under the
seed it is: an activation that was rectified on the way up is not negative, and unpooling only moves it.
Everywhere else a transposed filter lies in between. Its weights have both signs, so that a large part of
what comes down is negative, and is removed.
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
    """ZFNet in its full size, an eighth of its width, with random weights."""
    spec = zfnet(classes=10, hidden=64)
    eighth = tuple(
        layer.model_copy(update={"channels": layer.channels // 8}) if layer.kind == "conv" else layer
        for layer in spec.layers
    )
    return seeded_network(spec.model_copy(update={"layers": eighth}), dtype=torch.float32)


@pytest.fixture
def seen(network: Network, images_for: Callable[..., Tensor]) -> Trace:
    return trace(network, images_for(network, 1))


@pytest.fixture
def removed(
    network: Network, seen: Trace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, float]]:
    """Projects a layer's strongest units; gives, by ReLU, the share of the signal that it removes."""

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
            project(network, seen, layer, strongest_units(seen, layer, 0, 9))
        return {relu: negative / total for relu, (negative, total) in sums.items()}

    return measure


def test_directly_under_the_seed_rectification_removes_nothing(
    removed: Callable[[str], dict[str, float]],
) -> None:
    assert removed("relu5")["relu5"] == 0


@pytest.mark.parametrize(("seed", "relu"), [("pool1", "relu1"), ("pool2", "relu2"), ("pool5", "relu5")])
def test_what_was_only_unpooled_loses_nothing(
    seed: str, relu: str, removed: Callable[[str], dict[str, float]]
) -> None:
    assert removed(seed)[relu] == 0


def test_after_every_transposed_filter_rectification_removes_a_third_to_two_thirds_of_the_signal(
    removed: Callable[[str], dict[str, float]],
) -> None:
    shares = removed("pool5")
    assert list(shares) == ["relu5", "relu4", "relu3", "relu2", "relu1"]
    assert shares.pop("relu5") == 0
    assert all(1 / 3 < share < 2 / 3 for share in shares.values()), shares


def test_fully_connected_layers_lose_as_much(removed: Callable[[str], dict[str, float]]) -> None:
    shares = removed("fc8")
    assert list(shares) == ["relu7", "relu6", "relu5", "relu4", "relu3", "relu2", "relu1"]
    assert all(1 / 4 < share < 3 / 4 for share in shares.values()), shares


def test_unpooling_between_two_filters_does_not_make_the_signal_positive(
    removed: Callable[[str], dict[str, float]],
) -> None:
    """The question's own case: relu2 comes right after unpooling, with the filters of layer 3 above."""
    assert removed("conv3")["relu2"] > 1 / 3
