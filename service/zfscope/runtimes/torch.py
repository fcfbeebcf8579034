"""The torch runtime, which runs the same network as projections."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.choices import PrecisionName
from zfscope.engine.trace import trace
from zfscope.errors import RuntimeUnavailable
from zfscope.networks.network import Network, on_device
from zfscope.runtimes.precision import DATA_TYPES, check_precision, network_in
from zfscope.runtimes.protocol import MapMaxima, check_call, check_images, compute_maxima, runtime_title


class TorchRuntime:
    """Runs a network on a device. A network that is already on that device is shared, not copied."""

    name = "torch"

    def __init__(self, network: Network, *, device: str = "cpu", precision: str = "float32") -> None:
        """Create a runtime of a network in evaluation mode.

        precision: `float32` or `bfloat16`, of a copy of the weights and of activations; images and results
        are float32. Raises RuntimeUnavailable if the device is not available, or has no fast path for the
        precision.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable("runtime 'torch' cannot use CUDA: torch found no device")
        check_precision(precision, runtime=self.name, device=device)
        self.title = runtime_title(self.name, device, precision)
        self._device, self._type = torch.device(device), DATA_TYPES[PrecisionName(precision)]
        own = network_in(network, precision)
        is_shared = own is not network or next(network.parameters()).device.type == device
        self._network = on_device(own if is_shared else copy.deepcopy(own), device)

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
        """Copy images into a tensor: torch supports neither read-only arrays nor negative strides.

        In channels-last format, convolutions of both precisions are fastest.
        """
        tensor = torch.tensor(np.ascontiguousarray(images), device=self._device)
        return tensor.to(self._type, memory_format=torch.channels_last)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().contiguous().numpy()
    return array
