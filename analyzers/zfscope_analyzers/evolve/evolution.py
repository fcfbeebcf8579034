"""What maps were at each epoch of a training: their strongest photos then, and how soon they settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, array, images_of
from zfscope.engine.deconvnet import project
from zfscope.engine.frame import framing_of
from zfscope.engine.seeds import Unit, activation, is_silent
from zfscope.engine.trace import trace
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared
from zfscope.records import Record, RecordState
from zfscope.rounding import is_level
from zfscope.scan.reload import photo_source, reload_photo
from zfscope_analyzers.evolve.course import Course, Stop
from zfscope_analyzers.top_k import inspect as top_k
from zfscope_analyzers.top_k.page import TopKParams

_PHOTOS = 4

Correlations = Mapping[tuple[int, int], float | None]
"""By the places of a map and of a stop; None where there is none."""


class Place(NamedTuple):
    """A map and an epoch, by their places among those of a course."""

    map: int
    stop: int


@dataclass(frozen=True)
class Settled:
    """How settled the maps of a layer were at an epoch, None for the end: quartiles of `maps` correlations.

    None of them is a number where no map has a correlation.
    """

    epoch: int | None
    median: float | None
    lower: float | None
    upper: float | None
    maps: int


@dataclass(frozen=True, eq=False)
class Evolution:
    """What maps were at each stop of a course. found: of every map at every stop.

    settled: None where it was not asked for.
    """

    course: Course
    found: Mapping[Place, top_k.Inspection]
    correlations: Correlations
    settled: tuple[Settled, ...] | None

    def record(self, place: Place) -> Record:
        """Return the strongest photo of a map at an epoch."""
        return self.course.stops[place.stop].page.records[place.map][0]

    def jumped(self, place: Place) -> bool | None:
        """Return whether the photo is another one than at the stop before, None where one has none."""
        before = Place(place.map, place.stop - 1)
        if place.stop == 0 or RecordState.DEAD in (self.found[before].state, self.found[place].state):
            return None
        return self.record(before).image != self.record(place).image


def evolution_of(context: Context, course: Course, *, settling: bool) -> Evolution:
    """Inspect every map at every stop, and measure how fast they settle."""
    found: dict[Place, top_k.Inspection] = {}
    for number in range(len(course.stops)):
        found |= _inspected(context, course, number)
        context.progress((number + 1) / (len(course.stops) + settling), None)
    if not settling:
        return Evolution(course, found, {}, None)
    last = len(course.stops) - 1
    known = [map for map in range(len(course.maps)) if found[Place(map, last)].state is RecordState.OK]
    alike = correlations(context, course, known)
    return Evolution(course, found, alike, settled(course, alike))


def _inspected(context: Context, course: Course, number: int) -> dict[Place, top_k.Inspection]:
    """Inspect the strongest photo of each map at a stop, with the weights of that stop."""
    stop, found = course.stops[number], dict[top_k.Place, top_k.Inspection]()
    for _ in top_k.inspect_records(replace(context, model=stop.model), stop.page, TopKParams(top=1), found):
        pass
    dead = top_k.Inspection(RecordState.DEAD)
    return {
        Place(place.map, number): each if stop.page.alive[place.map] else dead
        for place, each in found.items()
    }


def correlations(context: Context, course: Course, places: Sequence[int]) -> Correlations:
    """Correlate projections of each epoch with those of the end, for the maps at some places of the page.

    Of a map, its strongest photo at the end and the unit of it that is strongest then are projected with the
    weights of every stop. The correlation is Pearson's, of all values of the two projections (three channels)
    in the part of the unit's receptive field that is in the picture. It is None where either is the same
    everywhere but for rounding, as one of zeros is; the projection of a unit whose activation is 0 or less,
    or rounding of the layer's largest, counts as zeros.
    """
    page, found = course.end.page, dict[tuple[int, int], float | None]()
    photos, known = photo_source(page.index), [(place, page.records[place][0]) for place in places]
    for start in range(0, len(known), _PHOTOS):
        context.check_cancelled()
        some = known[start : start + _PHOTOS]
        seen = [(place, record, reload_photo(photos, record, course.end.model)) for place, record in some]
        there = [(place, record, photo) for place, record, photo in seen if isinstance(photo, Prepared)]
        if there:
            found |= _correlated(context, course, there)
    return found


def _correlated(
    context: Context, course: Course, photos: Sequence[tuple[int, Record, Prepared]]
) -> Correlations:
    pixels = np.concatenate([photo.pixels for _, _, photo in photos])
    units = [Unit(row, record.map, record.y, record.x) for row, (_, record, _) in enumerate(photos)]
    final = _projections(course.end, course.layer, pixels, units)
    found: dict[tuple[int, int], float | None] = {}
    for number, stop in enumerate(course.stops):
        context.check_cancelled()
        drawn = _projections(stop, course.layer, pixels, units)
        for (place, _, _), one, other in zip(photos, drawn, final, strict=True):
            found[place, number] = pearson(one, other)
    return found


def _projections(
    stop: Stop, layer: str, pixels: NDArray[np.float32], units: Sequence[Unit]
) -> list[NDArray[np.float32]]:
    """Project units, each from the photo of its row; zeros of those that are not active."""
    network = stop.model.network
    traced = trace(network, images_of(stop.model, pixels), until=layer)
    framing, side = framing_of(network, layer), pixels.shape[-1]
    boxes: list[Box] = [framing.box(unit.y, unit.x).clip((side, side)) for unit in units]
    drawn = array(project(network, traced, layer, units))
    active = [activation(traced, layer, unit) > 0 and not is_silent(traced, layer, unit) for unit in units]
    return [each[(..., *box.slices)] * on for each, box, on in zip(drawn, boxes, active, strict=True)]


def pearson(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Correlate two arrays of one shape, value by value (-1..1); None where either is level."""
    if is_level(one) or is_level(other):
        return None
    return float(np.corrcoef(one.ravel().astype(np.float64), other.ravel())[0, 1].clip(-1, 1))


def settled(course: Course, found: Correlations) -> tuple[Settled, ...]:
    """Return the median and the quartiles at each stop, of the maps that have a correlation there."""
    return tuple(
        _settled(stop.epoch, [found.get((place, number)) for place in range(len(course.maps))])
        for number, stop in enumerate(course.stops)
    )


def _settled(epoch: int | None, found: Sequence[float | None]) -> Settled:
    values = [value for value in found if value is not None]
    if not values:
        return Settled(epoch, None, None, None, 0)
    median, lower, upper = np.percentile(values, (50, 25, 75)).tolist()
    return Settled(epoch, median, lower, upper, len(values))
