"""Projections of a photo: what the units of a layer saw, as numbers and as pictures (Sec 2.1, Fig 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from zfscope.analysis.control import project_control
from zfscope.engine.deconvnet import project
from zfscope.engine.receptive import receptive_fields
from zfscope.engine.seeds import Rank, Unit, activation, strongest_unit, strongest_units
from zfscope.engine.steps import Normalisation, Rule
from zfscope.engine.trace import Trace, check_layer, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, reorder
from zfscope.images.render import Panel, Rendering, projection_panel
from zfscope.images.sheet import Section, sheet
from zfscope.store import Model


class UnitRef(BaseModel):
    """A unit as a caller names it: a map, and a place in it or (neither y nor x) its strongest unit.

    Of a fully connected layer `map` is the unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: NonNegativeInt
    y: NonNegativeInt | None = None
    x: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _y_and_x_come_together(self) -> "UnitRef":
        if (self.y is None) != (self.x is None):
            raise ValueError("give both y and x, or neither for the map's strongest unit")
        return self


class ProjectionParams(BaseModel):
    """What to project, and how.

    units: empty takes the strongest unit of each of the `top` maps that are strongest by `rank`.
    control: project through randomised weights too. pictures, tensors: what to give back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = "conv5"
    units: tuple[UnitRef, ...] = ()
    top: PositiveInt = 9
    rank: Rank = "max"
    rule: Rule = "deconvnet"
    normalisation: Normalisation = "skip"
    control: bool = False
    pictures: bool = True
    tensors: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture as PNG, and in words what its levels mean."""

    name: str
    png: bytes
    scale: str


@dataclass(frozen=True, eq=False)
class Projection:
    """What one unit saw.

    y, x: None in a fully connected layer. activation: the layer's output there, from which the
    projection starts. box: the receptive field in photo pixels, clipped to the photo. tensors: float32
    (3, H, W), in the size and channel order of the network's input.
    """

    layer: str
    map: int
    y: int | None
    x: int | None
    activation: float
    box: Box
    picture: Picture | None
    tensor: NDArray[np.float32] | None
    control_tensor: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Projections:
    """Projections in the order of the units, or strongest first, and all of them on one sheet."""

    items: tuple[Projection, ...]
    sheet: Picture | None


@dataclass(frozen=True, eq=False)
class _Seen:
    """Everything about the units of one photo before it is put into a form to give back."""

    model: Model
    prepared: Prepared
    layer: str
    units: tuple[Unit, ...]
    activations: tuple[float, ...]
    boxes: tuple[Box, ...]
    pixels: NDArray[np.float32]
    control: NDArray[np.float32] | None


def project_photo(model: Model, prepared: Prepared, params: ProjectionParams) -> Projections:
    """Project units of a layer for the first crop of a photo. Pure; safe in many threads at once.

    Raises NotFound for a layer or unit that the model does not have, InputError for a `top` beyond
    the layer's maps or a place in a fully connected layer.
    """
    seen = _look(model, prepared, params)
    panels = _panels(seen) if params.pictures else None
    return Projections(
        tuple(_item(seen, place, params, panels) for place in range(len(seen.units))),
        _sheet(seen, params, panels) if panels else None,
    )


def _look(model: Model, prepared: Prepared, params: ProjectionParams) -> _Seen:
    network = model.network
    check_layer(network.spec, params.layer)
    images = torch.from_numpy(np.ascontiguousarray(prepared.pixels[:1])).to(next(network.parameters()))
    traced = trace(network, images, until=params.layer)
    units = _units(traced, params)
    how = {"rule": params.rule, "normalisation": params.normalisation}
    pixels = project(network, traced, params.layer, units, **how)  # type: ignore[arg-type]  # both are literals
    control = None
    if params.control:
        control = project_control(network, images, params.layer, units, **how)  # type: ignore[arg-type]
    field = receptive_fields(network.spec)[params.layer]
    return _Seen(
        model=model,
        prepared=prepared,
        layer=params.layer,
        units=units,
        activations=tuple(activation(traced, params.layer, unit) for unit in units),
        boxes=tuple(Box(*field.box(unit.y, unit.x)) for unit in units),
        pixels=_array(pixels),
        control=None if control is None else _array(control),
    )


