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

Rank = Literal["max", "sum"]
"""Maps are ranked by their strongest activation (the paper's Fig 2) or by the sum of all of them."""


@dataclass(frozen=True)
class Unit:
    """One unit: a place (row y, column x) of a map, for one image of the trace.

    Of a fully connected layer `map` is the unit's number, y and x are 0.
    """

    image: int
    map: int
    y: int = 0
    x: int = 0


@dataclass(frozen=True)
class Maps:
    """All units of one or several maps, for one image of the trace."""

    image: int
    maps: tuple[int, ...]


Seed = Unit | Maps


def strongest_unit(trace: Trace, layer: str, image: int, map: int) -> Unit:
    """Give the unit of a map with the largest activation; of equal ones the first in reading order."""
    activations = trace.maps(layer)[image, map]
    place = int(_first_argmax(activations.flatten()))
    return Unit(image, map, *divmod(place, activations.shape[1]))


def strongest_units(
    trace: Trace, layer: str, image: int, count: int, *, rank: Rank = "max"
) -> tuple[Unit, ...]:
    """Give the strongest unit of each of the `count` strongest maps, strongest first, ties by number."""
    activations = trace.maps(layer)[image].flatten(1)
    scores = activations.amax(1) if rank == "max" else activations.sum(1)
    ranked = scores.sort(descending=True, stable=True).indices[:count]
    return tuple(strongest_unit(trace, layer, image, int(map)) for map in ranked)


def activation(trace: Trace, layer: str, unit: Unit) -> float:
    """Give the activation of one unit."""
    return float(trace.maps(layer)[unit.image, unit.map, unit.y, unit.x])


def is_silent(trace: Trace, layer: str, unit: Unit) -> bool:
    """Return whether a unit's activation is 0, or rounding of the largest one of the layer in its image."""
    peak = float(trace.outputs[layer][unit.image].abs().max())
    return abs(activation(trace, layer, unit)) <= rounding(peak)


def seed_signal(trace: Trace, layer: str, seeds: Sequence[Seed]) -> Signal:
    """Give the signal that goes down: the seeds' own activations, zero elsewhere.

    Single units alone make a signal of one place each; with whole maps among them all are full-size.
    Raises InputError for no seed or a layer beyond the end of the trace, NotFound for an image, map or
    place that the layer does not have.
    """
    if not seeds:
        raise InputError("no seed to project; give at least one unit or map", field="units")
    if layer not in trace.outputs:
        last = list(trace.outputs)[-1]
        raise InputError(f"layer '{layer}' is not in the trace, which ends at '{last}'", field="layer")
    outputs = trace.outputs[layer]
    for place, seed in enumerate(seeds):
        _check_seed(trace, layer, seed, f"units[{place}]")
    images = torch.tensor([seed.image for seed in seeds])
    if outputs.dim() == 4 and all(isinstance(seed, Unit) for seed in seeds):
        return _unit_signal(outputs, images, seeds)
    values = torch.zeros_like(outputs[images])
    for row, seed in enumerate(seeds):
        kept = _kept(seed, outputs.dim())
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


def _kept(seed: Seed, dimensions: int) -> tuple[list[int]] | tuple[int, ...]:
    if isinstance(seed, Maps):
        return (list(seed.maps),)
    return (seed.map, seed.y, seed.x) if dimensions == 4 else (seed.map,)


def _check_seed(trace: Trace, layer: str, seed: Seed, field: str) -> None:
    images, maps, rows, columns = trace.maps(layer).shape
    _check(seed.image, images, "image", layer, field)
    for map in (seed.map,) if isinstance(seed, Unit) else seed.maps:
        _check(map, maps, "map", layer, field)
    if isinstance(seed, Unit):
        _check(seed.y, rows, "y", layer, field)
        _check(seed.x, columns, "x", layer, field)


def _check(value: int, count: int, name: str, layer: str, field: str) -> None:
    if not 0 <= value < count:
        raise NotFound(
            f"no unit with {name} = {value} in layer '{layer}'; {name} runs from 0 to {count - 1}",
            field=f"{field}.{name}",
        )


def _first_argmax(values: Tensor) -> Tensor:
    """Give the first place of the largest value: torch's argmax promises none of equal ones."""
    return (values == values.max()).nonzero()[0, 0]
