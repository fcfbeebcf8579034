"""Fixtures of the page's tests: a store with a tiny model, photos, and a page that serves it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import write_tiny
from tests.support.page_server import PageClient, running_page
from zfscope.local import LocalClient


def photo_file(seed: int = 0, size: tuple[int, int] = (48, 40), kind: str = "PNG") -> bytes:
    """Return an image file of random pixels. size: width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version of the model `tiny`."""
    folder = tmp_path_factory.mktemp("page") / "models"
    write_tiny(folder, 1)
    return folder


@pytest.fixture(scope="session")
def local(store: Path) -> Iterator[LocalClient]:
    """Client that analyzes in this process."""
    with LocalClient(store) as client:
        yield client


@pytest.fixture(scope="session")
def page(local: LocalClient) -> Iterator[PageClient]:
    """A page without a token."""
    with running_page(local) as served:
        yield served


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A photo of 48 x 40 pixels."""
    return photo_file()
