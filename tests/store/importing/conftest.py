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
            deviation = (2 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.normal_(0, deviation, generator=generator)
    return module.eval()


def photos(side: int, count: int = 2) -> Tensor:
    """Return random normalised images."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def assert_layers_agree(network: Network, images: Tensor, expected_outputs: Mapping[str, Tensor]) -> None:
    """Assert that layers match a reference within 1e-4 of the layer's largest value."""
    outputs_by_layer = trace(network, images).outputs
    for name, expected in expected_outputs.items():
        assert outputs_by_layer[name].shape == expected.shape, name
        difference = (outputs_by_layer[name] - expected).abs().max() / expected.abs().max()
        assert difference < 1e-4, f"{name}: {difference:.1e}"


class Outputs:
    """Outputs of modules, copied by hooks, since an in-place ReLU would overwrite them."""

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        """names: layer names of the store, mapped to module names."""
        self.by_layer: dict[str, Tensor] = {}
        for layer, submodule in names.items():
            module.get_submodule(submodule).register_forward_hook(partial(self._record, layer))

    def _record(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.by_layer[name] = output.detach().clone()
