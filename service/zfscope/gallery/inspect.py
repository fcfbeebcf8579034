"""Inspection of maps with the analyzers `top-k` and `evolve`: their facts and pictures.

The tiles of a map are stored in one picture without gaps; the page overlays the grid.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zfscope.gallery.facts import BatchFacts, EpochFact, MapFact, RecordFact
from zfscope.gallery.plan import GalleryPlan, LayerPlan, MapBatch
from zfscope.images.chunks import PICTURE_KEY
from zfscope.images.layout import blank, grid
from zfscope.images.normalise import Preprocessing, reorder
from zfscope.images.render import Rgb, signed_to_rgb, symmetric_scale
from zfscope.images.tiles import column_count, grey_outside
from zfscope.records import RecordState
from zfscope.results import Analysis

# Maximum side of a tile; larger frames are reduced, smaller ones keep their size.
MAX_TILE_PX = 144
# Smaller tiles are stored without loss, because the page enlarges their pixels.
_LOSSLESS_BELOW_PX = 48
_JPEG_QUALITY = 90

# Called with the completed fraction of an analysis.
FractionCallback = Callable[[float], None]

# Runs the named analyzer with parameters and without photos; returns its tables and tensors.
Analyze = Callable[[str, Mapping[str, Any], FractionCallback], Analysis]

# Encoded pictures, by file name in the folder of the layer.
Pictures = dict[str, bytes]

PictureKind = Literal["projections", "patches", "evolution"]

# None for records without a projection and a patch.
Tiles = list[Rgb | None]


def tile_px(size: int) -> int:
    """Return the side of a tile. size: side of the layer's frames."""
    return min(size, MAX_TILE_PX)


def picture_file(index: int, kind: PictureKind, size: int) -> str:
    """Return the file name of a picture in the folder of its layer.

    index: index of the map. size: side of the layer's frames.
    """
    return f"{index}-{kind}.{_suffix(size)}"


def inspect_batch(
    plan: GalleryPlan, batch: MapBatch, analyze: Analyze, progress: FractionCallback
) -> tuple[BatchFacts, Pictures]:
    """Return the facts and pictures of a batch of maps, with the final weights and at each epoch."""
    layer, preprocessing = batch.layer, plan.model.preprocessing
    share = 0.5 if layer.epochs else 1.0
    parameters: dict[str, Any] = {"index": plan.index.name, "layer": layer.name, "maps": list(batch.maps)}
    analysis = analyze("top-k", parameters | {"top": plan.top}, lambda done: progress(share * done))
    final, evolution = _BatchResult("records", analysis, layer, preprocessing), None
    if layer.epochs:
        parameters |= {"epochs": list(layer.epochs), "settling": False}
        analysis = analyze("evolve", parameters, lambda done: progress(share * (1 + done)))
        evolution = _BatchResult("evolution", analysis, layer, preprocessing)
    pictures: Pictures = {}
    for position, index in enumerate(batch.maps):
        pictures |= _draw_records(index, final.tiles(position), layer.frame.size)
        if evolution:
            pictures |= _draw_evolution(index, evolution.tiles(position), layer.frame.size)
    notices = (*final.analysis.warnings, *(evolution.analysis.warnings if evolution else ()))
    warnings = tuple(dict.fromkeys(notice.message for notice in notices))
    return BatchFacts(maps=tuple(_map_facts(final, evolution)), warnings=warnings), pictures


