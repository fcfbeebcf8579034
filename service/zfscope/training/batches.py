"""Batches of training photos, made ahead in threads, the same for the same seed, epoch and step."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.images.preprocess import MeanImage, Preprocessing
from zfscope.training.photos import Pixels, crop_corners, random_crop, ten_crop
from zfscope.training.recipe import Phase, Recipe

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
        """Give the centre crops of `count` photos spread over all, (N, 3, H, W) normalised."""
        chosen = np.linspace(0, len(self.targets) - 1, count).astype(int)
        photos = normalised(self.squares[chosen], self.preprocessing, self.mean_image)
        return crops(photos, self.preprocessing.crop)[0]

    def epoch(self, epoch: int, phase: Phase, *, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Give (photos (N, 3, H, W) normalised, classes (N,)) from `first_step` of an epoch on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.targets))
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
            for step in range(first_step, self.steps):
                chosen = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
                waiting.append(pool.submit(self._batch, chosen, phase, (self.seed, epoch, step)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _batch(
        self, chosen: NDArray[np.int64], phase: Phase, seed: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(seed)
        photos = np.stack([self._crop(self.squares[place], phase, generator) for place in chosen])
        return as_images(photos), torch.from_numpy(self.targets[chosen])

    def _crop(self, square: Pixels, phase: Phase, generator: np.random.Generator) -> NDArray[np.float32]:
        if self.recipe.crop == "ten":
            whole = normalised(square, self.preprocessing, self.mean_image)
            return ten_crop(whole, self.preprocessing.crop, generator)
        size = phase.size or self.preprocessing.crop
        photo = random_crop(square, size, (phase.smallest_crop, phase.largest_crop), generator)
        return normalised(photo, self.preprocessing, None)


def normalised(
    photos: Pixels, preprocessing: Preprocessing, mean_image: MeanImage | None
) -> NDArray[np.float32]:
    """Give photos (..., H, W, 3), RGB, with mean and deviation taken out, in the network's channel order.

    A mean image has to be of the photos' own size.
    """
    ordered = photos if preprocessing.channels == "RGB" else photos[..., ::-1]
    mean = np.asarray(preprocessing.mean if mean_image is None else mean_image.transpose(1, 2, 0), np.float32)
    pixels: NDArray[np.float32] = ordered.astype(np.float32) - mean
    return np.divide(pixels, np.asarray(preprocessing.std, np.float32))


def as_images(photos: NDArray[np.float32]) -> Tensor:
    """Give photos (N, H, W, 3) as images (N, 3, H, W), channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(photos)).permute(0, 3, 1, 2)


def crops(squares: NDArray[np.float32], crop: int, *, ten_crop: bool = False) -> list[Tensor]:
    """Cut the centre crop of squares (N, side, side, 3), or the paper's ten, as images (N, 3, crop, crop)."""
    corners = crop_corners(squares.shape[1], crop)
    chosen = corners if ten_crop else corners[-1:]
    views = [as_images(squares[:, y : y + crop, x : x + crop]) for x, y in chosen]
    return [*views, *(view.flip(3) for view in views)] if ten_crop else views
