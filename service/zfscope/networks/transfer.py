"""Filters of one network as initial filters of another, whose layers have other sizes."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.layer import Layer
from zfscope.networks.network import Filters, Network
from zfscope.networks.spec import INPUT, NetworkSpec, shapes, tensor_shapes

# Size of mirror images relative to the filters that they mirror. At full size they add detail to projections
# that the network does not need; at 1/20 many stay so small that they count as dead.
_MIRRORED_SIZE = 0.1


def common_layers(spec: NetworkSpec, source: NetworkSpec) -> frozenset[str]:
    """Return the ungrouped convolutions that both networks have under the same name."""
    return _ungrouped(spec) & _ungrouped(source)


def _ungrouped(spec: NetworkSpec) -> frozenset[str]:
    """Return the convolutions whose filters read all maps of their input."""
    maps, weights, sources = shapes(spec), tensor_shapes(spec), spec.sources
    return frozenset(
        name for name in spec.convolutions if weights[f"{name}.weight"][1] == maps[sources[name][0]][0]
    )


def same_windows(layer: Layer, source: NetworkSpec) -> bool:
    """Return whether another network has a layer of the same name whose filters have the same window."""
    other = source.by_name.get(layer.name)
    one, two = layer.window, other.window if other else None
    return (
        one is not None
        and two is not None
        and (one.kernel, one.stride, one.reach) == (two.kernel, two.stride, two.reach)
    )


@torch.no_grad()
def transfer_filters(network: Network, arrays: Mapping[str, Tensor], layers: Collection[str]) -> None:
    """Start convolutions of an initialised network from the filters of another network.

    arrays: weights (out, in, rows, columns) and biases (out,) by their names in the state dict. layers: the
    convolutions to start. Filters and input maps that both layers have are copied; larger filters are cut to
    their centre, smaller ones padded with zeros. Copied filters have weights of 0 for input maps that the
    other network does not have, so that they compute the same. Further filters stay random, except for those
    of the image itself: they start as small mirror images, left to right, of the largest copied ones.
    """
    for name in layers:
        filters, weight, bias = network.filters[name], arrays[f"{name}.weight"], arrays.get(f"{name}.bias")
        outputs, inputs = map(min, filters.weight.shape[:2], weight.shape[:2])
        filters.weight[:outputs, :inputs] = _centred(weight[:outputs, :inputs], filters.weight.shape[2:])
        filters.weight[:outputs, inputs:] = 0
        if bias is not None and filters.bias is not None:
            filters.bias[:outputs] = bias[:outputs]
        if network.spec.sources[name] == (INPUT,):
            _mirror(filters, outputs)


def _mirror(filters: Filters, copied: int) -> None:
    """Start the filters after the first `copied` as mirror images of those, the largest first.

    Mirror images of the smallest, which trained networks have too, would die.
    """
    sizes = filters.weight[:copied].square().sum((1, 2, 3))
    order = sizes.argsort(descending=True, stable=True)
    originals = order[torch.arange(len(filters.weight) - copied) % copied]
    filters.weight[copied:] = _MIRRORED_SIZE * filters.weight[originals].flip(3)
    if filters.bias is not None:
        filters.bias[copied:] = _MIRRORED_SIZE * filters.bias[originals]


def _centred(weight: Tensor, size: tuple[int, ...]) -> Tensor:
    """Cut or pad filters (out, in, rows, columns) to a size around their centre."""
    rows, columns = (own - other for own, other in zip(size, weight.shape[2:], strict=True))
    return F.pad(weight, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
