"""Invariance as an analyzer: what it takes and gives, Fig 5 too."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import (
    Analysis,
    Context,
    Picture,
    Table,
    check_classifies,
    class_number,
    picture,
)
from zfscope.errors import InputError
from zfscope.store import Model
from zfscope_analyzers.invariance.follow import (
    Curves,
    PhotoSeen,
    curves_of,
    follow,
    transformation_of,
    transformed_as,
)
from zfscope_analyzers.invariance.params import InvarianceParams, Kind

if TYPE_CHECKING:  # it brings matplotlib, which only a drawing needs
    from zfscope.images.curves import Strip

_QUANTITIES: Mapping[Kind, tuple[str, str]] = {
    "vertical": ("Vertical translation (px, down)", " px"),
    "horizontal": ("Horizontal translation (px, to the right)", " px"),
    "scale": ("Scale (ratio)", "\u00d7"),
    "rotation": ("Rotation (degrees, counter-clockwise)", "\u00b0"),
}
"""What is done, as an axis of the figure names it, and the unit after a value."""
_SHOWN = 6
"""Pictures in each row of the figure."""


class Invariance:
    """Follows the features of photos, and the probability of their class, while the photos are transformed.

    For every value of every transformation, and at each layer, the Euclidean distance between the features
    of the photo and of the transformed photo: as it is, and normalised, which is divided by the Euclidean
    norm of the photo's own features. So 0 is no change, and 1 one as large as the features are; where a
    photo has no features at all (all are 0), any change is 1. The photo is transformed before it is
    cropped; what changes nothing (a move by 0, a scale of 1, a turn by 0) has a distance of exactly 0.

    Gives the tables `curves` (photo, transformation, value, layer, distance, normalised_distance,
    probability) and `photos` (photo, label_id, label, chosen: `given` or `likeliest`, probability); the
    picture `invariance`; and for each KIND of transformation the tensors, float32, KIND-values (values,),
    KIND-distances and KIND-normalised (photos, values, layers), KIND-probabilities (photos, values). In
    tables photos are numbered from 0, in the order of the request.
    """

    name = "invariance"
    summary = "How far features and class move when photos are moved, scaled or turned (Fig 5)"
    api_version = 2
    photos = (1, 16)
    params = InvarianceParams

    def cost(self, model: Model, params: InvarianceParams) -> int:
        """Count a pass for each value, and one before."""
        return 1 + sum(len(params.values(kind)) for kind in params.transformations)

    def analyze(self, context: Context, params: InvarianceParams) -> Analysis:
        """Transform the photos, and follow what their first crops do in the network.

        Raises NotFound for a layer or label that the model does not have, InputError for a number of labels
        other than that of the photos, for a label's name that several classes have, and for a model without
        classes.
        """
        check_classifies(context.model)
        for place, layer in enumerate(params.layers):
            context.model.network.spec.layer(layer, field=f"layers[{place}]")
        wanted = _wanted(context, params)
        seen = [follow(context, params, photo, index) for photo, index in enumerate(wanted)]
        curves = tuple(curves_of(seen, params))
        return Analysis(
            tensors={name: tensor for curve in curves for name, tensor in _tensors(curve).items()},
            pictures=(_figure(context, params, curves, seen),) if context.pictures else (),
            tables={"curves": _table(curves, params.layers), "photos": _photos(context.model, seen)},
        )


def _wanted(context: Context, params: InvarianceParams) -> list[int | None]:
    """Return the true class of each photo, None where the likeliest is to be taken."""
    labels, count = params.labels, len(context.images)
    if labels and len(labels) != count:
        raise InputError(
            f"{len(labels)} labels for {count} photos; give one for each, or none", field="labels"
        )
    return [
        class_number(context.model, label, field=f"labels[{place}]") if label else None
        for place, label in enumerate(labels or ("",) * count)
    ]


def _tensors(curves: Curves) -> dict[str, NDArray[np.float32]]:
    return {
        f"{curves.kind}-values": np.array(curves.values, np.float32),
        f"{curves.kind}-distances": curves.distances,
        f"{curves.kind}-normalised": curves.normalised,
        f"{curves.kind}-probabilities": curves.probabilities,
    }


_COLUMNS = ("photo", "transformation", "value", "layer", "distance", "normalised_distance", "probability")


def _table(curves: Sequence[Curves], layers: Sequence[str]) -> Table:
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


def _photos(model: Model, seen: Sequence[PhotoSeen]) -> Table:
    labels = [model.labels[photo.truth.index] for photo in seen]
    return Table(
        ("photo", "label_id", "label", "chosen", "probability"),
        tuple(
            (number, label.id, label.name, photo.truth.chosen, photo.truth.probability)
            for number, (label, photo) in enumerate(zip(labels, seen, strict=True))
        ),
    )


def _figure(
    context: Context, params: InvarianceParams, curves: Sequence[Curves], seen: Sequence[PhotoSeen]
) -> Picture:
    """Draw a row for each transformation: the first photo, and the curves of all."""
    from zfscope.images.curves import plot_strips

    layers = list(dict.fromkeys((params.layers[0], params.layers[-1])))
    names = [context.model.labels[photo.truth.index].name for photo in seen]
    drawn = plot_strips(
        [_strip(context, params, curve) for curve in curves],
        {f"Normalised distance, {layer}": None for layer in layers}
        | {"Probability of the photo's class": 1.0},
        [f"photo {number}: {name}" for number, name in enumerate(names)],
        title=f"Invariance of {context.model.name} version {context.model.version}: photos moved, scaled, "
        "turned, one at a time",
        note=f"pictures: photo 0, transformed by the value above each, filled with: {params.fill}. Plots: "
        "Euclidean distance between the features of the photo and of the transformed photo, divided by the "
        "norm of the photo's features; probability (0 to 1) of the class in the legend",
    )
    return picture("invariance", drawn)


def _strip(context: Context, params: InvarianceParams, curve: Curves) -> "Strip":
    from zfscope.images.curves import Strip

    columns = dict.fromkeys((0, len(params.layers) - 1))
    chosen = np.linspace(0, len(curve.values) - 1, min(_SHOWN, len(curve.values))).round().astype(int)
    shown = [curve.values[place] for place in chosen]
    model, first = context.model, context.images[0]
    return Strip(
        *_QUANTITIES[curve.kind],
        np.array(curve.values),
        {v: transformed_as(model, first, transformation_of(curve.kind, v), params).views[0] for v in shown},
        (*(curve.normalised[:, :, column] for column in columns), curve.probabilities),
    )
