"""Architectures side by side, as an analyzer: the model of the request and others (Sec 4.1, Fig 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zfscope.analysis.contract import Analysis, Context, picture
from zfscope.errors import InputError, NotFound
from zfscope.results import merge_notices
from zfscope.scan import Index, open_index
from zfscope.store import Model
from zfscope_analyzers.architectures.figure import figure
from zfscope_analyzers.architectures.measure import PROJECTED, Measures, measure
from zfscope_analyzers.architectures.table import table
from zfscope_analyzers.params import Params

# Forward passes for each photo and model: to find the largest activations, and to project from them, both
# through the model's weights and through random ones.
_PASSES = 4


class CompareParams(Params):
    """What to compare the model with."""

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
    layer 2, accuracy and cost. Gives the table `architectures`
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


def compare(models: Sequence[Model], photos: Sequence[NDArray[np.uint8]]) -> tuple[Measures, ...]:
    """Measure models on photos, uint8 (height, width, 3) RGB each, at least one.

    Raises InputError for fewer than two models, one twice, or models of different input size, and as
    `measure` does.
    """
    titles = [model.manifest.title for model in models]
    if len(models) < 2:
        raise InputError(f"{len(models)} models to compare; name two or more", field="models")
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(f"{title} is named {titles.count(title)} times; once is enough", field="models")
    _check_sizes(models)
    return tuple(measure(model, photos) for model in models)


def _check_sizes(models: Sequence[Model]) -> None:
    """Raise InputError unless all models read pictures of one size: else frequencies do not compare."""
    read = {model.manifest.title: model.preprocessing.crop for model in models}
    if len(set(read.values())) > 1:
        sizes = ", ".join(f"{title} reads {side} x {side} pixels" for title, side in read.items())
        raise InputError(f"{sizes}: name models of one input size", field="models")


def cost(models: int, photos: int) -> int:
    """Return the approximate number of forward passes that a comparison costs."""
    return models * (_PASSES * photos + 2 * PROJECTED)


def result(measures: Sequence[Measures], indexes: Sequence[Index] = (), *, pictures: bool = True) -> Analysis:
    """Return the table and the picture `architectures`, and the tensors of each model.

    Tensors are named `NAME-VERSION-filters` and so on. indexes: one of each model, for the dead maps of
    all its layers, or none. pictures: whether to draw.
    """
    tensors = {
        f"{each.name}-{each.version}-{key}": np.ascontiguousarray(values, np.float32)
        for each in measures
        for key, values in _arrays(each).items()
    }
    return Analysis(
        tensors=tensors,
        pictures=(picture("architectures", figure(measures, indexes)),) if pictures else (),
        tables={"architectures": table(measures, indexes)},
    )


def _arrays(measures: Measures) -> Mapping[str, NDArray[Any]]:
    """Return the arrays behind the numbers; shapes and units as in `Measures`, `Sizes` and `Spectrum`."""
    spectrum = measures.spectrum
    return {
        "filters": measures.filters,
        "rms": measures.sizes.rms,
        "rms-renormalised": measures.sizes.renormalised,
        "shares": spectrum.shares,
        "peaks": spectrum.peaks,
        "frequencies": spectrum.frequencies,
        "density": spectrum.density,
        "profile": measures.profile,
        **{f"maxima-{layer}": values for layer, values in measures.maxima.items()},
    }
