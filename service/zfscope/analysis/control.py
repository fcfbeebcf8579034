"""Control of a projection: the same projection through randomised weights, and the similarity of the two.

A deconvnet partly recovers the photo for any weights (Nie et al. 2018): structure that both a projection and
its control show was not learnt. Randomising from the top down to a layer, as in the sanity checks of
Adebayo et al. 2018, shows which layers matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit
from zfscope.engine.trace import Trace, trace
from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.images.render import symmetric_scale
from zfscope.networks.network import Network
from zfscope.rounding import is_level

_SEED = 0
# Side of the uniform windows of the structural similarity (Wang et al. 2004).
_WINDOW_PX = 7


@dataclass(frozen=True)
class Similarity:
    """Similarity of two projections, each measure in -1..1; None if either projection is constant.

    ssim: mean structural similarity, each projection on its own symmetric scale, as displayed.
    rank_correlation: Spearman's rank correlation over all pixels and channels.
    """

    ssim: float | None
    rank_correlation: float | None


def check_down_to(network: Network, layer: str, down_to: str) -> None:
    """Raise NotFound or InputError unless `down_to` is empty, `layer` or an earlier layer."""
    if not down_to:
        return
    first = network.spec.layer(down_to, field="control_down_to").name
    names = [known.name for known in network.spec.layers]
    if names.index(first) > names.index(layer):
        raise InputError(
            f"control_down_to is '{first}', which comes after '{layer}'; use '{layer}' or an earlier layer",
            field="control_down_to",
        )


@torch.no_grad()
def randomised(network: Network, *, until: str, generator: torch.Generator, down_to: str = "") -> Network:
    """Return a copy with random normal weights of the same root mean square per layer, and zero biases.

    until: last layer that will be used; later layers get zero weights. down_to: first layer to randomise;
    earlier layers keep their weights and biases. Empty: randomise all layers.
    """
    control = Network(network.spec).requires_grad_(False)
    names = [layer.name for layer in network.spec.layers]
    first = names.index(network.spec.layer(down_to).name) if down_to else 0
    for index, name in enumerate(names):
        own, other = network.layers.find(name), control.layers.find(name)
        if own is None or other is None:
            continue
        if index > names.index(until):
            other.weight.data = other.weight.new_zeros(()).expand_as(other.weight)  # takes no memory
        elif index < first:
            other.load_state_dict(own.state_dict())
        else:
            size = own.weight.square().mean().sqrt().cpu()
            other.weight.normal_(0, 1, generator=generator).mul_(size)
    return control.to(next(network.parameters()))


def project_control(
    control: Network,
    images: Tensor,
    layer: str,
    units: Sequence[Unit],
    *,
    rule: Rule,
    normalisation: Normalisation,
) -> Tensor:
    """Project, through a `control_network`, one unit at the position of each given unit: (units, C, H, W).

    Map indices have no meaning in a random network, so the map with the largest activation at the position is
    used.
    """
    traced = trace(control, images, until=layer)
    strongest = strongest_at_positions(traced, layer, units)
    return project(control, traced, layer, strongest, rule=rule, normalisation=normalisation)


def control_network(network: Network, layer: str, *, down_to: str = "") -> Network:
    """Return the control network for projections from a layer; its weights are the same in every call."""
    generator = torch.Generator().manual_seed(_SEED)
    return randomised(network, until=layer, generator=generator, down_to=down_to)


def strongest_at_positions(control: Trace, layer: str, units: Sequence[Unit]) -> tuple[Unit, ...]:
    """Return, for each unit, the unit of the strongest map at the same position in the control's trace."""
    maps = control.maps(layer)
    return tuple(Unit(u.image, int(maps[u.image, :, u.y, u.x].argmax()), u.y, u.x) for u in units)


def similarities(
    real: NDArray[np.float32], control: NDArray[np.float32], boxes: Sequence[Box]
) -> tuple[Similarity, ...]:
    """Compare projections with their controls, float32 (units, C, H, W), each in its receptive field."""
    result = []
    for one, other, box in zip(real, control, boxes, strict=True):
        area = (slice(None), *box.clip((one.shape[1], one.shape[2])).slices)
        result.append(similarity(one[area], other[area]))
    return tuple(result)


def similarity(real: NDArray[np.float32], control: NDArray[np.float32]) -> Similarity:
    """Compare two projections of one receptive field, float32 (C, rows, columns)."""
    # Imported late: together they take a quarter of a second, which services without controls avoid.
    from scipy.stats import spearmanr
    from skimage.metrics import structural_similarity as structural

    scales = symmetric_scale(real), symmetric_scale(control)
    if is_level(real) or is_level(control):
        return Similarity(None, None)
    shown = [np.clip(values / scale, -1, 1) for values, scale in zip((real, control), scales, strict=True)]
    window = min(_WINDOW_PX, *real.shape[1:])
    window -= 1 - window % 2
    ssim = None
    if window >= 3:
        ssim = float(structural(*shown, win_size=window, data_range=2, channel_axis=0))  # type: ignore[no-untyped-call]
    return Similarity(ssim, float(spearmanr(real.ravel(), control.ravel()).statistic))
