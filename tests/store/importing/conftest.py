"""Comparison of imported networks with reference implementations with random weights."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from zfscope.engine.trace import trace
from zfscope.networks import Network


def seeded(module: nn.Module) -> nn.Module:
    """Initialise a module so that activations stay alive and biases matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            size = (2 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.normal_(0, size, generator=generator)
    return module.eval()


def photos(side: int, count: int = 2) -> Tensor:
    """Return random normalised images."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def assert_layers_agree(network: Network, images: Tensor, peers: Mapping[str, Tensor]) -> None:
    """Assert that layers match a reference within 1e-4 of the layer's largest value."""
    found = trace(network, images).outputs
    for name, expected in peers.items():
        assert found[name].shape == expected.shape, name
        difference = (found[name] - expected).abs().max() / expected.abs().max()
        assert difference < 1e-4, f"{name}: {difference:.1e}"


class Outputs:
    """Outputs of modules, copied by hooks, since an in-place ReLU would overwrite them."""

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        """names: layer names of the store, mapped to module names."""
        self.found: dict[str, Tensor] = {}
        for ours, its in names.items():
            module.get_submodule(its).register_forward_hook(partial(self._keep, ours))

    def _keep(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.found[name] = output.detach().clone()
