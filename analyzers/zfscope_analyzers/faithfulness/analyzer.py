"""The analyzer `faithfulness`."""

from collections.abc import Sequence
from dataclasses import replace

from zfscope.analysis.contract import Analysis, Context, Need, Subanalysis, check_classifies, class_number
from zfscope.errors import InputError
from zfscope.results import merge_notices
from zfscope.store import Model
from zfscope_analyzers.faithfulness.measure import (
    check_control,
    measure_photo,
    method_of,
    passes_of,
    with_possible_control,
)
from zfscope_analyzers.faithfulness.params import NAME, FaithfulnessParams
from zfscope_analyzers.faithfulness.result import result_of


class Faithfulness:
    """Faithfulness of an attribution: how fast a class's score changes as pixels are removed or inserted.

    Deletion removes the pixels of the highest attribution first, insertion starts without pixels and inserts
    those first (Petsiuk et al. 2018). The areas under both curves are compared with random orders
    of the pixels, and with the same attribution of the network with randomised weights (the control). With
    boxes or masks of the object, the pointing game (Zhang et al. 2016).

    Numbers: `photos`; means over the photos of `clean` (value of the class), `deletion_area`,
    `insertion_area`, `random_area`, `control_deletion_area`, `control_insertion_area`, `share_inside` and
    `maximum_inside`. Tables: `summary` (measure, mean, deviation, photos); `photos` (photo, label_id, label,
    clean, removed: the value without pixels, the areas, random_deviation over the orders, share_inside,
    maximum_inside, area_inside); `curves` (photo, share: of the pixels, removed or inserted, deletion,
    insertion, random_deletion, random_insertion: means over the orders, control_deletion, control_insertion).
    Tensors, float32: `attribution` of the first photo, and `attributions` and, with the control,
    `control-attributions` (photos, H, W); `random` (photos, orders, steps + 1), the curves of deletion in
    random orders. Picture: `faithfulness`.
    """

    name = NAME
    summary = "Measure how faithful an explanation is: deletion and insertion curves, and a control"
    api_version = 2
    photos = (1, 64)
    params = FaithfulnessParams
    needs = (Need.scores, Need.outputs)

    def cost(self, model: Model, params: FaithfulnessParams) -> int:
        """Return the passes of the curves per photo; those of the method are added."""
        return passes_of(params) + params.has_control

    def subanalyses(self, params: FaithfulnessParams) -> Sequence[Subanalysis]:
        """Return the analysis that gives the attribution, once more for the control."""
        if params.attribution is not None:
            return ()
        return (method_of(params, times=1 + params.has_control),)

    def analyze(self, context: Context, params: FaithfulnessParams) -> Analysis:
        """Measure the attribution of a class in the first crop of each photo.

        Raises NotFound for an unknown class or method; InputError for a number of labels that differs from
        that of photos, for an attribution, boxes or masks with several photos, for an attribution that is the
        same everywhere, of another size or not finite, and for a method that gives no attribution. An opaque
        network has no control: a warning says so, and InputError is raised if it is requested.
        """
        check_classifies(context.model)
        if "control" in params.model_fields_set:
            check_control(context.model, params)
        params, notices = with_possible_control(context.model, params)
        count = len(context.images)
        _check_single(params, count)
        classes = _classes(context.model, params.labels, count)
        measured = [
            measure_photo(
                replace(context, images=(image,)),
                params,
                class_index,
                (number / count, (number + 1) / count),
            )
            for number, (image, class_index) in enumerate(zip(context.images, classes, strict=True))
        ]
        result = result_of(context, params, measured)
        return replace(result, warnings=merge_notices((*result.warnings, *notices)))


def _check_single(params: FaithfulnessParams, photos: int) -> None:
    for name in ("attribution", "boxes", "masks"):
        if photos > 1 and getattr(params, name):
            raise InputError(f"{name}: given for {photos} photos; allowed for a single photo", field=name)


def _classes(model: Model, labels: Sequence[str], photos: int) -> list[int | None]:
    """Return the class of each photo; None for the most likely class."""
    if labels and len(labels) != photos:
        raise InputError(
            f"{len(labels)} labels for {photos} photos; give one for each, or none", field="labels"
        )
    return [
        class_number(model, label, field=f"labels[{index}]") if label else None
        for index, label in enumerate(labels or ("",) * photos)
    ]
