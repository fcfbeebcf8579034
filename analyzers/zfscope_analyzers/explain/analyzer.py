"""The analyzer `explain`."""

from collections.abc import Sequence

from zfscope.analysis.contract import (
    Analysis,
    Context,
    Need,
    Notice,
    Subanalysis,
    check_classifies,
    class_number,
)
from zfscope.store import Model
from zfscope_analyzers.explain.measure import PROJECTION, ModelExplanations, context_of, explain, same_class
from zfscope_analyzers.explain.params import NAME, ExplainParams
from zfscope_analyzers.explain.result import result_of
from zfscope_analyzers.faithfulness.measure import passes_of
from zfscope_analyzers.models import load_named


class Explain:
    """Explanations of a class by several methods, and by another model, side by side and measured.

    A method is any analyzer that gives a tensor `attribution`. Its areas of deletion and insertion are those
    of the analyzer `faithfulness`; two methods agree if they rank the pixels alike. A method that fails has
    the reason in its row. With another model, both explain the same class, or each its most likely class if
    the other lacks it.

    Numbers: `seconds METHOD` that a method took; those of another model are followed by its name. Tables:
    `methods` (model, method, deletion_area, insertion_area, control_deletion_area, control_insertion_area,
    reason; a row `random orders` for each model), `agreement` (model, method, other, rank_correlation:
    Spearman's, over all pixels) and `classes` (model, label_id, label, probability), the most likely.

    Tensors, float32 (H, W) of the network's input: `attribution` of the first method that gave one;
    METHOD-attribution and, with another model, other-METHOD-attribution and METHOD-difference: the
    attributions on the scale of the sheet, -1 to 1, this model's minus the other's, in this model's input;
    and `projection` and `other-projection` (C, H, W) of the strongest unit of the last convolution, unless
    the network is opaque. Picture: `explain`.
    """

    name = NAME
    summary = "Compare explanations of a class by several methods and models on one measured sheet"
    api_version = 2
    photos = (1, 1)
    params = ExplainParams
    needs = (Need.scores,)

    def cost(self, model: Model, params: ExplainParams) -> int:
        """Return the passes of the curves for all models; those of the methods are added."""
        each = [
            passes_of(params.faithfulness(method, random=number == 0))
            for number, method in enumerate(params.methods)
        ]
        return params.models * (1 + sum(each))

    def subanalyses(self, params: ExplainParams) -> Sequence[Subanalysis]:
        """Return the analyses of all methods."""
        return [*params.subanalyses(), *([PROJECTION] if params.other else [])]

    def analyze(self, context: Context, params: ExplainParams) -> Analysis:
        """Explain a class of the first crop of the photo.

        Raises NotFound for an unknown class, method or model, InputError for a model without classes and for
        a name that several labels share.
        """
        check_classifies(context.model)
        index = class_number(context.model, params.label, field="label") if params.label else None
        if not params.other:
            return result_of(params, [explain(context, params, index, (0, 1))], ())
        other = load_named(context, params.other, "other")
        check_classifies(other)
        first = explain(context, params, index, (0, 0.5))
        label = context.model.labels[first.class_index]
        same = same_class(other, label.id, label.name)
        second = explain(context_of(context, other), params, same, (0.5, 1))
        notices = () if same is not None else (_other_class(first, second),)
        return result_of(params, [first, second], (*other.warnings, *notices))


def _other_class(first: ModelExplanations, second: ModelExplanations) -> Notice:
    message = (
        f"{second.model.manifest.title} has no class '{first.label}'; it explains its most likely class, "
        f"'{second.label}'"
    )
    return Notice("other-class", message, "other")
