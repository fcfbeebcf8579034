"""Two or more models measured on the same photos."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.architectures.measure import PROJECTED, Measures, measure
from zfscope.errors import InputError
from zfscope.store import Model

_PASSES = 4
"""Forward passes for each photo and model: to find the largest activations, and to project from them, both
through the model's weights and through random ones."""


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
    """Count about how many forward passes a comparison of so many models on so many photos costs."""
    return models * (_PASSES * photos + 2 * PROJECTED)
