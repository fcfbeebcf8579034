"""Networks with weights: the torch module of a NetworkSpec."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zfscope.networks.forward import FORWARD, Weights
from zfscope.networks.gpu import set_gpu_switch
from zfscope.networks.layer import Layer, Shape
from zfscope.networks.resize import fitted, needs_own_size
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


class Filters(nn.Module):
    """The weight and the optional bias of a layer, under their names in a state dict.

    Convolution weights are stored in channels-last format, the fastest on CPU and GPU.
    """

    bias: nn.Parameter | None

    def __init__(self, *, weight: Shape, bias: Shape | None = None) -> None:
        super().__init__()
        layout = torch.channels_last if len(weight) == 4 else torch.contiguous_format
        self.weight = nn.Parameter(torch.zeros(weight).contiguous(memory_format=layout))
        self.register_parameter("bias", None if bias is None else nn.Parameter(torch.zeros(bias)))


class Layers(nn.Module):
    """The weights and biases of layers by name; unlike torch's ModuleDict, names may contain dots."""

    def __init__(self, filters: Mapping[str, Filters]) -> None:
        super().__init__()
        self._modules.update(filters)

    def find(self, layer: str) -> Filters | None:
        """Return the weights and biases of a layer; None for a layer without any."""
        found = self._modules.get(layer)
        return found if isinstance(found, Filters) else None

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy weights in place. Raises RuntimeError unless all names and shapes match."""
        assert strict
        assert not assign
        own = self.state_dict()
        expected, shapes = (
            {name: [*tensor.shape] for name, tensor in tensors.items()} for tensors in (own, state_dict)
        )
        if shapes != expected:
            raise RuntimeError(f"weights have shapes {shapes}; expected {expected}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state_dict[name])


class Network(nn.Module):
    """A NetworkSpec with weights; `forward` returns class scores and stores nothing on the module.

    `layers.state_dict()` has keys such as `conv1.weight` (out, in, rows, columns) and `fc6.bias` (out,).
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
        """Weights and biases of the layers that have them, by name."""
        return {name: layer for name, layer in self.layers.named_children() if isinstance(layer, Filters)}

    def weights(self, layer: str) -> Weights:
        """Return (weight, bias) of a layer; None for a layer without weights."""
        filters = self.layers.find(layer)
        return (filters.weight, filters.bias) if filters else None

    def forward(
        self, images: Tensor, *, resize_maps: bool = False, dropout: torch.Generator | None = None
    ) -> Tensor:
        """Return class scores (N, classes) of preprocessed images (N, 3, H, W); see `outputs`."""
        scores = self.spec.scores
        return self.outputs(images, (scores,), resize_maps=resize_maps, dropout=dropout)[scores]

    def outputs(
        self,
        images: Tensor,
        layers: Collection[str],
        *,
        resize_maps: bool = False,
        dropout: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs of layers by name for preprocessed images (N, 3, H, W), in one pass.

        Runs no further than the last of the layers.

        resize_maps: accept images of other sizes. Pooling over whole maps covers maps of any size; otherwise
        the last maps are resized to the size that the fully connected layers require. dropout: generator of
        dropout masks; None for no dropout. Both are used by training.
        """
        known = {INPUT: images}
        kept: dict[str, Tensor] = {}
        for layer in self.spec.layers:
            inputs = [known[name] for name in self._sources[layer.name]]
            step, inputs = self._fitted(layer, inputs) if resize_maps else (layer, inputs)
            known[layer.name] = self._step(step, inputs, dropout)
            if layer.name in layers:
                kept[layer.name] = known[layer.name]
            if len(kept) == len(layers):
                break
            self._release(known, layer)
        return kept

    def _step(self, layer: Layer, inputs: list[Tensor], dropout: torch.Generator | None) -> Tensor:
        if layer.drop_rate is not None and dropout is not None:
            return apply_dropout(inputs[0], layer.drop_rate, dropout)
        return FORWARD[layer.kind](layer, inputs, self.weights(layer.name))

    def _source_shape(self, layer: Layer) -> Shape:
        return self.shapes[self._sources[layer.name][0]]

    def _fitted(self, layer: Layer, inputs: list[Tensor]) -> tuple[Layer, list[Tensor]]:
        """Return the layer and its inputs for images of another size."""
        own = [self.shapes[name] for name in self._sources[layer.name]]
        if needs_own_size(layer, own[0], self.shapes[layer.name]):
            return layer, [_resized(x, shape) for x, shape in zip(inputs, own, strict=True)]
        return fitted(layer, own[0], tuple(inputs[0].shape[1:])), inputs

    def _release(self, known: dict[str, Tensor], layer: Layer) -> None:
        for name in set(self._sources[layer.name]):
            if self._last_reader[name] == layer.name:
                del known[name]


def _resized(x: Tensor, shape: Shape) -> Tensor:
    """Return maps, (N, C, H, W), resized to the rows and columns of `shape`; vectors are returned as is."""
    if x.shape[2:] == shape[1:]:
        return x
    return F.interpolate(x, size=shape[1:], mode="bilinear", align_corners=False)


def apply_dropout(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Set a fraction of units to zero, and scale up the others to preserve the expected sum."""
    kept = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * kept / (1 - rate)


def build(spec: NetworkSpec, *, generator: torch.Generator | None = None) -> Network:
    """Build a network with random weights (see `initialise`), in training mode."""
    network = Network(spec)
    initialise(network, {}, generator=generator)
    return network


def network_with_weights(spec: NetworkSpec, arrays: Mapping[str, NDArray[np.floating[Any]]]) -> Network:
    """Return a network with the given weights, by their names in its state dict.

    The network is float32, whatever the dtype of the weights, in evaluation mode and without gradients.
    """
    # Tensors created in inference mode would not support gradients, which a projection may need.
    with torch.inference_mode(False):
        network = Network(spec)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        network.layers.load_state_dict(weights)
        return network.eval().requires_grad_(False)


@torch.no_grad()
def initialise(
    network: Network, deviations: Mapping[str, float], *, generator: torch.Generator | None = None
) -> None:
    """Draw weights from N(0, s) and set biases to zero.

    deviations: standard deviation s by layer name; "*" for all other layers. The default is s = sqrt(2 /
    fan-in) (He et al. 2015).
    """
    for name, filters in network.filters.items():
        if filters.weight.dim() == 1:
            _initialise_per_map(filters)
            continue
        fan_in = filters.weight[0].numel()
        deviation = deviations.get(name, deviations.get("*", (2 / fan_in) ** 0.5))
        drawn = torch.empty_like(filters.weight, memory_format=torch.contiguous_format)
        filters.weight.copy_(drawn.normal_(0, deviation, generator=generator))
        if filters.bias is not None:
            filters.bias.zero_()


def _initialise_per_map(filters: Filters) -> None:
    """Initialise a layer with one weight per map: a scale to the identity, a PReLU to a slope of 0.25."""
    filters.weight.fill_(1 if filters.bias is not None else 0.25)
    if filters.bias is not None:
        filters.bias.zero_()


def on_device(network: Network, device: str) -> Network:
    """Move a network to `cpu` or `cuda` and return it.

    For CUDA, sets torch's switch for TF32, of the whole process; see `zfscope.networks.gpu`.
    """
    if device == "cuda":
        set_gpu_switch()
    return network.to(device)
