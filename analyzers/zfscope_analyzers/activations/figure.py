"""Pictures of feature maps: a tile for each, and a sheet of all of them next to the photo."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfscope.analysis.contract import Picture, array, picture
from zfscope.engine.frame import unit_cell
from zfscope.images import layout
from zfscope.images.feature_maps import MapPicture
from zfscope.images.geometry import Box
from zfscope.images.layout import FAINT, INK, SMALL, cell, hstack, palette_colour, text, vstack
from zfscope.images.sheet import badge, outline, photo_with_boxes
from zfscope.images.tiles import column_count
from zfscope.rounding import rounding
from zfscope_analyzers.activations.measure import ActiveUnit, Measurement

# Maps that are drawn at most.
MAX_TILES = 64

_PHOTO_PX, _TILES_PX, _GUTTER, _GAP, _BADGE_GAP = 400, 932, 36, 18, 7
_FEWEST_COLUMNS, _MOST_COLUMNS = 3, 8
# Receptive fields that are drawn at most; more of them hide the photo.
_MAX_FIELDS = 16
_NAME_PX, _BAR_PX, _VALUE_PX, _ROW_PX = 330, 480, 110, 26
_MIN_MARK_PX = 7
_BARS_CAPTION = (
    "Each bar is the activation of one unit, all on one scale. Each unit sees the network's whole crop."
)
_BAR_COLOUR, _NEGATIVE_COLOUR = palette_colour(1), palette_colour(0)


def tile_name(layer: str, number: int) -> str:
    """Return the name of the picture of a map."""
    return f"{layer}-activations-{number}"


def draw_pictures(measured: Measurement, *, whole: bool) -> tuple[Picture, ...]:
    """Draw each of the first maps; units without a map have none. whole: also draw the sheet of all."""
    shown = measured.units[:MAX_TILES]
    if not measured.has_tiles:
        return (_sheet(measured, _bars(measured, shown), _bars_note(shown), _BARS_CAPTION),) if whole else ()
    maps = _map_pictures(measured, shown)
    tiles = [
        picture(tile_name(measured.layer, each.unit.map), drawn.rendering())
        for each, drawn in zip(shown, maps, strict=True)
    ]
    if not whole:
        return tuple(tiles)
    notes = [f"map {each.unit.map}: {drawn.note}" for each, drawn in zip(shown, maps, strict=True)]
    note = ". ".join(["each map on its own scale", *notes])
    caption = _caption(measured, maps[0].colours)
    return (_sheet(measured, _mosaic(measured, shown, maps), note, caption), *tiles)


def _map_pictures(measured: Measurement, shown: Sequence[ActiveUnit]) -> list[MapPicture]:
    outputs = array(measured.outputs)
    low, high = float(outputs.min()), float(outputs.max())
    floor = rounding(max(-low, high))
    signed = low < -floor
    maps = measured.maps()[: len(shown)]
    return [MapPicture(values, signed, silent=float(np.abs(values).max()) <= floor) for values in maps]


def _sheet(measured: Measurement, body: Image.Image, scale: str, caption: str) -> Picture:
    row = hstack([_photo(measured), body], gap=_GUTTER)
    drawn = layout.page(_title(measured), [row], scale=scale, subtitle=_subtitle(measured), caption=caption)
    return picture(f"{measured.layer}-activations", drawn)


def _photo(measured: Measurement) -> Image.Image:
    """Draw the photo with the receptive fields of the first maps, or one of them if all look the same."""
    fields = (
        [_drawn_field(measured, each) for each in measured.units[:_MAX_FIELDS]] if measured.has_tiles else []
    )
    geometry = measured.prepared.geometries[0]
    visible = {geometry.to_photo(field).clip(geometry.photo_size) for field in fields}
    shared = len(fields) > 1 and len(visible) == 1
    return photo_with_boxes(
        measured.prepared.photo,
        geometry,
        fields[:1] if shared else fields,
        width_px=_PHOTO_PX,
        max_height_px=_PHOTO_PX,
        numbered=not shared,
        area=None if measured.params.area is None else geometry.to_network(measured.params.area),
    )


def _drawn_field(measured: Measurement, each: ActiveUnit) -> Box:
    """Return the receptive field of a unit; if it is unknown, the unit's part of the crop."""
    if measured.model.is_opaque:
        return unit_cell(measured.model.spec, measured.layer, each.unit.y, each.unit.x)
    return each.field


def _mosaic(measured: Measurement, shown: Sequence[ActiveUnit], maps: Sequence[MapPicture]) -> Image.Image:
    columns = min(max(column_count(len(shown)), _FEWEST_COLUMNS), _MOST_COLUMNS)
    tile_px = (_TILES_PX - (columns - 1) * _GAP) // columns
    cells = [
        _cell(measured, each, number, drawn, tile_px)
        for number, (each, drawn) in enumerate(zip(shown, maps, strict=True), 1)
    ]
    return layout.grid(cells, columns, gap=_GAP)


