"""The torch runtime, which runs the same network as projections."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.engine.trace import trace
from zfscope.errors import RuntimeUnavailable
from zfscope.networks.network import Network, on_device
from zfscope.runtimes.protocol import MapMaxima, check_call, check_images, compute_maxima, runtime_title


class TorchRuntime:
    """Runs a network on a device. A network that is already on that device is shared, not copied."""

    name = "torch"

    def __init__(self, network: Network, *, device: str = "cpu") -> None:
        """Create a runtime of a network in evaluation mode.

        Raises RuntimeUnavailable if the device is not available.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable("runtime 'torch' cannot use CUDA: torch found no device")
        self.title = runtime_title(self.name, device)
        self._device = torch.device(device)
        is_shared = next(network.parameters()).device.type == device
        self._network = on_device(network if is_shared else copy.deepcopy(network), device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        check_images(images, self._network.spec)
        with torch.inference_mode():
            return _array(self._network(self._tensor(images)))

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers, running no further than the last of them; see `Runtime`."""
        spec = self._network.spec
        names = check_call(images, spec, layers)
        last = max(names, key=[layer.name for layer in spec.layers].index, default=spec.layers[0].name)
        traced = trace(self._network, self._tensor(images), until=last)
        return {name: _array(traced.outputs[name]) for name in names}

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps, computed by numpy as a reference for other runtimes; see `Runtime`."""
        outputs = self.outputs(images, layers)
        return {layer: compute_maxima(values, sums=sums) for layer, values in outputs.items()}

    def check(self) -> None:
        """Do nothing: this runtime runs in-process and is always available."""

    def _tensor(self, images: NDArray[np.float32]) -> Tensor:
        """Copy images into a tensor: torch supports neither read-only arrays nor negative strides."""
        return torch.tensor(np.ascontiguousarray(images), device=self._device)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.cpu().numpy()
    return array
