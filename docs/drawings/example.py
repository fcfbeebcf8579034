"""A network small enough to draw: convolution, ReLU and max pooling, and a second convolution on top.

All its numbers are whole, so that float32 computes them exactly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from zfscope.engine import Trace, Unit, trace
from zfscope.engine.backward import BACKWARD, LayerContext
from zfscope.engine.seeds import seed_signal
from zfscope.engine.signal import on_canvas
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layers import Conv, MaxPool, ReLU

IMAGE = (
    (0, 0, 1, 2, 0, 0, 0),
    (0, 0, 0, 2, 0, 0, 0),
    (0, 0, 0, 2, 0, 0, 0),
    (0, 0, 0, 3, 2, 2, 2),
    (0, 0, 0, 1, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, 0),
)
# Filters of conv1, for vertical and for horizontal edges: (maps, input maps, rows, columns).
FIRST = (
    (((-1, 0, 1), (-1, 1, 1), (-1, 0, 1)),),
    (((1, 1, 1), (0, 1, 0), (-1, -1, -1)),),
)
# Filter of conv2: one map that reads both.
SECOND = ((((1, -1), (1, -1)), ((1, 1), (0, -1))),)

# The unit of the first part, in pool1, and that of the second.
FIRST_UNIT = Unit(0, 0, 1, 0)
SECOND_UNIT = Unit(0, 0, 0, 0)


def example_network() -> Network:
    """Return the network."""
    spec = NetworkSpec(
        name="example",
        input_channels=1,
        input_size=7,
        layers=(
            Conv(name="conv1", channels=2, kernel=3, bias=False),
            ReLU(name="relu1"),
            MaxPool(name="pool1", kernel=3, stride=2),
            Conv(name="conv2", channels=1, kernel=2, bias=False),
        ),
    )
    network = Network(spec).requires_grad_(False)
    network.layers.load_state_dict(
        {"conv1.weight": torch.tensor(FIRST).float(), "conv2.weight": torch.tensor(SECOND).float()}
    )
    return network


def example_trace(network: Network) -> Trace:
    """Return the trace of the image."""
    return trace(network, torch.tensor(IMAGE).float()[None, None])


def signals(
    network: Network, traced: Trace, layer: str, unit: Unit, *, rectified: bool = True
) -> Mapping[str, Tensor]:
    """Return the signal at the output of each layer down to `input`, whole maps: (maps, rows, columns).

    The engine projects windows of all layers at once; these are its own steps, one after another.
    rectified: false to leave out the ReLU on the way down.
    """
    signal, sources = seed_signal(traced, layer, [unit]), network.spec.sources
    found = {}
    names = [each.name for each in network.spec.layers]
    for each in reversed(network.spec.layers[: names.index(layer) + 1]):
        found[each.name] = on_canvas(signal, *traced.maps(each.name).shape[2:])[0]
        context = LayerContext(
            each, traced, sources[each.name], network.weights(each.name), "deconvnet", "skip"
        )
        if rectified or not each.rectifies:
            (signal,) = BACKWARD[each.kind](each, signal, context)
    found["input"] = on_canvas(signal, *traced.maps("input").shape[2:])[0]
    return found
