"""Seeds: the activations that a projection starts from, all others set to zero (Sec 2.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zfscope.engine.signal import Signal
from zfscope.engine.trace import Trace
from zfscope.errors import InputError, NotFound
from zfscope.rounding import rounding

# How maps are ranked: by their strongest activation (the paper's Fig 2) or by the sum of their activations.
Rank = Literal["max", "sum"]
# Rows and columns of a feature map.
Region = tuple[slice, slice]
WHOLE_MAP: Region = (slice(None), slice(None))


@dataclass(frozen=True)
class Unit:
    """A unit at position (row y, column x) of a feature map, for one image of the trace.

    For a fully connected layer, `map` is the index of the unit; y and x are 0.
    """

    image: int
    map: int
    y: int = 0
    x: int = 0


@dataclass(frozen=True)
class Maps:
    """All units of one or more feature maps, for one image of the trace."""

    image: int
    maps: tuple[int, ...]


Seed = Unit | Maps


def strongest_unit(trace: Trace, layer: str, image: int, map: int, *, region: Region = WHOLE_MAP) -> Unit:
    """Return the unit of a map with the largest activation; the first in row-major order on ties.

    region: the part of the map to search, slices with step 1.
    """
    activations = trace.maps(layer)[image, map]
    top, left = (part.indices(size)[0] for part, size in zip(region, activations.shape, strict=True))
    y, x = divmod(int(_first_argmax(activations[region].flatten())), activations[region].shape[1])
    return Unit(image, map, top + y, left + x)


def ranked_maps(
    trace: Trace, layer: str, image: int, *, rank: Rank = "max", region: Region = WHOLE_MAP
) -> tuple[int, ...]:
    """Return all maps of a layer, strongest first; the first on ties. region: the part that counts."""
    activations = trace.maps(layer)[image][:, *region].flatten(1)
    scores = activations.amax(1) if rank == "max" else activations.sum(1)
    return tuple(scores.sort(descending=True, stable=True).indices.tolist())


def strongest_units(
    trace: Trace, layer: str, image: int, count: int, *, rank: Rank = "max"
) -> tuple[Unit, ...]:
    """Return the strongest unit of each of the `count` strongest maps, in descending order."""
    ranked = ranked_maps(trace, layer, image, rank=rank)[:count]
    return tuple(strongest_unit(trace, layer, image, number) for number in ranked)


def activation(trace: Trace, layer: str, unit: Unit) -> float:
    """Return the activation of a unit."""
    return float(trace.maps(layer)[unit.image, unit.map, unit.y, unit.x])


def is_silent(trace: Trace, layer: str, unit: Unit) -> bool:
    """Return whether a unit's activation is zero within rounding error of the layer's peak in its image."""
    peak = float(trace.outputs[layer][unit.image].abs().max())
    return abs(activation(trace, layer, unit)) <= rounding(peak)


def seed_signal(trace: Trace, layer: str, seeds: Sequence[Seed]) -> Signal:
    """Return the signal to project: the activations of the seeds, zero elsewhere.

    If all seeds are single units of feature maps, each window has one position; otherwise each window covers
    the whole map. Raises InputError for an empty list of seeds or a layer that is not in the trace, NotFound
    for an image, map or position that does not exist.
    """
    if not seeds:
        raise InputError("no units to project; specify at least one unit or map", field="units")
    if layer not in trace.outputs:
        last = list(trace.outputs)[-1]
        raise InputError(f"layer '{layer}' is not in the trace; the trace ends at '{last}'", field="layer")
    outputs = trace.outputs[layer]
    for index, seed in enumerate(seeds):
        _check_seed(trace, layer, seed, f"units[{index}]")
    images = torch.tensor([seed.image for seed in seeds])
    if outputs.dim() == 4 and all(isinstance(seed, Unit) for seed in seeds):
        return _unit_signal(outputs, images, seeds)
    values = torch.zeros_like(outputs[images])
    for row, seed in enumerate(seeds):
        kept = _seed_index(seed, outputs.dim())
        values[row][kept] = outputs[seed.image][kept]
    return Signal(values, images, torch.zeros(len(seeds), 2, dtype=torch.int64))


def _unit_signal(outputs: Tensor, images: Tensor, seeds: Sequence[Seed]) -> Signal:
    units = [seed for seed in seeds if isinstance(seed, Unit)]
    maps = torch.tensor([unit.map for unit in units])
    origins = torch.tensor([(unit.y, unit.x) for unit in units])
    values = outputs.new_zeros(len(units), outputs.shape[1], 1, 1)
    rows = torch.arange(len(units))
    values[rows, maps, 0, 0] = outputs[images, maps, origins[:, 0], origins[:, 1]]
    return Signal(values, images, origins)


def _seed_index(seed: Seed, dimensions: int) -> tuple[list[int]] | tuple[int, ...]:
    if isinstance(seed, Maps):
        return (list(seed.maps),)
    return (seed.map, seed.y, seed.x) if dimensions == 4 else (seed.map,)


def _check_seed(trace: Trace, layer: str, seed: Seed, field: str) -> None:
    images, maps, rows, columns = trace.maps(layer).shape
    _check_index(seed.image, images, "image", layer, field)
    for feature_map in (seed.map,) if isinstance(seed, Unit) else seed.maps:
        _check_index(feature_map, maps, "map", layer, field)
    if isinstance(seed, Unit):
        _check_index(seed.y, rows, "y", layer, field)
        _check_index(seed.x, columns, "x", layer, field)


def _check_index(value: int, count: int, name: str, layer: str, field: str) -> None:
    if not 0 <= value < count:
        raise NotFound(
            f"no unit with {name} = {value} in layer '{layer}'; allowed: 0 to {count - 1}",
            field=f"{field}.{name}",
        )


def _first_argmax(values: Tensor) -> Tensor:
    """Return the first index of the largest value; torch's argmax does not specify which on ties."""
    return (values == values.max()).nonzero()[0, 0]
