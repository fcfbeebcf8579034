"""The rate of torch's own convolutions, from which benchmarks compute their floors."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zfscope.engine import Trace, trace
from zfscope.engine.changes import multiply_adds
from zfscope.networks import Network
from zfscope.networks.forward import FORWARD

LAYERS = ("conv2", "conv3", "conv4", "conv5")


@dataclass(frozen=True)
class RatedConvolutions:
    """The convolutions conv2 to conv5 of a network, on full maps of a batch of images."""

    network: Network
    images: Tensor

    @cached_property
    def _traced(self) -> Trace:
        return trace(self.network, self.images, until=LAYERS[-1])

    @torch.no_grad()
    def run(self) -> None:
        """Run the convolutions once."""
        spec = self.network.spec
        for name in LAYERS:
            inputs = [self._traced.outputs[source] for source in spec.sources[name]]
            FORWARD["conv"](spec.by_name[name], inputs, self.network.weights(name))

    def work(self) -> int:
        """Return the multiply-adds of a run."""
        positions = {name: self._traced.outputs[name][:, 0].numel() for name in LAYERS}
        return sum(multiply_adds(self.network, name) * count for name, count in positions.items())