def _cell(
    measured: Measurement, each: ActiveUnit, number: int, drawn: MapPicture, tile_px: int
) -> Image.Image:
    tile, unit = drawn.tile(tile_px), each.unit
    if measured.region is not None and measured.params.box:
        outline(tile, drawn.on_tile(measured.region, tile_px), INK)
    here = drawn.on_tile(Box(unit.x, unit.y, unit.x + 1, unit.y + 1), tile_px)
    outline(tile, _at_least(here, _MIN_MARK_PX), palette_colour(number - 1))
    mark = badge(number)
    name = text(_name(measured, each), width_px=tile_px - mark.width - _BADGE_GAP)
    value = text(_value(measured, each), SMALL, FAINT, width_px=tile_px)
    return vstack([tile, hstack([mark, name], gap=_BADGE_GAP), value], gap=5)


def _at_least(box: Box, side_px: int) -> Box:
    more_x, more_y = (max(0, (side_px - side) / 2) for side in (box.width, box.height))
    return Box(box.x0 - more_x, box.y0 - more_y, box.x1 + more_x, box.y1 + more_y)


def _bars(measured: Measurement, shown: Sequence[ActiveUnit]) -> Image.Image:
    """Draw a bar for each unit; bars of negative activations extend to the left of zero."""
    low, high = _bar_range(shown)
    rows = [
        hstack(
            [
                cell(_name(measured, each), _NAME_PX, gap_px=_GAP, height_px=_ROW_PX),
                _bar(each.activation, low, high),
                cell(f"{each.activation:.3g}", _VALUE_PX, height_px=_ROW_PX),
            ],
            gap=6,
        )
        for each in shown
    ]
    return vstack(rows, gap=4)


def _bar(value: float, low: float, high: float) -> Image.Image:
    canvas = layout.blank(_BAR_PX, _ROW_PX)
    zero, end = ((each - low) / (high - low) * (_BAR_PX - 1) for each in (0.0, value))
    pen = ImageDraw.Draw(canvas)
    colour = _BAR_COLOUR if value >= 0 else _NEGATIVE_COLOUR
    pen.rectangle((min(zero, end), 3, max(zero, end), _ROW_PX - 4), fill=colour)
    pen.line((zero, 0, zero, _ROW_PX), fill=FAINT)
    return canvas


def _bar_range(shown: Sequence[ActiveUnit]) -> tuple[float, float]:
    values = [each.activation for each in shown]
    low, high = min(0.0, *values), max(0.0, *values)
    return (low, high) if high > low else (0.0, 1.0)


def _bars_note(shown: Sequence[ActiveUnit]) -> str:
    low, high = _bar_range(shown)
    return f"bars on a common linear scale from {low:.4g} to {high:.4g}; the thin line is 0"


def _name(measured: Measurement, each: ActiveUnit) -> str:
    name = measured.model.unit_name(measured.layer, each.unit.map)
    meaning = measured.model.class_of(measured.layer, each.unit.map)
    return f"{name} ({meaning})" if meaning else name


def _value(measured: Measurement, each: ActiveUnit) -> str:
    value = f"{each.activation:.3g} at ({each.unit.y}, {each.unit.x})"
    return f"sum {each.total:.3g} | {value}" if measured.params.rank == "sum" else value


def _title(measured: Measurement) -> str:
    params, count = measured.params, min(len(measured.units), MAX_TILES)
    kind = "maps" if measured.has_tiles and params.y is None else "units"
    chosen = "" if params.maps else "strongest "
    place = " in a box of the photo" if params.box else "" if params.y is None else " at a place in the photo"
    return (
        f"{measured.layer} of {measured.model.name}: {count} {chosen}of {measured.map_count:,} {kind}{place}"
    )


def _subtitle(measured: Measurement) -> str:
    params, area = measured.params, measured.params.area
    parts = []
    if not params.maps and measured.has_tiles and params.y is None:
        parts.append(f"ranked by {'largest activation' if params.rank == 'max' else 'sum of activations'}")
    if area and params.box:
        parts.append(f"box from ({area.x0:g}, {area.y0:g}) to ({area.x1:g}, {area.y1:g}) in photo pixels")
    elif area:
        parts.append(f"place ({area.x0:g}, {area.y0:g}) in photo pixels")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _caption(measured: Measurement, colours: str) -> str:
    params = measured.params
    first = f"first {_MAX_FIELDS} " if len(measured.units) > _MAX_FIELDS else ""
    marked = "the strongest unit of the map"
    if params.box:
        marked = "the map's strongest unit in the box, which is outlined in black"
    elif params.area:
        marked = "the map's unit at the place, which is outlined in black in the photo"
    drawn = f"receptive fields of the {first}marked units"
    if measured.model.is_opaque:
        drawn = f"where the {first}marked units are in their maps (what they see of the crop is unknown)"
    return (
        f"Photo: {drawn}; the area outside the network's crop is paler. "
        f"Tiles: the activations of one map over the crop, each on its own scale ({colours}). Marked: "
        f"{marked}."
    )
