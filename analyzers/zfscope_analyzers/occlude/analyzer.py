"""The analyzer `occlude`."""

from functools import partial

import numpy as np

from zfscope.analysis.contract import Analysis, Context, Need
from zfscope.store import Model
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.passes import OcclusionScores, run_passes
from zfscope_analyzers.occlude.result import complete_result, partial_result
from zfscope_analyzers.occlude.setup import prepare_run
from zfscope_analyzers.occlude.windows import window_starts


class Occlude:
    """Sensitivity of class scores and of a map's total activation to occluded windows of the photo (Fig 7).

    Number: `windows`. Tables: `classes` (label_id, label, clean: the value without occlusion, lowest; x0, y0,
    x1, y1: the window in photo pixels that lowers the class most, the first of those that differ only by
    rounding, None if no window lowers it by more than rounding), `watched` (layer, map, clean_total,
    lowest_total; ssim and rank_correlation of the projection and its control, see
    `zfscope.analysis.control`) and, for a single window, `changes` (label_id, label, clean, occluded: the
    most likely classes before and after, by their clean value).

    Tensors, for N windows: `windows` int64 (N, 4), first row, first column, rows and columns in the network's
    input, for a mask or polygon those of its bounding box; `values` float32 (targets, N); `likeliest` int64
    (N,), the most likely class; `totals` float32 (N,), the map's activations summed over space. Averaged over
    the windows or shapes that occlude a pixel: `value-maps` (targets, H, W) and `total-map` (H, W) of the
    crop, and `photo-value-maps` in photo pixels; pixels that were never occluded have the clean value.
    `attribution` (H, W): the clean value of the first class minus its value map, 0 where nothing was
    occluded.
    `projection` (C, H, W) of the map's strongest unit and, with the control, `control-projection`. Picture:
    `occlusion`, all panels of Fig 7. An opaque network runs in whole passes, and has no projections.

    A partial result covers the finished windows: `windows` is the number of all, `finished` that of the
    finished ones; it has the tables `classes` and `watched`, the tensors of windows and maps in the crop, and
    a picture of the first class.
    """

    name = "occlude"
    summary = "Measure how a class and a feature map depend on regions of a photo by occluding them (Fig 7)"
    api_version = 2
    photos = (1, 1)
    params = OccludeParams
    needs = (Need.scores, Need.outputs)

    def cost(self, model: Model, params: OccludeParams) -> int:
        """Return one pass per window plus those without occlusion; recomputing costs less."""
        others = 4 if params.control else 2
        if shapes := params.boxes or params.masks or params.polygons:
            return others + len(shapes)
        side = model.preprocessing.crop
        return others + len(window_starts(side, *params.sizes(side))) ** 2

    def analyze(self, context: Context, params: OccludeParams) -> Analysis:
        """Occlude windows of the photo's first crop.

        Raises InputError for a window larger than the crop, a box or polygon outside of it, a mask that is
        not an image, differs from the photo in size or misses the crop, and for a name that several classes
        share; NotFound for a class, layer or map that the model lacks.
        """
        run = prepare_run(context, params)
        count, classes = len(run.windows), len(run.labels)
        scores = OcclusionScores(np.zeros((count, classes), np.float32), np.zeros(count, np.float32))
        for share in run_passes(run, scores):
            context.check_cancelled()
            context.progress(share, partial(partial_result, run, scores) if scores.done else None)
        return complete_result(run, scores)
