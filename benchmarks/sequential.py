"""A network as a torch user would write it: an `nn.Sequential` of torch's own layers."""

from collections import OrderedDict

import torch
from torch import nn

from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.network import Network


def as_sequential(network: Network) -> nn.Sequential:
    """Return a network without branches as an `nn.Sequential` with the same weights, in evaluation mode."""
    parts = OrderedDict[str, nn.Module]()
    for layer in network.spec.layers:
        if isinstance(layer, Conv) and not _even(layer):
            left, top, right, bottom = layer.padding
            parts[f"{layer.name}_pad"] = nn.ZeroPad2d((left, right, top, bottom))
        parts[layer.name] = _module(network, layer)
    return nn.Sequential(parts).eval()


def _even(layer: Conv | MaxPool) -> bool:
    return len(set(layer.padding)) == 1


def _module(network: Network, layer: Layer) -> nn.Module:
    match layer:
        case Conv() | Linear():
            return _with_weights(network, layer)
        case MaxPool():
            ceil = layer.rounding == "ceil"
            assert _even(layer), "padding of a pool must be symmetric: zeros would change maxima"
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding.left, ceil_mode=ceil)
        case LocalResponseNorm():
            return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        case ReLU():
            return nn.ReLU()
        case Dropout():
            return nn.Dropout(layer.rate)
        case Flatten():
            return nn.Flatten()
        case _:
            raise ValueError(f"layer '{layer.name}' of kind {layer.kind} cannot be part of an nn.Sequential")


def _with_weights(network: Network, layer: Conv | Linear) -> nn.Module:
    filters = network.filters[layer.name]
    with torch.device("meta"):  # allocate no weights: they are replaced
        if isinstance(layer, Conv):
            padding = layer.padding.left if _even(layer) else 0
            maps = filters.weight.shape[1]
            module: nn.Module = nn.Conv2d(maps, layer.channels, layer.kernel, layer.stride, padding)
        else:
            module = nn.Linear(filters.weight.shape[1], layer.units)
    # Contiguous, as torch's own modules have them; the network stores its weights in another memory format.
    module.weight, module.bias = nn.Parameter(filters.weight.detach().contiguous()), filters.bias
    return module
