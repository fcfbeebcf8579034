"""What maps were at each epoch, as tables and tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Table
from zfscope.engine.frame import framing_of
from zfscope.scan import Record
from zfscope_analyzers.evolve.course import Course
from zfscope_analyzers.evolve.settle import Correlations, Settled
from zfscope_analyzers.top_k.look import Look, State

Seen = State | Literal["dead"]
"""What became of a record, as in top-k. dead: no photo of the index activates the map."""


class Place(NamedTuple):
    """A map and an epoch, by their places among those of a course."""

    map: int
    stop: int


@dataclass(frozen=True, eq=False)
class Evolution:
    """What was found of a course. looks: of every map at every stop. settled: None where it was not asked."""

    course: Course
    looks: Mapping[Place, Look]
    correlations: Correlations
    settled: tuple[Settled, ...] | None

    def record(self, place: Place) -> Record:
        """Give the strongest photo of a map at an epoch."""
        return self.course.stops[place.stop].page.records[place.map][0]

    def state(self, place: Place) -> Seen:
        """Say what became of that photo."""
        alive = self.course.stops[place.stop].page.alive[place.map]
        return self.looks[place].state if alive else "dead"

    def jumped(self, place: Place) -> bool | None:
        """Say whether the photo is another one than at the stop before; None where one of them has none."""
        before = Place(place.map, place.stop - 1)
        if place.stop == 0 or "dead" in (self.state(before), self.state(place)):
            return None
        return self.record(before).image != self.record(place).image


_COLUMNS = (
    *("layer", "map", "epoch", "path", "class", "value", "recomputed"),
    *("y", "x", "state", "jumped", "correlation"),
)


def tables_of(found: Evolution) -> dict[str, Table]:
    """Give the tables `evolution` and, where it was asked for, `settling`."""
    tables = {"evolution": Table(_COLUMNS, tuple(_row(found, place) for place in places(found.course)))}
    if found.settled is not None:
        columns = ("layer", "epoch", "median", "lower", "upper", "maps")
        rows = tuple(
            (found.course.layer, each.epoch, each.median, each.lower, each.upper, each.maps)
            for each in found.settled
        )
        tables["settling"] = Table(columns, rows)
    return tables


def places(course: Course) -> Sequence[Place]:
    """Give every map at every stop, map by map."""
    return [Place(map, stop) for map in range(len(course.maps)) for stop in range(len(course.stops))]


def _row(found: Evolution, place: Place) -> tuple[str | int | float | None, ...]:
    record, state, jumped = found.record(place), found.state(place), found.jumped(place)
    about = (record.layer, record.map, found.course.stops[place.stop].epoch)
    which = (record.path, record.label or None, record.value, found.looks[place].recomputed)
    if state == "dead":
        return (*about, None, None, None, None, None, None, state, None, None)
    unit = (record.y, record.x)
    jump = None if jumped is None else int(jumped)
    return (*about, *which, *unit, state, jump, found.correlations.get(place))


def tensors_of(found: Evolution) -> dict[str, NDArray[Any]]:
    """Give the tensors; they are zero where nothing was seen, and the table says why."""
    course = found.course
    size = framing_of(course.end.model.network, course.layer).size
    shape = (len(course.maps), len(course.stops))
    projections = np.zeros((*shape, 3, size, size), np.float32)
    patches = np.zeros((*shape, size, size, 3), np.uint8)
    for place, look in found.looks.items():
        if look.sight is not None:
            projections[place], patches[place] = look.sight.projection, look.sight.patch
    return {"projections": projections, "patches": patches}
