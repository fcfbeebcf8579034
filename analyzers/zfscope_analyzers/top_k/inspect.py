"""The strongest photos of maps, inspected again: what was recorded is verified, and projected."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, Notice, array, images_of
from zfscope.analysis.control import Similarity, control_network, similarities, strongest_there
from zfscope.engine.deconvnet import project
from zfscope.engine.frame import Framing, cut_planes, framing_of
from zfscope.engine.seeds import Unit, activation, is_silent
from zfscope.engine.trace import Trace, trace
from zfscope.images.geometry import Box, cut
from zfscope.images.preprocess import Prepared
from zfscope.networks import Network
from zfscope.records import Record, RecordState
from zfscope.scan.reload import photo_source, reload_photo
from zfscope_analyzers.top_k.page import Page, TopKParams

PlaceT = TypeVar("PlaceT", bound=tuple[int, int])

RELATIVE, FLOOR = 1e-3, 1e-4
"""How far an activation may be from the recorded one: this share of it, and this share of the layer's
largest magnitude in the photo. A scan is done by ONNX Runtime and this by torch, which sum in different
orders: that changes a sum by what its largest terms are rounded by, however small the sum is itself."""

_PHOTOS, _UNITS = 4, 16
"""Traced at once, and projected at once: between them the caller may go."""


class Place(NamedTuple):
    """A record's place in the page: the map by its place there, and the rank."""

    map: int
    rank: int


@dataclass(frozen=True, eq=False)
class UnitView:
    """What the unit of a record saw; pictures are as large as the frame of the layer, zero outside.

    patch: uint8 (size, size, 3), RGB. projection, control: float32 (3, size, size), channels in the
    network's order. inside: the part of the frame that is in the picture. in_photo: that part in pixels
    of the photo.
    """

    patch: NDArray[np.uint8]
    projection: NDArray[np.float32]
    inside: Box
    in_photo: Box
    control: NDArray[np.float32] | None
    alike: Similarity


@dataclass(frozen=True, eq=False)
class Inspection:
    """What became of a record, the activation that its photo has now, and what was seen, if anything.

    warnings: what was assumed while the photo was decoded.
    """

    state: RecordState
    recomputed: float | None = None
    view: UnitView | None = None
    warnings: tuple[Notice, ...] = ()


class _Wanted(NamedTuple):
    place: Place
    record: Record


def inspect_records(
    context: Context, page: Page, params: TopKParams, found: dict[Place, Inspection]
) -> Iterator[float]:
    """Inspect every record, photo by photo, and put the results into `found`; yield the share done.

    Raises Cancelled, through the context, before a photo is read and before units are projected.
    """
    wanted = [
        _Wanted(Place(place, rank), record)
        for place, records in enumerate(page.records)
        for rank, record in enumerate(records)
    ]
    found |= {place: Inspection(RecordState.SILENT) for place, record in wanted if record.value <= 0}
    photos, lens = photo_source(page.index), _lens_of(context, page, params)
    by_photo = _by_photo([each for each in wanted if each.record.value > 0])
    for start in range(0, len(by_photo), _PHOTOS):
        there: list[tuple[Prepared, Sequence[_Wanted]]] = []
        for records in by_photo[start : start + _PHOTOS]:
            context.check_cancelled()
            seen = reload_photo(photos, records[0].record, context.model)
            if isinstance(seen, Prepared):
                there.append((seen, records))
            else:
                found |= {each.place: Inspection(seen) for each in records}
        if there:
            found |= _inspected(context, lens, there)
        yield min(1.0, (start + _PHOTOS) / len(by_photo))


def reproduced(recorded: float, recomputed: float, peak: float) -> bool:
    """Return whether an activation is the recorded one; peak: the layer's largest magnitude in the photo."""
    return abs(recomputed - recorded) <= RELATIVE * abs(recorded) + FLOOR * peak


def _by_photo(wanted: Sequence[_Wanted]) -> list[list[_Wanted]]:
    """Group records by their photo, in the order in which maps need them."""
    photos: dict[int, list[_Wanted]] = {}
    for each in wanted:
        photos.setdefault(each.record.image, []).append(each)
    return list(photos.values())


@dataclass(frozen=True, eq=False)
class _Lens:
    """What photos are inspected with. control: the randomised network, None without a control."""

    network: Network
    layer: str
    framing: Framing
    control: Network | None


