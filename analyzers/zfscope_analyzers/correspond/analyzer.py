"""Correspondence as an analyzer: what it takes and gives, Table 1 with the covered photos beside too."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Analysis, Context, Picture, Table, picture
from zfscope.images.layout import above, beside, cell, page
from zfscope.store import Model
from zfscope_analyzers.correspond.compare import Covering, Row, compare, covered, draws_of, parts_of
from zfscope_analyzers.correspond.params import RANDOM, CorrespondParams

_NAME_PX, _NUMBER_PX, _TILES_PX, _SMALLEST_TILE_PX = 170, 150, 1000, 48
_CELL_GAP, _TILE_GAP, _ROW_GAP = 10, 4, 8


class Correspond:
    """Covers the same part in every photo, and compares which way each feature changes.

    x and x~ are the features of a photo before and after (first crop; the part painted over in its
    pixels, before anything is subtracted); e = x - x~. For each pair of photos i and j, the Hamming
    distance between sign(e_i) and sign(e_j), divided by the number of features: 0 where the network changes
    alike on both, which says that it relates the parts. The table gives the mean over all pairs and its
    standard deviation over them (dividing by their number), as the paper's Table 1.

    A sign is -1, 0 or 1, and signs are compared as they are: a feature that does not change in one photo
    (0) differs from one that falls or rises in the other, and agrees with one that does not change either.
    A change that is rounding, at most 2e-6 of the photo's largest feature in the layer, counts as 0: see
    `zfscope.rounding`.

    The control covers boxes at random places (uniform over the network's crop, independent of each other)
    as large as the photo's parts in the mean; its figures are over all draws and pairs.

    Gives the table `correspondence` (part, layer, mean, deviation, pairs), the control as the part `random`;
    the picture `correspondence`; the tensors `hamming`, float32 (parts, layers, photos, photos), `boxes`,
    int64 (parts, photos, 4): x0, y0, x1, y1 in pixels of the network's input, and, with a control,
    `random-hamming` and `random-boxes`, with the draws instead of the parts.
    """

    name = "correspond"
    summary = "Whether covering the same part of different photos changes features alike (Sec 4.3, Table 1)"
    api_version = 2
    photos = (2, 32)
    params = CorrespondParams

    def cost(self, model: Model, params: CorrespondParams) -> int:
        """Count the photo as it is, and once more for each part and each draw of the control."""
        return 1 + len(params.parts) + params.random

    def analyze(self, context: Context, params: CorrespondParams) -> Analysis:
        """Cover the parts, then the control, and compare.

        Raises NotFound for a layer that the model does not have, InputError for a part that has not one box
        for each photo, and for a box that does not lie in the crop that the network sees.
        """
        for place, layer in enumerate(params.layers):
            context.model.network.spec.layer(layer, field=f"layers[{place}]")
        parts = parts_of(context.images, params)
        draws = draws_of(context.images, parts, params)
        found = compare(context, params, [*parts, *draws])
        rows = [_row([part], found[n : n + 1], params.layers) for n, part in enumerate(parts)]
        control = _row(draws, found[len(parts) :], params.layers) if draws else None
        shown = rows if control is None else [*rows, control]
        return Analysis(
            tensors=_tensors(rows, "") | (_tensors([control], "random-") if control else {}),
            pictures=(_figure(context, params, shown),) if context.pictures else (),
            tables={"correspondence": _table(shown, params.layers)},
        )


def _row(
    coverings: Sequence[Covering], found: Sequence[Mapping[str, NDArray[np.float32]]], layers: Sequence[str]
) -> Row:
    hammings = {layer: np.stack([shares[layer] for shares in found]) for layer in layers}
    return Row(coverings[0].name, coverings, hammings)


def _tensors(rows: Sequence[Row], prefix: str) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    shares = [np.stack(list(row.hamming.values()), axis=1) for row in rows]
    sides = [
        [[box.x0, box.y0, box.x1, box.y1] for box in covering.boxes]
        for row in rows
        for covering in row.coverings
    ]
    return {f"{prefix}hamming": np.concatenate(shares), f"{prefix}boxes": np.array(sides, np.int64)}


def _table(rows: Sequence[Row], layers: Sequence[str]) -> Table:
    cells = (
        (row.name, layer, float(pairs.mean()), float(pairs.std()), len(pairs))
        for row in rows
        for layer in layers
        for pairs in (row.pairs(layer),)
    )
    return Table(("part", "layer", "mean", "deviation", "pairs"), tuple(cells))


def _figure(context: Context, params: CorrespondParams, rows: Sequence[Row]) -> Picture:
    """Draw Table 1 with the covered photos beside: a row for each part."""
    tile_px = min(160, max(_SMALLEST_TILE_PX, _TILES_PX // len(context.images)))
    names = ("covered", *params.layers)
    widths = (_NAME_PX, *[_NUMBER_PX] * len(params.layers))
    head = [cell(name, width, gap_px=_CELL_GAP) for name, width in zip(names, widths, strict=True)]
    lines = [beside(head, gap=0)]
    for row in rows:
        places = zip(context.images, row.coverings[0].boxes, strict=True)
        views = [covered(context.model, prepared, box, params.fill)[0] for prepared, box in places]
        tiles = [Image.fromarray(view).resize((tile_px, tile_px), Image.Resampling.LANCZOS) for view in views]
        words = (row.name, *(_mean_and_deviation(row, layer) for layer in params.layers))
        cells = [
            cell(word, width, gap_px=_CELL_GAP, height_px=tile_px)
            for word, width in zip(words, widths, strict=True)
        ]
        lines.append(beside([*cells, beside(tiles, gap=_TILE_GAP)], gap=0))
    model = context.model
    drawn = page(
        f"Correspondence in {model.name} version {model.version}",
        [above(lines, gap=_ROW_GAP)],
        scale=f"photos covered with: {params.fill}; the numbers are those of the table 'correspondence'",
        caption=_caption(rows),
        gap=20,
    )
    return picture("correspondence", drawn)


def _mean_and_deviation(row: Row, layer: str) -> str:
    pairs = row.pairs(layer)
    return f"{pairs.mean():.3f} \u00b1 {pairs.std():.3f}"


def _caption(rows: Sequence[Row]) -> str:
    words = (
        "Mean feature sign change: the share of a layer's features that do not change the same way in two "
        "photos when the part is covered, over all pairs of photos, \u00b1 standard deviation. Lower: the "
        "network relates the parts more closely."
    )
    if rows[-1].name == RANDOM:
        words += f" Control: {len(rows[-1].coverings)} draws of random boxes, of which the first is shown."
    return words
