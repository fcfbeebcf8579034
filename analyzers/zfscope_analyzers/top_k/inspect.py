"""Inspection of the strongest photos of feature maps: verify recorded activations, and project them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, Notice, array, images_of
from zfscope.analysis.control import Similarity, similarities, strongest_at_positions
from zfscope.choices import PrecisionName, coarsest
from zfscope.engine.deconvnet import project
from zfscope.engine.frame import UnitFrame, crop_planes, unit_cell, unit_frame
from zfscope.engine.seeds import Unit, activation, is_silent
from zfscope.engine.trace import Trace, recorded_outputs, trace
from zfscope.images.geometry import Box, extract
from zfscope.images.preprocess import Prepared
from zfscope.networks import Network, NetworkSpec
from zfscope.records import Record, RecordState
from zfscope.scan.reload import photo_source, reload_photo
from zfscope_analyzers.top_k.page import Page, TopKParams

PositionT = TypeVar("PositionT", bound=tuple[int, int])

# Tolerance of a recomputed activation by the index's precision: `relative` times the recorded one, plus
# `floor` times the layer's largest magnitude in the photo. An index is made with ONNX Runtime, and this runs
# in torch; the two sum in different orders, and the rounding error of a sum depends on its largest terms,
# however small the sum itself is. Activations of ZFNet and AlexNet recorded in bfloat16 differed from those
# in float32 by up to 0.8 % of the largest; deeper networks add up more errors. TF32: the
# floor is four units of its 11 significant bits, as in `zfscope.rounding`.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    PrecisionName.float32: (1e-3, 1e-4),
    PrecisionName.tf32: (2.0**-9, 2.0**-8),
    PrecisionName.bfloat16: (2.0**-7, 2.0**-5),
}

# Photos traced and units projected at once, between two checks for cancellation.
_PHOTOS, _UNITS = 4, 16


class MapRank(NamedTuple):
    """Position of a record in a page: index of its map, and its rank among the map's records."""

    map_index: int
    rank: int


@dataclass(frozen=True, eq=False)
class UnitView:
    """Patch and projection of a record's unit, as large as the layer's frame and zero outside the picture.

    patch: uint8 (size, size, 3), RGB. projection, control: float32 (C, size, size), channels in the
    network's order; None for an opaque network, and without a control. inside: part of the frame that lies in
    the picture. in_photo: that part in pixels of the photo. similarity: of the projection and its control.
    cell: where in the frame the unit is, if its receptive field is unknown.
    """

    patch: NDArray[np.uint8]
    projection: NDArray[np.float32] | None
    inside: Box
    in_photo: Box
    control: NDArray[np.float32] | None
    similarity: Similarity
    cell: Box | None = None


@dataclass(frozen=True, eq=False)
class Inspection:
    """State of a record after its photo was read again.

    recomputed: activation computed now. view: patch and projection, if available. warnings: assumptions
    made when the photo was decoded.
    """

    state: RecordState
    recomputed: float | None = None
    view: UnitView | None = None
    warnings: tuple[Notice, ...] = ()


class _PendingRecord(NamedTuple):
    position: MapRank
    record: Record


def inspect_records(
    context: Context, page: Page, params: TopKParams, inspections: dict[MapRank, Inspection]
) -> Iterator[float]:
    """Inspect every record, photo by photo; write the results into `inspections`, and yield the share done.

    Raises Cancelled through the context, checked before a photo is read and before units are projected.
    """
    pending = [
        _PendingRecord(MapRank(index, rank), record)
        for index, records in enumerate(page.records)
        for rank, record in enumerate(records)
    ]
    inspections |= {
        position: Inspection(RecordState.SILENT) for position, record in pending if record.value <= 0
    }
    photos, setup = photo_source(page.index), _setup(context, page, params)
    by_photo = _group_by_photo([each for each in pending if each.record.value > 0])
    for start in range(0, len(by_photo), _PHOTOS):
        readable: list[tuple[Prepared, Sequence[_PendingRecord]]] = []
        for records in by_photo[start : start + _PHOTOS]:
            context.check_cancelled()
            reloaded = reload_photo(photos, records[0].record, context.model)
            if isinstance(reloaded, Prepared):
                readable.append((reloaded, records))
            else:
                inspections |= {each.position: Inspection(reloaded) for each in records}
        if readable:
            inspections |= _inspect_photos(context, setup, readable)
        yield min(1.0, (start + _PHOTOS) / len(by_photo))


def is_reproduced(recorded: float, recomputed: float, peak: float, precision: str) -> bool:
    """Return whether an activation matches the recorded one.

    peak: largest magnitude of the layer. precision: the coarser one of both.
    """
    relative, floor = TOLERANCES[precision]
    return abs(recomputed - recorded) <= relative * abs(recorded) + floor * peak


def _group_by_photo(pending: Sequence[_PendingRecord]) -> list[list[_PendingRecord]]:
    """Group records by their photo, in the order in which the maps refer to the photos."""
    photos: dict[int, list[_PendingRecord]] = {}
    for each in pending:
        photos.setdefault(each.record.image, []).append(each)
    return list(photos.values())


@dataclass(frozen=True, eq=False)
class _Setup:
    """Networks, layer and frame for the inspection.

    spec: the network as data. projecting: the network in the precision of projections; None for an opaque
    one. control: randomised network; None without a control. precision: of recorded or recomputed
    activations, the coarser one.
    """

    spec: NetworkSpec
    projecting: Network | None
    layer: str
    framing: UnitFrame
    control: Network | None
    precision: str


