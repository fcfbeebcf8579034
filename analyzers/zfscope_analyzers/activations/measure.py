"""The strongest units of a layer's maps for one photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zfscope.analysis.contract import Context, array
from zfscope.engine.seeds import WHOLE_MAP, Region, Unit, activation, ranked_maps, strongest_unit
from zfscope.engine.trace import Trace
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import shapes
from zfscope.store import Model
from zfscope_analyzers.activations.params import ActivationsParams
from zfscope_analyzers.activations.region import region_of
from zfscope_analyzers.params import check_map, check_top


@dataclass(frozen=True)
class ActiveUnit:
    """The strongest unit of a map.

    total: sum of the map's activations. rank: rank of the map among all maps of the layer, from 0. field:
    receptive field in pixels of the network's input. If only a part of each map counts, so for all of these.
    """

    unit: Unit
    activation: float
    total: float
    rank: int
    field: Box


@dataclass(frozen=True, eq=False)
class Measurement:
    """Units of a layer for one photo, in the order in which they are shown.

    region: rows and columns of the maps that count, None for all. traced: forward pass of the photo.
    """

    model: Model
    prepared: Prepared
    params: ActivationsParams
    traced: Trace
    region: Box | None
    units: tuple[ActiveUnit, ...]

    @property
    def layer(self) -> str:
        """Full name of the layer."""
        return self.params.layer

    @property
    def has_tiles(self) -> bool:
        """Whether the layer has maps of more than one unit, which can be drawn."""
        return self.outputs[0].numel() > 1

    @property
    def map_count(self) -> int:
        """Number of maps of the layer, or of its units if it is fully connected."""
        return len(self.outputs)

    @property
    def outputs(self) -> Tensor:
        """Outputs of the layer: (maps, rows, columns), or (units,)."""
        return self.traced.outputs[self.layer][0]

    def maps(self) -> NDArray[np.float32]:
        """Return the activations of the maps that are shown: (units, rows, columns), or (units,)."""
        return array(self.outputs[[each.unit.map for each in self.units]])


def measure(context: Context, params: ActivationsParams) -> Measurement:
    """Find the strongest unit of each map for the first crop of the photo; `params` name the layer in full.

    Raises InputError and NotFound for parameters that do not fit the layer or the photo, before the pass.
    """
    model, prepared = context.model, context.images[0]
    geometry = prepared.geometries[0]
    _check_maps(params, shapes(model.spec)[params.layer][0])
    region = region_of(model, geometry, params)
    context.check_cancelled()
    traced = context.trace_layers([params.layer])
    context.check_cancelled()
    part = WHOLE_MAP if region is None else region.slices
    ranked = ranked_maps(traced, params.layer, 0, rank=params.rank, region=part)
    ranks = {number: rank for rank, number in enumerate(ranked)}
    shown = params.maps or ranked[: params.top]
    units = tuple(_active_unit(model, traced, params.layer, number, ranks[number], part) for number in shown)
    return Measurement(model, prepared, params, traced, region, units)


def _check_maps(params: ActivationsParams, count: int) -> None:
    check_top(params, count)
    for index, number in enumerate(params.maps):
        check_map(number, count, layer=params.layer, field=f"maps[{index}]")


def _active_unit(
    model: Model, traced: Trace, layer: str, number: int, rank: int, region: Region
) -> ActiveUnit:
    unit = strongest_unit(traced, layer, 0, number, region=region)
    total = float(traced.maps(layer)[0, number][region].sum())
    field = Box(*receptive_fields(model.spec)[layer].box(unit.y, unit.x))
    if model.is_opaque:  # unknown: the whole image, of which the evenly spaced fields are more
        field = Box(0, 0, model.spec.input_size, model.spec.input_size)
    return ActiveUnit(unit, activation(traced, layer, unit), total, rank, field)
