"""Invariance: how far features and class move when a photo is moved, scaled or turned (Fig 5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import (
    Analysis,
    Context,
    Picture,
    Table,
    array,
    class_number,
    images_of,
    picture,
)
from zfscope.engine.trace import check_layer, trace
from zfscope.errors import InputError
from zfscope.images.curves import Strip, plot_strips
from zfscope.images.preprocess import Prepared
from zfscope.images.transform import Fill, Transformation, transformed
from zfscope.store import Model
from zfscope_analyzers.names import distinct

Kind = Literal["vertical", "horizontal", "scale", "rotation"]

_QUANTITIES: Mapping[Kind, tuple[str, str]] = {
    "vertical": ("Vertical translation (px, down)", " px"),
    "horizontal": ("Horizontal translation (px, to the right)", " px"),
    "scale": ("Scale (ratio)", "\u00d7"),
    "rotation": ("Rotation (degrees, counter-clockwise)", "\u00b0"),
}
"""What is done, as an axis of the figure names it, and the unit after a value."""
_BATCH = 4
"""Photos in a forward pass: a few tenths of a second on two cores, after which the caller is looked after."""
_SHOWN = 6
"""Pictures in each row of the figure."""
_MOST_VALUES = 200

_Pixels = Annotated[float, Field(ge=-1024, le=1024)]
_Ratio = Annotated[float, Field(ge=0.1, le=10)]
_Degrees = Annotated[float, Field(ge=-360, le=360)]


class InvarianceParams(BaseModel):
    """What to do to the photos, and where to look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transformations: Annotated[tuple[Kind, ...], AfterValidator(distinct)] = Field(
        default=("vertical", "scale", "rotation"),
        min_length=1,
        description="What is done to the photos, one at a time: vertical or horizontal (translations), "
        "scale, rotation.",
    )
    translations_px: tuple[_Pixels, ...] = Field(
        default=tuple(float(step) for step in range(-60, 61, 6)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Moves in pixels of the network's input, positive down or to the right.",
    )
    scales: tuple[_Ratio, ...] = Field(
        default=tuple(tenth / 10 for tenth in range(6, 19)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Ratios about the crop's centre: 2 shows everything twice as large.",
    )
    rotations_deg: tuple[_Degrees, ...] = Field(
        default=tuple(float(angle) for angle in range(0, 360, 10)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Angles about the crop's centre in degrees, positive counter-clockwise.",
    )
    layers: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        default=("relu1", "relu7"),
        min_length=1,
        max_length=8,
        description="Where features are compared; the figure shows the first and the last of these.",
    )
    fill: Fill = Field(
        default="mean",
        description="What comes in where there is no photo: mean (the colour that the model's preprocessing "
        "takes off), grey (128), black (0), or edge (the photo's edge pixels repeated).",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="The true class of each photo, in order: a label's id or name, or '' for the class that "
        "is likeliest before anything is done. Empty: that class for all photos.",
    )

    def values(self, kind: Kind) -> tuple[float, ...]:
        """Give how much of a transformation is done, one at a time."""
        return {"scale": self.scales, "rotation": self.rotations_deg}.get(kind, self.translations_px)


@dataclass(frozen=True, eq=False)
class _Curves:
    """What one transformation did to the photos.

    distances, normalised: (photos, values, layers). probabilities: (photos, values), of the true class.
    """

    kind: Kind
    values: tuple[float, ...]
    distances: NDArray[np.float32]
    normalised: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class _Truth:
    """The class whose probability is followed for a photo, what it was before, and who chose it."""

    index: int
    probability: float
    chosen: Literal["given", "likeliest"]


@dataclass(frozen=True, eq=False)
class _PhotoSeen:
    """One photo: rows as its transformations, kind by kind and value by value."""

    truth: _Truth
    distances: NDArray[np.float64]
    normalised: NDArray[np.float64]
    probabilities: NDArray[np.float64]


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
    api_version = 1
    photos = (1, 16)
    params = InvarianceParams

    def cost(self, model: Model, params: InvarianceParams) -> int:
        """Count a pass for each value, and one before."""
        return 1 + sum(len(params.values(kind)) for kind in params.transformations)

    def analyze(self, context: Context, params: InvarianceParams) -> Analysis:
        """Transform the photos, and follow what their first crops do in the network.

        Raises NotFound for a layer or label that the model does not have, InputError for a number of labels
        other than that of the photos, and for a label's name that several classes have.
        """
        for place, layer in enumerate(params.layers):
            check_layer(context.model.network.spec, layer, field=f"layers[{place}]")
        wanted = _wanted(context, params)
        seen = [_follow(context, params, photo, index) for photo, index in enumerate(wanted)]
        curves = tuple(_curves(seen, params))
        return Analysis(
            tensors={name: tensor for curve in curves for name, tensor in _tensors(curve).items()},
            pictures=(_figure(context, params, curves, seen),) if context.pictures else (),
            tables={"curves": _table(curves, params.layers), "photos": _photos(context.model, seen)},
        )


def _wanted(context: Context, params: InvarianceParams) -> list[int | None]:
    """Give the true class of each photo, None where the likeliest is to be taken."""
    labels, count = params.labels, len(context.images)
    if labels and len(labels) != count:
        raise InputError(
            f"{len(labels)} labels for {count} photos; give one for each, or none", field="labels"
        )
    return [
        class_number(context.model, label, field=f"labels[{place}]") if label else None
        for place, label in enumerate(labels or ("",) * count)
    ]


def _follow(context: Context, params: InvarianceParams, photo: int, wanted: int | None) -> _PhotoSeen:
    """Run one photo, and all that is done to it, through the network."""
    model, prepared = context.model, context.images[photo]
    before = _look(model, [prepared.pixels[:1]], params.layers)
    truth = _truth(before, wanted)
    steps = [_transformation(kind, value) for kind in params.transformations for value in params.values(kind)]
    distances = np.zeros((len(steps), len(params.layers)))
    probabilities = np.full(len(steps), truth.probability)
    # What changes nothing keeps the photo's own numbers: those of another batch would differ by rounding.
    changing = [place for place, step in enumerate(steps) if not step.changes_nothing]
    for start in range(0, len(changing), _BATCH):
        context.check_cancelled()
        places = changing[start : start + _BATCH]
        after = _look(
            model, [_transformed(model, prepared, steps[n], params).pixels[:1] for n in places], params.layers
        )
        distances[places] = after.distances_to(before)
        probabilities[places] = after.probabilities[:, truth.index]
        context.progress((photo + (start + len(places)) / len(changing)) / len(context.images), None)
    return _PhotoSeen(truth, distances, _normalised(distances, before.norms), probabilities)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What the network made of N crops. features: (N, units) for each layer; probabilities: (N, classes)."""

    features: Sequence[NDArray[np.float32]]
    probabilities: NDArray[np.float64]

    @property
    def norms(self) -> NDArray[np.float64]:
        """The Euclidean norm of each crop's features: (N, layers)."""
        return np.stack([_norm(units) for units in self.features], axis=1)

    def distances_to(self, one: "_Looked") -> NDArray[np.float64]:
        """Give the Euclidean distance of each crop's features to those of a single crop: (N, layers)."""
        pairs = zip(self.features, one.features, strict=True)
        return np.stack([_norm(units - origin) for units, origin in pairs], axis=1)


def _norm(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return norms


def _look(model: Model, pixels: Sequence[NDArray[np.float32]], layers: Sequence[str]) -> _Looked:
    network = model.network
    images = images_of(model, np.concatenate(pixels))
    outputs = trace(network, images).outputs
    features = [array(outputs[layer]).reshape(len(images), -1) for layer in layers]
    return _Looked(features, softmax(array(outputs[network.spec.layers[-1].name])))


def _truth(before: _Looked, wanted: int | None) -> _Truth:
    probabilities = before.probabilities[0]
    index = int(probabilities.argmax()) if wanted is None else wanted
    return _Truth(index, float(probabilities[index]), "likeliest" if wanted is None else "given")


def _transformation(kind: Kind, value: float) -> Transformation:
    match kind:
        case "vertical":
            return Transformation(down_px=value)
        case "horizontal":
            return Transformation(right_px=value)
        case "scale":
            return Transformation(scale=value)
        case "rotation":
            return Transformation(rotation_deg=value)


def _transformed(
    model: Model, prepared: Prepared, transformation: Transformation, params: InvarianceParams
) -> Prepared:
    return transformed(
        prepared, transformation, model.preprocessing, mean_image=model.mean_image, fill=params.fill
    )


def _normalised(distances: NDArray[np.float64], norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide distances (n, layers) by the norms (1, layers) of the original's features."""
    shares = distances / np.where(norms > 0, norms, 1)
    return np.where(norms > 0, shares, distances > 0)


def _curves(seen: Sequence[_PhotoSeen], params: InvarianceParams) -> Iterator[_Curves]:
    """Take apart, by kind, what was done to each photo in one go."""
    start = 0
    for kind in params.transformations:
        values = params.values(kind)
        part = slice(start, start + len(values))
        yield _Curves(
            kind,
            values,
            np.stack([photo.distances[part] for photo in seen]).astype(np.float32),
            np.stack([photo.normalised[part] for photo in seen]).astype(np.float32),
            np.stack([photo.probabilities[part] for photo in seen]).astype(np.float32),
        )
        start = part.stop


def _tensors(curves: _Curves) -> dict[str, NDArray[np.float32]]:
    return {
        f"{curves.kind}-values": np.array(curves.values, np.float32),
        f"{curves.kind}-distances": curves.distances,
        f"{curves.kind}-normalised": curves.normalised,
        f"{curves.kind}-probabilities": curves.probabilities,
    }


_COLUMNS = ("photo", "transformation", "value", "layer", "distance", "normalised_distance", "probability")


def _table(curves: Sequence[_Curves], layers: Sequence[str]) -> Table:
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


def _photos(model: Model, seen: Sequence[_PhotoSeen]) -> Table:
    labels = [model.labels[photo.truth.index] for photo in seen]
    return Table(
        ("photo", "label_id", "label", "chosen", "probability"),
        tuple(
            (number, label.id, label.name, photo.truth.chosen, photo.truth.probability)
            for number, (label, photo) in enumerate(zip(labels, seen, strict=True))
        ),
    )


def _figure(
    context: Context, params: InvarianceParams, curves: Sequence[_Curves], seen: Sequence[_PhotoSeen]
) -> Picture:
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


def _strip(context: Context, params: InvarianceParams, curve: _Curves) -> Strip:
    columns = dict.fromkeys((0, len(params.layers) - 1))
    chosen = np.linspace(0, len(curve.values) - 1, min(_SHOWN, len(curve.values))).round().astype(int)
    shown = [curve.values[place] for place in chosen]
    model, first = context.model, context.images[0]
    return Strip(
        *_QUANTITIES[curve.kind],
        np.array(curve.values),
        {v: _transformed(model, first, _transformation(curve.kind, v), params).views[0] for v in shown},
        (*(curve.normalised[:, :, column] for column in columns), curve.probabilities),
    )