def _setup(context: Context, page: Page, params: TopKParams) -> _Setup:
    model, layer = context.model, page.layer
    control = context.control(layer, down_to=params.control_down_to) if params.control else None
    precision = coarsest(page.precision, context.trace_precision)
    projecting = None if model.is_opaque else context.network
    return _Setup(model.spec, projecting, layer, unit_frame(model.spec, layer), control, precision)


def _inspect_photos(
    context: Context, setup: _Setup, photos: Sequence[tuple[Prepared, Sequence[_PendingRecord]]]
) -> Mapping[MapRank, Inspection]:
    """Trace some photos at once, and inspect the records of each."""
    pixels = np.concatenate([prepared.pixels for prepared, _ in photos])
    traced, control = _traces(context, setup, pixels)
    pending = [(row, each) for row, (_, records) in enumerate(photos) for each in records]
    peaks = traced.outputs[setup.layer].flatten(1).abs().amax(1).tolist()
    result: dict[MapRank, Inspection] = {}
    for start in range(0, len(pending), _UNITS):
        context.check_cancelled()
        batch = pending[start : start + _UNITS]
        units = [Unit(row, each.record.map, each.record.y, each.record.x) for row, each in batch]
        views = _views(setup, [prepared for prepared, _ in photos], units, traced, control)
        for (row, each), unit, view in zip(batch, units, views, strict=True):
            value = activation(traced, setup.layer, unit)
            warnings = photos[row][0].warnings
            if not is_reproduced(each.record.value, value, peaks[row], setup.precision):
                result[each.position] = Inspection(RecordState.DIFFERS, value, view, warnings)
            elif is_silent(traced, setup.layer, unit):
                result[each.position] = Inspection(RecordState.SILENT, warnings=warnings)
            else:
                result[each.position] = Inspection(RecordState.OK, value, view, warnings)
    return result


def _traces(context: Context, setup: _Setup, pixels: NDArray[np.float32]) -> tuple[Trace, Trace | None]:
    """Return the layer's outputs for network inputs, and those of the control."""
    model = context.model
    if model.is_opaque:
        return recorded_outputs(pixels, context.runtime.outputs(pixels, [setup.layer])), None
    images = images_of(model, pixels)
    control = None if setup.control is None else trace(setup.control, images, until=setup.layer)
    return trace(model.network, images, until=setup.layer), control


def _views(
    setup: _Setup, photos: Sequence[Prepared], units: Sequence[Unit], traced: Trace, control: Trace | None
) -> list[UnitView]:
    """Project units, and crop their patches from the photos; `unit.image` is the index of the photo."""
    boxes = [setup.framing.box(unit.y, unit.x) for unit in units]
    if setup.projecting is None:
        return [
            _patch_view(setup, photos[unit.image], unit, box) for unit, box in zip(units, boxes, strict=True)
        ]
    projections = array(project(setup.projecting, traced, setup.layer, units))
    controls: Sequence[NDArray[np.float32] | None] = [None] * len(units)
    scores: Sequence[Similarity] = [Similarity(None, None)] * len(units)
    if setup.control is not None and control is not None:
        strongest = strongest_at_positions(control, setup.layer, units)
        pixels = array(project(setup.control, control, setup.layer, strongest))
        controls, scores = list(pixels), similarities(projections, pixels, boxes)
    rows = zip(units, boxes, projections, controls, scores, strict=True)
    return [
        _view(photos[unit.image], box, projection, control_projection, score)
        for unit, box, projection, control_projection, score in rows
    ]


def _patch_view(setup: _Setup, prepared: Prepared, unit: Unit, box: Box) -> UnitView:
    """Return the view of a unit without a projection, with its cell in layers with maps."""
    has_maps = setup.spec.has_maps(setup.layer)
    cell = unit_cell(setup.spec, setup.layer, unit.y, unit.x) if has_maps else None
    return replace(_view(prepared, box, None, None, Similarity(None, None)), cell=cell)


def _view(
    prepared: Prepared,
    box: Box,
    projection: NDArray[np.float32] | None,
    control: NDArray[np.float32] | None,
    similarity: Similarity,
) -> UnitView:
    view, geometry = prepared.views[0], prepared.geometries[0]
    size = view.shape[:2]
    return UnitView(
        patch=extract(view, box),
        projection=None if projection is None else crop_planes(projection, box),
        inside=box.inside((size[0], size[1])),
        in_photo=geometry.to_photo(box).clip(geometry.photo_size),
        control=None if control is None else crop_planes(control, box),
        similarity=similarity,
    )


def inspection_notices(inspections: Mapping[PositionT, Inspection]) -> Iterator[Notice]:
    """Yield the warnings about the photos of all inspections."""
    return (notice for each in inspections.values() for notice in each.warnings)


def view_shape(spec: NetworkSpec, layer: str) -> tuple[int, int, int]:
    """Return the shape of the projections of a layer, cropped to its frame: (C, size, size)."""
    size = unit_frame(spec, layer).size
    return spec.input_channels, size, size


def view_tensors(
    inspections: Mapping[PositionT, Inspection],
    shape: tuple[int, int],
    planes: tuple[int, int, int],
    *,
    control: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return the tensors `projections`, `patches` and `controls`, zero for records without a view.

    inspections: by row and column of `shape`. planes: shape of a projection, (C, size, size).
    """
    projections = np.zeros((*shape, *planes), np.float32)
    patches = np.zeros((*shape, *planes[1:], 3), np.uint8)
    controls = np.zeros_like(projections)
    for position, each in inspections.items():
        if each.view is not None:
            patches[position] = each.view.patch
            if each.view.projection is not None:
                projections[position] = each.view.projection
            if each.view.control is not None:
                controls[position] = each.view.control
    tensors: dict[str, NDArray[Any]] = {"projections": projections, "patches": patches}
    return tensors | ({"controls": controls} if control else {})
