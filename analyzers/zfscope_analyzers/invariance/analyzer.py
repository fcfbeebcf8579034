"""The analyzer `invariance`, its tables and its figure: Fig 5 of the paper."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import (
    Analysis,
    Context,
    Need,
    Picture,
    Table,
    check_classifies,
    class_number,
    picture,
)
from zfscope.errors import InputError
from zfscope.store import Model
from zfscope_analyzers.invariance.measure import (
    InvarianceCurves,
    PhotoMeasurements,
    group_by_kind,
    measure_photo,
    transform_photo,
    transformation_of,
)
from zfscope_analyzers.invariance.params import InvarianceParams, TransformationKind

if TYPE_CHECKING:  # imports matplotlib, which only drawing needs
    from zfscope.images.curves import Strip

# Axis label of each kind of transformation, and the unit that follows a value.
_AXES: Mapping[TransformationKind, tuple[str, str]] = {
    "vertical": ("Vertical translation (px, down)", " px"),
    "horizontal": ("Horizontal translation (px, to the right)", " px"),
    "scale": ("Scale (ratio)", "\u00d7"),
    "rotation": ("Rotation (degrees, counter-clockwise)", "\u00b0"),
}
_PICTURES_PER_ROW = 6


class InvarianceAnalyzer:
    """Invariance of features, and of the probability of a photo's class, to transformations of the photo.

    For every value of every transformation and every layer, measures the Euclidean distance between the
    features of the photo and of the transformed photo: absolute, and normalised by the Euclidean norm of the
    photo's own features. A normalised distance of 0 is no change, 1 a change as large as the features
    themselves; for a photo whose features are all 0, any change is 1. The photo is transformed before it is
    cropped. An identity transformation (translation by 0, scale 1, rotation by 0) has a distance of exactly
    0.

    Returns the tables `curves` (photo, transformation, value, layer, distance, normalised_distance,
    probability) and `photos` (photo, label_id, label, chosen: `given` or `likeliest`, probability); the
    picture `invariance`; and for each KIND of transformation the float32 tensors KIND-values (values,),
    KIND-distances and KIND-normalised (photos, values, layers), and KIND-probabilities (photos, values).
    Tables number photos from 0, in the order of the request.
    """

    name = "invariance"
    summary = "Measure how features and class change when photos are translated, scaled or rotated (Fig 5)"
    api_version = 2
    photos = (1, 16)
    params = InvarianceParams
    needs = (Need.scores, Need.outputs)

    def cost(self, model: Model, params: InvarianceParams) -> int:
        """Return the number of forward passes per photo: one for each value, and one for the original."""
        return 1 + sum(len(params.values(kind)) for kind in params.transformations)

    def analyze(self, context: Context, params: InvarianceParams) -> Analysis:
        """Transform the photos, and measure the change of their first crops in the network.

        Raises NotFound for a layer or label that the model lacks, InputError if the number of labels differs
        from the number of photos, for a label name that several classes share, and for a model without
        classes.
        """
        check_classifies(context.model)
        params = params.resolve(context.model.spec)
        classes = _true_classes(context, params)
        photos = [measure_photo(context, params, photo, index) for photo, index in enumerate(classes)]
        curves = tuple(group_by_kind(photos, params))
        return Analysis(
            tensors={name: tensor for curve in curves for name, tensor in _tensors(curve).items()},
            pictures=(_figure(context, params, curves, photos),) if context.pictures else (),
            tables={"curves": _table(curves, params.layers), "photos": _photo_table(context.model, photos)},
            precision=context.precision,
        )


def _true_classes(context: Context, params: InvarianceParams) -> list[int | None]:
    """Return the true class of each photo; None for the most likely class."""
    labels, count = params.labels, len(context.images)
    if labels and len(labels) != count:
        raise InputError(
            f"{len(labels)} labels for {count} photos; give one for each, or none", field="labels"
        )
    return [
        class_number(context.model, label, field=f"labels[{index}]") if label else None
        for index, label in enumerate(labels or ("",) * count)
    ]


def _tensors(curves: InvarianceCurves) -> dict[str, NDArray[np.float32]]:
    return {
        f"{curves.kind}-values": np.array(curves.values, np.float32),
        f"{curves.kind}-distances": curves.distances,
        f"{curves.kind}-normalised": curves.normalised,
        f"{curves.kind}-probabilities": curves.probabilities,
    }


_COLUMNS = ("photo", "transformation", "value", "layer", "distance", "normalised_distance", "probability")


def _table(curves: Sequence[InvarianceCurves], layers: Sequence[str]) -> Table:
    return Table(
        _COLUMNS,
        tuple(
            (
                photo,
                curve.kind,
                value,
                layer,
                float(curve.distances[photo, n, column]),
                float(curve.normalised[photo, n, column]),
                float(curve.probabilities[photo, n]),
            )
            for photo in range(len(curves[0].distances))
            for curve in curves
            for n, value in enumerate(curve.values)
            for column, layer in enumerate(layers)
        ),
    )


def _photo_table(model: Model, photos: Sequence[PhotoMeasurements]) -> Table:
    labels = [model.labels[photo.tracked.index] for photo in photos]
    return Table(
        ("photo", "label_id", "label", "chosen", "probability"),
        tuple(
            (number, label.id, label.name, photo.tracked.chosen, photo.tracked.probability)
            for number, (label, photo) in enumerate(zip(labels, photos, strict=True))
        ),
    )


def _figure(
    context: Context,
    params: InvarianceParams,
    curves: Sequence[InvarianceCurves],
    photos: Sequence[PhotoMeasurements],
) -> Picture:
    """Draw a row per transformation: the first photo transformed, and the curves of all photos."""
    from zfscope.images.curves import plot_strips

    layers = list(dict.fromkeys((params.layers[0], params.layers[-1])))
    names = [context.model.labels[photo.tracked.index].name for photo in photos]
    drawn = plot_strips(
        [_strip(context, params, curve) for curve in curves],
        {f"Normalised distance, {layer}": None for layer in layers}
        | {"Probability of the photo's class": 1.0},
        [f"photo {number}: {name}" for number, name in enumerate(names)],
        title=f"Invariance of {context.model.name} version {context.model.version} to transformations",
        note=f"Pictures: photo 0, transformed by the value above each; fill: {params.fill}. Charts: "
        "Euclidean distance between the features of the original and the transformed photo, divided by the "
        "norm of the original's features; probability (0 to 1) of the class in the legend",
    )
    return picture("invariance", drawn)


def _strip(context: Context, params: InvarianceParams, curve: InvarianceCurves) -> "Strip":
    from zfscope.images.curves import Strip

    columns = dict.fromkeys((0, len(params.layers) - 1))
    indices = (
        np.linspace(0, len(curve.values) - 1, min(_PICTURES_PER_ROW, len(curve.values))).round().astype(int)
    )
    shown = [curve.values[index] for index in indices]
    model, first = context.model, context.images[0]
    return Strip(
        *_AXES[curve.kind],
        np.array(curve.values),
        {v: transform_photo(model, first, transformation_of(curve.kind, v), params).views[0] for v in shown},
        (*(curve.normalised[:, :, column] for column in columns), curve.probabilities),
    )
