"""Features of a batch of photos; independent of the process or machine that computes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import MeanImage, Preprocessing
from zfscope.parallel import Batch, UnusedPhoto
from zfscope.runtimes import Runtime
from zfscope.scan.batches import BATCH
from zfscope.scan.scanner import read_input

Features = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class BatchFeatures:
    """Features of some photos; a `BatchResult`.

    photos: numbers of the photos, (n,). layers: features (n, features) by layer.
    """

    photos: NDArray[np.int64]
    layers: Mapping[str, Features]
    skipped: tuple[UnusedPhoto, ...] = ()

    def merge(self, other: Self) -> Self:
        """Return the features of both."""
        return type(self)(
            np.concatenate([self.photos, other.photos]),
            {name: np.concatenate([each, other.layers[name]]) for name, each in self.layers.items()},
            self.skipped + other.skipped,
        )


@dataclass(frozen=True, eq=False)
class Extractor:
    """Computes features with a runtime and its model's preprocessing. It may be pickled after `warm_up`.

    limits: limits of decoding.
    """

    runtime: Runtime
    layers: tuple[str, ...]
    preprocessing: Preprocessing
    mean_image: MeanImage | None
    limits: DecodeLimits

    def warm_up(self) -> None:
        """Run a blank image, so that a runtime that cannot run fails before any photo is read."""
        self.runtime.cell_maxima(np.zeros((1, *self._shape), np.float32), self.layers)

    def __call__(self, batch: Batch) -> BatchFeatures:
        """Read, prepare and run the photos of a batch. Thread-safe.

        Passes always have the same number of images: rows of photos that cannot be used, and those that the
        last batch lacks, are zero.
        """
        images, reasons = np.zeros((BATCH, *self._shape), np.float32), dict[int, str]()
        for row, photo in enumerate(batch.photos):
            result = read_input(photo, self.preprocessing, self.mean_image, self.limits)
            if isinstance(result, str):
                reasons[row] = result
            else:
                images[row] = result.pixels
        maxima = self.runtime.cell_maxima(images, self.layers)
        for name, values in maxima.items():
            for row in np.flatnonzero(~np.isfinite(values.reshape(BATCH, -1)).all(1)).tolist():
                reasons.setdefault(row, f"its activations of layer '{name}' are not finite")
        used = [row for row in range(len(batch.photos)) if row not in reasons]
        return BatchFeatures(
            np.array([batch.photos[row].number for row in used], np.int64),
            {name: normalise(values[used]) for name, values in maxima.items()},
            tuple(UnusedPhoto(batch.photos[row].number, reasons[row]) for row in sorted(reasons)),
        )

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Shape of a network input: (C, H, W)."""
        return self.preprocessing.channel_count, self.preprocessing.crop, self.preprocessing.crop


def normalise(maxima: NDArray[np.float32]) -> Features:
    """Return the features of a layer, (n, features), from the maxima of its cells.

    Each number becomes its square root, with the same sign, divided by the root mean square of the photo's
    roots: that of the photo's features is 1. A photo whose maxima are all 0 has features of 0.
    """
    flat = maxima.reshape(len(maxima), prod(maxima.shape[1:]))
    size = np.abs(flat)
    mean = size.mean(1, dtype=np.float64, keepdims=True)  # of the squared roots; their sum may exceed float32
    size /= np.where(mean, mean, 1).astype(np.float32)
    features: Features = np.copysign(np.sqrt(size, out=size), flat).astype(np.float16)
    return features
