"""Changes of a photo's features and class probability while the photo is transformed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context
from zfscope.images.preprocess import Prepared
from zfscope.images.transform import Transformation, apply_transformation
from zfscope.store import Model
from zfscope_analyzers.invariance.params import InvarianceParams, TransformationKind

# Field of `Transformation` that holds the value of each kind.
_FIELDS: Mapping[TransformationKind, str] = {
    "vertical": "down_px",
    "horizontal": "right_px",
    "scale": "scale",
    "rotation": "rotation_deg",
}
# Photos per forward pass; a pass takes a few tenths of a second on two cores. Cancellation is checked before
# each pass.
_BATCH = 4


@dataclass(frozen=True)
class TrackedClass:
    """Class whose probability is tracked, its probability in the original photo, and how it was chosen."""

    index: int
    probability: float
    chosen: Literal["given", "likeliest"]


@dataclass(frozen=True, eq=False)
class PhotoMeasurements:
    """Measurements of one photo, one row per transformation: kind by kind, value by value.

    distances, normalised: (transformations, layers). probabilities: (transformations,), of the tracked class.
    """

    tracked: TrackedClass
    distances: NDArray[np.float64]
    normalised: NDArray[np.float64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InvarianceCurves:
    """Effect of one kind of transformation on all photos.

    distances, normalised: (photos, values, layers). probabilities: (photos, values), of the tracked class.
    """

    kind: TransformationKind
    values: tuple[float, ...]
    distances: NDArray[np.float32]
    normalised: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def measure_photo(
    context: Context, params: InvarianceParams, photo: int, true_class: int | None
) -> PhotoMeasurements:
    """Run one photo and all of its transformations through the network.

    photo: its index in the context. true_class: class to track; None for the most likely one.
    """
    model, prepared = context.model, context.images[photo]
    before = _run_network(context, [prepared.pixels[:1]], params.layers)
    tracked = _tracked_class(before, true_class)
    steps = [
        transformation_of(kind, value) for kind in params.transformations for value in params.values(kind)
    ]
    distances = np.zeros((len(steps), len(params.layers)))
    probabilities = np.full(len(steps), tracked.probability)
    # Identity transformations keep the original's numbers: computed in another batch, they would differ by
    # rounding.
    changing = [index for index, step in enumerate(steps) if not step.changes_nothing]
    for start in range(0, len(changing), _BATCH):
        context.check_cancelled()
        batch = changing[start : start + _BATCH]
        pixels = [transform_photo(model, prepared, steps[n], params).pixels[:1] for n in batch]
        context.check_cancelled()
        after = _run_network(context, pixels, params.layers)
        distances[batch] = after.distances_to(before)
        probabilities[batch] = after.probabilities[:, tracked.index]
        context.progress((photo + (start + len(batch)) / len(changing)) / len(context.images), None)
    return PhotoMeasurements(tracked, distances, _normalised(distances, before.norms), probabilities)


@dataclass(frozen=True, eq=False)
class _Outputs:
    """Network outputs of N crops. features: (N, units) for each layer; probabilities: (N, classes)."""

    features: Sequence[NDArray[np.float32]]
    probabilities: NDArray[np.float64]

    @property
    def norms(self) -> NDArray[np.float64]:
        """Euclidean norm of each crop's features: (N, layers)."""
        return np.stack([_norm(units) for units in self.features], axis=1)

    def distances_to(self, original: "_Outputs") -> NDArray[np.float64]:
        """Return the Euclidean distance of each crop's features to those of a single crop: (N, layers)."""
        pairs = zip(self.features, original.features, strict=True)
        return np.stack([_norm(units - origin) for units, origin in pairs], axis=1)


def _norm(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return norms


def _run_network(context: Context, pixels: Sequence[NDArray[np.float32]], layers: Sequence[str]) -> _Outputs:
    last = context.model.spec.scores
    outputs = context.runtime.outputs(np.concatenate(pixels), [*layers, last])
    features = [outputs[layer].reshape(len(pixels), -1) for layer in layers]
    return _Outputs(features, softmax(outputs[last]))


def _tracked_class(before: _Outputs, true_class: int | None) -> TrackedClass:
    probabilities = before.probabilities[0]
    index = int(probabilities.argmax()) if true_class is None else true_class
    return TrackedClass(index, float(probabilities[index]), "likeliest" if true_class is None else "given")


def transformation_of(kind: TransformationKind, value: float) -> Transformation:
    """Return the transformation for one value of a kind."""
    return Transformation(**{_FIELDS[kind]: value})


def transform_photo(
    model: Model, prepared: Prepared, transformation: Transformation, params: InvarianceParams
) -> Prepared:
    """Return the transformed photo, cropped and preprocessed for the network."""
    return apply_transformation(
        prepared, transformation, model.preprocessing, mean_image=model.mean_image, fill=params.fill
    )


def _normalised(distances: NDArray[np.float64], norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide distances (n, layers) by the norms (1, layers) of the original: d / 0 is 1, and 0 / 0 is 0."""
    shares = distances / np.where(norms > 0, norms, 1)
    return np.where(norms > 0, shares, distances > 0)


def group_by_kind(
    photos: Sequence[PhotoMeasurements], params: InvarianceParams
) -> Iterator[InvarianceCurves]:
    """Split the rows of every photo by kind of transformation, and stack the photos."""
    start = 0
    for kind in params.transformations:
        values = params.values(kind)
        rows = slice(start, start + len(values))
        yield InvarianceCurves(
            kind,
            values,
            np.stack([photo.distances[rows] for photo in photos]).astype(np.float32),
            np.stack([photo.normalised[rows] for photo in photos]).astype(np.float32),
            np.stack([photo.probabilities[rows] for photo in photos]).astype(np.float32),
        )
        start = rows.stop
