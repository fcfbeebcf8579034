"""Features of many photos for `benchmarks.quality`: dead maps, and linear probes of new classes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from benchmarks.quality_layers import rectified_stages
from benchmarks.sample_photos import evenly_spaced
from zfscope.datasets import DataSet, read_photo
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.processors import map_in_order
from zfscope.runtimes import create_runtime
from zfscope.store import Model

T = TypeVar("T")

# Photos of each class to train on and to test with, and the number of divisions into the two.
TRAINED, TESTED, SPLITS = 15, 10, 5
# Maps are reduced to their maximum in this number of cells along each side.
CELLS = 3
# Inverse strength of the classifier's L2 penalty, and the gradient at which its training ends, for features
# with a root mean square of 1. Of powers of ten, the C that is best or nearly so in all layers of ZFNet.
_C, _TOLERANCE, _STEPS = 0.1, 1e-3, 300
# Photos per forward pass, and passes whose results wait at once.
_BATCH, _AHEAD = 8, 4


def dead_maps(model: Model, data: DataSet, limit: int) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the share of the maps without an activation above 0 in `limit` photos."""
    layers, runtime = _rectified_layers(model), create_runtime("onnx", model, threads=1)
    numbers = evenly_spaced(len(data), limit)

    def maxima(images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return {layer: each.values.max(0) for layer, each in runtime.map_maxima(images, layers).items()}

    batches = list(_map_photos(maxima, model, data, numbers, "dead"))
    alive = {layer: np.stack([batch[layer] for batch in batches]).max(0) > 0 for layer in layers}
    return {layer: {"maps": each.size, "dead": float(1 - each.mean())} for layer, each in alive.items()}


def probe(model: Model, data: DataSet, left_out: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the accuracy of a linear classifier of the data's classes."""
    numbers, classes = choose_photos(data.labels, left_out)
    layers, runtime = _rectified_layers(model), create_runtime("onnx", model, threads=1)

    def features(images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return {layer: reduced(outputs) for layer, outputs in runtime.outputs(images, layers).items()}

    batches = list(_map_photos(features, model, data, numbers, "probe, features"))
    tested = {}
    for layer in track(layers, f"{model.name}, probe, classifiers:", transient=True):
        shares = accuracies(np.concatenate([batch[layer] for batch in batches]), classes)
        tested[layer] = {"accuracy": mean(shares), "deviation": stdev(shares)}
    return tested


def choose_photos(labels: Sequence[str], left_out: Sequence[str]) -> tuple[list[int], NDArray[np.int64]]:
    """Draw photos of each class: their numbers, and the index of the class of each, in the same order.

    Classes with too few photos are left out.
    """
    generator, count = np.random.default_rng(0), TRAINED + TESTED
    by_class: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_class.setdefault(label, []).append(number)
    known = [by_class[label] for label in sorted(by_class) if label and label not in left_out]
    drawn = [generator.choice(each, count, replace=False).tolist() for each in known if len(each) >= count]
    return [number for each in drawn for number in each], np.repeat(np.arange(len(drawn)), count)


def splits(classes: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, for each split, the indices of the photos to train on and of those to test with."""
    for seed in range(SPLITS):
        generator = np.random.default_rng(seed)
        orders = [generator.permutation(np.flatnonzero(classes == each)) for each in np.unique(classes)]
        yield (
            np.concatenate([order[:TRAINED] for order in orders]),
            np.concatenate([order[TRAINED:] for order in orders]),
        )


def reduced(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features, (N, features), of a layer's outputs, with a root mean square of 1 in each photo.

    A map is reduced to its maxima in 3 x 3 cells; then each number to its square root, with the same sign.
    """
    values = torch.from_numpy(np.ascontiguousarray(outputs))
    if values.dim() == 4:
        values = F.adaptive_max_pool2d(values, CELLS)
    values = values.flatten(1)
    rooted = values.sign() * values.abs().sqrt()
    features: NDArray[np.float32] = (F.normalize(rooted) * rooted.shape[1] ** 0.5).numpy()
    return features


def accuracies(features: NDArray[np.float32], classes: NDArray[np.int64]) -> list[float]:
    """Return the accuracy of logistic regression for each split."""

    def accuracy(split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> float:
        trained, tested = split
        classifier = LogisticRegression(C=_C, tol=_TOLERANCE, max_iter=_STEPS)
        classifier.fit(features[trained], classes[trained])
        return float(classifier.score(features[tested], classes[tested]))

    with threadpool_limits(1):  # a classifier per processor is faster than one on all of them
        return list(map_in_order(accuracy, splits(classes)))


def _rectified_layers(model: Model) -> tuple[str, ...]:
    return rectified_stages(model.spec, has_classes=bool(model.labels))


def _map_photos(
    function: Callable[[NDArray[np.float32]], T],
    model: Model,
    data: DataSet,
    numbers: Sequence[int],
    title: str,
) -> Iterator[T]:
    """Apply a function to batches of network inputs, (N, C, H, W), in a thread per processor."""

    def run(batch: Sequence[int]) -> T:
        photos = (decode(read_photo(data.photo(number))) for number in batch)
        inputs = [prepare(photo, model.preprocessing, mean_image=model.mean_image).pixels for photo in photos]
        return function(np.concatenate(inputs))

    batches = [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]
    results = map_in_order(run, batches, ahead=_AHEAD)
    yield from track(results, f"{model.name}, {title}:", total=len(batches), transient=True)
