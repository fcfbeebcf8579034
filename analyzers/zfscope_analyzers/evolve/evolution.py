"""Evolution of feature maps in training: their strongest photo at each epoch, and how fast they settle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, array, images_of
from zfscope.engine.deconvnet import project
from zfscope.engine.frame import unit_frame
from zfscope.engine.seeds import Unit, activation, is_silent
from zfscope.engine.trace import trace
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared
from zfscope.records import Record, RecordState
from zfscope.rounding import is_level
from zfscope.scan.reload import photo_source, reload_photo
from zfscope_analyzers.evolve.timeline import Snapshot, Timeline
from zfscope_analyzers.top_k import inspect as top_k
from zfscope_analyzers.top_k.page import TopKParams

# Photos traced at once, between two checks for cancellation.
_PHOTOS = 4

# Correlations by the indices of a map and of a snapshot in the timeline; None where undefined.
Correlations = Mapping[tuple[int, int], float | None]


class MapEpoch(NamedTuple):
    """Indices of a map and of a snapshot in a timeline."""

    map_index: int
    snapshot_index: int


@dataclass(frozen=True)
class CorrelationQuartiles:
    """Quartiles of the correlations of `maps` maps at an epoch, where the epoch None is the end of training.

    The quartiles are None if no map has a correlation.
    """

    epoch: int | None
    median: float | None
    lower: float | None
    upper: float | None
    maps: int


@dataclass(frozen=True, eq=False)
class MapEvolution:
    """Inspections of every map at every snapshot of a timeline, and how fast the maps settle.

    settling: quartiles at each snapshot; None if they were not requested.
    """

    timeline: Timeline
    inspections: Mapping[MapEpoch, top_k.Inspection]
    correlations: Correlations
    settling: tuple[CorrelationQuartiles, ...] | None

    def record(self, position: MapEpoch) -> Record:
        """Return the strongest photo of a map at an epoch."""
        return self.timeline.snapshots[position.snapshot_index].page.records[position.map_index][0]

    def jumped(self, position: MapEpoch) -> bool | None:
        """Return whether the photo differs from that of the previous snapshot; None if either has none."""
        before = MapEpoch(position.map_index, position.snapshot_index - 1)
        if position.snapshot_index == 0:
            return None
        if RecordState.DEAD in (self.inspections[before].state, self.inspections[position].state):
            return None
        return self.record(before).image != self.record(position).image


def measure_evolution(context: Context, timeline: Timeline, *, settling: bool) -> MapEvolution:
    """Inspect every map at every snapshot, and measure how fast they settle."""
    inspections: dict[MapEpoch, top_k.Inspection] = {}
    for number in range(len(timeline.snapshots)):
        inspections |= _inspect_snapshot(context, timeline, number)
        context.progress((number + 1) / (len(timeline.snapshots) + settling), None)
    if not settling:
        return MapEvolution(timeline, inspections, {}, None)
    last = len(timeline.snapshots) - 1
    intact = [
        index
        for index in range(len(timeline.maps))
        if inspections[MapEpoch(index, last)].state is RecordState.OK
    ]
    coefficients = correlations(context, timeline, intact)
    return MapEvolution(timeline, inspections, coefficients, quartiles_by_epoch(timeline, coefficients))


def _inspect_snapshot(context: Context, timeline: Timeline, number: int) -> dict[MapEpoch, top_k.Inspection]:
    """Inspect the strongest photo of each map at a snapshot, with the weights of that snapshot."""
    snapshot, inspections = timeline.snapshots[number], dict[top_k.MapRank, top_k.Inspection]()
    for _ in top_k.inspect_records(
        replace(context, model=snapshot.model), snapshot.page, TopKParams(top=1), inspections
    ):
        pass
    dead = top_k.Inspection(RecordState.DEAD)
    return {
        MapEpoch(index, number): each if snapshot.page.alive[index] else dead
        for (index, _), each in inspections.items()
    }


def correlations(context: Context, timeline: Timeline, indices: Sequence[int]) -> Correlations:
    """Correlate the projections of each epoch with the final ones, for the maps at these indices of the page.

    For each map, take its strongest photo at the end of training and the strongest unit there, and project
    that unit with the weights of every snapshot. The coefficient is Pearson's, over all values of the two
    projections (all channels) within the part of the unit's receptive field that lies in the picture. It is
    None if either projection is constant within rounding. The projection of a unit counts as zero if its
    activation is at most 0, or within rounding of 0 relative to the layer's largest.
    """
    page, result = timeline.final.page, dict[tuple[int, int], float | None]()
    photos, records = photo_source(page.index), [(index, page.records[index][0]) for index in indices]
    for start in range(0, len(records), _PHOTOS):
        context.check_cancelled()
        loaded = [
            (index, record, reload_photo(photos, record, timeline.final.model))
            for index, record in records[start : start + _PHOTOS]
        ]
        readable = [(index, record, photo) for index, record, photo in loaded if isinstance(photo, Prepared)]
        if readable:
            result |= _correlate(context, timeline, readable)
    return result


def _correlate(
    context: Context, timeline: Timeline, photos: Sequence[tuple[int, Record, Prepared]]
) -> Correlations:
    pixels = np.concatenate([photo.pixels for _, _, photo in photos])
    units = [Unit(row, record.map, record.y, record.x) for row, (_, record, _) in enumerate(photos)]
    final = _projections(context, timeline.final, timeline.layer, pixels, units)
    result: dict[tuple[int, int], float | None] = {}
    for number, snapshot in enumerate(timeline.snapshots):
        context.check_cancelled()
        projections = _projections(context, snapshot, timeline.layer, pixels, units)
        for (index, _, _), projection, final_projection in zip(photos, projections, final, strict=True):
            result[index, number] = pearson(projection, final_projection)
    return result


def _projections(
    context: Context, snapshot: Snapshot, layer: str, pixels: NDArray[np.float32], units: Sequence[Unit]
) -> list[NDArray[np.float32]]:
    """Project each unit from the photo of its row; the projection of an inactive unit is zero."""
    network = snapshot.model.network
    traced = trace(network, images_of(snapshot.model, pixels), until=layer)
    framing, side = unit_frame(network.spec, layer), pixels.shape[-1]
    boxes: list[Box] = [framing.box(unit.y, unit.x).clip((side, side)) for unit in units]
    projecting = snapshot.model.network_in(context.precision)
    projections = array(project(projecting, traced, layer, units))
    active = [activation(traced, layer, unit) > 0 and not is_silent(traced, layer, unit) for unit in units]
    return [each[(..., *box.slices)] * on for each, box, on in zip(projections, boxes, active, strict=True)]


def pearson(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return Pearson's correlation of two arrays of equal shape, -1 to 1; None if either is constant."""
    if is_level(first) or is_level(second):
        return None
    return float(np.corrcoef(first.ravel().astype(np.float64), second.ravel())[0, 1].clip(-1, 1))


def quartiles_by_epoch(timeline: Timeline, coefficients: Correlations) -> tuple[CorrelationQuartiles, ...]:
    """Return the median and quartiles at each snapshot, over the maps that have a correlation there."""
    return tuple(
        _quartiles(snapshot.epoch, [coefficients.get((index, number)) for index in range(len(timeline.maps))])
        for number, snapshot in enumerate(timeline.snapshots)
    )


def _quartiles(epoch: int | None, coefficients: Sequence[float | None]) -> CorrelationQuartiles:
    values = [value for value in coefficients if value is not None]
    if not values:
        return CorrelationQuartiles(epoch, None, None, None, 0)
    median, lower, upper = np.percentile(values, (50, 25, 75)).tolist()
    return CorrelationQuartiles(epoch, median, lower, upper, len(values))
