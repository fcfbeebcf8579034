"""Traces: the outputs of every layer for a batch of images, and the switches of every max-pooling layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.errors import InputError
from zfscope.networks.forward import FORWARD, SWITCHED
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT, NetworkSpec


@dataclass(frozen=True)
class Trace:
    """The record of one forward pass: a value that analyses share and never write to.

    outputs: outputs by layer name, including `input`: (N, maps, rows, columns), or (N, units).
    switches: for each max-pooling layer, the flat index of each maximum in the map below, int64, in the shape
    of the layer's output (Sec 2.1).
    """

    outputs: Mapping[str, Tensor]
    switches: Mapping[str, Tensor]

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.outputs[INPUT])

    def maps(self, layer: str) -> Tensor:
        """Return the output of a layer as maps, units as maps of 1 x 1: (N, maps, rows, columns)."""
        outputs = self.outputs[layer]
        return outputs if outputs.dim() == 4 else outputs[:, :, None, None]


def trace(network: Network, images: Tensor, *, until: str | None = None) -> Trace:
    """Run a forward pass on preprocessed images (N, C, H, W), recording outputs and switches.

    until: last layer to run (default: the last of the network). Raises InputError if the shape of the images
    does not match the network's input, NotFound for an unknown layer.
    """
    _check_images(network, images)
    # Layers keep the memory format of the images; pooling is ten times as fast in channels-last format.
    inputs = images.contiguous(memory_format=torch.channels_last)
    return extend(network, Trace({INPUT: inputs}, {}), until=until)


def recorded_outputs(images: NDArray[np.float32], outputs: Mapping[str, NDArray[np.float32]]) -> Trace:
    """Return a trace of outputs that a runtime computed for images (N, C, H, W); it has no switches."""
    arrays = {INPUT: images, **outputs}
    return Trace({name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}, {})


@torch.no_grad()
def extend(network: Network, traced: Trace, *, until: str | None = None) -> Trace:
    """Return a trace with the layers up to `until` as well, which shares the recorded ones with `traced`.

    network: that of the trace. until: last layer to run (default: the last of the network). A trace that
    contains this layer is returned unchanged. Raises NotFound for an unknown layer.
    """
    last = last_layer(network.spec, until)
    if last in traced.outputs:
        return traced
    outputs, switches = dict(traced.outputs), dict(traced.switches)
    sources = network.spec.sources
    for layer in network.spec.layers:
        if layer.name in outputs:
            continue
        inputs = [outputs[name] for name in sources[layer.name]]
        if layer.kind in SWITCHED:
            outputs[layer.name], switches[layer.name] = SWITCHED[layer.kind](layer, inputs[0])
        else:
            outputs[layer.name] = FORWARD[layer.kind](layer, inputs, network.weights(layer.name))
        if layer.name == last:
            break
    return Trace(outputs, switches)


def last_layer(spec: NetworkSpec, until: str | None) -> str:
    """Return the name of the last layer of a trace until a layer; None for the whole network.

    Raises NotFound for an unknown layer.
    """
    return spec.layers[-1].name if until is None else spec.layer(until).name


def _check_images(network: Network, images: Tensor) -> None:
    expected = network.shapes[INPUT]
    if images.dim() != 4 or tuple(images.shape[1:]) != expected:
        raise InputError(
            f"images of shape {tuple(images.shape)}; expected (N, {', '.join(map(str, expected))})",
            field="image",
        )
