"""Looking at maps by the analyzers `top-k` and `evolve`: what is told of them, and their pictures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zfscope.engine.frame import slices
from zfscope.gallery.facts import SEEN, MapFact, Part, RecordFact, StopFact
from zfscope.gallery.mosaic import columns_of, encode, mosaic, suffix_of
from zfscope.gallery.plan import Batch, LayerPlan, Plan
from zfscope.images.normalise import Preprocessing, reorder
from zfscope.images.render import GREY, Rgb, signed_to_rgb, symmetric_scale
from zfscope.results import Analysis

Told = Callable[[float], None]
"""Told which share of an analysis is done."""

Analyze = Callable[[str, Mapping[str, Any], Told], Analysis]
"""Runs an analyzer by its name on no photo, with parameters, and gives its tables and tensors."""

Pictures = dict[str, bytes]
"""Encoded, by the names of their files in the folder of the layer."""

Kind = Literal["projections", "patches", "evolution"]

Tiles = list[Rgb | None]
"""None where nothing was seen."""


def picture_file(map: int, kind: Kind, size: int) -> str:
    """Name the file of a picture of a map, in the folder of its layer; size: of the layer's frame."""
    return f"{map}-{kind}.{suffix_of(size)}"


def look(plan: Plan, batch: Batch, analyze: Analyze, told: Told) -> tuple[Part, Pictures]:
    """Look at the maps of a batch: now, and at each epoch."""
    layer, steps = batch.layer, plan.model.preprocessing
    share = 0.5 if layer.epochs else 1.0
    asked: dict[str, Any] = {"index": plan.index.name, "layer": layer.name, "maps": list(batch.maps)}
    found = analyze("top-k", asked | {"top": plan.top}, lambda done: told(share * done))
    now, then = _Seen("records", found, layer, steps), None
    if layer.epochs:
        asked |= {"epochs": list(layer.epochs), "settling": False}
        found = analyze("evolve", asked, lambda done: told(share * (1 + done)))
        then = _Seen("evolution", found, layer, steps)
    pictures: Pictures = {}
    for place, map in enumerate(batch.maps):
        pictures |= _pictures(map, now.tiles(place), layer.framing.size)
        pictures |= _evolution(map, then.tiles(place), layer.framing.size) if then else {}
    return Part(maps=tuple(_facts(now, then))), pictures


@dataclass(frozen=True, eq=False)
class _Seen:
    """What an analyzer found: in its table the rows of each map, one for each column, a rank or an epoch."""

    table: str
    analysis: Analysis
    layer: LayerPlan
    preprocessing: Preprocessing

    def rows(self, place: int) -> Sequence[Mapping[str, Any]]:
        """Give the rows of a map, by its place in the batch."""
        table, columns = self.analysis.tables[self.table], self.analysis.tensors["patches"].shape[1]
        rows = table.rows[place * columns : (place + 1) * columns]
        return [dict(zip(table.columns, row, strict=True)) for row in rows]

    def facts(self, place: int) -> Iterator[dict[str, Any]]:
        """Give what is told of the records of a map."""
        for column, row in enumerate(self.rows(place)):
            known = {name: row[name] for name in ("path", "value", "recomputed", "y", "x", "state")}
            white = symmetric_scale(self._projection(place, column)) if row["state"] in SEEN else None
            yield known | {"label": row["class"], "white": white}

    def tiles(self, place: int) -> tuple[Tiles, Tiles]:
        """Give the projections of a map, and the patches, grey where the photo ends."""
        rows = self.rows(place)
        seen = [row["state"] in SEEN for row in rows]
        projections = [
            signed_to_rgb(self._projection(place, column)) if there else None
            for column, there in enumerate(seen)
        ]
        patches = [
            self._patch(place, column, row) if there else None
            for column, (row, there) in enumerate(zip(rows, seen, strict=True))
        ]
        return projections, patches

    def _projection(self, place: int, column: int) -> NDArray[np.float32]:
        return reorder(self.analysis.tensors["projections"][place, column], self.preprocessing)

    def _patch(self, place: int, column: int, row: Mapping[str, Any]) -> Rgb:
        patch, framing = self.analysis.tensors["patches"][place, column], self.layer.framing
        box = framing.box(row["y"] or 0, row["x"] or 0)
        inside = slices(box.clip((framing.side, framing.side)).moved(-box.x0, -box.y0))
        shown: Rgb = np.full_like(patch, GREY)
        shown[inside] = patch[inside]
        return shown


def _facts(now: _Seen, then: _Seen | None) -> Iterator[MapFact]:
    for place, about in enumerate(now.analysis.tables["maps"].records()):
        records = tuple(RecordFact(**fact) for fact in now.facts(place))
        stops = tuple(_stops(then, place)) if then else ()
        yield MapFact(map=about["map"], alive=about["alive"], records=records, stops=stops)


def _stops(then: _Seen, place: int) -> Iterator[StopFact]:
    for row, fact in zip(then.rows(place), then.facts(place), strict=True):
        yield StopFact(**fact, epoch=row["epoch"], jumped=bool(row["jumped"]))


def _pictures(map: int, tiles: tuple[Tiles, Tiles], size: int) -> Pictures:
    """Draw the projections of a map, and the patches; nothing where nothing was seen."""
    projections, patches = tiles
    if all(tile is None for tile in projections):
        return {}
    columns = columns_of(len(projections))
    return {
        picture_file(map, "projections", size): encode(mosaic(projections, size, columns), size),
        picture_file(map, "patches", size): encode(mosaic(patches, size, columns), size, exact_colours=False),
    }


def _evolution(map: int, tiles: tuple[Tiles, Tiles], size: int) -> Pictures:
    """Draw the projections of a map at each epoch in a row, and below them the patches."""
    projections, patches = tiles
    if all(tile is None for tile in projections):
        return {}
    drawn = mosaic([*projections, *patches], size, len(projections))
    return {picture_file(map, "evolution", size): encode(drawn, size)}
