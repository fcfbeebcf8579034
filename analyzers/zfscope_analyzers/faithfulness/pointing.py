"""The pointing game (Zhang et al. 2016): whether an attribution lies inside given boxes or masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context
from zfscope_analyzers.faithfulness.params import FaithfulnessParams
from zfscope_analyzers.occlude.setup import window_from_box
from zfscope_analyzers.occlude.windows import window_from_mask


@dataclass(frozen=True)
class Pointing:
    """Attribution inside the given boxes and masks.

    share_inside: share of the sum of positive attributions, 0..1; None if none is positive. maximum_inside:
    whether the pixel with the highest attribution, the first on ties, is inside. area_inside: share of the
    network's input that is inside: `share_inside` of an attribution that ignores the photo.
    """

    share_inside: float | None
    maximum_inside: bool
    area_inside: float


def inside_of(context: Context, params: FaithfulnessParams) -> NDArray[np.bool_] | None:
    """Return which pixels of the first crop any box or mask contains, (H, W); None without boxes and masks.

    Raises InputError for a box or mask outside of the crop and for a mask that is not an image of the
    photo's size.
    """
    prepared = context.images[0]
    windows = [window_from_box(box, index, prepared) for index, box in enumerate(params.boxes)]
    for index, mask in enumerate(params.masks):
        context.check_cancelled()
        windows.append(window_from_mask(mask, prepared, f"masks[{index}]", context.limits))
    inside = np.zeros(prepared.views.shape[1:3], bool)
    for window in windows:
        inside[window.area] |= window.mask
    return inside if windows else None


def point(attribution: NDArray[np.float32], inside: NDArray[np.bool_]) -> Pointing:
    """Play the pointing game with an attribution, (H, W). inside: bool (H, W)."""
    positive = np.maximum(attribution, 0).astype(np.float64)
    total = float(positive.sum())
    share = float(positive[inside].sum()) / total if total else None
    return Pointing(share, bool(inside.flat[int(attribution.argmax())]), float(inside.mean()))