@dataclass(frozen=True, eq=False)
class _BatchResult:
    """Result of an analyzer for the maps of a batch.

    table: name of the table with the records: for each map, a row per rank or epoch, like the first two axes
    of the tensors.
    """

    table: str
    analysis: Analysis
    layer: LayerPlan
    preprocessing: Preprocessing

    def rows(self, position: int) -> Sequence[Mapping[str, Any]]:
        """Return the table rows of the map at a position in the batch."""
        table, columns = self.analysis.tables[self.table], self.analysis.tensors["patches"].shape[1]
        rows = table.rows[position * columns : (position + 1) * columns]
        return [dict(zip(table.columns, row, strict=True)) for row in rows]

    def record_fields(self, position: int) -> Iterator[dict[str, Any]]:
        """Yield the fields of each RecordFact of a map."""
        for column, row in enumerate(self.rows(position)):
            fields = {name: row[name] for name in ("path", "value", "recomputed", "y", "x", "state")}
            white = symmetric_scale(self._projection(position, column)) if _has_view(row) else None
            yield fields | {"label": row["class"], "white": white}

    def tiles(self, position: int) -> tuple[Tiles, Tiles]:
        """Return the projections and the patches of a map."""
        projections: Tiles = []
        patches: Tiles = []
        for column, row in enumerate(self.rows(position)):
            visible = _has_view(row)
            projections.append(signed_to_rgb(self._projection(position, column)) if visible else None)
            patches.append(self._patch(position, column, row) if visible else None)
        return projections, patches

    def _projection(self, position: int, column: int) -> NDArray[np.float32]:
        return reorder(self.analysis.tensors["projections"][position, column], self.preprocessing)

    def _patch(self, position: int, column: int, row: Mapping[str, Any]) -> Rgb:
        """Return a patch, grey outside the photo."""
        frame = self.layer.frame
        inside = frame.box(row["y"] or 0, row["x"] or 0).inside((frame.side, frame.side))
        return grey_outside(self.analysis.tensors["patches"][position, column], inside)


def _has_view(row: Mapping[str, Any]) -> bool:
    return RecordState(row["state"]).has_view


def _map_facts(final: _BatchResult, evolution: _BatchResult | None) -> Iterator[MapFact]:
    for position, row in enumerate(final.analysis.tables["maps"].records()):
        records = tuple(RecordFact(**fields) for fields in final.record_fields(position))
        epochs = tuple(_epoch_facts(evolution, position)) if evolution else ()
        yield MapFact(map=row["map"], alive=row["alive"], records=records, epochs=epochs)


def _epoch_facts(evolution: _BatchResult, position: int) -> Iterator[EpochFact]:
    for row, fields in zip(evolution.rows(position), evolution.record_fields(position), strict=True):
        yield EpochFact(**fields, epoch=row["epoch"], jumped=bool(row["jumped"]))


def _draw_records(index: int, tiles: tuple[Tiles, Tiles], size: int) -> Pictures:
    """Draw a picture of a map's projections and one of its patches; return none if all tiles are None."""
    projections, patches = tiles
    if all(tile is None for tile in projections):
        return {}
    columns = column_count(len(projections))
    return {
        picture_file(index, "projections", size): encode(mosaic(projections, size, columns), size),
        picture_file(index, "patches", size): encode(mosaic(patches, size, columns), size, subsample=True),
    }


def _draw_evolution(index: int, tiles: tuple[Tiles, Tiles], size: int) -> Pictures:
    """Draw one picture with a column per epoch, projections above patches."""
    projections, patches = tiles
    if all(tile is None for tile in projections):
        return {}
    drawn = mosaic([*projections, *patches], size, len(projections))
    return {picture_file(index, "evolution", size): encode(drawn, size)}


def mosaic(tiles: Tiles, size: int, columns: int) -> Image.Image:
    """Arrange tiles in a grid without gaps, reduced to at most MAX_TILE_PX.

    size: side of the tiles. Positions of None are white, because grey would look like a projection of zero,
    or like the area outside a photo.
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
    return "png" if tile_px(size) < _LOSSLESS_BELOW_PX else "jpg"


def encode(picture: Image.Image, size: int, *, subsample: bool = False) -> bytes:
    """Encode a mosaic as PNG or JPEG.

    size: side of the tiles before reduction. subsample: store one colour for four pixels in a JPEG, which is
    smaller and good enough for photos.
    """
    file = io.BytesIO()
    if _suffix(size) == "png":
        chunks = PngInfo()
        chunks.add_text(PICTURE_KEY, "gallery")
        picture.save(file, "PNG", pnginfo=chunks)
    else:
        picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=2 if subsample else 0)
    return file.getvalue()
