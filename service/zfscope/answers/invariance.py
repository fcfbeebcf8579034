"""Invariance of features under translations, scalings and rotations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record, group_by
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class LayerDistances:
    """How far the features of a layer moved, for each value of a curve: the Euclidean distance.

    normalised_distances: divided by the norm of the photo's own features; 0 is no change.
    """

    layer: str
    distances: tuple[float, ...]
    normalised_distances: tuple[float, ...]


@dataclass(frozen=True)
class InvarianceCurve:
    """What a transformation (`vertical`, `horizontal`, `scale`, `rotation`) did to a photo, value by value.

    values: pixels of the network's input, ratios, or degrees. probabilities: of the photo's class, 0..1.
    """

    transformation: str
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    layers: tuple[LayerDistances, ...]


@dataclass(frozen=True)
class InvariancePhoto:
    """A photo, the class that is followed in it, and what the transformations did.

    chosen: `given`, or `likeliest` in the photo as it is. probability: of the class, in that photo, 0..1.
    """

    label_id: str
    label: str
    chosen: str
    probability: float
    curves: tuple[InvarianceCurve, ...]


@dataclass(frozen=True, eq=False)
class InvarianceTensors:
    """The numbers of a transformation for all photos, float32, read-only.

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
    """What moves, changes of scale and turns did to photos; tensors: empty unless asked for."""

    model: str
    version: int
    photos: tuple[InvariancePhoto, ...]
    picture: Picture | None
    tensors: tuple[InvarianceTensors, ...]
    warnings: tuple[Notice, ...] = ()


def _assemble(found: Analyzed, _: Sequence[Size]) -> Invariance:
    analysis = found.analysis
    records = analysis.tables["curves"].records()
    rows = group_by(records, "photo")
    transformations = group_by(records, "transformation") if analysis.tensors else {}
    return from_analysis(
        Invariance,
        found,
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
