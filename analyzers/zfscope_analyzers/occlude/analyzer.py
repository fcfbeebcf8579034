"""Occlusion as an analyzer: what it takes, costs and gives."""

from functools import partial

import numpy as np

from zfscope.analysis.contract import Analysis, Context
from zfscope.store import Model
from zfscope_analyzers.occlude.figure import draw_so_far
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.passes import Seen, full, incremental
from zfscope_analyzers.occlude.result import result_of
from zfscope_analyzers.occlude.scene import scene_of
from zfscope_analyzers.occlude.windows import starts


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
        return result_of(scene, seen)
