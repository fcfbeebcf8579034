"""A trace: what every layer gave for a batch of images, and where every pool found its maxima."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zfscope.errors import InputError
from zfscope.networks.forward import FORWARD, SWITCHED
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT


@dataclass(frozen=True)
class Trace:
    """One forward pass as a value. It belongs to whoever asked for it, and nothing changes it.

    outputs: by layer name, `input` too: (N, maps, rows, columns), or (N, units).
    switches: by max-pool layer: int64 of its output's shape, the flat place of each maximum in
    the map below (Sec 2.1).
    """

    outputs: Mapping[str, Tensor]
    switches: Mapping[str, Tensor]

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.outputs[INPUT])

    def maps(self, layer: str) -> Tensor:
        """Return what a layer gave, with units as maps of one place: (N, maps, rows, columns)."""
        outputs = self.outputs[layer]
        return outputs if outputs.dim() == 4 else outputs[:, :, None, None]


@torch.no_grad()
def trace(network: Network, images: Tensor, *, until: str | None = None) -> Trace:
    """Run images (N, 3, H, W), normalised, forward and record every layer's output and switches.

    until: the last layer to run (default: all). Raises InputError for images of another shape
    than the network's, NotFound for an unknown layer.
    """
    _check_images(network, images)
    if until is not None:
        network.spec.layer(until)
    # All layers follow the images in laying the maps of a place side by side: pools are ten times as fast so.
    outputs = {INPUT: images.contiguous(memory_format=torch.channels_last)}
    switches = {}
    sources = network.spec.sources
    for layer in network.spec.layers:
        inputs = [outputs[name] for name in sources[layer.name]]
        if layer.kind in SWITCHED:
            outputs[layer.name], switches[layer.name] = SWITCHED[layer.kind](layer, inputs[0])
        else:
            outputs[layer.name] = FORWARD[layer.kind](layer, inputs, network.weights(layer.name))
        if layer.name == until:
            break
    return Trace(outputs, switches)


def _check_images(network: Network, images: Tensor) -> None:
    wanted = network.shapes[INPUT]
    if images.dim() != 4 or tuple(images.shape[1:]) != wanted:
        raise InputError(
            f"images of shape {tuple(images.shape)}; this model reads (N, {', '.join(map(str, wanted))})",
            field="image",
        )
