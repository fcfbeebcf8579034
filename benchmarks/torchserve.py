"""TorchServe on the weights of a model, asked in its own words, and the ways of batching to try."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.torchserve import RunningTorchServe
from zfscope.runtimes.torchserve.archive import Batching
from zfscope.runtimes.torchserve.message import IMAGES, LAYERS, WEIGHTS, Message, pack
from zfscope.runtimes.torchserve.predictions_pb2 import PredictionsRequest
from zfscope.runtimes.torchserve.runtime import TorchServeRuntime
from zfscope.store import Model

OF_ITSELF: Sequence[Batching] = tuple(Batching(size, delay_ms=10, workers=None) for size in (4, 8))
"""TorchServe's own number of workers: one for each processor, and the torch of each takes them all."""

TUNED: Sequence[Batching] = tuple(Batching(size, delay_ms=10) for size in (4, 8, 16))
"""One worker runs one pass at a time, by torch on all processors; meanwhile a batch gathers."""


@dataclass(frozen=True)
class Started:
    """A TorchServe that runs: where it is, and what asks it for the class scores of an image."""

    address: str
    request: bytes


@contextmanager
def started(
    model: Model, batching: Batching, image: NDArray[np.float32], logits: NDArray[np.float32], scratch: Path
) -> Iterator[Started]:
    """Run one that has a model, once it gives these class scores of an image (3, H, W)."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    running = RunningTorchServe(folder, [model], batching=batching, sparing=False)
    try:
        running.start()
        given = TorchServeRuntime(model, running.torchserve).forward(image[None])[0]
        np.testing.assert_allclose(given, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())
        yield Started(running.torchserve.address, _request(model, image))
    finally:
        running.stop()


def _request(model: Model, image: NDArray[np.float32]) -> bytes:
    parts = {
        WEIGHTS: model.weights_sha256.encode(),
        LAYERS: model.network.spec.scores.encode(),
        IMAGES: pack(Message({IMAGES: image[None]})),
    }
    request = PredictionsRequest(model_name=model.name, model_version=str(model.version), input=parts)
    return request.SerializeToString()
