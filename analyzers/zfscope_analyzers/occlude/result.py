"""Result of an occlusion run: tables, tensors and the picture, for all windows or those finished so far."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import ATTRIBUTION, Analysis, Picture, Table
from zfscope.analysis.control import Similarity
from zfscope.choices import PrecisionName
from zfscope.images.geometry import Box
from zfscope.results import merge_notices
from zfscope.rounding import first_lowest
from zfscope_analyzers.occlude.figure import draw_figure, draw_partial
from zfscope_analyzers.occlude.passes import OcclusionScores, is_lowered, likeliest_classes, value_floor
from zfscope_analyzers.occlude.setup import OcclusionRun, WatchedProjection, class_values, project_watched
from zfscope_analyzers.occlude.windows import average_over_windows, likeliest_map, resample_to_photo
from zfscope_analyzers.rules import deconvnet_notices

# Number of most likely classes before and after the occlusion that are compared.
_COMPARED = 5

Tensors = dict[str, NDArray[Any]]


def partial_result(run: OcclusionRun, scores: OcclusionScores) -> Analysis:
    """Return the result over the finished windows."""
    finished = scores.done
    part = replace(run, windows=[run.windows[index] for index in finished])
    part_scores = OcclusionScores(scores.logits[finished], scores.totals[finished])
    values = _class_values(part, part_scores)
    return Analysis(
        tensors=_window_tensors(part, part_scores, values) if run.context.tensors else {},
        pictures=(draw_partial(part, values[0], len(run.windows)),) if run.context.pictures else (),
        numbers={"windows": float(len(run.windows)), "finished": float(len(finished))},
        tables={
            "classes": _class_table(part, values),
            "watched": _watched_table(part, part_scores, _NO_SIMILARITY),
        },
        precision=run.context.precision,
    )


def complete_result(run: OcclusionRun, scores: OcclusionScores) -> Analysis:
    """Return the result over all windows; the projection is computed only if it is part of it."""
    context, values = run.context, _class_values(run, scores)
    tensors: Tensors = {}
    pictures: tuple[Picture, ...] = ()
    similarity, notices = _NO_SIMILARITY, [notice for window in run.windows for notice in window.warnings]
    if context.tensors or context.pictures:
        tensors = _window_tensors(run, scores, values)
    if context.tensors or context.pictures or run.params.control:
        watched = project_watched(run)
        if watched is not None:
            notices += deconvnet_notices(run.model.spec, run.params.layer)
            tensors, similarity = tensors | _projection_tensors(watched), watched.similarity
        if context.pictures:
            pictures = _pictures(run, scores, tensors, watched)
    if context.tensors:
        tensors[ATTRIBUTION] = np.float32(run.clean[run.targets[0]]) - tensors["value-maps"][0]
        tensors["photo-value-maps"] = np.stack(
            [
                resample_to_photo(heat, run.prepared, float(run.clean[target]))
                for heat, target in zip(tensors["value-maps"], run.targets, strict=True)
            ]
        )
    tables = {
        "classes": _class_table(run, values),
        "watched": _watched_table(run, scores, similarity),
    }
    if len(run.windows) == 1:
        tables["changes"] = _change_table(run, scores)
    numbers = {"windows": float(len(run.windows))}
    return Analysis(tensors, pictures, numbers, tables, merge_notices(notices), context.precision)


_NO_SIMILARITY = Similarity(None, None)


def _class_values(run: OcclusionRun, scores: OcclusionScores) -> NDArray[np.float64]:
    """Return the values of the watched classes, (targets, windows)."""
    return class_values(scores.logits, run.params.value)[:, run.targets].T


def _window_tensors(run: OcclusionRun, scores: OcclusionScores, values: NDArray[np.float64]) -> Tensors:
    """Return the results of each window and their maps. values: (targets, windows)."""
    size = run.prepared.views[0].shape[:2]
    maps = [
        average_over_windows(row, run.windows, size, float(run.clean[target]))
        for row, target in zip(values, run.targets, strict=True)
    ]
    return {
        "windows": np.array([(w.y, w.x, w.height, w.width) for w in run.windows], np.int64),
        "values": values.astype(np.float32),
        "likeliest": likeliest_classes(run, scores.logits),
        "totals": scores.totals,
        "value-maps": np.stack(maps),
        "total-map": average_over_windows(scores.totals, run.windows, size, _clean_total(run)),
    }


def _projection_tensors(watched: WatchedProjection) -> Tensors:
    tensors: Tensors = {"projection": watched.pixels}
    return tensors if watched.control is None else tensors | {"control-projection": watched.control}


def _pictures(
    run: OcclusionRun, scores: OcclusionScores, tensors: Tensors, watched: WatchedProjection | None
) -> tuple[Picture, ...]:
    size, clean = run.prepared.views[0].shape[:2], int(run.clean.argmax())
    classes = likeliest_map(tensors["likeliest"], run.windows, size, clean)
    return draw_figure(run, scores, tensors["value-maps"], tensors["total-map"], classes, watched)


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
    # Windows computed alike are compared more finely than with the clean value: a tie is one in float32.
    window = run.windows[first_lowest(values, floor=value_floor(run, target, PrecisionName.float32))]
    box = Box(window.x, window.y, window.x + window.width, window.y + window.height)
    in_photo = run.prepared.geometries[0].to_photo(box)
    return in_photo.x0, in_photo.y0, in_photo.x1, in_photo.y1


def _watched_table(run: OcclusionRun, scores: OcclusionScores, similarity: Similarity) -> Table:
    row = (run.params.layer, run.unit.map, _clean_total(run), float(scores.totals.min()))
    columns = ("layer", "map", "clean_total", "lowest_total", "ssim", "rank_correlation")
    return Table(columns, ((*row, similarity.ssim, similarity.rank_correlation),))


def _change_table(run: OcclusionRun, scores: OcclusionScores) -> Table:
    """Return the most likely classes without occlusion and with a single window, most likely first."""
    (occluded,) = class_values(scores.logits, run.params.value)
    leading = {*_strongest(run.clean), *_strongest(occluded)}
    rows = [
        (run.labels[index].id, run.labels[index].name, float(run.clean[index]), float(occluded[index]))
        for index in sorted(leading, key=lambda index: (-run.clean[index], index))
    ]
    return Table(("label_id", "label", "clean", "occluded"), tuple(rows))


def _strongest(values: NDArray[np.float64]) -> list[int]:
    strongest: list[int] = np.argsort(-values, kind="stable")[:_COMPARED].tolist()
    return strongest
