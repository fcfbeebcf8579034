"""Explanations of one model: each method's attribution, measured, or the reason why it has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import likeliest
from zfscope.analysis.contract import Context, Notice, Subanalysis, class_number
from zfscope.answers import ClassScore
from zfscope.errors import AnalyzerFailed, InputError, NotFound
from zfscope.images.geometry import Geometry
from zfscope.images.preprocess import prepare
from zfscope.images.render import symmetric_scale
from zfscope.rounding import is_level
from zfscope.store import Model
from zfscope_analyzers.explain.params import ExplainParams
from zfscope_analyzers.faithfulness.measure import (
    PhotoFaithfulness,
    measure_photo,
    with_possible_control,
)

# Projection for the comparison of two models.
PROJECTION = Subanalysis("project", {"top": 1}, "other", "other", times=2, optional=True)
# Most likely classes that are listed per model.
TOP_CLASSES = 5


@dataclass(frozen=True, eq=False)
class StrongestProjection:
    """Projection of the strongest unit of the strongest map. pixels: float32 (C, H, W)."""

    layer: str
    map: int
    pixels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ModelExplanations:
    """Explanations of a class by one model.

    class_index, probability: the class in this model. classes: the most likely. measured: by method; reasons:
    of the methods that failed. projection: None for a single model, and for an opaque network. notices:
    warnings about the model.
    """

    context: Context
    class_index: int
    probability: float
    classes: Sequence[ClassScore]
    measured: Mapping[str, PhotoFaithfulness] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    projection: StrongestProjection | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def model(self) -> Model:
        """The model."""
        return self.context.model

    @property
    def title(self) -> str:
        """Name and version of the model, as parameters name it."""
        return f"{self.model.name}:{self.model.version}"

    @property
    def label(self) -> str:
        """Name of the class."""
        return self.model.labels[self.class_index].name

    @property
    def attributions(self) -> Mapping[str, NDArray[np.float32]]:
        """Attribution of each method that gave one, float32 (H, W)."""
        return {method: photo.attribution for method, photo in self.measured.items()}


def explain(
    context: Context, params: ExplainParams, class_index: int | None, share: tuple[float, float]
) -> ModelExplanations:
    """Explain a class of the photo by all methods. class_index: None for the most likely class.

    share: the part of the analysis's progress that this model takes.
    """
    context.check_cancelled()
    logits = context.runtime.forward(context.images[0].pixels[:1])
    scores = likeliest(context.model, logits, len(context.model.labels))
    index = scores[0].index if class_index is None else class_index
    found = ModelExplanations(
        context, index, next(s.probability for s in scores if s.index == index), scores[:TOP_CLASSES]
    )
    measured, reasons = dict[str, PhotoFaithfulness](), dict[str, str]()
    notices: tuple[Notice, ...] = ()
    start, part = share[0], (share[1] - share[0]) / len(params.methods)
    for number, method in enumerate(params.methods):
        span = start + number * part, start + (number + 1) * part
        # Random orders do not depend on the method: those of the first that gives an attribution are enough.
        own, notices = with_possible_control(context.model, params.faithfulness(method, random=not measured))
        try:
            measured[method] = measure_photo(context, own, index, span)
        except (InputError, NotFound, AnalyzerFailed) as error:
            reasons[method] = error.message
    has_projection = params.other and not context.model.is_opaque
    projection = strongest_projection(context) if has_projection else None
    return replace(found, measured=measured, reasons=reasons, projection=projection, notices=notices)


def strongest_projection(context: Context) -> StrongestProjection:
    """Project the strongest unit of the last convolution's strongest map."""
    result = context.analyze(PROJECTION)
    (row,) = result.tables["projections"].records()
    return StrongestProjection(row["layer"], row["map"], result.tensors["projections"][0])


def context_of(context: Context, model: Model) -> Context:
    """Return the context of another model for the same photo."""
    photo = context.images[0].photo
    other = context.with_model(model, (prepare(photo, model.preprocessing, mean_image=model.mean_image),))
    return replace(other, progress=context.progress)


def same_class(model: Model, label_id: str, name: str) -> int | None:
    """Return the class of a model that has the id, or else the name, of another's; None if none has."""
    for label in (label_id, name):
        try:
            return class_number(model, label, field="label")
        except (NotFound, InputError):
            continue
    return None


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Return Spearman's rank correlation of two attributions, (H, W); None if either is constant."""
    from scipy.stats import spearmanr  # imported late: it takes a tenth of a second

    if is_level(one) or is_level(other):
        return None
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def agreements(attributions: Mapping[str, NDArray[np.float32]]) -> Mapping[tuple[str, str], float | None]:
    """Return the agreement of every two methods."""
    return {
        (one, other): agreement(attributions[one], attributions[other])
        for one, other in combinations(attributions, 2)
    }


def relative(attribution: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an attribution on one scale for all methods, -1..1: divided by its `symmetric_scale`, clipped.

    Divided by its maximum, a few outliers would make everything else invisible.
    """
    scale = symmetric_scale(attribution)
    return np.clip(attribution / np.float32(scale), -1, 1) if scale else attribution


def difference(one: ModelExplanations, other: ModelExplanations, method: str) -> NDArray[np.float32]:
    """Return the difference of the relative attributions of two models, -2..2, in the crop of the first.

    Pixels that the other network does not see are 0.
    """
    first = relative(one.attributions[method])
    second = relative(other.attributions[method])
    rows, columns = (_source(_geometry(one), _geometry(other), axis) for axis in (0, 1))
    inside = (rows >= 0)[:, None] & (columns >= 0)
    result: NDArray[np.float32] = np.where(inside, first - second[np.ix_(rows, columns)], 0).astype(
        np.float32
    )
    return result


def _geometry(explained: ModelExplanations) -> Geometry:
    prepared = explained.context.images[0]
    height, width = prepared.photo.shape[:2]
    return prepared.geometries[0].resized((height, width))


def _source(target: Geometry, source: Geometry, axis: int) -> NDArray[np.int64]:
    """Return for each row (axis 0) or column (1) of one crop the index in another; -1 outside of it."""
    size, other = target.network_size[axis], source.network_size[axis]
    regions = [
        (box.y0, box.height) if axis == 0 else (box.x0, box.width) for box in (target.region, source.region)
    ]
    (start, length), (begin, extent) = regions
    places = start + (np.arange(size) + 0.5) * length / size
    indices = np.floor((places - begin) * other / extent).astype(np.int64)
    return np.where((indices >= 0) & (indices < other), indices, -1)
