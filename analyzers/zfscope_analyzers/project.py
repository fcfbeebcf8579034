"""Projections of a photo: what the units of a layer saw, as numbers and as pictures (Sec 2.1, Fig 2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from zfscope.analysis.contract import Analysis, Context, Picture, Table, array, images_of, picture
from zfscope.analysis.control import (
    Similarity,
    check_down_to,
    control_network,
    similarities,
    strongest_there,
)
from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Rank, Unit, activation, is_silent, strongest_unit, strongest_units
from zfscope.engine.trace import Trace, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, reorder
from zfscope.images.sheet import Section, sheet
from zfscope.images.tiles import Panel, projection_panel
from zfscope.networks import Network
from zfscope.networks.receptive import receptive_fields
from zfscope.store import Model
from zfscope_analyzers.params import Params

_AT_ONCE = 24
"""Units projected between two looks at whether anyone still waits: enough for two threads."""


class UnitRef(Params):
    """A unit as a caller names it: a map, and a place in it or (neither y nor x) its strongest unit.

    Of a fully connected layer `map` is the unit.
    """

    map: NonNegativeInt
    y: NonNegativeInt | None = None
    x: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _y_and_x_come_together(self) -> "UnitRef":
        if (self.y is None) != (self.x is None):
            raise ValueError("give both y and x, or neither for the map's strongest unit")
        return self


class ProjectParams(Params):
    """What to project, and how."""

    layer: str = Field(default="conv5", description="Of the units: any of the network, such as conv1.")
    units: tuple[UnitRef, ...] = Field(
        default=(), description="Which units; empty: the strongest one of each of the `top` strongest maps."
    )
    top: PositiveInt = Field(default=9, description="How many maps, when no units are given.")
    rank: Rank = Field(default="max", description="Maps are strong by their maximum or their sum.")
    rule: Rule = Field(default="deconvnet", description="What rectifiers do on the way down.")
    normalisation: Normalisation = Field(
        default="skip", description="What contrast normalisations do on the way down."
    )
    control: bool = Field(default=False, description="Project through randomised weights too, beside.")
    control_down_to: str = Field(
        default="", description="Randomise from the layer down to this one only; empty: all weights."
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """Everything about the units of one photo before it is put into a form to give back."""

    model: Model
    prepared: Prepared
    layer: str
    units: tuple[Unit, ...]
    activations: tuple[float, ...]
    silent: tuple[bool, ...]
    boxes: tuple[Box, ...]
    pixels: NDArray[np.float32]
    control: NDArray[np.float32] | None
    similarities: tuple[Similarity, ...]
    """Of each unit's projection and control; none without the control."""

    @property
    def is_map(self) -> bool:
        """Return whether the layer has maps, and not units alone."""
        return self.model.spec.is_map(self.layer)

    def name(self, place: int) -> str:
        """Name the picture of one of the units."""
        unit = self.units[place]
        return f"{self.layer}-map{unit.map}" + (f"-y{unit.y}-x{unit.x}" if self.is_map else "")


class Project:
    """Carries the activation of single units back to the pixels that caused it.

    Gives the table `projections` (layer, map, y, x, activation; x0, y0, x1, y1: the receptive field in
    photo pixels, clipped to the photo; picture: its name; ssim and rank_correlation of the projection and
    its control, see `zfscope.analysis.control`), a picture for each unit and LAYER-sheet with
    all of them; the tensors `projections` and, with the control, `controls`: float32 (units, 3, H, W), in
    the size and channel order of the network's input.
    """

    name = "project"
    summary = "What units of a layer saw in a photo: their activations carried back to pixels"
    api_version = 2
    photos = (1, 1)
    params = ProjectParams

    def cost(self, model: Model, params: ProjectParams) -> int:
        """Count the trace, and each projection as a pass."""
        maps = model.network.shapes.get(params.layer, (0,))[0]
        passes = 1 + (len(params.units) or min(params.top, maps))
        return 2 * passes if params.control else passes

    def analyze(self, context: Context, params: ProjectParams) -> Analysis:
        """Project units of a layer for the first crop of the photo.

        Raises NotFound for a layer or unit that the model does not have, InputError for a `top` beyond
        the layer's maps, a place in a fully connected layer, or a unit that is named twice.
        """
        seen = _look(context, params)
        tensors = {"projections": seen.pixels}
        if seen.control is not None:
            tensors["controls"] = seen.control
        return Analysis(
            tensors=tensors,
            pictures=_pictures(context, seen, params) if context.pictures else (),
            tables={"projections": _table(seen)},
        )


def _look(context: Context, params: ProjectParams) -> _Seen:
    model, prepared = context.model, context.images[0]
    network = model.network
    network.spec.layer(params.layer)
    check_down_to(network, params.layer, params.control_down_to)
    images = images_of(model, prepared.pixels[:1])
    traced = trace(network, images, until=params.layer)
    units = _units(traced, params)
    pixels = _projected(context, network, traced, units, params)
    field = receptive_fields(network.spec)[params.layer]
    boxes = tuple(Box(*field.box(unit.y, unit.x)) for unit in units)
    control = _control(context, images, units, params) if params.control else None
    return _Seen(
        model=model,
        prepared=prepared,
        layer=params.layer,
        units=units,
        activations=tuple(activation(traced, params.layer, unit) for unit in units),
        silent=tuple(is_silent(traced, params.layer, unit) for unit in units),
        boxes=boxes,
        pixels=pixels,
        control=control,
        similarities=() if control is None else tuple(_alike(context, pixels, control, boxes)),
    )


