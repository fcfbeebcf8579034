"""The analyzer `occlude` and its result."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, Context, Picture, Table
from zfscope.images.geometry import Box
from zfscope.results import merge_notices
from zfscope.rounding import first_lowest
from zfscope.store import Model
from zfscope_analyzers.occlude.figure import draw_figure, draw_partial
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.passes import (
    OcclusionScores,
    is_lowered,
    likeliest_classes,
    run_passes,
    value_floor,
)
from zfscope_analyzers.occlude.setup import (
    OcclusionRun,
    WatchedProjection,
    class_values,
    prepare_run,
    project_watched,
)
from zfscope_analyzers.occlude.windows import (
    average_over_windows,
    likeliest_map,
    resample_to_photo,
    window_starts,
)


class Occlude:
    """Sensitivity of class scores and of a map's total activation to occluded windows of the photo (Fig 7).

    Number: `windows`. Tables: `classes` (label_id, label, clean: the value without occlusion, lowest; x0, y0,
    x1, y1: the window in photo pixels that lowers the class most, the first of those that differ only by
    rounding, None if no window lowers it by more than rounding) and `watched` (layer, map, clean_total,
    lowest_total; ssim and rank_correlation of the projection and its control, see
    `zfscope.analysis.control`).

    Tensors, for N windows: `windows` int64 (N, 4), first row, first column, rows and columns in the network's
    input, for a mask those of its bounding box; `values` float32 (targets, N); `likeliest` int64 (N,), the
    most likely class; `totals` float32 (N,), the map's activations summed over space. Averaged over the
    windows or masks that occlude a pixel: `value-maps` (targets, H, W) and `total-map` (H, W) of the crop,
    and `photo-value-maps` in photo pixels; pixels that were never occluded have the clean value. `projection`
    (C, H, W) of the map's strongest unit and, with the control, `control-projection`. Picture: `occlusion`,
    all panels of Fig 7.
    """

    name = "occlude"
    summary = "Measure how a class and a feature map depend on regions of a photo by occluding them (Fig 7)"
    api_version = 2
    photos = (1, 1)
    params = OccludeParams

    def cost(self, model: Model, params: OccludeParams) -> int:
        """Return one pass per window plus those without occlusion; recomputing costs less."""
        others = 4 if params.control else 2
        if regions := params.boxes or params.masks:
            return others + len(regions)
        side = model.preprocessing.crop
        return others + len(window_starts(side, *params.sizes(side))) ** 2

    def analyze(self, context: Context, params: OccludeParams) -> Analysis:
        """Occlude windows of the photo's first crop.

        Raises InputError for a window larger than the crop, a box outside of it, a mask that is not an image,
        differs from the photo in size or misses the crop, and for a name that several classes share; NotFound
        for a class, layer or map that the model lacks.
        """
        run = prepare_run(context, params)
        count, classes = len(run.windows), len(run.labels)
        scores = OcclusionScores(np.zeros((count, classes), np.float32), np.zeros(count, np.float32))
        for share in run_passes(run, scores):
            context.check_cancelled()
            has_picture = context.pictures and scores.done
            context.progress(share, partial(draw_partial, run, scores) if has_picture else None)
        return _result(run, scores)


def _result(run: OcclusionRun, scores: OcclusionScores) -> Analysis:
    """Return the result over all windows."""
    view = run.prepared.views[0]
    size = view.shape[:2]
    values = class_values(scores.logits, run.params.value)[:, run.targets].T
    likeliest = likeliest_classes(run, scores.logits)
    maps = np.stack(
        [
            average_over_windows(row, run.windows, size, float(run.clean[target]))
            for row, target in zip(values, run.targets, strict=True)
        ]
    )
    clean_total = _clean_total(run)
    total_map = average_over_windows(scores.totals, run.windows, size, clean_total)
    watched = project_watched(run)
    tensors: dict[str, NDArray[Any]] = {
        "windows": np.array([(w.y, w.x, w.height, w.width) for w in run.windows], np.int64),
        "values": values.astype(np.float32),
        "likeliest": likeliest,
        "totals": scores.totals,
        "value-maps": maps,
        "total-map": total_map,
        "projection": watched.pixels,
    }
    if watched.control is not None:
        tensors["control-projection"] = watched.control
    if run.context.tensors:
        tensors["photo-value-maps"] = np.stack(
            [
                resample_to_photo(heat, run.prepared, float(run.clean[t]))
                for heat, t in zip(maps, run.targets, strict=True)
            ]
        )
    pictures: tuple[Picture, ...] = ()
    if run.context.pictures:
        classes = likeliest_map(likeliest, run.windows, size, int(run.clean.argmax()))
        pictures = draw_figure(run, scores, maps, total_map, classes, watched)
    tables = {
        "classes": _class_table(run, values),
        "watched": _watched_table(run, scores, clean_total, watched),
    }
    numbers = {"windows": float(len(run.windows))}
    warnings = merge_notices(notice for window in run.windows for notice in window.warnings)
    return Analysis(tensors, pictures, numbers, tables, warnings)


def _clean_total(run: OcclusionRun) -> float:
    return float(run.traced.outputs[run.params.layer][0, run.unit.map].sum())


def _class_table(run: OcclusionRun, values: NDArray[np.float64]) -> Table:
    rows = []
    for target, row in zip(run.targets, values, strict=True):
        label, corners = run.labels[target], _lowest_window(run, target, row)
        rows.append((label.id, label.name, float(run.clean[target]), float(row.min()), *corners))
    return Table(("label_id", "label", "clean", "lowest", "x0", "y0", "x1", "y1"), tuple(rows))


def _lowest_window(run: OcclusionRun, target: int, values: NDArray[np.float64]) -> Sequence[float | None]:
    """Return the window that lowers a class most, x0, y0, x1, y1 in photo pixels; None if no window does."""
    if not is_lowered(run, target, values):
        return (None,) * 4
    window = run.windows[first_lowest(values, floor=value_floor(run, target))]
    box = Box(window.x, window.y, window.x + window.width, window.y + window.height)
    in_photo = run.prepared.geometries[0].to_photo(box)
    return in_photo.x0, in_photo.y0, in_photo.x1, in_photo.y1


def _watched_table(
    run: OcclusionRun, scores: OcclusionScores, clean_total: float, watched: WatchedProjection
) -> Table:
    similarity = watched.similarity
    row = (run.params.layer, run.unit.map, clean_total, float(scores.totals.min()))
    columns = ("layer", "map", "clean_total", "lowest_total", "ssim", "rank_correlation")
    return Table(columns, ((*row, similarity.ssim, similarity.rank_correlation),))
