"""The analyzer `compare-architectures`: the model of the request next to others (Sec 4.1, Fig 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zfscope.analysis.contract import Analysis, Context, Need, picture
from zfscope.errors import InputError
from zfscope.results import merge_notices
from zfscope.scan import Index, open_index
from zfscope.store import Model, require_layers
from zfscope_analyzers.architectures.figure import draw_comparison
from zfscope_analyzers.architectures.measure import PROJECTED_MAPS, Measurements, measure
from zfscope_analyzers.architectures.table import comparison_table
from zfscope_analyzers.models import load_named
from zfscope_analyzers.params import Params

# Forward passes per photo and model: one to find the largest activations and one to project from them, each
# with the model's weights and with random weights.
_PASSES = 4


class CompareParams(Params):
    """Models to compare with, and the index that counts dead maps."""

    others: tuple[str, ...] = Field(
        min_length=1,
        max_length=7,
        description="Models to compare with, each as NAME (newest version) or NAME:VERSION.",
    )
    index: str = Field(
        default="",
        description="Name of an index that every model has, used to count feature maps that are dead on all "
        "of its photos; empty: do not count them.",
    )


class CompareArchitectures:
    """Comparison of models by the criteria with which the paper chose its architecture.

    Measures first-layer filters and their spatial frequencies, dead filters and silent maps, grids (aliasing)
    in projections of layer 2, accuracy and cost. Returns the table `architectures` (the column `measure` and
    one column per model), the picture `architectures`, and for each model the tensors NAME-VERSION-filters,
    -rms, -rms-renormalised, -shares, -peaks, -frequencies, -density, -profile and -maxima-LAYER.
    """

    name = "compare-architectures"
    summary = "Compare models: first-layer filters and their frequencies, dead maps, grids in layer 2 (Fig 6)"
    api_version = 2
    photos = (1, 16)
    params = CompareParams
    needs = (Need.network,)

    def cost(self, model: Model, params: CompareParams) -> int:
        """Return the number of forward passes of all models for one photo."""
        return cost(1 + len(params.others), 1)

    def analyze(self, context: Context, params: CompareParams) -> Analysis:
        """Compare the models on the photos.

        Raises NotFound for a model that is not in the store and for an index that a model lacks, InputError
        for a model that is named twice or cannot be compared.
        """
        others = (_other(context, name, f"others[{index}]") for index, name in enumerate(params.others))
        models = [context.model, *others]
        photos = [prepared.photo for prepared in context.images]
        indexes = [open_index(model, params.index) for model in models] if params.index else []
        measured = compare(models, photos)
        warnings = merge_notices(notice for model in models[1:] for notice in model.warnings)
        return replace(comparison_result(measured, indexes, pictures=context.pictures), warnings=warnings)


def _other(context: Context, name: str, field: str) -> Model:
    """Load another model by name. Raises like `load_named`, and InputError for an opaque network."""
    model = load_named(context, name, field)
    require_layers(model.manifest, field=field)
    return model


def compare(models: Sequence[Model], photos: Sequence[NDArray[np.uint8]]) -> tuple[Measurements, ...]:
    """Measure models on one or more photos, each uint8 (height, width, 3) in RGB.

    Raises InputError for fewer than two models, for a duplicate, for an opaque network, for models of
    different input sizes, and in the cases that `measure` lists.
    """
    titles = [model.manifest.title for model in models]
    if len(models) < 2:
        raise InputError(f"{len(models)} models to compare; name two or more", field="models")
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(
                f"{title} is named {titles.count(title)} times; name each model once", field="models"
            )
    for model in models:
        require_layers(model.manifest)
    _check_sizes(models)
    return tuple(measure(model, photos) for model in models)


def _check_sizes(models: Sequence[Model]) -> None:
    """Raise InputError unless all models have the same input size: their frequencies are per pixel."""
    read = {model.manifest.title: model.preprocessing.crop for model in models}
    if len(set(read.values())) > 1:
        sizes = ", ".join(f"{title} reads {side} x {side} pixels" for title, side in read.items())
        raise InputError(f"{sizes}: name models of one input size", field="models")


def cost(models: int, photos: int) -> int:
    """Return the approximate number of forward passes of a comparison."""
    return models * (_PASSES * photos + 2 * PROJECTED_MAPS)


def comparison_result(
    measures: Sequence[Measurements], indexes: Sequence[Index] = (), *, pictures: bool = True
) -> Analysis:
    """Return the table and the picture `architectures`, and the tensors of each model.

    Tensors are named `NAME-VERSION-filters` and so on. indexes: one per model, to count dead maps in all of
    its layers, or empty. pictures: whether to draw the picture.
    """
    tensors = {
        f"{each.name}-{each.version}-{key}": np.ascontiguousarray(values, np.float32)
        for each in measures
        for key, values in _arrays(each).items()
    }
    return Analysis(
        tensors=tensors,
        pictures=(picture("architectures", draw_comparison(measures, indexes)),) if pictures else (),
        tables={"architectures": comparison_table(measures, indexes)},
    )


def _arrays(measures: Measurements) -> Mapping[str, NDArray[Any]]:
    """Return the arrays behind the table; see `Measurements`, `FilterSizes` and `Spectrum` for shapes."""
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
