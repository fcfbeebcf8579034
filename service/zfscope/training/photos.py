"""Decoded photos as training data: their mean, and how squares of them are cropped at random."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Value = TypeVar("Value", np.uint8, np.float32)


def mean_image(squares: Pixels) -> NDArray[np.float32]:
    """Give the mean of all squares (photos, side, side, 3), float32 (3, side, side), as in Sec 3."""
    total = np.zeros(squares.shape[1:], np.float64)
    for square in squares:
        total += square
    return np.ascontiguousarray((total / len(squares)).astype(np.float32).transpose(2, 0, 1))


def random_crop(
    square: Pixels, size: int, area: tuple[float, float], generator: np.random.Generator
) -> Pixels:
    """Cut a random square with a share of the `area` in a range, resize it to `size` pixels, mirror half."""
    whole = square.shape[0]
    side = whole * np.sqrt(generator.uniform(*area))
    x, y = generator.uniform(0, whole - side, size=2)
    return _mirrored(_resized(square, (x, y, x + side, y + side), size), generator)


def ten_crop(square: NDArray[np.float32], crop: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Cut one of the paper's ten crops (Sec 3) at random: a corner or the centre, mirrored or not."""
    x, y = crop_corners(square.shape[0], crop)[generator.integers(5)]
    return _mirrored(square[y : y + crop, x : x + crop], generator)


def crop_corners(side: int, crop: int) -> tuple[tuple[int, int], ...]:
    """Give x and y of the four corner crops of a square, and of the centre one."""
    far = side - crop
    return (0, 0), (far, 0), (0, far), (far, far), (far // 2, far // 2)


def _resized(square: Pixels, box: tuple[float, float, float, float], size: int) -> Pixels:
    photo = Image.fromarray(square)
    return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _mirrored(photo: NDArray[Value], generator: np.random.Generator) -> NDArray[Value]:
    return photo[:, ::-1] if generator.random() < 0.5 else photo
