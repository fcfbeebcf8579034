"""Constraints and measures of filters in training: renormalisation, roughness, dead filters and maps."""

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.engine import trace
from zfscope.networks.network import Network
from zfscope.networks.spec import NetworkSpec
from zfscope.rounding import rounding

# A filter above this roughness counts as noise: white noise has 1, AlexNet's median is 0.37.
NOISE_ROUGHNESS = 0.9
# A filter counts as dead if its RMS is below this fraction of the layer's median.
DEAD_SHARE = 0.05
# Number of photos traced together: a trace keeps the output of every layer.
_TRACED_AT_ONCE = 8


@torch.no_grad()
def renormalise(network: Network, radius: float) -> None:
    """Scale down every convolutional filter whose RMS exceeds `radius` to that RMS (Sec 3)."""
    for name in network.spec.convolutions:
        weight = network.filters[name].weight
        rms = weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        weight.mul_((radius / rms).clamp(max=1))


@torch.no_grad()
def centre_filters(network: Network, *, kept: Collection[str] = ()) -> None:
    """Subtract the mean of every filter of the convolutional layers, except the first layer.

    kept: layers that start from trained filters, which are not centred either.

    The inputs of these layers are never negative, so AdamW's steps of equal size can lower all weights of a
    filter together: without centring, most maps of layer 2 were dead after 200 steps. A filter of mean zero
    cannot drift this way.
    """
    for name in network.spec.convolutions[1:]:
        if name in kept:
            continue
        weight = network.filters[name].weight
        weight.sub_(weight.mean(dim=(1, 2, 3), keepdim=True))


@torch.no_grad()
def roughness(weight: Tensor) -> Tensor:
    """Return the roughness of each filter, (out,), for weights (out, in, rows, columns).

    Roughness is (mean square of horizontal differences + mean square of vertical differences) /
    (4 x variance), after subtracting each channel's mean: 1 for white noise, in the median 0.37 for AlexNet's
    first layer.
    """
    # Differences of neighbours in white noise have twice its variance, in each direction: hence the 4.
    centred = weight - weight.mean(dim=(2, 3), keepdim=True)
    across = centred.diff(dim=3).square().mean(dim=(1, 2, 3))
    down = centred.diff(dim=2).square().mean(dim=(1, 2, 3))
    variance = centred.square().mean(dim=(1, 2, 3))
    return (across + down) / (4 * variance).clamp(min=torch.finfo(weight.dtype).tiny)


def dead_filters(rms: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return a mask of the dead filters of a layer. rms: root mean squares of the filters, (n,).

    A filter is dead if its RMS is below `DEAD_SHARE` of the median, or within rounding error of zero relative
    to the largest (so dead filters are found even if most are dead).
    """
    dead: NDArray[np.bool_] = rms < DEAD_SHARE * np.median(rms)
    return dead | (rms <= rounding(float(rms.max())))


@torch.no_grad()
def filter_report(network: Network) -> dict[str, float]:
    """Return `roughness` (median) and `lost_filters` (percentage dead or noise) of the first layer."""
    weight = network.filters[network.spec.convolutions[0]].weight.float()
    rms = weight.cpu().double().square().mean(dim=(1, 2, 3)).sqrt()
    roughnesses = roughness(weight)
    lost = dead_filters(rms.numpy()) | (roughnesses > NOISE_ROUGHNESS).cpu().numpy()
    return {"roughness": roughnesses.median().item(), "lost_filters": 100 * float(lost.mean())}


def dead_maps(network: Network, images: Tensor) -> dict[str, float]:
    """Return the percentage of dead maps of each rectified convolutional layer, by `dead_conv1` and so on.

    images: (N, C, H, W), normalised. A map is dead if none of the images activates it. A network may classify
    well with the few maps that are left, but projections through them show only dots.
    """
    layers = _rectified_convolutions(network.spec)
    if not layers:
        return {}
    active: dict[str, Tensor] = {}
    for start in range(0, len(images), _TRACED_AT_ONCE):
        traced = trace(network, images[start : start + _TRACED_AT_ONCE], until=layers[-1])
        for name in layers:
            responses = traced.outputs[name].amax((0, 2, 3)) > 0
            active[name] = active[name] | responses if name in active else responses
    return {f"dead_{name}": 100 * (~active[name]).float().mean().item() for name in layers}


def _rectified_convolutions(spec: NetworkSpec) -> list[str]:
    """Return the convolutional layers whose maps are rectified by the layer that reads them."""
    rectified = {spec.sources[layer.name][0] for layer in spec.layers if layer.rectifies}
    return [name for name in spec.convolutions if name in rectified]
