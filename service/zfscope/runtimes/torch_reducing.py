"""The strongest units by torch, from whole activations: what ONNX Runtime is held against."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from zfscope.engine.trace import trace
from zfscope.networks.network import Network
from zfscope.runtimes.protocol import check_images
from zfscope.runtimes.reducing import Reduced


class TorchReducing:
    """Traces a network as far as the last of the layers, and reduces with numpy."""

    name = "torch"

    def __init__(self, network: Network, layers: Sequence[str], *, sums: bool = False) -> None:
        """Take a network in evaluation mode. sums: whether maps are added up too."""
        self._network, self._layers, self._sums = network, tuple(layers), sums
        self._last = max(self._layers, key=[layer.name for layer in network.spec.layers].index)

    def reduce(self, images: NDArray[np.float32]) -> Mapping[str, Reduced]:
        """Give what each of the layers makes of images; see `Reducing`."""
        check_images(images, self._network.spec)
        seen = trace(self._network, torch.tensor(np.ascontiguousarray(images)), until=self._last)
        return {layer: self._reduced(seen.outputs[layer].numpy()) for layer in self._layers}

    def _reduced(self, outputs: NDArray[np.float32]) -> Reduced:
        flat = np.ascontiguousarray(outputs).reshape(*outputs.shape[:2], -1)
        places: NDArray[np.int64] = flat.argmax(2)  # of equal ones the first
        values = np.take_along_axis(flat, places[..., None], 2)[..., 0]
        return Reduced(values, places, flat.sum(2) if self._sums else None)
