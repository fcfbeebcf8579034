"""Fixtures for synthetic photos and encoded files."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]

# No deadline, since machines may be slow; the same examples on every machine.
settings.register_profile("zfscope", deadline=None, derandomize=True)
settings.load_profile("zfscope")


@pytest.fixture
def noise() -> Callable[..., Rgb]:
    """Create photos of random pixels, in which any moved or changed pixel shows."""

    def make(height: int, width: int, seed: int = 0) -> Rgb:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    return make


@pytest.fixture
def find_picture() -> Callable[[Rgb, Rgb], list[tuple[int, int]]]:
    """Find all positions (x, y) of a smaller picture in a picture."""

    def find(picture: Rgb, part: Rgb) -> list[tuple[int, int]]:
        height, width = part.shape[:2]
        starts = np.argwhere((picture[: 1 - height or None, : 1 - width or None] == part[0, 0]).all(axis=-1))
        rows = [(x, y) for y, x in starts.tolist() if (picture[y, x : x + width] == part[0]).all()]
        return [(x, y) for x, y in rows if (picture[y : y + height, x : x + width] == part).all()]

    return find


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Encode an array or a Pillow image in a format."""

    def encode(picture: NDArray[Any] | Image.Image, name: str, **options: Any) -> bytes:
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        file = io.BytesIO()
        image.save(file, name, **options)
        return file.getvalue()

    return encode
