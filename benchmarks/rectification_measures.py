"""Measures of one projection for `benchmarks.rectification`: where its energy is, and what it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from zfscope.engine import Trace, Unit, trace
from zfscope.engine.backward import BACKWARD, LayerContext
from zfscope.engine.seeds import seed_signal
from zfscope.engine.signal import Signal, add
from zfscope.images.geometry import Box
from zfscope.networks import Network
from zfscope.rounding import is_level

# Cells of a receptive field along each side, and the number of cells that are covered.
CELLS, COVERED = 6, 4

# One value per cell: (CELLS, CELLS).
Cells = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Field:
    """The receptive field of a unit in the network's input, float32 (C, H, W), divided into cells."""

    image: NDArray[np.float32]
    box: Box

    def part(self, projection: Tensor) -> NDArray[np.float32]:
        """Return the field's part of a projection, (C, rows, columns)."""
        part: NDArray[np.float32] = projection.numpy()[:, *self.box.slices]
        return part

    @cached_property
    def contrast(self) -> Cells:
        """Contrast of the photo in each cell: the sum of the squared differences of neighbouring pixels."""
        grey = self.image[:, *self.box.slices].mean(0)
        down, across = np.gradient(grey)
        return self._per_cell(down**2 + across**2)

    def energy(self, part: NDArray[np.float32]) -> Cells:
        """Return the energy of a projection in each cell."""
        return self._per_cell(np.square(part, dtype=np.float64).sum(0))

    def random(self, generator: torch.Generator) -> Cells:
        """Return random values, which rank the cells in a random order."""
        return torch.rand(CELLS, CELLS, generator=generator, dtype=torch.float64).numpy()

    def half(self, part: NDArray[np.float32]) -> float:
        """Return the smallest share of the pixels that holds half of a projection's energy."""
        energy = np.sort(np.square(part, dtype=np.float64).sum(0), axis=None)[::-1].cumsum()
        return float((np.searchsorted(energy, energy[-1] / 2) + 1) / energy.size)

    def flat_share(self, part: NDArray[np.float32]) -> float:
        """Return the share of a projection's energy in the half of the cells with less contrast."""
        flat = self.contrast.argsort(axis=None, kind="stable")[: CELLS**2 // 2]
        energy = self.energy(part).ravel()
        return float(energy[flat].sum() / energy.sum())

    def covered(self, cells: Cells) -> NDArray[np.float32]:
        """Return the image with the cells of the largest values set to zero, the mean colour."""
        image = self.image.copy()
        for number in cells.argsort(axis=None, kind="stable")[-COVERED:]:
            rows, columns = self._cell(*divmod(int(number), CELLS))
            image[:, rows, columns] = 0
        return image

    def _per_cell(self, pixels: NDArray[np.floating]) -> Cells:
        bands = np.array_split(pixels, CELLS, axis=0)
        return np.array([[cell.sum() for cell in np.array_split(band, CELLS, axis=1)] for band in bands])

    def _cell(self, row: int, column: int) -> tuple[slice, slice]:
        """Return the pixels of a cell, as `numpy.array_split` divides them."""
        parts = (np.array_split(np.arange(each.start, each.stop), CELLS) for each in self.box.slices)
        rows, columns = (part[index] for part, index in zip(parts, (row, column), strict=True))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@dataclass(frozen=True, eq=False)
class UnitContext:
    """A unit of a layer, the trace that it belongs to, and its receptive field."""

    network: Network
    traced: Trace
    layer: str
    unit: Unit
    field: Field

    @property
    def activation(self) -> float:
        """Activation of the unit."""
        return float(self.traced.maps(self.layer)[self.unit.image, self.unit.map, self.unit.y, self.unit.x])


def location_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Return the rank correlation of the energies of pixels; None if one projection is level."""
    energies = [np.square(part, dtype=np.float64).sum(0).ravel() for part in (one, other)]
    return None if any(map(is_level, energies)) else float(spearmanr(*energies).statistic)


def smoothness(part: NDArray[np.float32]) -> float:
    """Return the mean correlation of pixels with the next ones below and to the right, over all channels."""
    pairs = [
        (one.ravel(), other.ravel())
        for channel in part.astype(np.float64)
        for one, other in ((channel[1:], channel[:-1]), (channel[:, 1:], channel[:, :-1]))
    ]
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))


def remaining(context: UnitContext, rankings: Mapping[str, Cells]) -> Mapping[str, float]:
    """Return, for each ranking of the cells, the unit's activation after its first cells are covered.

    Relative to the activation of the whole image.
    """
    images = np.stack([context.field.covered(cells) for cells in rankings.values()])
    outputs = trace(context.network, torch.from_numpy(images), until=context.layer).maps(context.layer)
    values = outputs[:, context.unit.map, context.unit.y, context.unit.x] / context.activation
    return dict(zip(rankings, values.tolist(), strict=True))


@torch.no_grad()
def removed_energy(
    network: Network, traced: Trace, layer: str, units: Sequence[Unit]
) -> Sequence[Mapping[str, float]]:
    """Return, for each unit, the share of the signal's energy that the deconvnet removes at each ReLU.

    Keys are `removed.` and the name of the layer; a ReLU that no signal reaches is left out.
    """
    pending: dict[str, Signal] = {layer: seed_signal(traced, layer, units)}
    removed: list[dict[str, float]] = [{} for _ in units]
    for below in reversed(network.spec.layers):
        if below.name not in pending:
            continue
        signal, sources = pending.pop(below.name), network.spec.sources[below.name]
        if below.rectifies:
            for shares, values in zip(removed, signal.values.double(), strict=True):
                if values.any():
                    share = values.clamp(max=0).square().sum() / values.square().sum()
                    shares[f"removed.{below.name}"] = float(share)
        context = LayerContext(below, traced, sources, network.weights(below.name), "deconvnet", "skip")
        for source, part in zip(sources, BACKWARD[below.kind](below, signal, context), strict=True):
            known = pending.get(source)
            pending[source] = part if known is None else add(known, part, *traced.maps(source).shape[2:])
    return removed


def medians(units: Sequence[Mapping[str, float | None]]) -> Mapping[str, float]:
    """Return the median of each measure over the units that have it."""
    names = dict.fromkeys(name for unit in units for name in unit)
    known = {name: [value for unit in units if (value := unit.get(name)) is not None] for name in names}
    return {name: round(median(values), 3) for name, values in known.items() if values}
