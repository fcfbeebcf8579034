"""Architectures side by side, as an analyzer: the model of the request and others (Sec 4.1, Fig 6)."""

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from zfscope.analysis.architectures import compare, cost, result
from zfscope.analysis.contract import Analysis, Context
from zfscope.errors import InputError, NotFound
from zfscope.results import merge_notices
from zfscope.scan import open_index
from zfscope.store import Model


class CompareParams(BaseModel):
    """What to compare the model with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    others: tuple[str, ...] = Field(
        min_length=1,
        max_length=7,
        description="The models to compare with, each as NAME (its newest version) or NAME:VERSION.",
    )
    index: str = Field(
        default="",
        description="An index of each model, by its name: count maps dead on all its photos; empty: do not.",
    )


class CompareArchitectures:
    """Puts models side by side by what the paper chose its architecture by.

    First-layer filters and their spatial frequencies, dead filters and silent maps, grids in projections of
    layer 2, accuracy and cost; see `zfscope.analysis.architectures`. Gives the table `architectures`
    (measure, and a column for each model), the picture `architectures`, and for each model the tensors
    NAME-VERSION-filters, -rms, -rms-renormalised, -shares, -peaks, -frequencies, -density, -profile and
    -maxima-LAYER.
    """

    name = "compare-architectures"
    summary = "Models side by side: first filters, their frequencies, dead maps, grids in layer 2 (Fig 6)"
    api_version = 2
    photos = (1, 16)
    params = CompareParams

    def cost(self, model: Model, params: CompareParams) -> int:
        """Count the passes of all models for one photo."""
        return cost(1 + len(params.others), 1)

    def analyze(self, context: Context, params: CompareParams) -> Analysis:
        """Compare on the photos.

        Raises NotFound for a model that the store does not have and an index that a model does not have,
        InputError for a model that is named twice or cannot be compared.
        """
        others = (_named(context, name, f"others[{place}]") for place, name in enumerate(params.others))
        models = [context.model, *others]
        photos = [prepared.photo for prepared in context.images]
        indexes = [open_index(model, params.index) for model in models] if params.index else []
        measured = compare(models, photos)
        warnings = merge_notices(notice for model in models[1:] for notice in model.warnings)
        return replace(result(measured, indexes, pictures=context.pictures), warnings=warnings)


def _named(context: Context, words: str, field: str) -> Model:
    name, _, version = words.partition(":")
    if version and not version.isdecimal():
        raise InputError(
            f"{field} is '{words}'; a model is named as NAME or NAME:VERSION, such as zfnet:1", field=field
        )
    if context.store is None:
        raise NotFound("there is no store to find other models in", field=field)
    try:
        return context.store.load(name, int(version) if version else None)
    except NotFound as error:
        raise NotFound(str(error), field=field) from error
