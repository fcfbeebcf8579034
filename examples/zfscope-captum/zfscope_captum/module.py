"""A network as the module that Captum needs: with a child for each layer, so that hooks can be registered."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from zfscope.plugin import FORWARD, INPUT, Activation, Layer, MaxPool, Network, NetworkSpec, ReLU

# Modules for which Captum has rules, by the name of the activation function; each takes the function's alpha.
_ACTIVATIONS: Mapping[str, Callable[[Any], nn.Module]] = {
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": lambda alpha: nn.Sigmoid(),
    "softplus": lambda alpha: nn.Softplus(),
    "tanh": lambda alpha: nn.Tanh(),
}


class CaptumModule(nn.Module):
    """The layers of a network that lead to its class scores, as modules.

    Layers for which Captum has rules (DeepLift, guided backpropagation) are torch's own modules: ReLU, ELU,
    leaky ReLU, sigmoid, tanh, softplus and max pooling. The weights are shared with the network, which is
    never written to: hooks are registered on the modules of this instance. Create one for each call.
    """

    def __init__(self, network: Network, on_images: Callable[[int], None] = lambda count: None) -> None:
        """on_images: called before each forward pass with its number of images."""
        super().__init__()
        spec = network.spec
        needed = leading_to_scores(spec)
        self._spec, self._on_images = spec, on_images
        self._layers = [layer for layer in spec.layers if layer.name in needed]
        self._last_reader = {name: layer.name for layer in self._layers for name in spec.sources[layer.name]}
        self.steps = nn.ModuleList(_module(network, layer) for layer in self._layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores (N, classes) of preprocessed images (N, C, H, W)."""
        self._on_images(len(images))
        known = {INPUT: images}
        for layer, step in zip(self._layers, self.steps, strict=True):
            sources = self._spec.sources[layer.name]
            known[layer.name] = step(*(known[name] for name in sources))
            for name in set(sources):
                if self._last_reader[name] == layer.name:
                    del known[name]
        return known[self._spec.scores]

    def layer(self, name: str) -> nn.Module:
        """Return the module of a layer that leads to the class scores."""
        return self.steps[[layer.name for layer in self._layers].index(name)]


def leading_to_scores(spec: NetworkSpec) -> set[str]:
    """Return the names of the layers that the class scores depend on, theirs included."""
    needed = {spec.scores}
    for layer in reversed(spec.layers):
        if layer.name in needed:
            needed.update(spec.sources[layer.name])
    return needed


class _Step(nn.Module):
    """Any layer, computed as in the network."""

    def __init__(self, network: Network, layer: Layer) -> None:
        super().__init__()
        self._layer, self._weights = layer, network.weights(layer.name)

    def forward(self, *inputs: Tensor) -> Tensor:
        return FORWARD[self._layer.kind](self._layer, inputs, self._weights)


class _Padding(nn.Module):
    """Padding in front of max pooling.

    The lowest number instead of -inf: DeepLift subtracts the values of two images.
    """

    def __init__(self, layer: MaxPool) -> None:
        super().__init__()
        self._window = layer.window

    def forward(self, x: Tensor) -> Tensor:
        left, top, right, bottom = self._window.whole_padding(*x.shape[-2:])
        return pad(x, (left, right, top, bottom), value=torch.finfo(x.dtype).min)


def _module(network: Network, layer: Layer) -> nn.Module:
    if isinstance(layer, ReLU):
        return nn.ReLU()
    if isinstance(layer, Activation) and layer.function in _ACTIVATIONS:
        return _ACTIVATIONS[layer.function](layer.alpha)
    if isinstance(layer, MaxPool):
        return _pooling(layer)
    return _Step(network, layer)


def _pooling(layer: MaxPool) -> nn.Module:
    def pool(*, ceil_mode: bool) -> nn.Module:
        return nn.MaxPool2d(layer.kernel, layer.stride, dilation=layer.dilation, ceil_mode=ceil_mode)

    if any(layer.padding):
        return nn.Sequential(_Padding(layer), pool(ceil_mode=False))
    return pool(ceil_mode=layer.rounding == "ceil")
