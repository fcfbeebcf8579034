"""The analyzer `project`: unit activations projected back to the pixels of a photo (Sec 2.1, Fig 2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from zfscope.analysis.contract import ATTRIBUTION, Analysis, Context, Need, Picture, Table, array, picture
from zfscope.analysis.control import (
    Similarity,
    check_down_to,
    similarities,
    strongest_at_positions,
)
from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Rank, Unit, activation, is_silent, strongest_unit, strongest_units
from zfscope.engine.trace import Trace, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, reorder
from zfscope.images.sheet import Section, sheet
from zfscope.images.tiles import TILE_PX, Panel, projection_panel
from zfscope.networks import Network
from zfscope.networks.landmarks import default_layers
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import INPUT, NetworkSpec, shapes
from zfscope.store import Model
from zfscope_analyzers.params import Params, check_top, with_layer
from zfscope_analyzers.rules import gradients_caption, photo_notices

# Units projected between two checks for cancellation: enough for two threads.
_BATCH_SIZE = 24


class UnitRef(Params):
    """Reference to a unit by map and position; without y and x, the strongest unit of the map.

    In a fully connected layer, `map` is the index of the unit.
    """

    map: NonNegativeInt
    y: NonNegativeInt | None = None
    x: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _require_both_y_and_x_or_neither(self) -> "UnitRef":
        if (self.y is None) != (self.x is None):
            raise ValueError("give both y and x, or neither for the map's strongest unit")
        return self


class ProjectParams(Params):
    """Units to project, and the rules of the backward pass."""

    layer: str = Field(
        default="", description="Layer of the units, such as conv1. Empty: the model's last convolution."
    )
    units: tuple[UnitRef, ...] = Field(
        default=(),
        description="Units to project; empty: the strongest unit of each of the `top` strongest maps.",
    )
    top: PositiveInt = Field(default=9, description="Number of maps, if `units` is empty.")
    rank: Rank = Field(
        default="max",
        description="Order of the maps: by their largest activation (max) or by their sum (sum).",
    )
    rule: Rule = Field(
        default="deconvnet",
        description="Backward rule of rectifiers: deconvnet (rectify the signal), gradient (pass it only "
        "where the unit was active) or guided (both).",
    )
    normalisation: Normalisation = Field(
        default="skip",
        description="Backward rule of contrast normalisations: skip (pass the signal unchanged) or gradient.",
    )
    control: bool = Field(default=False, description="Also project with randomised weights, as a control.")
    control_down_to: str = Field(
        default="",
        description="First layer whose weights the control randomises, up to `layer`; earlier layers keep "
        "theirs. Empty: all layers.",
    )
    sheet: bool = Field(
        default=True,
        description="Whether to draw the sheet of all units, which takes longer than their pictures.",
    )
    tile_px: int = Field(
        default=TILE_PX, ge=16, le=1024, description="Side of each tile of a unit's picture in pixels."
    )

    def resolve(self, spec: NetworkSpec) -> "ProjectParams":
        """Return the parameters with the full name of the layer that they mean in a network."""
        return with_layer(self, spec, default_layers(spec).last_convolution)


@dataclass(frozen=True, eq=False)
class _ProjectedUnits:
    """Projections and activations of units for one photo.

    silent: whether each activation is zero within rounding. boxes: receptive fields in pixels of the
    network's input. pixels, control: float32 (units, C, H, W). similarities: of each projection and its
    control; empty without a control.
    """

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

    @cached_property
    def has_maps(self) -> bool:
        """Whether the layer has feature maps rather than units."""
        return self.model.spec.has_maps(self.layer)

    def name(self, index: int) -> str:
        """Return the name of a unit's picture."""
        unit = self.units[index]
        return f"{self.layer}-map{unit.map}" + (f"-y{unit.y}-x{unit.x}" if self.has_maps else "")


