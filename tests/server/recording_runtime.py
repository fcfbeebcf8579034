"""A runtime that records its passes, with the images and scores of its tests."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
TIMEOUT_S = 30


class RecordingRuntime:
    """A runtime that records its passes and blocks each one until it is released.

    The scores of an image, and each of its layers, are its first four pixels. Images are identified by their
    first pixel. passes: the images of each pass so far. layers: layers of each pass; None for class scores.
    """

    name, precision = "recording", "float32"

    def __init__(
        self, *, blocking: bool = True, error_for: Callable[[list[int]], Exception | None] | None = None
    ) -> None:
        self.passes: list[list[int]] = []
        self.layers: list[Sequence[str] | None] = []
        self._error_for = error_for or (lambda numbers: None)
        self._blocking = blocking
        self._started, self._released = threading.Semaphore(0), threading.Semaphore(0)

    def forward(self, images: Images) -> Images:
        return self._run(images, None)

    def outputs(self, images: Images, layers: Sequence[str]) -> Mapping[str, Images]:
        return dict.fromkeys(layers, self._run(images, layers))

    def _run(self, images: Images, layers: Sequence[str] | None) -> Images:
        numbers = [int(image[0, 0, 0]) for image in images]
        self.passes.append(numbers)
        self.layers.append(layers)
        self._started.release()
        if self._blocking:
            assert self._released.acquire(timeout=TIMEOUT_S)
        error = self._error_for(numbers)
        if error:
            raise error
        return images[:, 0, 0, :4].copy()

    async def next_pass(self) -> list[int]:
        """Wait until another pass has started; return the numbers of its images."""
        assert await asyncio.to_thread(self._started.acquire, timeout=TIMEOUT_S)
        return self.passes[-1]

    def release(self) -> None:
        """Let one pass continue: the running one, otherwise the next."""
        self._released.release()

    def release_all(self) -> None:
        """Let the running pass and all later ones continue."""
        self._blocking = False
        self._released.release(100)


def images(*numbers: int) -> Images:
    """Return images whose pixels all equal their number."""
    return np.stack([np.full((3, 32, 32), number, np.float32) for number in numbers])


def scores(*numbers: int) -> Images:
    """Return the scores of `images` by a RecordingRuntime."""
    return np.stack([np.full(4, number, np.float32) for number in numbers])
