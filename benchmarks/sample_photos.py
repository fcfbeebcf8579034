"""Evenly spaced photos of a data set, as inputs of a model's network."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zfscope.datasets import open_data, read_photo
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.store import Model


def sample_photos(model: Model, data: Path, count: int) -> Sequence[Tensor]:
    """Return the network inputs, (1, C, H, W), of up to `count` evenly spaced photos of a data set."""
    photos = open_data(data)
    numbers = evenly_spaced(len(photos), count)
    pixels = (decode(read_photo(photos.photo(number))) for number in numbers)
    prepared = (prepare(photo, model.preprocessing, mean_image=model.mean_image) for photo in pixels)
    return [torch.from_numpy(each.pixels) for each in prepared]


def evenly_spaced(count: int, limit: int) -> Sequence[int]:
    """Return up to `limit` evenly spaced numbers below `count`."""
    return sorted({(2 * index + 1) * count // (2 * limit) for index in range(limit)})