def _projected(
    context: Context, network: Network, traced: Trace, units: Sequence[Unit], params: ProjectParams
) -> NDArray[np.float32]:
    """Project some units after the others: (units, 3, H, W)."""
    layer, rule, normalisation = params.layer, params.rule, params.normalisation
    parts = []
    for start in range(0, len(units), _AT_ONCE):
        context.check_cancelled()
        some = units[start : start + _AT_ONCE]
        seen = project(network, traced, layer, some, rule=rule, normalisation=normalisation)
        parts.append(array(seen))
    return np.concatenate(parts)


def _control(
    context: Context, images: Tensor, units: Sequence[Unit], params: ProjectParams
) -> NDArray[np.float32]:
    context.check_cancelled()
    control = control_network(context.model.network, params.layer, down_to=params.control_down_to)
    context.check_cancelled()
    traced = trace(control, images, until=params.layer)
    return _projected(context, control, traced, strongest_there(traced, params.layer, units), params)


def _alike(
    context: Context, pixels: NDArray[np.float32], control: NDArray[np.float32], boxes: Sequence[Box]
) -> Iterator[Similarity]:
    for place in range(len(boxes)):
        context.check_cancelled()
        one = slice(place, place + 1)
        yield from similarities(pixels[one], control[one], boxes[one])


def _units(traced: Trace, params: ProjectParams) -> tuple[Unit, ...]:
    if params.units:
        units = tuple(_unit(traced, params.layer, ref, place) for place, ref in enumerate(params.units))
        _check_distinct(units)
        return units
    maps = traced.outputs[params.layer].shape[1]
    if params.top > maps and "top" in params.model_fields_set:
        raise InputError(
            f"top is {params.top}; layer '{params.layer}' has {maps} maps: allowed are 1 to {maps}",
            field="top",
        )
    return strongest_units(traced, params.layer, 0, params.top, rank=params.rank)


def _check_distinct(units: Sequence[Unit]) -> None:
    """Raise InputError for a unit that is there twice: by name, or as the strongest one of its map."""
    for place, unit in enumerate(units):
        first = units.index(unit)
        if first < place:
            words = f"units[{place}] is unit (map {unit.map}, y {unit.y}, x {unit.x}), as is units[{first}]"
            raise InputError(f"{words}; name each once", field=f"units[{place}]")


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


_COLUMNS = (
    *("layer", "map", "y", "x", "activation", "x0", "y0", "x1", "y1"),
    *("picture", "ssim", "rank_correlation"),
)


def _table(seen: _Seen) -> Table:
    geometry = seen.prepared.geometries[0]
    rows = []
    for place, unit in enumerate(seen.units):
        box = geometry.to_photo(seen.boxes[place]).clip(geometry.photo_size)
        y, x = (unit.y, unit.x) if seen.is_map else (None, None)
        field = (box.x0, box.y0, box.x1, box.y1)
        alike = seen.similarities[place] if seen.similarities else Similarity(None, None)
        about = (seen.name(place), alike.ssim, alike.rank_correlation)
        rows.append((seen.layer, unit.map, y, x, seen.activations[place], *field, *about))
    return Table(_COLUMNS, tuple(rows))


def _pictures(context: Context, seen: _Seen, params: ProjectParams) -> tuple[Picture, ...]:
    panels, drawn = _panels(seen), []
    for place, panel in enumerate(panels):
        context.check_cancelled()
        drawn.append(picture(seen.name(place), projection_panel(panel)))
    context.check_cancelled()
    return (*drawn, _sheet(seen, params, panels))


def _panels(seen: _Seen) -> tuple[Panel, ...]:
    steps = seen.model.preprocessing
    return tuple(
        Panel(
            caption=_caption(seen, place),
            projection=reorder(seen.pixels[place], steps),
            view=seen.prepared.views[0],
            box=seen.boxes[place],
            control=None if seen.control is None else reorder(seen.control[place], steps),
            silent=seen.silent[place],
        )
        for place in range(len(seen.units))
    )


def _caption(seen: _Seen, place: int) -> str:
    unit, value = seen.units[place], seen.activations[place]
    name, meaning = seen.model.unit_name(seen.layer, unit.map), seen.model.class_of(seen.layer, unit.map)
    where = f" at ({unit.y}, {unit.x})" if seen.is_map else ""
    return f"{name}{f' ({meaning})' if meaning else ''} | {value:.3g}{where}"


def _sheet(seen: _Seen, params: ProjectParams, panels: Sequence[Panel]) -> Picture:
    chosen = "units asked for" if params.units else f"strongest {'maps' if seen.is_map else 'units'}"
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
    return picture(f"{seen.layer}-sheet", drawn)
