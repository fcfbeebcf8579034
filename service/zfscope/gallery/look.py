"""Maps inspected by the analyzers `top-k` and `evolve`: the facts of them, and their pictures.

The tiles of a map are one file without gaps, which the page lays over them.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zfscope.gallery.facts import MapFact, Part, RecordFact, StopFact
from zfscope.gallery.plan import Batch, LayerPlan, Plan
from zfscope.images.chunks import PICTURE_KEY
from zfscope.images.layout import blank, grid
from zfscope.images.normalise import Preprocessing, reorder
from zfscope.images.render import Rgb, signed_to_rgb, symmetric_scale
from zfscope.images.tiles import column_count, grey_outside
from zfscope.records import RecordState
from zfscope.results import Analysis

# The side of a tile at most; a larger frame is reduced, and a smaller one stays as it is.
MOST_PX = 144
_EXACT_BELOW_PX = 48
_QUALITY = 90

# Called with the completed fraction of an analysis.
ProgressCallback = Callable[[float], None]

Analyze = Callable[[str, Mapping[str, Any], ProgressCallback], Analysis]
"""Runs an analyzer by its name on no photo, with parameters, and gives its tables and tensors."""

Pictures = dict[str, bytes]
"""Encoded, by the names of their files in the folder of the layer."""

Kind = Literal["projections", "patches", "evolution"]

Tiles = list[Rgb | None]
"""None where nothing was seen."""


def tile_px(size: int) -> int:
    """Return the side of the tile of a frame."""
    return min(size, MOST_PX)


def picture_file(map: int, kind: Kind, size: int) -> str:
    """Name the file of a picture of a map, in the folder of its layer; size: of the layer's frame."""
    return f"{map}-{kind}.{_suffix(size)}"


def look(plan: Plan, batch: Batch, analyze: Analyze, progress: ProgressCallback) -> tuple[Part, Pictures]:
    """Look at the maps of a batch: now, and at each epoch."""
    layer, steps = batch.layer, plan.model.preprocessing
    share = 0.5 if layer.epochs else 1.0
    asked: dict[str, Any] = {"index": plan.index.name, "layer": layer.name, "maps": list(batch.maps)}
    found = analyze("top-k", asked | {"top": plan.top}, lambda done: progress(share * done))
    now, then = _Seen("records", found, layer, steps), None
    if layer.epochs:
        asked |= {"epochs": list(layer.epochs), "settling": False}
        found = analyze("evolve", asked, lambda done: progress(share * (1 + done)))
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
        """Return the rows of a map, by its place in the batch."""
        table, columns = self.analysis.tables[self.table], self.analysis.tensors["patches"].shape[1]
        rows = table.rows[place * columns : (place + 1) * columns]
        return [dict(zip(table.columns, row, strict=True)) for row in rows]

    def facts(self, place: int) -> Iterator[dict[str, Any]]:
        """Yield the entries of a map's records."""
        for column, row in enumerate(self.rows(place)):
            known = {name: row[name] for name in ("path", "value", "recomputed", "y", "x", "state")}
            white = symmetric_scale(self._projection(place, column)) if _is_seen(row) else None
            yield known | {"label": row["class"], "white": white}

    def tiles(self, place: int) -> tuple[Tiles, Tiles]:
        """Return the projections of a map, and the patches, grey where the photo ends."""
        projections: Tiles = []
        patches: Tiles = []
        for column, row in enumerate(self.rows(place)):
            seen = _is_seen(row)
            projections.append(signed_to_rgb(self._projection(place, column)) if seen else None)
            patches.append(self._patch(place, column, row) if seen else None)
        return projections, patches

    def _projection(self, place: int, column: int) -> NDArray[np.float32]:
        return reorder(self.analysis.tensors["projections"][place, column], self.preprocessing)

    def _patch(self, place: int, column: int, row: Mapping[str, Any]) -> Rgb:
        framing = self.layer.framing
        inside = framing.box(row["y"] or 0, row["x"] or 0).inside((framing.side, framing.side))
        return grey_outside(self.analysis.tensors["patches"][place, column], inside)


def _is_seen(row: Mapping[str, Any]) -> bool:
    return RecordState(row["state"]).seen


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
    columns = column_count(len(projections))
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


def mosaic(tiles: Tiles, size: int, columns: int) -> Image.Image:
    """Lay tiles of frames of a size out in rows, reduced where they are too large.

    A place without a tile is white: grey is what projections of zero and the outside of photos have.
    """
    side = tile_px(size)
    reduced = (
        blank(side, side)
        if tile is None
        else Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC)
        for tile in tiles
    )
    return grid(list(reduced), columns, gap=0)


def _suffix(size: int) -> str:
    """Return the format for tiles of a frame: small ones, whose pixels are seen singly, are exact."""
    return "png" if tile_px(size) < _EXACT_BELOW_PX else "jpg"


def encode(picture: Image.Image, size: int, *, exact_colours: bool = True) -> bytes:
    """Encode a mosaic of tiles of a frame; exact_colours: one for each pixel, not for each four."""
    file = io.BytesIO()
    if _suffix(size) == "png":
        chunks = PngInfo()
        chunks.add_text(PICTURE_KEY, "gallery")
        picture.save(file, "PNG", pnginfo=chunks)
    else:
        picture.save(file, "JPEG", quality=_QUALITY, subsampling=0 if exact_colours else 2)
    return file.getvalue()
