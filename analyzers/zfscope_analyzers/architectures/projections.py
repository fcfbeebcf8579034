"""What feature maps of layer 2 show of the photos that excite them most (Fig 6c, d)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zfscope.analysis.contract import array
from zfscope.cancellation import checkpoint
from zfscope.engine import Maps, project, trace
from zfscope.networks.network import Network
from zfscope.rounding import rounding

Number = TypeVar("Number", np.int64, np.float32)

_AT_ONCE = 4
"""Maps projected between two looks at whether anyone still waits."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network made of some photos.

    maxima: by layer float32 (maps,), the largest activation of each map on any of the photos. projections:
    float32 (n, 3, H, W), some of the last layer's maps that a photo excites, by number: all units of a map
    together, projected from the photo that excites it most.
    """

    maxima: Mapping[str, NDArray[np.float32]]
    projections: NDArray[np.float32]


def see(
    network: Network,
    images: Sequence[Tensor],
    layers: Sequence[str],
    *,
    most: int,
) -> Seen:
    """Run photos, (1, 3, H, W) each and normalised, up to the last of the layers, and project its maps.

    most: how many maps are projected at most, evenly spread over those that are excited. Whole maps show
    the lattices of their layers all over the photo; the projection of one unit is too small for that.
    """
    maxima = _maxima(network, images, layers)
    last = maxima[layers[-1]]
    excited = np.flatnonzero(last.max(axis=0) > rounding(float(last.max())))
    maps, best = spread(excited, most), last.argmax(axis=0)
    projections = np.zeros((len(maps), *images[0].shape[1:]), np.float32)
    for photo in np.unique(best[maps]):
        outputs = trace(network, images[photo], until=layers[-1])
        places = np.flatnonzero(best[maps] == photo)
        for start in range(0, len(places), _AT_ONCE):
            checkpoint()
            some = places[start : start + _AT_ONCE]
            seeds = [Maps(0, (int(number),)) for number in maps[some]]
            projections[some] = array(project(network, outputs, layers[-1], seeds))
    return Seen({layer: values.max(axis=0) for layer, values in maxima.items()}, projections)


def _maxima(
    network: Network,
    images: Sequence[Tensor],
    layers: Sequence[str],
) -> Mapping[str, NDArray[np.float32]]:
    """Return the largest activation of each map on each photo, by layer: (photos, maps)."""
    found: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    for image in images:
        checkpoint()
        outputs = trace(network, image, until=layers[-1]).outputs
        for layer, kept in found.items():
            kept.append(array(outputs[layer][0].amax((1, 2))))
    return {layer: np.stack(kept) for layer, kept in found.items()}


def spread(things: NDArray[Number], most: int) -> NDArray[Number]:
    """Return at most `most` of some things, evenly spread over them."""
    places = np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)
    chosen: NDArray[Number] = things[places]
    return chosen
