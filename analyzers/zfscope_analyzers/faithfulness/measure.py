"""Measurement of one photo: its attribution, curves, random orders and control."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, Notice, Subanalysis
from zfscope.errors import InputError
from zfscope.images.fill import fill_input
from zfscope.store import Model, opaque_reason
from zfscope_analyzers.faithfulness.attribution import (
    Attribution,
    MethodResult,
    attribution_of,
    check_ranks_pixels,
    read_attribution,
)
from zfscope_analyzers.faithfulness.params import FaithfulnessParams
from zfscope_analyzers.faithfulness.pointing import Pointing, inside_of, point
from zfscope_analyzers.faithfulness.removal import (
    Endpoints,
    area,
    deletion_curve,
    descending_order,
    insertion_curve,
    step_counts,
)
from zfscope_analyzers.occlude.setup import class_values

# Standard deviation of the Gaussian that blurs removed pixels, as a share of the input's side.
_BLUR = 1 / 14
# Share of a photo's progress when the attribution, and that of the control, are done.
_ATTRIBUTED, _CONTROLLED = 0.25, 0.5


class RemovalCurves(NamedTuple):
    """Values of the class while pixels are removed or inserted in order, float64 (steps + 1,) each."""

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PhotoFaithfulness:
    """Measurements of one photo.

    class_index: index of the class. shares: removed share at each step, float64 (steps + 1,). attribution,
    control_attribution: float32 (H, W). curves, control: in the order of the attributions; the control is
    None if it was not requested. random: deletion in random orders, (orders, steps + 1); deletion in an order
    is insertion in the reverse order, read backwards. pointing: None without boxes and masks. warnings,
    seconds: of the method.
    """

    class_index: int
    shares: NDArray[np.float64]
    attribution: Attribution
    curves: RemovalCurves
    random: NDArray[np.float64]
    control_attribution: Attribution | None
    control: RemovalCurves | None
    pointing: Pointing | None
    warnings: tuple[Notice, ...]
    seconds: float

    @property
    def clean(self) -> float:
        """Value of the class in the photo."""
        return float(self.curves.deletion[0])

    @property
    def removed(self) -> float:
        """Value of the class if all pixels are removed."""
        return float(self.curves.deletion[-1])

    @property
    def random_areas(self) -> NDArray[np.float64]:
        """Area under the curve of each random order, (orders,): of deletion and, reversed, of insertion."""
        return np.array([area(values, self.shares) for values in self.random])

    def areas(self, curves: RemovalCurves) -> tuple[float, float]:
        """Return the areas under the curves of deletion and insertion."""
        return area(curves.deletion, self.shares), area(curves.insertion, self.shares)


def method_of(params: FaithfulnessParams, *, times: int = 1) -> Subanalysis:
    """Return the analysis that makes the attribution."""
    return Subanalysis(params.method, params.method_parameters, "method", "method_parameters", times)


def passes_of(params: FaithfulnessParams) -> int:
    """Return the forward passes per photo, without those of the method."""
    curves = 2 + params.random + 2 * params.has_control
    return 2 + curves * (params.steps - 1)


def check_control(model: Model, params: FaithfulnessParams) -> None:
    """Raise InputError for a control of an opaque network, whose weights are not randomised."""
    if model.is_opaque and params.has_control:
        reason = f"{model.manifest.title} {opaque_reason(model.manifest)}"
        raise InputError(f"control is set, but {reason}; its weights are not randomised", field="control")


def with_possible_control(
    model: Model, params: FaithfulnessParams
) -> tuple[FaithfulnessParams, tuple[Notice, ...]]:
    """Return the parameters without a control that the model cannot have, and a warning about it.

    The weights of an opaque network are not randomised.
    """
    if not (model.is_opaque and params.has_control):
        return params, ()
    reason = f"{model.manifest.title} {opaque_reason(model.manifest)}; its weights are not randomised"
    notice = Notice("no-control", f"there is no control: {reason}", "control")
    return params.model_copy(update={"control": False}), (notice,)


def measure_photo(
    context: Context, params: FaithfulnessParams, class_index: int | None, share: tuple[float, float]
) -> PhotoFaithfulness:
    """Measure the attribution of a photo, the only one of the context. class_index: None for the most likely.

    share: the part of the analysis's progress that this photo takes.
    """
    inside = inside_of(context, params)
    size = context.images[0].views.shape[1:3]
    given = None if params.attribution is None else read_attribution(params.attribution, size)
    if given is not None:
        check_ranks_pixels(given, "attribution", "attribution")
    start, length = share[0], share[1] - share[0]

    def progress(done: float) -> float:
        return start + length * done

    class_index, ends = _endpoints(context, params, class_index)
    started = perf_counter()
    result = MethodResult(given, ()) if given is not None else None
    if result is None:
        span = start, progress(_ATTRIBUTED)
        result = attribution_of(context, method_of(params), class_index, span)
        check_ranks_pixels(result.attribution, f"the attribution by '{params.method}'", "method")
    attribution, seconds = result.attribution, perf_counter() - started
    control = None
    if params.has_control:
        span = progress(_ATTRIBUTED), progress(_CONTROLLED)
        control = _control_attribution(context, params, span)
    curves = _Curves(context, params, class_index, ends, (progress(_CONTROLLED), progress(1)))
    return PhotoFaithfulness(
        class_index=class_index,
        shares=ends.shares,
        attribution=attribution,
        curves=curves.both(attribution),
        random=curves.random(),
        control_attribution=control,
        control=None if control is None else curves.both(control),
        pointing=None if inside is None else point(attribution, inside),
        warnings=result.warnings,
        seconds=seconds,
    )


def _endpoints(
    context: Context, params: FaithfulnessParams, class_index: int | None
) -> tuple[int, Endpoints]:
    """Return the class, and the photo before and after removal with the class's values."""
    model, prepared = context.model, context.images[0]
    view = prepared.views[0]
    steps, mean = model.preprocessing, model.mean_image
    _, removed = fill_input(view, params.removal, steps, mean, blur_px=_BLUR * len(view))
    clean = prepared.pixels[0]
    context.check_cancelled()
    logits = context.runtime.forward(np.stack([clean, removed]).astype(np.float32))
    index = int(logits[0].argmax()) if class_index is None else class_index
    before, after = class_values(logits, params.value)[:, index]
    counts = step_counts(view.shape[0] * view.shape[1], params.steps)
    return index, Endpoints(clean, removed, (float(before), float(after)), counts)


