"""Batches of training photos, prepared ahead in a thread; reproducible from seed, epoch and step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zfscope.images.preprocess import Crops, MeanImage, Preprocessing, crop_corners, normalise
from zfscope.processors import map_in_order
from zfscope.training.recipe import Phase, Recipe

Pixels = NDArray[np.uint8]

# Number of batches prepared while the network processes one.
AHEAD = 3


@dataclass(frozen=True)
class Batches:
    """The training photos, and how batches are made from them.

    squares: uint8 (photos, side, side, 3). targets: class numbers (photos,). mean_image: float32
    (3, side, side); None if the recipe subtracts a mean per channel.
    """

    squares: Pixels
    targets: NDArray[np.int64]
    preprocessing: Preprocessing
    recipe: Recipe
    seed: int
    mean_image: MeanImage | None = None

    @property
    def steps(self) -> int:
        """Number of batches per epoch; an incomplete last batch is dropped."""
        return max(1, len(self.targets) // self.recipe.batch)

    def sample(self, count: int) -> Tensor:
        """Return the centre crops of `count` evenly spaced photos: (count, C, H, W), normalised."""
        indices = np.linspace(0, len(self.targets) - 1, count).astype(int)
        return crops(self.squares[indices], self.preprocessing, self.mean_image, "centre")[0]

    def epoch(self, epoch: int, phase: Phase, *, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield an epoch's batches from `first_step` on: (photos (N, C, H, W) normalised, classes (N,))."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.targets))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            indices = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            return self._batch(indices, phase, np.random.default_rng((self.seed, epoch, step)))

        yield from map_in_order(batch, range(first_step, self.steps), threads=1, ahead=1 + AHEAD)

    def _batch(
        self, indices: NDArray[np.int64], phase: Phase, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        photos = np.stack([self._crop(self.squares[index], phase, generator) for index in indices])
        return channels_last(photos), torch.from_numpy(self.targets[indices])

    def _crop(self, square: Pixels, phase: Phase, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return one of the paper's ten crops (Sec 3) or a random crop, normalised; half are mirrored."""
        steps = self.preprocessing
        if self.recipe.crop == "ten":
            at = crop_corners(steps, "ten")[generator.integers(5)]
            photo = normalise(extract_crops(square, at, steps.crop), steps, self.mean_image, at=at)
        else:
            size, area = phase.size or steps.crop, (phase.smallest_crop, phase.largest_crop)
            cropped = random_crop(square, size, area, generator, steps.resampling)
            photo = normalise(cropped, steps, self.mean_image)
        return photo[..., ::-1] if generator.random() < 0.5 else photo


def extract_crops(squares: Pixels, at: tuple[int, int], size: int) -> Pixels:
    """Return the crops of squares (..., side, side, 3) with their top left pixel at (x, y) = `at`."""
    x, y = at
    return squares[..., y : y + size, x : x + size, :]


def channels_last(photos: NDArray[np.float32]) -> Tensor:
    """Return photos (N, C, H, W) as a tensor in channels-last memory format, fastest for convolutions."""
    return torch.from_numpy(photos).contiguous(memory_format=torch.channels_last)


def crops(
    squares: Pixels, preprocessing: Preprocessing, mean_image: MeanImage | None, kind: Crops
) -> list[Tensor]:
    """Return normalised crops of squares (N, side, side, 3): the centre crop, or the paper's ten.

    Each element has shape (N, C, crop, crop).
    """
    views = [
        channels_last(
            normalise(extract_crops(squares, at, preprocessing.crop), preprocessing, mean_image, at=at)
        )
        for at in crop_corners(preprocessing, kind)
    ]
    return [*views, *(view.flip(3) for view in views)] if kind == "ten" else views


def mean_image(squares: Pixels) -> NDArray[np.float32]:
    """Return the mean of squares (photos, side, side, 3) as float32 (3, side, side), as in Sec 3."""
    total = np.zeros(squares.shape[1:], np.float64)
    for square in squares:
        total += square
    return np.ascontiguousarray((total / len(squares)).astype(np.float32).transpose(2, 0, 1))


def random_crop(
    square: Pixels,
    size: int,
    area: tuple[float, float],
    generator: np.random.Generator,
    resampling: Image.Resampling,
) -> Pixels:
    """Return a random square crop, resized to `size` pixels.

    area: range of the crop's area, as a fraction of the photo's. resampling: filter of the resizing.
    """
    full_side = square.shape[0]
    side = full_side * np.sqrt(generator.uniform(*area))
    x, y = generator.uniform(0, full_side - side, size=2)
    photo = Image.fromarray(square)
    resized = photo.resize((size, size), resampling, box=(x, y, x + side, y + side))
    return np.asarray(resized)