def _array(pixels: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = pixels.float().cpu().numpy()
    return array


def _units(traced: Trace, params: ProjectionParams) -> tuple[Unit, ...]:
    if params.units:
        return tuple(_unit(traced, params.layer, ref, place) for place, ref in enumerate(params.units))
    maps = traced.outputs[params.layer].shape[1]
    if params.top > maps and "top" in params.model_fields_set:
        raise InputError(
            f"top is {params.top}; layer '{params.layer}' has {maps} maps: allowed are 1 to {maps}",
            field="top",
        )
    return strongest_units(traced, params.layer, 0, params.top, rank=params.rank)


def _unit(traced: Trace, layer: str, ref: UnitRef, place: int) -> Unit:
    outputs = traced.outputs[layer]
    if ref.map >= outputs.shape[1]:
        last = outputs.shape[1] - 1
        raise NotFound(
            f"no unit with map = {ref.map} in layer '{layer}'; map runs from 0 to {last}",
            field=f"units[{place}].map",
        )
    if ref.y is None or ref.x is None:
        return strongest_unit(traced, layer, 0, ref.map)
    if outputs.dim() == 2:
        raise InputError(
            f"units[{place}] has the place ({ref.y}, {ref.x}); layer '{layer}' is fully connected: "
            "give its map alone",
            field=f"units[{place}].y",
        )
    return Unit(0, ref.map, ref.y, ref.x)


def _item(seen: _Seen, place: int, params: ProjectionParams, panels: Sequence[Panel] | None) -> Projection:
    unit = seen.units[place]
    photo_height, photo_width = seen.prepared.photo.shape[:2]
    in_photo = seen.prepared.geometries[0].to_photo(seen.boxes[place])
    y, x = (unit.y, unit.x) if _is_map(seen) else (None, None)
    name = f"{seen.layer}-map{unit.map}" + (f"-y{y}-x{x}" if y is not None else "")
    keep_control = params.tensors and seen.control is not None
    return Projection(
        layer=seen.layer,
        map=unit.map,
        y=y,
        x=x,
        activation=seen.activations[place],
        box=in_photo.clip((photo_height, photo_width)),
        picture=_picture(name, projection_panel(panels[place])) if panels else None,
        tensor=seen.pixels[place] if params.tensors else None,
        control_tensor=seen.control[place] if keep_control and seen.control is not None else None,
    )


def _panels(seen: _Seen) -> tuple[Panel, ...]:
    steps = seen.model.preprocessing
    return tuple(
        Panel(
            caption=_caption(seen, place),
            projection=reorder(seen.pixels[place], steps),
            view=seen.prepared.views[0],
            box=seen.boxes[place],
            control=None if seen.control is None else reorder(seen.control[place], steps),
        )
        for place in range(len(seen.units))
    )


def _caption(seen: _Seen, place: int) -> str:
    unit, value = seen.units[place], seen.activations[place]
    if _is_map(seen):
        return f"map {unit.map} | {value:.3g} at ({unit.y}, {unit.x})"
    last = seen.model.network.spec.layers[-1].name
    meaning = f" ({seen.model.labels[unit.map].name})" if seen.layer == last else ""
    return f"unit {unit.map}{meaning} | {value:.3g}"


def _is_map(seen: _Seen) -> bool:
    return len(seen.model.network.shapes[seen.layer]) == 3


def _sheet(seen: _Seen, params: ProjectionParams, panels: Sequence[Panel]) -> Picture:
    chosen = "units asked for" if params.units else f"strongest {'maps' if _is_map(seen) else 'units'}"
    by = "" if params.units else f", by their {'largest activation' if params.rank == 'max' else 'sum'}"
    title = f"{seen.layer} of {seen.model.name}: {len(panels)} {chosen}{by}"
    subtitle = f"Projected with the rule '{params.rule}', contrast normalisation: {params.normalisation}"
    drawn = sheet(
        [Section(seen.layer, tuple(panels))],
        seen.prepared.photo,
        seen.prepared.geometries[0],
        title=title,
        subtitle=subtitle,
    )
    return _picture(f"{seen.layer}-sheet", drawn)


def _picture(name: str, rendering: Rendering) -> Picture:
    return Picture(name, rendering.png(), rendering.scale)
