"""Figure like Fig 4: a row per feature map, a column per epoch, and a chart of how fast the maps settle."""

import numpy as np
from PIL import Image

from zfscope.analysis.contract import Picture, picture
from zfscope.images.layout import (
    FAINT,
    SMALL,
    Colour,
    blank,
    cell,
    hstack,
    page,
    paragraph,
    vstack,
)
from zfscope.images.render import symmetric_scale
from zfscope.records import RecordState
from zfscope_analyzers.evolve.evolution import MapEpoch, MapEvolution
from zfscope_analyzers.top_k.figure import record_tiles

_TILE_PX, _BAR_PX, _NAME_PX, _CURVE_PX = 128, 6, 90, 300
_TILE_GAP, _COLUMN_GAP, _ROW_GAP = 2, 14, 16
_MIN_WIDTH_PX = 640
_JUMP: Colour = (240, 120, 0)


def draw_evolution(evolution: MapEvolution) -> Picture:
    """Draw the maps and, if it was measured, the curve of how fast they settle."""
    timeline, end = evolution.timeline, evolution.timeline.final.page
    table = vstack(
        [_head(evolution), *(_row(evolution, index) for index in range(len(timeline.maps)))], gap=_ROW_GAP
    )
    width = max(table.width, _MIN_WIDTH_PX)
    body, caption = [table], _caption(evolution)
    if evolution.settling is not None and len(timeline.snapshots) > 1:
        body.append(paragraph(caption, SMALL, width, FAINT))
        if any(each.median is not None for each in evolution.settling):
            body.append(_curve(evolution, width))
        caption = _curve_caption(evolution)
    drawn = page(
        f"Evolution of {timeline.layer} in {timeline.final.model.name} during training",
        body,
        scale=_scale_note(evolution),
        subtitle=f"Strongest of the {end.images:,} photos of index '{end.index.name}' at each epoch",
        caption=caption,
        width_px=width,
    )
    return picture("evolution", drawn)


def _head(evolution: MapEvolution) -> Image.Image:
    cells = [
        hstack([blank(_BAR_PX, 1), cell(f"epoch {snapshot.label}", _TILE_PX)], gap=0)
        for snapshot in evolution.timeline.snapshots
    ]
    return hstack([blank(_NAME_PX, 1), *cells], gap=_COLUMN_GAP)


def _row(evolution: MapEvolution, index: int) -> Image.Image:
    cells = [
        _cell(evolution, MapEpoch(index, snapshot)) for snapshot in range(len(evolution.timeline.snapshots))
    ]
    return hstack([cell(f"map {evolution.timeline.maps[index]}", _NAME_PX), *cells], gap=_COLUMN_GAP)


def _cell(evolution: MapEvolution, position: MapEpoch) -> Image.Image:
    """Draw a map at an epoch: activation, projection and patch, with a bar if the photo has changed."""
    jumped, inspection = evolution.jumped(position), evolution.inspections[position]
    value = "" if inspection.state is RecordState.DEAD else f"{evolution.record(position).value:.3g}"
    text, colour = (f"{value}  jump", _JUMP) if jumped else (value, FAINT)
    shown = record_tiles(
        inspection.view, inspection.state, evolution.timeline.final.model.preprocessing, _TILE_PX
    )
    label = cell(text, _TILE_PX, size_px=SMALL, colour=colour)
    column = vstack([label, vstack(shown, gap=_TILE_GAP)], gap=2)
    bar = blank(_BAR_PX, column.height)
    if jumped:
        bar.paste(_JUMP, (0, 0, _BAR_PX - 2, column.height))
    return hstack([bar, column], gap=0)


def _caption(evolution: MapEvolution) -> str:
    text = (
        "Top of each pair: projection of the map's strongest activation over all photos, with the weights of "
        "the epoch (grey is zero, white and black are equally strong, each projection on its own scale). "
        "Below it: the corresponding patch of the photo, grey outside of the photo. The number is the "
        "activation. An orange bar and the word 'jump' mark a photo that differs from the previous column's."
    )
    states = {each.state for each in evolution.inspections.values()}
    marks = [f"{state}: {state.meaning}" for state in RecordState if state in states - {RecordState.OK}]
    return f"{text} Frames mark: {'; '.join(marks)}." if marks else text


def _curve(evolution: MapEvolution, width_px: int) -> Image.Image:
    """Draw the quartiles of the epochs that have any, evenly spaced like the columns."""
    # Imports matplotlib, which only drawing needs.
    from zfscope.images.curves import Band, plot_bands

    snapshots, numbers = evolution.timeline.snapshots, evolution.settling or ()
    points = [
        (index, (each.median, each.lower, each.upper))
        for index, each in enumerate(numbers)
        if each.median is not None
    ]
    positions = np.array([index for index, _ in points], np.float64)
    quartiles = np.array([values for _, values in points], np.float64).reshape(-1, 3)
    band = Band(f"{evolution.timeline.layer}: median and quartiles", positions, *quartiles.T)
    drawn = plot_bands(
        [band],
        title="How fast the maps settle",
        quantity="epoch",
        ticks=[snapshot.label for snapshot in snapshots],
        measure="correlation with the end of training",
        width_px=width_px,
        height_px=_CURVE_PX,
    )
    return Image.fromarray(drawn)


def _curve_caption(evolution: MapEvolution) -> str:
    quartiles = evolution.settling or ()
    if all(each.median is None for each in quartiles):
        return (
            "How fast the maps settle cannot be shown: at the end of training these maps are dead, or their "
            "strongest photos are gone."
        )
    counts = ", ".join(str(each.maps) for each in quartiles)
    return (
        "Chart: correlation of two projections of each map's final strongest photo from the same unit, with "
        "the weights of the epoch and with the final weights (1: identical up to scale). Only maps "
        f"whose unit is active at both: {counts} of {len(evolution.timeline.maps)}. Epochs are evenly spaced."
    )


def _scale_note(evolution: MapEvolution) -> str:
    """Return a note on the grey levels of each projection."""
    rule = (
        "each projection on its own scale: symmetric linear; 128 grey = 0; full white (255) = the number "
        "below, full black (1) = minus that number, larger magnitudes are clipped; epochs in order"
    )
    notes = [f"map {number}: {_scales(evolution, row)}" for row, number in enumerate(evolution.timeline.maps)]
    return ". ".join([rule, *notes])


def _scales(evolution: MapEvolution, index: int) -> str:
    snapshots = range(len(evolution.timeline.snapshots))
    views = [evolution.inspections[MapEpoch(index, snapshot)].view for snapshot in snapshots]
    projections = [None if each is None else each.projection for each in views]
    return ", ".join("none" if each is None else f"{symmetric_scale(each):.4g}" for each in projections)
