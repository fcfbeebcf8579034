"""The analyzer `top-k` and its tables."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, Context, Need, Notice, Table
from zfscope.choices import coarsest
from zfscope.records import Record, RecordState
from zfscope.results import Cell, merge_notices
from zfscope.store import Model
from zfscope_analyzers.rules import deconvnet_notices
from zfscope_analyzers.top_k.figure import draw_page
from zfscope_analyzers.top_k.inspect import (
    Inspection,
    MapRank,
    inspect_records,
    inspection_notices,
    view_shape,
    view_tensors,
)
from zfscope_analyzers.top_k.page import Page, TopKParams, load_page
from zfscope_analyzers.top_k.statistics import statistics_tables

_STATES = list(RecordState)
_COLUMNS = (
    *("layer", "map", "rank", "path", "class", "value", "recomputed", "y", "x", "state"),
    *("x0", "y0", "x1", "y1", "ssim", "rank_correlation", "blake2b"),
)


class TopKAnalyzer:
    """Strongest photos of feature maps: projections next to image patches, as in the paper's Fig 2.

    Takes no photo. The photos are read again from where `zfscope index` found them, their hash and recorded
    activation are verified, and the outcome for each record is its `state`, see
    `zfscope.records.RecordState`.

    Tables: `records` (layer, map, rank, path, class, value: the recorded activation; recomputed: the
    activation computed now; y, x: position of the unit, None in a fully connected layer; state; x0, y0, x1,
    y1: the patch in photo pixels; ssim and rank_correlation of projection and control, see
    `zfscope.analysis.control`; blake2b: hash of the photo's file), `maps` (map; alive: number of photos with
    an activation above 0; images: number of photos in the index; dead: 0 or 1; index: its name),
    `histograms` (map, lower, upper, photos: number of photos by the map's maximum in them; the first row of a
    map, with the upper edge 0, counts the photos that do not activate it; an upper edge of None is infinite)
    and `classes` (map, class; photos: number of photos of the class among all records of the map with an
    activation above 0, not only the `top` shown; mean: their mean activation; images: number of photos of the
    class in the index, None if it is unknown).

    Tensors: `projections` and, with the control, `controls`, float32 (maps, top, C, size, size), channels in
    the network's order; `patches` uint8 (maps, top, size, size, 3), RGB; `states` uint8 (maps, top): 0 ok,
    1 differs, 2 changed, 3 gone, 4 silent. `size` is the side of the layer's receptive field, or of the
    network's input if that is smaller. Projections and patches are zero outside of the picture and for
    records without a projection. Picture: `top-k`. An opaque network has no projections: activations are
    verified by its runtime, and patches are the whole crop.
    """

    name = "top-k"
    summary = "Show the strongest photos of feature maps from an index: projections and image patches (Fig 2)"
    api_version = 2
    photos = (0, 0)
    params = TopKParams
    needs = (Need.outputs,)

    def cost(self, model: Model, params: TopKParams) -> int:
        """Return two passes, a trace and a projection, per record; twice that with a control."""
        passes = 2 * (len(params.maps) or params.count) * params.top
        return 2 * passes if params.control else passes

    def analyze(self, context: Context, params: TopKParams) -> Analysis:
        """Read the photos again, verify their recorded activations, and project.

        Raises NotFound for an index, layer or map that does not exist, InputError if several indexes exist
        and none is named, for a page after the last map, and for a `top` beyond the number of records.
        """
        page = load_page(context, params)
        statistics = statistics_tables(context.model, page)
        inspections: dict[MapRank, Inspection] = {}
        precision = coarsest(context.precision, page.precision)

        def partial_result(indices: Sequence[int]) -> Analysis:
            return Analysis(
                pictures=(draw_page(context.model, page, inspections, indices, control=params.control),),
                precision=precision,
            )

        all_indices = range(len(page.maps))
        for share in inspect_records(context, page, params, inspections):
            complete = [
                index
                for index in all_indices
                if all(MapRank(index, rank) in inspections for rank in range(page.top))
            ]
            context.progress(
                share, partial(partial_result, complete) if context.pictures and complete else None
            )
        context.check_cancelled()
        return Analysis(
            tensors=_tensors(context.model, page, inspections, params) if context.tensors else {},
            pictures=partial_result(all_indices).pictures if context.pictures else (),
            tables=_tables(context.model, page, inspections) | statistics,
            warnings=merge_notices((*_rule_notices(context.model, page), *inspection_notices(inspections))),
            precision=precision,
        )


def _rule_notices(model: Model, page: Page) -> Sequence[Notice]:
    """Return the warnings about projections of the layer; an opaque network has none."""
    return () if model.is_opaque else deconvnet_notices(model.spec, page.layer)


def _tables(model: Model, page: Page, inspections: Mapping[MapRank, Inspection]) -> dict[str, Table]:
    has_maps = model.spec.has_maps(page.layer)
    rows = (
        _row(record, inspections[MapRank(index, rank)], has_maps=has_maps)
        for index, records in enumerate(page.records)
        for rank, record in enumerate(records)
    )
    maps = (
        (number, alive, page.images, int(alive == 0), page.index.name)
        for number, alive in zip(page.maps, page.alive, strict=True)
    )
    return {
        "records": Table(_COLUMNS, tuple(rows)),
        "maps": Table(("map", "alive", "images", "dead", "index"), tuple(maps)),
    }


def _row(record: Record, inspection: Inspection, *, has_maps: bool) -> tuple[Cell, ...]:
    key = (record.layer, record.map, record.rank, record.path, record.label or None, record.value)
    position = (record.y, record.x) if has_maps else (None, None)
    view_cells: tuple[Cell, ...] = (None,) * 6
    if (view := inspection.view) is not None:
        box, similarity = view.in_photo, view.similarity
        view_cells = (box.x0, box.y0, box.x1, box.y1, similarity.ssim, similarity.rank_correlation)
    return (*key, inspection.recomputed, *position, inspection.state.value, *view_cells, record.blake2b)


def _tensors(
    model: Model, page: Page, inspections: Mapping[MapRank, Inspection], params: TopKParams
) -> dict[str, NDArray[Any]]:
    planes, shape = view_shape(model.spec, page.layer), (len(page.maps), page.top)
    states = np.zeros(shape, np.uint8)
    for position, each in inspections.items():
        states[position] = _STATES.index(each.state)
    tensors = {**view_tensors(inspections, shape, planes, control=params.control), "states": states}
    if model.is_opaque:
        del tensors["projections"]
    return tensors