def _control_attribution(
    context: Context, params: FaithfulnessParams, share: tuple[float, float]
) -> Attribution:
    """Return the attribution of the network with randomised weights, of the class most likely to it.

    Indices of classes have no meaning in a random network, like those of maps in other controls.
    """
    random = context.randomised()
    logits = random.runtime.forward(random.images[0].pixels[:1])
    random = replace(random, progress=context.progress)
    return attribution_of(random, method_of(params), int(logits[0].argmax()), share).attribution


class _Curves:
    """Computes the curves of one photo and reports their progress."""

    def __init__(
        self,
        context: Context,
        params: FaithfulnessParams,
        class_index: int,
        ends: Endpoints,
        share: tuple[float, float],
    ) -> None:
        self._context, self._params, self._index, self._ends = context, params, class_index, ends
        self._share, self._done = share, 0
        self._generator = np.random.default_rng(params.seed)

    def both(self, attribution: Attribution) -> RemovalCurves:
        """Return deletion and insertion in the order of an attribution."""
        order = descending_order(attribution, self._generator)
        return RemovalCurves(
            deletion_curve(self._ends, order, self._measure),
            insertion_curve(self._ends, order, self._measure),
        )

    def random(self) -> NDArray[np.float64]:
        """Return deletion in random orders, (orders, steps + 1)."""
        pixels, steps = int(self._ends.counts[-1]), len(self._ends.counts)
        orders = [self._generator.permutation(pixels) for _ in range(self._params.random)]
        curves = [deletion_curve(self._ends, order, self._measure) for order in orders]
        return np.array(curves).reshape(len(curves), steps)

    def _measure(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        self._context.check_cancelled()
        values = class_values(self._context.runtime.forward(images), self._params.value)
        self._done += len(images)
        first, last = self._share
        planned = passes_of(self._params) - 2
        self._context.progress(first + (last - first) * min(self._done / planned, 1), None)
        result: NDArray[np.float64] = values[:, self._index]
        return result
