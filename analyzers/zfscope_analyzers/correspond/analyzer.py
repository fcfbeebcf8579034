"""The analyzer `correspond`, its tables and its figure: Table 1 of the paper with the occluded photos."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Analysis, Context, Need, Picture, Table, picture
from zfscope.images.layout import cell, hstack, page, vstack
from zfscope.store import Model
from zfscope_analyzers.correspond.compare import (
    CorrespondenceRow,
    OccludedRegion,
    draw_random_regions,
    locate_parts,
    measure_changes,
    occlude_box,
)
from zfscope_analyzers.correspond.params import RANDOM, CorrespondParams

_NAME_PX, _NUMBER_PX, _TILES_PX, _SMALLEST_TILE_PX = 170, 150, 1000, 48
_CELL_GAP, _TILE_GAP, _ROW_GAP = 10, 4, 8


class Correspond:
    """Comparison of how each feature changes when the same part is occluded in every photo (Sec 4.3).

    Let x be the features of a photo's first crop, x~ those after the part is painted over in its pixels
    (before the preprocessing subtracts anything), and e = x - x~. The measure for photos i and j is the
    Hamming distance between sign(e_i) and sign(e_j) divided by the number of features: 0 if features change
    in the same direction in both photos, that is, if the network relates the two parts. The table has the
    mean over all pairs of photos and its standard deviation (dividing by the number of pairs), as Table 1 of
    the paper.

    A sign is -1, 0 or 1: a feature that does not change in one photo (0) differs from one that decreases or
    increases in the other, and agrees with one that does not change either. A change of at most 2e-6 of the
    photo's largest feature in the layer is rounding and counts as 0, see `zfscope.rounding`.

    The control occludes boxes at random positions, uniform over the network's crop and independent of each
    other, with the mean size of the photo's parts; its mean and deviation are over all draws and pairs.

    Returns the table `correspondence` (part, layer, mean, deviation, pairs), with the control as the part
    `random`; the picture `correspondence`; the tensors `hamming`, float32 (parts, layers, photos, photos),
    and `boxes`, int64 (parts, photos, 4): x0, y0, x1, y1 in pixels of the network's input; and, with a
    control, `random-hamming` and `random-boxes`, with draws in place of parts.
    """

    name = "correspond"
    summary = (
        "Test whether occluding the same part in photos changes features consistently (Sec 4.3, Table 1)"
    )
    api_version = 2
    photos = (2, 32)
    params = CorrespondParams
    needs = (Need.outputs,)

    def cost(self, model: Model, params: CorrespondParams) -> int:
        """Return the number of forward passes per photo: one unoccluded, one per part and control draw."""
        return 1 + len(params.parts) + params.random

    def analyze(self, context: Context, params: CorrespondParams) -> Analysis:
        """Occlude the parts, then the boxes of the control, and compare.

        Raises NotFound for a layer that the model lacks, InputError for a part without exactly one box per
        photo and for a box outside of the crop that the network sees.
        """
        params = params.resolve(context.model.spec)
        parts = locate_parts(context.images, params)
        draws = draw_random_regions(context.images, parts, params)
        distances = measure_changes(context, params, [*parts, *draws])
        rows = [_row([part], distances[n : n + 1], params.layers) for n, part in enumerate(parts)]
        control = _row(draws, distances[len(parts) :], params.layers) if draws else None
        shown = rows if control is None else [*rows, control]
        return Analysis(
            tensors=_tensors(rows, "") | (_tensors([control], "random-") if control else {}),
            pictures=(_figure(context, params, shown),) if context.pictures else (),
            tables={"correspondence": _table(shown, params.layers)},
        )


def _row(
    regions: Sequence[OccludedRegion],
    distances: Sequence[Mapping[str, NDArray[np.float32]]],
    layers: Sequence[str],
) -> CorrespondenceRow:
    hammings = {layer: np.stack([shares[layer] for shares in distances]) for layer in layers}
    return CorrespondenceRow(regions[0].name, regions, hammings)


def _tensors(
    rows: Sequence[CorrespondenceRow], prefix: str
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    shares = [np.stack(list(row.hamming.values()), axis=1) for row in rows]
    sides = [
        [[box.x0, box.y0, box.x1, box.y1] for box in region.boxes] for row in rows for region in row.regions
    ]
    return {f"{prefix}hamming": np.concatenate(shares), f"{prefix}boxes": np.array(sides, np.int64)}


def _table(rows: Sequence[CorrespondenceRow], layers: Sequence[str]) -> Table:
    cells = (
        (row.name, layer, float(pairs.mean()), float(pairs.std()), len(pairs))
        for row in rows
        for layer in layers
        for pairs in (row.pairs(layer),)
    )
    return Table(("part", "layer", "mean", "deviation", "pairs"), tuple(cells))


def _figure(context: Context, params: CorrespondParams, rows: Sequence[CorrespondenceRow]) -> Picture:
    """Draw Table 1, a row per part, with the occluded photos next to each row."""
    tile_px = min(160, max(_SMALLEST_TILE_PX, _TILES_PX // len(context.images)))
    names = ("occluded part", *params.layers)
    widths = (_NAME_PX, *[_NUMBER_PX] * len(params.layers))
    head = [cell(name, width, gap_px=_CELL_GAP) for name, width in zip(names, widths, strict=True)]
    lines = [hstack(head, gap=0)]
    for row in rows:
        pairs = zip(context.images, row.regions[0].boxes, strict=True)
        views = [occlude_box(context.model, prepared, box, params.fill)[0] for prepared, box in pairs]
        tiles = [Image.fromarray(view).resize((tile_px, tile_px), Image.Resampling.LANCZOS) for view in views]
        texts = (row.name, *(_mean_and_deviation(row, layer) for layer in params.layers))
        cells = [
            cell(text, width, gap_px=_CELL_GAP, height_px=tile_px)
            for text, width in zip(texts, widths, strict=True)
        ]
        lines.append(hstack([*cells, hstack(tiles, gap=_TILE_GAP)], gap=0))
    model = context.model
    drawn = page(
        f"Correspondence analysis of {model.name} version {model.version}",
        [vstack(lines, gap=_ROW_GAP)],
        scale=f"occluded with: {params.fill}; numbers as in the table 'correspondence'",
        caption=_caption(rows),
        gap=20,
    )
    return picture("correspondence", drawn)


def _mean_and_deviation(row: CorrespondenceRow, layer: str) -> str:
    pairs = row.pairs(layer)
    return f"{pairs.mean():.3f} \u00b1 {pairs.std():.3f}"


def _caption(rows: Sequence[CorrespondenceRow]) -> str:
    text = (
        "Mean feature sign change: the share of a layer's features whose change differs in sign between two "
        "photos when the part is occluded, averaged over all pairs of photos, \u00b1 standard deviation. "
        "Lower values mean that the network relates the parts more closely."
    )
    if rows[-1].name == RANDOM:
        text += f" Control: {len(rows[-1].regions)} draws of random boxes; the first is shown."
    return text
