"""What to watch in filters while they are learnt: renormalisation, roughness, dead filters, dead maps."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.engine import trace
from zfscope.networks.network import Network
from zfscope.rounding import rounding

# A filter of a higher roughness counts as noise: white noise has 1, AlexNet's median is 0.37.
NOISE_ROUGHNESS = 0.9
# A filter counts as dead if its RMS is below this share of the layer's median.
DEAD_SHARE = 0.05


@torch.no_grad()
def renormalise(network: Network, radius: float) -> None:
    """Scale every filter of the conv layers whose RMS exceeds `radius` down to it (Sec 3)."""
    for name in network.spec.convolutions:
        weight = network.filters[name].weight
        rms = weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        weight.mul_((radius / rms).clamp(max=1))


@torch.no_grad()
def centre(network: Network) -> None:
    """Take the mean out of every filter of the conv layers but the first.

    What these read is never negative, and steps of one size, as AdamW's are, move all weights of a
    filter down together: most maps of layer 2 were dead after 200 of them. A filter of mean zero cannot.
    """
    for name in network.spec.convolutions[1:]:
        weight = network.filters[name].weight
        weight.sub_(weight.mean(dim=(1, 2, 3), keepdim=True))


@torch.no_grad()
def roughness(weight: Tensor) -> Tensor:
    """Give the roughness of each filter: (out,) for weights (out, in, rows, columns).

    (mean square of horizontal differences + of vertical ones) / (4 x variance), each channel's mean
    removed: 1 for white noise, 0.37 in the median for AlexNet's first layer.
    """
    centred = weight - weight.mean(dim=(2, 3), keepdim=True)
    across = centred.diff(dim=3).square().mean(dim=(1, 2, 3))
    down = centred.diff(dim=2).square().mean(dim=(1, 2, 3))
    variance = centred.square().mean(dim=(1, 2, 3))
    return (across + down) / (4 * variance).clamp(min=torch.finfo(weight.dtype).tiny)


def dead_filters(rms: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which filters of a layer are dead, by their root mean squares (n,).

    Dead are those below `DEAD_SHARE` of the median, and those that are rounding of the largest, even if
    most are.
    """
    dead: NDArray[np.bool_] = rms < DEAD_SHARE * np.median(rms)
    return dead | (rms <= rounding(float(rms.max())))


@torch.no_grad()
def filter_report(network: Network) -> dict[str, float]:
    """Return the first layer's median roughness, and the percentage of its filters that are dead or noise."""
    weight = network.filters[network.spec.convolutions[0]].weight.float()
    rms = weight.cpu().double().square().mean(dim=(1, 2, 3)).sqrt()
    rough = roughness(weight)
    lost = dead_filters(rms.numpy()) | (rough > NOISE_ROUGHNESS).cpu().numpy()
    return {"roughness": rough.median().item(), "lost_filters": 100 * float(lost.mean())}


def dead_maps(network: Network, images: Tensor) -> dict[str, float]:
    """Give, for each conv layer, the percentage of its maps that none of the images (N, 3, H, W) excites.

    Keys are `dead_conv1` and so on. A network may classify well by the few maps that are left, but
    what is projected through them is dots.
    """
    seen = trace(network, images)
    return {
        f"dead_{name}": 100 * (seen.outputs[name].amax((0, 2, 3)) <= 0).float().mean().item()
        for name in network.spec.convolutions
    }
