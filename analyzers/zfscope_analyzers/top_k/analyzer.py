"""The strongest photos of maps, as an analyzer: what it takes, costs and gives."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, Context, Table
from zfscope.engine.frame import framing_of
from zfscope.records import Record, RecordState
from zfscope.results import Cell, merge_notices
from zfscope.store import Model
from zfscope_analyzers.top_k.figure import figure
from zfscope_analyzers.top_k.inspect import Inspection, Place, inspect_records, view_tensors
from zfscope_analyzers.top_k.page import Page, TopKParams, page_of

_STATES = list(RecordState)
_COLUMNS = (
    *("layer", "map", "rank", "path", "class", "value", "recomputed", "y", "x", "state"),
    *("x0", "y0", "x1", "y1", "ssim", "rank_correlation"),
)


class TopK:
    """Shows the photos of an index that activate maps most: projections beside patches, as the paper's Fig 2.

    It takes no photo: they are read again from where they were when `zfscope index` made the index, their
    hash and the recorded activation are verified, and what became of each record is its `state`, see
    `zfscope.records.RecordState`.

    Tables: `records` (layer, map, rank, path, class, value: the recorded activation, recomputed: that of now,
    y, x: the unit's place, none in a fully connected layer, state; x0, y0, x1, y1: the patch in photo pixels;
    ssim and rank_correlation of projection and control, see `zfscope.analysis.control`) and `maps` (map,
    alive: the photos in which it has an activation above 0, images: all photos of the index, dead: 0 or 1).
    Tensors, `size` being the side of the layer's receptive field, or of the network's input where that is no
    larger: `projections` float32 (maps, top, 3, size, size), channels in the network's order, and `controls`
    with the control; `patches` uint8 (maps, top, size, size, 3), RGB; all zero beyond the edges of the
    picture, and for records of which nothing was seen; `states` uint8 (maps, top), 0 ok, 1 differs,
    2 changed, 3 gone, 4 silent. One picture, `top-k`.
    """

    name = "top-k"
    summary = "The photos of an index that activate maps most: projections beside their patches (Fig 2)"
    api_version = 2
    photos = (0, 0)
    params = TopKParams

    def cost(self, model: Model, params: TopKParams) -> int:
        """Count a trace and a projection for each record, and the same of the control."""
        passes = 2 * (len(params.maps) or params.count) * params.top
        return 2 * passes if params.control else passes

    def analyze(self, context: Context, params: TopKParams) -> Analysis:
        """Read the photos again, verify what was recorded, and project.

        Raises NotFound where there is no such index, layer or map, InputError where an index has to be named,
        for a page beyond the last map, and for a `top` beyond what was indexed.
        """
        page = page_of(context, params)
        found: dict[Place, Inspection] = {}

        def drawn(places: Sequence[int]) -> Analysis:
            return Analysis(pictures=(figure(context.model, page, found, places, control=params.control),))

        every = range(len(page.maps))
        for share in inspect_records(context, page, params, found):
            complete = [
                place for place in every if all(Place(place, rank) in found for rank in range(page.top))
            ]
            context.progress(share, partial(drawn, complete) if context.pictures and complete else None)
        context.check_cancelled()
        return Analysis(
            tensors=_tensors(context.model, page, found, params) if context.tensors else {},
            pictures=drawn(every).pictures if context.pictures else (),
            tables=_tables(context.model, page, found),
            warnings=merge_notices(notice for each in found.values() for notice in each.warnings),
        )


def _tables(model: Model, page: Page, found: Mapping[Place, Inspection]) -> dict[str, Table]:
    is_map = model.spec.is_map(page.layer)
    rows = (
        _row(record, found[Place(place, rank)], is_map=is_map)
        for place, records in enumerate(page.records)
        for rank, record in enumerate(records)
    )
    maps = (
        (map, alive, page.images, int(alive == 0)) for map, alive in zip(page.maps, page.alive, strict=True)
    )
    return {
        "records": Table(_COLUMNS, tuple(rows)),
        "maps": Table(("map", "alive", "images", "dead"), tuple(maps)),
    }


def _row(record: Record, found: Inspection, *, is_map: bool) -> tuple[Cell, ...]:
    about = (record.layer, record.map, record.rank, record.path, record.label or None, record.value)
    place = (record.y, record.x) if is_map else (None, None)
    seen: tuple[Cell, ...] = (None,) * 6
    if (view := found.view) is not None:
        box, alike = view.in_photo, view.alike
        seen = (box.x0, box.y0, box.x1, box.y1, alike.ssim, alike.rank_correlation)
    return (*about, found.recomputed, *place, found.state.value, *seen)


def _tensors(
    model: Model, page: Page, found: Mapping[Place, Inspection], params: TopKParams
) -> dict[str, NDArray[Any]]:
    size, shape = framing_of(model.network, page.layer).size, (len(page.maps), page.top)
    states = np.zeros(shape, np.uint8)
    for place, each in found.items():
        states[place] = _STATES.index(each.state)
    return {**view_tensors(found, shape, size, control=params.control), "states": states}
