"""The forward pass by torch: the same network, and the same code, that projections are made with."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from zfscope.errors import RuntimeUnavailable
from zfscope.networks.network import Network
from zfscope.runtimes.protocol import check_images


class TorchRuntime:
    """Runs a network on a device; on the CPU it shares the weights of the network it is given."""

    name = "torch"

    def __init__(self, network: Network, *, device: str = "cpu") -> None:
        """Take a network in evaluation mode. Raises RuntimeUnavailable where torch has no such device."""
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable("runtime 'torch' cannot use CUDA: torch finds no device here")
        self._device = torch.device(device)
        self._network = network if device == "cpu" else copy.deepcopy(network).to(self._device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores of images; see `Runtime`."""
        check_images(images, self._network.spec)
        with torch.inference_mode():
            # A copy: torch takes no read-only arrays, as images off the wire are, nor reversed ones.
            scores = self._network(torch.tensor(np.ascontiguousarray(images), device=self._device))
        result: NDArray[np.float32] = scores.cpu().numpy()
        return result
