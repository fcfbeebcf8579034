"""A network with weights: the module that a spec builds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zfscope.networks.forward import FORWARD, Weights
from zfscope.networks.layers import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


class Filters(nn.Module):
    """The weight and bias of one layer, under the names that a state dict shows.

    In memory the maps of a place of a filter lie side by side, which is what is fastest on CPU and GPU.
    """

    def __init__(self, *, weight: Shape, bias: Shape) -> None:
        super().__init__()
        layout = torch.channels_last if len(weight) == 4 else torch.contiguous_format
        self.weight = nn.Parameter(torch.zeros(weight).contiguous(memory_format=layout))
        self.bias = nn.Parameter(torch.zeros(bias))


class Layers(nn.Module):
    """The weights and biases of layers by name; in torch's own dictionary of modules no name has a dot."""

    def __init__(self, filters: Mapping[str, Filters]) -> None:
        super().__init__()
        self._modules.update(filters)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy weights into those that exist. Raises RuntimeError unless names and shapes are the same."""
        assert strict
        assert not assign
        own = self.state_dict()
        expected, found = ({name: [*part.shape] for name, part in each.items()} for each in (own, state_dict))
        if found != expected:
            raise RuntimeError(f"weights of shapes {found}; these layers have {expected}")
        with torch.no_grad():
            for name, part in own.items():
                part.copy_(state_dict[name])


class Network(nn.Module):
    """A spec and its weights; `forward` gives class scores and keeps nothing.

    `layers.state_dict()` has the keys `conv1.weight` (out, in, rows, columns), `fc6.bias` (out,)
    and so on.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.shapes = shapes(spec)
        self._sources = spec.sources
        self._last_reader = {name: layer for layer, read in self._sources.items() for name in read}
        parameters = {layer.name: layer.parameters(self._source_shape(layer)) for layer in spec.layers}
        self.layers = Layers({name: Filters(**parts) for name, parts in parameters.items() if parts})

    @property
    def filters(self) -> Mapping[str, Filters]:
        """The weights and biases of every layer that has them, by its name."""
        return {name: layer for name, layer in self.layers.named_children() if isinstance(layer, Filters)}

    def weights(self, layer: str) -> Weights:
        """Give (weight, bias) of a layer, None for one that has none."""
        filters = self.filters.get(layer)
        return (filters.weight, filters.bias) if filters else None

    def forward(
        self, images: Tensor, *, resize_maps: bool = False, dropout: torch.Generator | None = None
    ) -> Tensor:
        """Give the class scores, (N, classes), of images: (N, 3, H, W), normalised.

        With `resize_maps`, images of another size than the spec's are taken too: the last maps are
        resized to the grid that the fully connected layers read. Units are dropped out only where
        a generator says which. Training uses both.
        """
        known = {INPUT: images}
        for layer in self.spec.layers:
            inputs = [known[name] for name in self._sources[layer.name]]
            if resize_maps and len(self.shapes[layer.name]) == 1:
                inputs = [self._resized(inputs[0], layer)]
            known[layer.name] = self._step(layer, inputs, dropout)
            self._release(known, layer)
        return known[layer.name]

    def _step(self, layer: Layer, inputs: list[Tensor], dropout: torch.Generator | None) -> Tensor:
        if layer.drop_rate is not None and dropout is not None:
            return drop_out(inputs[0], layer.drop_rate, dropout)
        return FORWARD[layer.kind](layer, inputs, self.weights(layer.name))

    def _source_shape(self, layer: Layer) -> Shape:
        return self.shapes[self._sources[layer.name][0]]

    def _resized(self, source: Tensor, layer: Layer) -> Tensor:
        grid = self._source_shape(layer)[1:]
        if source.shape[2:] == grid:
            return source
        return F.interpolate(source, size=grid, mode="bilinear", align_corners=False)

    def _release(self, known: dict[str, Tensor], layer: Layer) -> None:
        for name in set(self._sources[layer.name]):
            if self._last_reader[name] == layer.name:
                del known[name]


def drop_out(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Zero a share of the units and scale the others up, so that their sum is expected to stay."""
    kept = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * kept / (1 - rate)


def build(spec: NetworkSpec, *, generator: torch.Generator | None = None) -> Network:
    """Build the network with random weights (`initialise`), ready to be trained."""
    network = Network(spec)
    initialise(network, {}, generator=generator)
    return network


def network_of(spec: NetworkSpec, arrays: Mapping[str, NDArray[np.floating[Any]]]) -> Network:
    """Return a network with given weights, by the names of its state dict, ready to be used.

    It is float32 whatever the weights are, in evaluation mode and without gradients.
    """
    # Tensors that are made in inference mode could never be part of a gradient, which projections take.
    with torch.inference_mode(False):
        network = Network(spec)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        network.layers.load_state_dict(weights)
        return network.eval().requires_grad_(False)


@torch.no_grad()
def initialise(
    network: Network, deviations: Mapping[str, float], *, generator: torch.Generator | None = None
) -> None:
    """Draw the weights from N(0, s) and set the biases to zero.

    deviations: s by layer name, or under "*" for the layers that are not named; where neither is,
    s = sqrt(2 / inputs of a unit) (He et al. 2015).
    """
    for name, filters in network.filters.items():
        fan_in = filters.weight[0].numel()
        deviation = deviations.get(name, deviations.get("*", (2 / fan_in) ** 0.5))
        drawn = torch.empty_like(filters.weight, memory_format=torch.contiguous_format)
        filters.weight.copy_(drawn.normal_(0, deviation, generator=generator))
        filters.bias.zero_()


def on_device(network: Network, device: str) -> Network:
    """Return a network, moved to `cpu` or `cuda`.

    On CUDA, torch lets convolutions read numbers rounded to ten bits (TF32): scores and projections would
    differ from the CPU's by a thousandth. That is turned off here, for the whole process.
    """
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return network.to(device)