class Project:
    """Projection of the activations of single units back to the pixels that caused them (Sec 2.1).

    Returns the table `projections` (layer, map, y, x, activation; x0, y0, x1, y1: the receptive field in
    photo pixels, clipped to the photo; picture: its name; ssim and rank_correlation of the projection and
    its control, see `zfscope.analysis.control`); a picture for each unit, and, unless `sheet` is false,
    LAYER-sheet with all of them; and the tensors `projections` and, with the control, `controls`: float32
    (units, C, H, W), in the size and channel order of the network's input. For a single unit also
    `attribution` (H, W), the magnitude of its projection: the sum of absolute values over the channels.
    """

    name = "project"
    summary = "Project activations of a layer's units back to the pixels of a photo that caused them (Fig 2)"
    api_version = 2
    photos = (1, 1)
    params = ProjectParams
    needs = (Need.network,)

    def cost(self, model: Model, params: ProjectParams) -> int:
        """Return one pass for the trace plus one per projection; twice that with a control."""
        maps = shapes(model.spec)[params.resolve(model.spec).layer][0]
        passes = 1 + (len(params.units) or min(params.top, maps))
        return 2 * passes if params.control else passes

    def analyze(self, context: Context, params: ProjectParams) -> Analysis:
        """Project units of a layer for the first crop of the photo.

        Raises NotFound for a layer or unit that the model lacks, InputError for a `top` beyond the number of
        maps, a position in a fully connected layer, and a unit that is named twice.
        """
        params = params.resolve(context.model.spec)
        projected = _project_units(context, params)
        tensors = {"projections": projected.pixels}
        if len(projected.units) == 1:
            tensors[ATTRIBUTION] = np.abs(projected.pixels[0]).sum(0)
        if projected.control is not None:
            tensors["controls"] = projected.control
        return Analysis(
            tensors=tensors,
            pictures=_pictures(context, projected, params) if context.pictures else (),
            tables={"projections": _table(projected)},
            warnings=photo_notices(context.model.spec, params.layer, params.rule, params.normalisation),
            precision=context.precision,
        )


def _project_units(context: Context, params: ProjectParams) -> _ProjectedUnits:
    model, prepared = context.model, context.images[0]
    network = context.network
    check_down_to(network, params.layer, params.control_down_to)
    traced = context.trace(until=params.layer)
    units = _units(traced, params)
    pixels = _project_in_batches(context, network, traced, units, params)
    field = receptive_fields(network.spec)[params.layer]
    boxes = tuple(Box(*field.box(unit.y, unit.x)) for unit in units)
    control = _control(context, traced.outputs[INPUT], units, params) if params.control else None
    return _ProjectedUnits(
        model=model,
        prepared=prepared,
        layer=params.layer,
        units=units,
        activations=tuple(activation(traced, params.layer, unit) for unit in units),
        silent=tuple(is_silent(traced, params.layer, unit) for unit in units),
        boxes=boxes,
        pixels=pixels,
        control=control,
        similarities=() if control is None else tuple(_similarities(context, pixels, control, boxes)),
    )


def _project_in_batches(
    context: Context, network: Network, traced: Trace, units: Sequence[Unit], params: ProjectParams
) -> NDArray[np.float32]:
    """Project units, a batch at a time: (units, C, H, W)."""
    layer, rule, normalisation = params.layer, params.rule, params.normalisation
    projections = []
    for start in range(0, len(units), _BATCH_SIZE):
        context.check_cancelled()
        batch = units[start : start + _BATCH_SIZE]
        projected = project(network, traced, layer, batch, rule=rule, normalisation=normalisation)
        projections.append(array(projected))
    return np.concatenate(projections)


def _control(
    context: Context, images: Tensor, units: Sequence[Unit], params: ProjectParams
) -> NDArray[np.float32]:
    context.check_cancelled()
    control = context.control(params.layer, down_to=params.control_down_to)
    context.check_cancelled()
    traced = trace(control, images, until=params.layer)
    return _project_in_batches(
        context, control, traced, strongest_at_positions(traced, params.layer, units), params
    )


def _similarities(
    context: Context, pixels: NDArray[np.float32], control: NDArray[np.float32], boxes: Sequence[Box]
) -> Iterator[Similarity]:
    for index in range(len(boxes)):
        context.check_cancelled()
        row = slice(index, index + 1)
        yield from similarities(pixels[row], control[row], boxes[row])


def _units(traced: Trace, params: ProjectParams) -> tuple[Unit, ...]:
    if params.units:
        units = tuple(_unit(traced, params.layer, ref, index) for index, ref in enumerate(params.units))
        _check_distinct(units)
        return units
    check_top(params, traced.outputs[params.layer].shape[1])
    return strongest_units(traced, params.layer, 0, params.top, rank=params.rank)


