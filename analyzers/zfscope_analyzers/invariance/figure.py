"""Fig 5: photos as they are transformed, and what comes of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zfscope.analysis.contract import Context, Picture, picture
from zfscope_analyzers.invariance.follow import Curves, PhotoSeen, transformation_of, transformed_as
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


def figure(
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
