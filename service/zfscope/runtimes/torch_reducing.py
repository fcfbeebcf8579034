"""The strongest units by torch, from whole activations: what ONNX Runtime is held against."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.network import Network
from zfscope.runtimes.reducing import Reduced, reduced, title
from zfscope.runtimes.torch_runtime import TorchRuntime


class TorchReducing:
    """Runs a network as far as the last of the layers, and reduces with numpy."""

    def __init__(
        self, network: Network, layers: Sequence[str], *, sums: bool = False, device: str = "cpu"
    ) -> None:
        """Take a network in evaluation mode. sums: whether maps are added up too.

        Raises RuntimeUnavailable where torch has no such device.
        """
        self._runtime = TorchRuntime(network, device=device)
        self._layers, self._sums = tuple(layers), sums
        self.name = title(self._runtime.name, device)

    def reduce(self, images: NDArray[np.float32]) -> Mapping[str, Reduced]:
        """Give what each of the layers makes of images; see `Reducing`."""
        outputs = self._runtime.outputs(images, self._layers)
        return {layer: reduced(outputs[layer], sums=self._sums) for layer in self._layers}
