"""What became of the records, as tables and tensors."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Table
from zfscope.engine.frame import framing_of
from zfscope.networks import Network
from zfscope.results import Cell, Notice, merge_notices
from zfscope.scan import Record
from zfscope_analyzers.top_k.look import Look, Place, State
from zfscope_analyzers.top_k.page import Page

STATES: tuple[State, ...] = get_args(State)
_COLUMNS = (
    *("layer", "map", "rank", "path", "class", "value", "recomputed", "y", "x", "state"),
    *("x0", "y0", "x1", "y1", "ssim", "rank_correlation"),
)


def tables_of(network: Network, page: Page, looks: Mapping[Place, Look]) -> dict[str, Table]:
    """Give the tables `records` and `maps`."""
    is_map = len(network.shapes[page.layer]) == 3
    rows = (
        _row(record, looks[Place(place, rank)], is_map=is_map)
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


def warnings_of(looks: Iterable[Look]) -> tuple[Notice, ...]:
    """Return what was assumed of the photos, each warning once."""
    return merge_notices(notice for look in looks for notice in look.warnings)


def _row(record: Record, look: Look, *, is_map: bool) -> tuple[Cell, ...]:
    about = (record.layer, record.map, record.rank, record.path, record.label or None, record.value)
    place = (record.y, record.x) if is_map else (None, None)
    seen: tuple[Cell, ...] = (None,) * 6
    if (sight := look.sight) is not None:
        box, alike = sight.in_photo, sight.alike
        seen = (box.x0, box.y0, box.x1, box.y1, alike.ssim, alike.rank_correlation)
    return (*about, look.recomputed, *place, look.state, *seen)


def tensors_of(
    network: Network, page: Page, looks: Mapping[Place, Look], *, control: bool
) -> dict[str, NDArray[Any]]:
    """Give the tensors; where nothing was seen of a record they are zero, and `states` says why."""
    size, shape = framing_of(network, page.layer).size, (len(page.maps), page.top)
    states = np.zeros(shape, np.uint8)
    projections = np.zeros((*shape, 3, size, size), np.float32)
    patches = np.zeros((*shape, size, size, 3), np.uint8)
    controls = np.zeros_like(projections)
    for place, look in looks.items():
        states[place] = STATES.index(look.state)
        if look.sight is not None:
            projections[place], patches[place] = look.sight.projection, look.sight.patch
            if look.sight.control is not None:
                controls[place] = look.sight.control
    tensors: dict[str, NDArray[Any]] = {"projections": projections, "patches": patches, "states": states}
    return tensors | ({"controls": controls} if control else {})
