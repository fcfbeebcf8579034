"""Batches of training photos, made ahead in threads, the same for the same seed, epoch and step."""

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

AHEAD = 3
"""Batches that are made while the network works on one."""


@dataclass(frozen=True)
class Batches:
    """The training photos and how batches are cut from them."""

    squares: Pixels
    targets: NDArray[np.int64]
    preprocessing: Preprocessing
    recipe: Recipe
    seed: int
    mean_image: MeanImage | None = None

    @property
    def steps(self) -> int:
        """Batches of an epoch; a last one that is not full is left out."""
        return max(1, len(self.targets) // self.recipe.batch)

    def sample(self, count: int) -> Tensor:
        """Return the centre crops of `count` photos spread over all, (N, 3, H, W) normalised."""
        chosen = np.linspace(0, len(self.targets) - 1, count).astype(int)
        return crops(self.squares[chosen], self.preprocessing, self.mean_image, "centre")[0]

    def epoch(self, epoch: int, phase: Phase, *, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (photos (N, 3, H, W) normalised, classes (N,)) from `first_step` of an epoch on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.targets))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            chosen = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            return self._batch(chosen, phase, np.random.default_rng((self.seed, epoch, step)))

        yield from map_in_order(batch, range(first_step, self.steps), threads=1, ahead=1 + AHEAD)

    def _batch(
        self, chosen: NDArray[np.int64], phase: Phase, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        photos = np.stack([self._crop(self.squares[place], phase, generator) for place in chosen])
        return channels_last(photos), torch.from_numpy(self.targets[chosen])

    def _crop(self, square: Pixels, phase: Phase, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return one of the paper's ten crops (Sec 3), or a random one, normalised; half are mirrored."""
        steps = self.preprocessing
        if self.recipe.crop == "ten":
            at = crop_corners(steps, "ten")[generator.integers(5)]
            photo = normalise(extract_crops(square, at, steps.crop), steps, self.mean_image, at=at)
        else:
            area = phase.smallest_crop, phase.largest_crop
            photo = normalise(random_crop(square, phase.size or steps.crop, area, generator), steps)
        return photo[..., ::-1] if generator.random() < 0.5 else photo


def extract_crops(squares: Pixels, at: tuple[int, int], size: int) -> Pixels:
    """Return the crops of squares (..., side, side, 3) whose first pixel is at x and y."""
    x, y = at
    return squares[..., y : y + size, x : x + size, :]


def channels_last(photos: NDArray[np.float32]) -> Tensor:
    """Return photos (N, 3, H, W) as a tensor with channels last in memory, as convolutions read fastest."""
    return torch.from_numpy(photos).contiguous(memory_format=torch.channels_last)


def crops(
    squares: Pixels, preprocessing: Preprocessing, mean_image: MeanImage | None, kind: Crops
) -> list[Tensor]:
    """Return each crop, normalised, of squares (N, side, side, 3): the centre one, or the paper's ten."""
    views = [
        channels_last(
            normalise(extract_crops(squares, at, preprocessing.crop), preprocessing, mean_image, at=at)
        )
        for at in crop_corners(preprocessing, kind)
    ]
    return [*views, *(view.flip(3) for view in views)] if kind == "ten" else views


def mean_image(squares: Pixels) -> NDArray[np.float32]:
    """Return the mean of all squares (photos, side, side, 3), float32 (3, side, side), as in Sec 3."""
    total = np.zeros(squares.shape[1:], np.float64)
    for square in squares:
        total += square
    return np.ascontiguousarray((total / len(squares)).astype(np.float32).transpose(2, 0, 1))


def random_crop(
    square: Pixels, size: int, area: tuple[float, float], generator: np.random.Generator
) -> Pixels:
    """Cut a random square with a share of the `area` in a range, and resize it to `size` pixels."""
    whole = square.shape[0]
    side = whole * np.sqrt(generator.uniform(*area))
    x, y = generator.uniform(0, whole - side, size=2)
    photo = Image.fromarray(square)
    resized = photo.resize((size, size), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))
    return np.asarray(resized)
