"""Peers' own definitions with random weights, and how a network of ours is held against them."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from zfscope.engine.trace import trace
from zfscope.networks import Network


def seeded(module: nn.Module) -> nn.Module:
    """Give a module weights that keep its activations alive, and biases that are at work."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            size = (2 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.normal_(0, size, generator=generator)
    return module.eval()


def photos(side: int, count: int = 2) -> Tensor:
    """Draw normalised images."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def assert_layers_agree(network: Network, images: Tensor, peers: Mapping[str, Tensor]) -> None:
    """Hold layers of a network against what a peer gives, to 1e-4 of the layer's largest value."""
    found = trace(network, images).outputs
    for name, expected in peers.items():
        assert found[name].shape == expected.shape, name
        difference = (found[name] - expected).abs().max() / expected.abs().max()
        assert difference < 1e-4, f"{name}: {difference:.1e}"


class Outputs:
    """What chosen modules gave, copied by hooks: a ReLU that works in place would overwrite its layer."""

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        """names: by our name of a layer that of the module."""
        self.found: dict[str, Tensor] = {}
        for ours, its in names.items():
            module.get_submodule(its).register_forward_hook(partial(self._keep, ours))

    def _keep(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.found[name] = output.detach().clone()