def _check_distinct(units: Sequence[Unit]) -> None:
    """Raise InputError for a duplicate, which may be the strongest unit of a map without a position."""
    for index, unit in enumerate(units):
        first = units.index(unit)
        if first < index:
            text = f"units[{index}] is unit (map {unit.map}, y {unit.y}, x {unit.x}), as is units[{first}]"
            raise InputError(f"{text}; name each unit once", field=f"units[{index}]")


def _unit(traced: Trace, layer: str, ref: UnitRef, index: int) -> Unit:
    outputs = traced.outputs[layer]
    if ref.map >= outputs.shape[1]:
        last = outputs.shape[1] - 1
        raise NotFound(
            f"no unit with map = {ref.map} in layer '{layer}'; allowed: 0 to {last}",
            field=f"units[{index}].map",
        )
    if ref.y is None or ref.x is None:
        return strongest_unit(traced, layer, 0, ref.map)
    if outputs.dim() == 2:
        raise InputError(
            f"units[{index}] has the position ({ref.y}, {ref.x}), but layer '{layer}' is fully connected: "
            "give only its map",
            field=f"units[{index}].y",
        )
    return Unit(0, ref.map, ref.y, ref.x)


_COLUMNS = (
    *("layer", "map", "y", "x", "activation", "x0", "y0", "x1", "y1"),
    *("picture", "ssim", "rank_correlation"),
)


def _table(projected: _ProjectedUnits) -> Table:
    geometry = projected.prepared.geometries[0]
    rows = []
    for index, unit in enumerate(projected.units):
        box = geometry.to_photo(projected.boxes[index]).clip(geometry.photo_size)
        y, x = (unit.y, unit.x) if projected.has_maps else (None, None)
        field = (box.x0, box.y0, box.x1, box.y1)
        similarity = projected.similarities[index] if projected.similarities else Similarity(None, None)
        name, value = projected.name(index), projected.activations[index]
        scores = (similarity.ssim, similarity.rank_correlation)
        rows.append((projected.layer, unit.map, y, x, value, *field, name, *scores))
    return Table(_COLUMNS, tuple(rows))


def _pictures(context: Context, projected: _ProjectedUnits, params: ProjectParams) -> tuple[Picture, ...]:
    panels, drawn = _panels(projected), []
    for index, panel in enumerate(panels):
        context.check_cancelled()
        drawn.append(picture(projected.name(index), projection_panel(panel, tile_px=params.tile_px)))
    context.check_cancelled()
    return (*drawn, _sheet(projected, params, panels)) if params.sheet else tuple(drawn)


def _panels(projected: _ProjectedUnits) -> tuple[Panel, ...]:
    steps = projected.model.preprocessing
    return tuple(
        Panel(
            caption=_caption(projected, index),
            projection=reorder(projected.pixels[index], steps),
            view=projected.prepared.views[0],
            box=projected.boxes[index],
            control=None if projected.control is None else reorder(projected.control[index], steps),
            silent=projected.silent[index],
        )
        for index in range(len(projected.units))
    )


def _caption(projected: _ProjectedUnits, index: int) -> str:
    unit, value = projected.units[index], projected.activations[index]
    name, meaning = (
        projected.model.unit_name(projected.layer, unit.map),
        projected.model.class_of(projected.layer, unit.map),
    )
    position = f" at ({unit.y}, {unit.x})" if projected.has_maps else ""
    return f"{name}{f' ({meaning})' if meaning else ''} | {value:.3g}{position}"


def _sheet(projected: _ProjectedUnits, params: ProjectParams, panels: Sequence[Panel]) -> Picture:
    selection = (
        "requested units" if params.units else f"strongest {'maps' if projected.has_maps else 'units'}"
    )
    by = (
        ""
        if params.units
        else f", by {'largest activation' if params.rank == 'max' else 'sum of activations'}"
    )
    title = f"{projected.layer} of {projected.model.name}: {len(panels)} {selection}{by}"
    subtitle = (
        f"Backward rule of rectifiers: {params.rule}; of contrast normalisations: {params.normalisation}"
        f"{gradients_caption(projected.model.spec, projected.layer)}"
    )
    drawn = sheet(
        [Section(projected.layer, tuple(panels))],
        projected.prepared.photo,
        projected.prepared.geometries[0],
        title=title,
        subtitle=subtitle,
    )
    return picture(f"{projected.layer}-sheet", drawn)
