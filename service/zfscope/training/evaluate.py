"""Accuracy on photos: single crop, or the mean of the paper's ten."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zfscope.images.preprocess import MeanImage, Preprocessing
from zfscope.networks.network import Network
from zfscope.training.batches import crops, normalised
from zfscope.training.photos import Pixels

BATCH = 32


@dataclass(frozen=True)
class Accuracy:
    """Percentages of photos whose class is the first, or among the first five, and their number."""

    top1: float
    top5: float
    images: int


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
) -> Accuracy:
    """Measure the accuracy on centre squares (photos, 256, 256, 3) with their class numbers.

    ten_crop: probabilities are averaged over the ten crops of Sec 3. size: crops are resized to so
    many pixels first, as in early training. advance: told the number of photos done.
    """
    device = next(network.parameters()).device
    hits = torch.zeros(2)
    for start in range(0, len(targets), BATCH):
        chosen = slice(start, start + BATCH)
        photos = normalised(squares[chosen], preprocessing, mean_image)
        views = crops(photos, preprocessing.crop, ten_crop=ten_crop)
        probabilities = torch.stack([_probabilities(network, crop.to(device), size) for crop in views])
        hits += _hits(probabilities.mean(0).cpu(), torch.from_numpy(targets[chosen]))
        advance(len(targets[chosen]))
    top1, top5 = (100 * hits / len(targets)).tolist()
    return Accuracy(round(top1, 3), round(top5, 3), len(targets))


def _probabilities(network: Network, photos: Tensor, size: int | None) -> Tensor:
    if size is not None and size != photos.shape[-1]:
        photos = F.interpolate(photos, size=(size, size), mode="bilinear", antialias=True)
    scores: Tensor = network(photos, resize_maps=True)
    return scores.softmax(1)


def _hits(probabilities: Tensor, targets: Tensor) -> Tensor:
    ranked = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
    found = ranked == targets[:, None]
    return torch.stack([found[:, 0].sum(), found.sum()]).float()
