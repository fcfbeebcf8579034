"""Table 1, with the covered photos beside."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from zfscope.analysis.contract import Context, Picture, picture
from zfscope.images.compose import FAINT, above, beside, blank, framed, paragraph, text
from zfscope.images.render import Rendering
from zfscope_analyzers.correspond.compare import Row, covered
from zfscope_analyzers.correspond.params import RANDOM, CorrespondParams

_NAME_PX, _NUMBER_PX, _TILES_PX, _SMALLEST_TILE_PX = 170, 150, 1000, 48
_TITLE, _BODY, _SMALL, _GAP, _MARGIN = 27, 16, 14, 4, 36


def figure(context: Context, params: CorrespondParams, rows: Sequence[Row]) -> Picture:
    """Draw Table 1 with the covered photos beside: a row for each part."""
    tile_px = min(160, max(_SMALLEST_TILE_PX, _TILES_PX // len(context.images)))
    head = [_cell("covered", _NAME_PX, 0), *(_cell(layer, _NUMBER_PX, 0) for layer in params.layers)]
    lines = [beside(head, gap=0)]
    for row in rows:
        places = zip(context.images, row.coverings[0].boxes, strict=True)
        views = [covered(context.model, prepared, box, params.fill)[0] for prepared, box in places]
        tiles = [Image.fromarray(view).resize((tile_px, tile_px), Image.Resampling.LANCZOS) for view in views]
        numbers = (_cell(_figures(row, layer), _NUMBER_PX, tile_px) for layer in params.layers)
        lines.append(beside([_cell(row.name, _NAME_PX, tile_px), *numbers, beside(tiles, gap=_GAP)], gap=0))
    table = above(lines, gap=_GAP + 4)
    model = context.model
    title = paragraph(f"Correspondence in {model.name} version {model.version}", _TITLE, table.width)
    caption = paragraph(_caption(rows), _SMALL, table.width, FAINT)
    page = framed(above([title, table, caption], gap=20), _MARGIN)
    note = f"photos covered with: {params.fill}; the numbers are those of the table 'correspondence'"
    return picture("correspondence", Rendering(np.asarray(page), note))


def _figures(row: Row, layer: str) -> str:
    pairs = row.pairs(layer)
    return f"{pairs.mean():.3f} \u00b1 {pairs.std():.3f}"


def _cell(words: str, width_px: int, height_px: int) -> Image.Image:
    """Write words at the left of a cell, half way up."""
    line = text(words, _BODY, width_px=width_px - 10)
    cell = blank(width_px, max(line.height, height_px))
    cell.paste(line, (0, (cell.height - line.height) // 2))
    return cell


def _caption(rows: Sequence[Row]) -> str:
    words = (
        "Mean feature sign change: the share of a layer's features that do not change the same way in two "
        "photos when the part is covered, over all pairs of photos, \u00b1 standard deviation. Lower: the "
        "network relates the parts more closely."
    )
    if rows[-1].name == RANDOM:
        words += f" Control: {len(rows[-1].coverings)} draws of random boxes, of which the first is shown."
    return words
