"""Accuracy of a network or a stored model on photos: centre crop, or the mean of the paper's ten crops."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zfscope.datasets import SkippedFiles
from zfscope.datasets.names import similar_classes
from zfscope.datasets.read import SkippedPhoto
from zfscope.errors import InputError
from zfscope.images.preprocess import Crops, MeanImage, Preprocessing
from zfscope.networks.network import Network
from zfscope.runtimes import Runtime, create_runtime
from zfscope.runtimes.precision import check_precision
from zfscope.store import Model
from zfscope.training.batches import Pixels, crops
from zfscope.training.data_checks import repeat_warnings
from zfscope.training.decoded import cached_photos
from zfscope.training.labelled import read_folder

BATCH = 32


@dataclass(frozen=True)
class MeasuredAccuracy:
    """Top-1 and top-5 accuracy in percent, and the number of photos."""

    top1: float
    top5: float
    images: int


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a model, with the skipped photos and files, and warnings."""

    accuracy: MeasuredAccuracy
    skipped: tuple[SkippedPhoto, ...] = ()
    skipped_files: tuple[SkippedFiles, ...] = ()
    warnings: tuple[str, ...] = ()


@torch.inference_mode()
def evaluate(
    network: Network,
    squares: Pixels,
    targets: NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    mean_image: MeanImage | None = None,
    ten_crop: bool = False,
    size: int | None = None,
    advance: Callable[[int], None] = lambda photos: None,
) -> MeasuredAccuracy:
    """Measure the accuracy on centre squares, uint8 (photos, side, side, 3).

    targets: class numbers (photos,). ten_crop: average the probabilities of the ten crops of Sec 3. size:
    resize crops to this many pixels, as in early training phases. advance: called with the number of photos
    done since the last call.
    """
    return _measure(
        partial(_network_probabilities, network, size=size),
        squares,
        targets,
        partial(crops, preprocessing=preprocessing, mean_image=mean_image, kind=_kind(ten_crop)),
        advance,
    )


def _measure(
    probabilities_of: Callable[[Tensor], Tensor],
    squares: Pixels,
    targets: NDArray[np.int64],
    crops_of: Callable[[Pixels], Iterable[Tensor]],
    advance: Callable[[int], None],
) -> MeasuredAccuracy:
    """Measure accuracy. probabilities_of: of network inputs (N, C, H, W). crops_of: inputs of squares."""
    hits = torch.zeros(2)
    for start in range(0, len(targets), BATCH):
        batch = slice(start, start + BATCH)
        probabilities = torch.stack([probabilities_of(crop) for crop in crops_of(squares[batch])])
        hits += _hits(probabilities.mean(0).cpu(), torch.from_numpy(targets[batch]))
        advance(len(targets[batch]))
    top1, top5 = (100 * hits / len(targets)).tolist()
    return MeasuredAccuracy(round(top1, 3), round(top5, 3), len(targets))


def evaluate_model(
    model: Model,
    data: Path,
    *,
    ten_crop: bool,
    precision: str = "float32",
    cache: Path,
    advance: Callable[[int], None] = lambda photos: None,
) -> Evaluation:
    """Measure the accuracy of a stored model on a data set whose classes are among its label ids.

    precision: of the forward pass; see `create_runtime`. cache: folder for the decoded photos. advance:
    called with the number of photos decoded, and then with the number of photos classified, since the last
    call. Raises InputError if the classes of the data set are not the model's, and for a model without
    classes; RuntimeUnavailable for a precision without a fast path on this machine.
    """
    if not model.is_opaque:
        check_precision(precision, runtime="torch", device="cpu")
    if not model.labels:
        raise InputError(
            f"{model.manifest.title} has no classes, so its accuracy cannot be measured", field="model"
        )
    photos = read_folder(data, [label.id for label in model.labels])
    decoded = cached_photos(photos, model.preprocessing, cache / "evaluation.pixels", advance=advance)
    crops_of = partial(
        crops, preprocessing=model.preprocessing, mean_image=model.mean_image, kind=_kind(ten_crop)
    )
    squares = np.asarray(decoded.squares)
    with torch.inference_mode():
        accuracy = _measure(_classifier(model, precision), squares, decoded.targets, crops_of, advance)
    warnings = *similar_classes(photos.data.classes), *repeat_warnings(decoded.record.used, "photos")
    return Evaluation(accuracy, decoded.skipped, photos.skipped_files, warnings)


def _kind(ten_crop: bool) -> Crops:
    return "ten" if ten_crop else "centre"


def _runtime_probabilities(runtime: Runtime, photos: Tensor) -> Tensor:
    return torch.from_numpy(runtime.forward(photos.contiguous().numpy())).softmax(1)


def _network_probabilities(network: Network, photos: Tensor, *, size: int | None) -> Tensor:
    photos = photos.to(next(network.parameters()))
    if size is not None and size != photos.shape[-1]:
        photos = F.interpolate(photos, size=(size, size), mode="bilinear", antialias=True)
    scores: Tensor = network(photos, resize_maps=True)
    return scores.float().softmax(1)


def _classifier(model: Model, precision: str) -> Callable[[Tensor], Tensor]:
    """Return the function from network inputs to probabilities: by torch, or the runtime of a graph."""
    if model.is_opaque:
        return partial(_runtime_probabilities, create_runtime("onnx", model, precision=precision))
    return partial(_network_probabilities, model.network_in(precision), size=None)


def _hits(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the numbers of top-1 and top-5 hits."""
    ranked = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
    matches = ranked == targets[:, None]
    return torch.stack([matches[:, 0].sum(), matches.sum()]).float()
