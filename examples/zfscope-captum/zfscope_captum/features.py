"""Methods that remove parts of the photo: cells of a grid, or segments of similar colour."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from zfscope.plugin import InputError, Model
from zfscope_captum.analysis import BATCH, Attributed, BaselineParams, Call, CaptumAnalyzer, completeness
from zfscope_captum.seeds import seeded


class FeatureParams(BaselineParams):
    """The class, the baseline, and the parts of the photo that it replaces."""

    shape: Literal["grid", "segments"] = Field(
        default="grid",
        description="Parts of the photo: the cells of a square grid, or segments of similar colour (SLIC).",
    )
    parts: PositiveInt = Field(
        default=196,
        le=4096,
        description="Number of parts: of a grid, rounded to a square; of segments, approximately.",
    )


class KernelShapParams(FeatureParams):
    """The class, the baseline, the parts, and the random sets of parts that are replaced."""

    parts: PositiveInt = Field(
        default=49,
        ge=2,
        le=1024,
        description="Number of parts: of a grid, rounded to a square; of segments, approximately.",
    )
    samples: PositiveInt = Field(
        default=500,
        ge=2,
        le=10_000,
        description="Random sets of parts, up to 10,000: more than parts, better ten times as many.",
    )
    seed: NonNegativeInt = Field(default=0, lt=2**32, description="Seed of the sets.")


class FeatureAblation(CaptumAnalyzer[FeatureParams]):
    """How much the score falls when a part of the photo is replaced by the baseline."""

    name = "captum-feature-ablation"
    summary = "How much each part of a photo supports a class, by replacing it (Captum)"
    title = "Feature ablation"
    params = FeatureParams

    def cost(self, model: Model, params: FeatureParams) -> int:
        """Return a pass for each part, and two for the photo."""
        return params.parts + 2

    def attribute(self, call: Call[FeatureParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import FeatureAblation as Method

        mask = _mask(call)
        with torch.no_grad():
            values = Method(call.module).attribute(
                call.images.detach(),
                call.baseline(),
                target=call.target,
                feature_mask=mask,
                perturbations_per_eval=BATCH,
            )
        return Attributed(values[0], values[0, 0])


class KernelShap(CaptumAnalyzer[KernelShapParams]):
    """Shapley values of the parts of a photo, estimated by a weighted regression (Lundberg and Lee 2017).

    Further numbers: `baseline_score`; `total`, the sum over the parts; `completeness_gap`, `total` less the
    difference of the two scores. Calls of this method and of GradientShap run one after the other, since
    Captum draws from torch's global generator.
    """

    name = "captum-kernel-shap"
    summary = "Shapley values of the parts of a photo for a class, estimated from random sets (Captum)"
    title = "KernelShap"
    params = KernelShapParams

    def cost(self, model: Model, params: KernelShapParams) -> int:
        """Return a pass for each sample, and one each for photo and baseline."""
        return params.samples + 2

    def attribute(self, call: Call[KernelShapParams]) -> Attributed:
        """Call Captum."""
        from captum.attr import KernelShap as Method

        mask, baseline = _mask(call), call.baseline()
        count, samples = int(mask.max()) + 1, call.params.samples
        if count == 1:
            raise InputError("the photo is a single segment; use the shape 'grid'", field="shape")
        if samples <= count:
            raise InputError(
                f"samples is {samples} for {count} parts; allowed: more samples than parts, better ten times "
                "as many",
                field="samples",
            )
        with seeded(call.params.seed), torch.no_grad():
            values = Method(call.module).attribute(
                call.images.detach(),
                baseline,
                target=call.target,
                feature_mask=mask,
                n_samples=call.params.samples,
                perturbations_per_eval=BATCH,
            )
        attribution = values[0, 0]
        once = torch.stack([attribution[mask[0, 0] == part].mean() for part in range(count)])
        return Attributed(values[0], attribution, completeness(call, once, baseline))


def _mask(call: Call[FeatureParams] | Call[KernelShapParams]) -> Tensor:
    """Return the number of the part of each pixel, int64 (1, C, H, W), the same in all channels."""
    view, params = call.context.images[0].views[0], call.params
    parts = grid(view, params.parts) if params.shape == "grid" else segments(view, params.parts)
    return torch.from_numpy(parts).to(call.images.device).expand(call.images.shape).contiguous()


def grid(view: NDArray[np.uint8], parts: int) -> NDArray[np.int64]:
    """Return the number of the cell of each pixel, int64 (H, W), from 0, in a square grid."""
    height, width = view.shape[:2]
    side = min(max(round(parts**0.5), 1), height, width)
    rows, columns = (np.arange(size) * side // size for size in (height, width))
    cells: NDArray[np.int64] = rows[:, None] * side + columns
    return cells


def segments(view: NDArray[np.uint8], parts: int) -> NDArray[np.int64]:
    """Return the number of the segment of each pixel, int64 (H, W), from 0: SLIC (Achanta et al. 2012)."""
    from skimage.segmentation import slic  # imported late: it takes half a second

    found = slic(view, n_segments=parts, start_label=0, channel_axis=-1)
    numbers: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].reshape(view.shape[:2])
    return numbers
