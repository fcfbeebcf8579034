"""Projections of layer-2 feature maps from the photos that activate them most (Fig 6c, d)."""

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

# Maps projected between two checks for cancellation.
_BATCH_SIZE = 4


@dataclass(frozen=True, eq=False)
class MapResponses:
    """Responses of feature maps to some photos.

    maxima: float32 (maps,) for each layer, the largest activation of each map in any photo. projections:
    float32 (n, C, H, W), of maps of the last layer that some photo activates, in order of maps: all units of
    a map together, projected from the photo that activates it most.
    """

    maxima: Mapping[str, NDArray[np.float32]]
    projections: NDArray[np.float32]


def map_responses(
    network: Network,
    images: Sequence[Tensor],
    layers: Sequence[str],
    *,
    max_maps: int,
) -> MapResponses:
    """Run normalised photos, (1, C, H, W) each, up to the last of the layers, and project its maps.

    max_maps: maximum number of maps to project, evenly spaced among those that are activated. Whole maps show
    the lattices of their layers all over the photo; the projection of a single unit is too small for that.
    """
    maxima = _maxima(network, images, layers)
    last = maxima[layers[-1]]
    activated = np.flatnonzero(last.max(axis=0) > rounding(float(last.max())))
    maps, best_photo = evenly_spaced(activated, max_maps), last.argmax(axis=0)
    projections = np.zeros((len(maps), *images[0].shape[1:]), np.float32)
    for photo in np.unique(best_photo[maps]):
        traced = trace(network, images[photo], until=layers[-1])
        indices = np.flatnonzero(best_photo[maps] == photo)
        for start in range(0, len(indices), _BATCH_SIZE):
            checkpoint()
            batch = indices[start : start + _BATCH_SIZE]
            seeds = [Maps(0, (int(number),)) for number in maps[batch]]
            projections[batch] = array(project(network, traced, layers[-1], seeds))
    return MapResponses({layer: values.max(axis=0) for layer, values in maxima.items()}, projections)


def _maxima(
    network: Network,
    images: Sequence[Tensor],
    layers: Sequence[str],
) -> Mapping[str, NDArray[np.float32]]:
    """Return the largest activation of each map on each photo, (photos, maps), for each layer."""
    result: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    for image in images:
        checkpoint()
        outputs = trace(network, image, until=layers[-1]).outputs
        for layer, maxima in result.items():
            maxima.append(array(outputs[layer][0].amax((1, 2))))
    return {layer: np.stack(maxima) for layer, maxima in result.items()}


def evenly_spaced(values: NDArray[Number], max_count: int) -> NDArray[Number]:
    """Return at most `max_count` elements, evenly spaced over all of them."""
    indices = np.linspace(0, len(values) - 1, min(max_count, len(values))).round().astype(int)
    selected: NDArray[Number] = values[indices]
    return selected
