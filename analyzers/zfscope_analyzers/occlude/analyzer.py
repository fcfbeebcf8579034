"""Occlusion as an analyzer: what it takes, costs and gives."""

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
from zfscope_analyzers.occlude.figure import draw, draw_so_far
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.passes import Seen, full, incremental, is_lowered, likeliest_of, value_floor
from zfscope_analyzers.occlude.scene import Projected, Scene, projected, scene_of, values_of
from zfscope_analyzers.occlude.windows import averaged, likeliest_map, on_photo, starts


class Occlude:
    """Covers the photo piece by piece and asks the network again each time.

    The number `windows`. Tables: `classes` (label_id, label, clean, lowest, x0, y0, x1, y1: the window in
    photo pixels that lowers the class most, the first of those that differ by rounding only; none of them
    where no window lowers it by more than rounding) and `watched` (layer, map, clean_total, lowest_total;
    ssim and rank_correlation of the projection and its control, see `zfscope.analysis.control`).
    Tensors, for N windows: `windows` int64 (N, 4), first row, first column, rows, columns in the network's
    input, of a mask those around it; `values` float32 (targets, N); `likeliest` int64 (N,); `totals` float32
    (N,), the map's activations summed over space; averaged over the windows, or masks, that cover a pixel,
    `value-maps` (targets, H, W) and `total-map` (H, W) of the crop, and `photo-value-maps` in photo pixels,
    where what was never covered keeps the clean value; `projection` (3, H, W) of the map's strongest unit,
    and, with the control, `control-projection`.
    One picture, `occlusion`: all of Fig 7.
    """

    name = "occlude"
    summary = "Which parts of a photo the class, and a feature map, depend on: they are covered one by one"
    api_version = 2
    photos = (1, 1)
    params = OccludeParams

    def cost(self, model: Model, params: OccludeParams) -> int:
        """Count a pass for each window; most cost less by the incremental method."""
        others = 4 if params.control else 2
        if given := params.boxes or params.masks:
            return others + len(given)
        side = model.preprocessing.crop
        return others + len(starts(side, params.window, params.stride)) ** 2

    def analyze(self, context: Context, params: OccludeParams) -> Analysis:
        """Cover the first crop of the photo.

        Raises InputError for a window larger than the crop, a box outside of it, a mask that is no image, has
        not the photo's size or covers nothing of the crop, and a name that several classes have; NotFound for
        a class, layer or map that the model does not have.
        """
        scene = scene_of(context, params)
        count, classes = len(scene.windows), len(scene.labels)
        seen = Seen(np.zeros((count, classes), np.float32), np.zeros(count, np.float32))
        passes = incremental if params.method == "incremental" else full
        for share in passes(scene, seen):
            context.check_cancelled()
            shows = context.pictures and seen.done
            context.progress(share, partial(draw_so_far, scene, seen) if shows else None)
        return _result(scene, seen)


def _result(scene: Scene, seen: Seen) -> Analysis:
    """Return the numbers, maps and pictures of all windows."""
    view = scene.prepared.views[0]
    size = view.shape[:2]
    values = values_of(seen.logits, scene.params.value)[:, scene.targets].T
    likeliest = likeliest_of(scene, seen.logits)
    maps = np.stack(
        [
            averaged(row, scene.windows, size, float(scene.clean[target]))
            for row, target in zip(values, scene.targets, strict=True)
        ]
    )
    clean_total = _clean_total(scene)
    total_map = averaged(seen.totals, scene.windows, size, clean_total)
    there = projected(scene)
    tensors: dict[str, NDArray[Any]] = {
        "windows": np.array([(w.y, w.x, w.height, w.width) for w in scene.windows], np.int64),
        "values": values.astype(np.float32),
        "likeliest": likeliest,
        "totals": seen.totals,
        "value-maps": maps,
        "total-map": total_map,
        "projection": there.pixels,
    }
    if there.control is not None:
        tensors["control-projection"] = there.control
    if scene.context.tensors:
        tensors["photo-value-maps"] = np.stack(
            [
                on_photo(heat, scene.prepared, float(scene.clean[t]))
                for heat, t in zip(maps, scene.targets, strict=True)
            ]
        )
    pictures: tuple[Picture, ...] = ()
    if scene.context.pictures:
        classes = likeliest_map(likeliest, scene.windows, size, int(scene.clean.argmax()))
        pictures = draw(scene, seen, maps, total_map, classes, there)
    tables = {
        "classes": _class_table(scene, values),
        "watched": _watched_table(scene, seen, clean_total, there),
    }
    numbers = {"windows": float(len(scene.windows))}
    warnings = merge_notices(notice for window in scene.windows for notice in window.warnings)
    return Analysis(tensors, pictures, numbers, tables, warnings)


def _clean_total(scene: Scene) -> float:
    return float(scene.traced.outputs[scene.params.layer][0, scene.unit.map].sum())


def _class_table(scene: Scene, values: NDArray[np.float64]) -> Table:
    rows = []
    for target, row in zip(scene.targets, values, strict=True):
        label, place = scene.labels[target], _lowest_at(scene, target, row)
        rows.append((label.id, label.name, float(scene.clean[target]), float(row.min()), *place))
    return Table(("label_id", "label", "clean", "lowest", "x0", "y0", "x1", "y1"), tuple(rows))


def _lowest_at(scene: Scene, target: int, values: NDArray[np.float64]) -> Sequence[float | None]:
    """Return the window that lowers a class most, in photo pixels: x0, y0, x1, y1; None where none does."""
    if not is_lowered(scene, target, values):
        return (None,) * 4
    window = scene.windows[first_lowest(values, floor=value_floor(scene, target))]
    box = Box(window.x, window.y, window.x + window.width, window.y + window.height)
    found = scene.prepared.geometries[0].to_photo(box)
    return found.x0, found.y0, found.x1, found.y1


def _watched_table(scene: Scene, seen: Seen, clean_total: float, there: Projected) -> Table:
    alike = there.alike
    row = (scene.params.layer, scene.unit.map, clean_total, float(seen.totals.min()))
    columns = ("layer", "map", "clean_total", "lowest_total", "ssim", "rank_correlation")
    return Table(columns, ((*row, alike.ssim, alike.rank_correlation),))
