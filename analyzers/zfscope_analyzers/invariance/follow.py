"""Photos followed through the network while they are transformed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context
from zfscope.images.preprocess import Prepared
from zfscope.images.transform import Transformation, transformed
from zfscope.store import Model
from zfscope_analyzers.invariance.params import InvarianceParams, Kind

# What a value of each kind is in a `Transformation`.
_FIELDS: Mapping[Kind, str] = {
    "vertical": "down_px",
    "horizontal": "right_px",
    "scale": "scale",
    "rotation": "rotation_deg",
}
_BATCH = 4
"""Photos in a forward pass: a few tenths of a second on two cores, after which the caller is looked after."""


@dataclass(frozen=True)
class Truth:
    """The class whose probability is followed for a photo, what it was before, and who chose it."""

    index: int
    probability: float
    chosen: Literal["given", "likeliest"]


@dataclass(frozen=True, eq=False)
class PhotoSeen:
    """One photo: rows as its transformations, kind by kind and value by value."""

    truth: Truth
    distances: NDArray[np.float64]
    normalised: NDArray[np.float64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """What one transformation did to the photos.

    distances, normalised: (photos, values, layers). probabilities: (photos, values), of the true class.
    """

    kind: Kind
    values: tuple[float, ...]
    distances: NDArray[np.float32]
    normalised: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def follow(context: Context, params: InvarianceParams, photo: int, wanted: int | None) -> PhotoSeen:
    """Run one photo, and all that is done to it, through the network."""
    model, prepared = context.model, context.images[photo]
    before = _look(context, [prepared.pixels[:1]], params.layers)
    truth = _truth(before, wanted)
    steps = [
        transformation_of(kind, value) for kind in params.transformations for value in params.values(kind)
    ]
    distances = np.zeros((len(steps), len(params.layers)))
    probabilities = np.full(len(steps), truth.probability)
    # What changes nothing keeps the photo's own numbers: those of another batch would differ by rounding.
    changing = [place for place, step in enumerate(steps) if not step.changes_nothing]
    for start in range(0, len(changing), _BATCH):
        context.check_cancelled()
        places = changing[start : start + _BATCH]
        pixels = [transformed_as(model, prepared, steps[n], params).pixels[:1] for n in places]
        context.check_cancelled()
        after = _look(context, pixels, params.layers)
        distances[places] = after.distances_to(before)
        probabilities[places] = after.probabilities[:, truth.index]
        context.progress((photo + (start + len(places)) / len(changing)) / len(context.images), None)
    return PhotoSeen(truth, distances, _normalised(distances, before.norms), probabilities)


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
        """Return the Euclidean distance of each crop's features to those of a single crop: (N, layers)."""
        pairs = zip(self.features, one.features, strict=True)
        return np.stack([_norm(units - origin) for units, origin in pairs], axis=1)


def _norm(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return norms


def _look(context: Context, pixels: Sequence[NDArray[np.float32]], layers: Sequence[str]) -> _Looked:
    last = context.model.spec.scores
    outputs = context.runtime.outputs(np.concatenate(pixels), [*layers, last])
    features = [outputs[layer].reshape(len(pixels), -1) for layer in layers]
    return _Looked(features, softmax(outputs[last]))


def _truth(before: _Looked, wanted: int | None) -> Truth:
    probabilities = before.probabilities[0]
    index = int(probabilities.argmax()) if wanted is None else wanted
    return Truth(index, float(probabilities[index]), "likeliest" if wanted is None else "given")


def transformation_of(kind: Kind, value: float) -> Transformation:
    """Return what one value of a kind of transformation does."""
    return Transformation(**{_FIELDS[kind]: value})


def transformed_as(
    model: Model, prepared: Prepared, transformation: Transformation, params: InvarianceParams
) -> Prepared:
    """Return what the network is given of the transformed photo."""
    return transformed(
        prepared, transformation, model.preprocessing, mean_image=model.mean_image, fill=params.fill
    )


def _normalised(distances: NDArray[np.float64], norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide distances (n, layers) by the norms (1, layers) of the original's features."""
    shares = distances / np.where(norms > 0, norms, 1)
    return np.where(norms > 0, shares, distances > 0)


def curves_of(seen: Sequence[PhotoSeen], params: InvarianceParams) -> Iterator[Curves]:
    """Take apart, by kind, what was done to each photo in one go."""
    start = 0
    for kind in params.transformations:
        values = params.values(kind)
        part = slice(start, start + len(values))
        yield Curves(
            kind,
            values,
            np.stack([photo.distances[part] for photo in seen]).astype(np.float32),
            np.stack([photo.normalised[part] for photo in seen]).astype(np.float32),
            np.stack([photo.probabilities[part] for photo in seen]).astype(np.float32),
        )
        start = part.stop
