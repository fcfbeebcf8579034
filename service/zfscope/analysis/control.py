"""The control of a projection: the same walk through randomised weights (Nie et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit
from zfscope.engine.steps import Normalisation, Rule
from zfscope.engine.trace import trace
from zfscope.networks.network import Network

_SEED = 0


@torch.no_grad()
def randomised(network: Network, *, until: str, generator: torch.Generator) -> Network:
    """Give the network with random weights as large as its own, layer by layer, and without biases.

    until: the last layer that will be used; the weights of later ones stay zero.
    """
    control = Network(network.spec).requires_grad_(False)
    names = [layer.name for layer in network.spec.layers]
    for name in names[: names.index(until) + 1]:
        if name in network.filters:
            own, weight = network.filters[name].weight, control.filters[name].weight
            weight.normal_(0, 1, generator=generator).mul_(own.square().mean().sqrt().cpu())
    return control.to(next(network.parameters()))


def project_control(
    network: Network,
    images: Tensor,
    layer: str,
    units: Sequence[Unit],
    *,
    rule: Rule,
    normalisation: Normalisation,
) -> Tensor:
    """Project, through randomised weights, a unit at the place of each of the units: (units, 3, H, W).

    The number of a map means nothing in a random network, so the map is taken that is strongest at
    that place. The weights are the same in every call.
    """
    control = randomised(network, until=layer, generator=torch.Generator().manual_seed(_SEED))
    seen = trace(control, images, until=layer)
    outputs = seen.outputs[layer]
    maps = outputs if outputs.dim() == 4 else outputs[:, :, None, None]
    strongest = [Unit(u.image, int(maps[u.image, :, u.y, u.x].argmax()), u.y, u.x) for u in units]
    return project(control, seen, layer, strongest, rule=rule, normalisation=normalisation)
