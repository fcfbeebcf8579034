"""Result of an invariance analysis: features under translation, scaling and rotation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record, group_by
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class LayerDistances:
    """Euclidean distance of a layer's features from those of the original photo, for each value of a curve.

    normalised_distances: divided by the norm of the original features; 0 means no change.
    """

    layer: str
    distances: tuple[float, ...]
    normalised_distances: tuple[float, ...]


@dataclass(frozen=True)
class InvarianceCurve:
    """Effect of a transformation (`vertical`, `horizontal`, `scale`, `rotation`) on a photo, by value.

    values: pixels of the network's input, scale factors or degrees. probabilities: those of the photo's
    class, 0..1.
    """

    transformation: str
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    layers: tuple[LayerDistances, ...]


@dataclass(frozen=True)
class InvariancePhoto:
    """A photo, its tracked class, and the effect of each transformation.

    chosen: `given` by the caller, or `likeliest` class of the original photo. probability: probability of the
    class in the original photo, 0..1.
    """

    label_id: str
    label: str
    chosen: str
    probability: float
    curves: tuple[InvarianceCurve, ...]


@dataclass(frozen=True, eq=False)
class InvarianceTensors:
    """Measurements of one transformation for all photos, float32, read-only.

    values: (values,). distances, normalised_distances: (photos, values, layers). probabilities: (photos,
    values).
    """

    transformation: str
    values: NDArray[np.float32]
    distances: NDArray[np.float32]
    normalised_distances: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Invariance(ShowsPicture):
    """Invariance to translation, scaling and rotation. tensors: empty unless requested."""

    model: str
    version: int
    photos: tuple[InvariancePhoto, ...]
    picture: Picture | None
    tensors: tuple[InvarianceTensors, ...]
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> Invariance:
    analysis = analyzed.analysis
    records = analysis.tables["curves"].records()
    rows = group_by(records, "photo")
    transformations = group_by(records, "transformation") if analysis.tensors else {}
    return from_analysis(
        Invariance,
        analyzed,
        photos=tuple(
            from_record(InvariancePhoto, photo, curves=_curves(rows[photo["photo"]]))
            for photo in analysis.tables["photos"].records()
        ),
        picture=analysis.picture("invariance"),
        tensors=tuple(_tensors(transformation, analysis.tensors) for transformation in transformations),
    )


def _curves(rows: Sequence[Mapping[str, Any]]) -> tuple[InvarianceCurve, ...]:
    return tuple(
        _curve(transformation, group_by(curve, "layer"))
        for transformation, curve in group_by(rows, "transformation").items()
    )


def _curve(transformation: str, layers: Mapping[str, Sequence[Mapping[str, Any]]]) -> InvarianceCurve:
    steps = next(iter(layers.values()))  # the values and the probabilities are the same for each layer
    return InvarianceCurve(
        transformation=transformation,
        values=tuple(step["value"] for step in steps),
        probabilities=tuple(step["probability"] for step in steps),
        layers=tuple(
            LayerDistances(
                layer,
                tuple(row["distance"] for row in of_layer),
                tuple(row["normalised_distance"] for row in of_layer),
            )
            for layer, of_layer in layers.items()
        ),
    )


def _tensors(transformation: str, tensors: Mapping[str, NDArray[Any]]) -> InvarianceTensors:
    return InvarianceTensors(
        transformation=transformation,
        values=tensors[f"{transformation}-values"],
        distances=tensors[f"{transformation}-distances"],
        normalised_distances=tensors[f"{transformation}-normalised"],
        probabilities=tensors[f"{transformation}-probabilities"],
    )


INVARIANCE = TypedAnalysis("MeasureInvariance", "invariance", Invariance, _assemble)