def _lens_of(context: Context, page: Page, params: TopKParams) -> _Lens:
    network, layer = context.model.network, page.layer
    control = control_network(network, layer, down_to=params.control_down_to) if params.control else None
    return _Lens(network, layer, framing_of(network, layer), control)


def _inspected(
    context: Context, lens: _Lens, photos: Sequence[tuple[Prepared, Sequence[_Wanted]]]
) -> Mapping[Place, Inspection]:
    """Trace some photos at once, and inspect the records that they have."""
    pixels = np.concatenate([prepared.pixels for prepared, _ in photos])
    images = images_of(context.model, pixels)
    traced = trace(lens.network, images, until=lens.layer)
    control = None if lens.control is None else trace(lens.control, images, until=lens.layer)
    wanted = [(row, each) for row, (_, records) in enumerate(photos) for each in records]
    peaks = traced.outputs[lens.layer].flatten(1).abs().amax(1).tolist()
    found: dict[Place, Inspection] = {}
    for start in range(0, len(wanted), _UNITS):
        context.check_cancelled()
        some = wanted[start : start + _UNITS]
        units = [Unit(row, each.record.map, each.record.y, each.record.x) for row, each in some]
        views = _views(lens, [prepared for prepared, _ in photos], units, traced, control)
        for (row, each), unit, view in zip(some, units, views, strict=True):
            value = activation(traced, lens.layer, unit)
            warnings = photos[row][0].warnings
            if not reproduced(each.record.value, value, peaks[row]):
                found[each.place] = Inspection(RecordState.DIFFERS, value, view, warnings)
            elif is_silent(traced, lens.layer, unit):
                found[each.place] = Inspection(RecordState.SILENT, warnings=warnings)
            else:
                found[each.place] = Inspection(RecordState.OK, value, view, warnings)
    return found


def _views(
    lens: _Lens, photos: Sequence[Prepared], units: Sequence[Unit], traced: Trace, control: Trace | None
) -> list[UnitView]:
    """Project units, and cut what they see out of the photos: unit.image is the photo's place."""
    boxes = [lens.framing.box(unit.y, unit.x) for unit in units]
    seen = array(project(lens.network, traced, lens.layer, units))
    others: Sequence[NDArray[np.float32] | None] = [None] * len(units)
    alike: Sequence[Similarity] = [Similarity(None, None)] * len(units)
    if lens.control is not None and control is not None:
        there = strongest_there(control, lens.layer, units)
        drawn = array(project(lens.control, control, lens.layer, there))
        others, alike = list(drawn), similarities(seen, drawn, boxes)
    return [
        _view(photos[unit.image], box, pixels, other, similar)
        for unit, box, pixels, other, similar in zip(units, boxes, seen, others, alike, strict=True)
    ]


def _view(
    prepared: Prepared,
    box: Box,
    projection: NDArray[np.float32],
    control: NDArray[np.float32] | None,
    alike: Similarity,
) -> UnitView:
    view, geometry = prepared.views[0], prepared.geometries[0]
    size = view.shape[:2]
    return UnitView(
        patch=cut(view, box),
        projection=cut_planes(projection, box),
        inside=box.inside((size[0], size[1])),
        in_photo=geometry.to_photo(box).clip(geometry.photo_size),
        control=None if control is None else cut_planes(control, box),
        alike=alike,
    )


def view_tensors(
    found: Mapping[PlaceT, Inspection], shape: tuple[int, int], size: int, *, control: bool = False
) -> dict[str, NDArray[Any]]:
    """Return the tensors `projections`, `patches` and `controls`, zero where nothing was seen of a record.

    found: by a row and a column of `shape`. size: the side of the layer's frame.
    """
    projections = np.zeros((*shape, 3, size, size), np.float32)
    patches = np.zeros((*shape, size, size, 3), np.uint8)
    controls = np.zeros_like(projections)
    for place, each in found.items():
        if each.view is not None:
            projections[place], patches[place] = each.view.projection, each.view.patch
            if each.view.control is not None:
                controls[place] = each.view.control
    tensors: dict[str, NDArray[Any]] = {"projections": projections, "patches": patches}
    return tensors | ({"controls": controls} if control else {})
