"""TorchServe with a given model, called through its own API, and the batching settings to compare."""

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

# TorchServe's default number of workers: one per processor, each of which runs torch on all processors.
DEFAULT: Sequence[Batching] = tuple(Batching(size, delay_ms=10, workers=None) for size in (4, 8))

# A single worker runs one pass at a time, on all processors, while the next batch is collected.
TUNED: Sequence[Batching] = tuple(Batching(size, delay_ms=10) for size in (4, 8, 16))


@dataclass(frozen=True)
class TorchServeTarget:
    """Address of a running TorchServe, and a serialised request for the class scores of an image."""

    address: str
    request: bytes


@contextmanager
def running_torchserve(
    model: Model, batching: Batching, image: NDArray[np.float32], logits: NDArray[np.float32], scratch: Path
) -> Iterator[TorchServeTarget]:
    """Run TorchServe with a model, after checking its class scores (logits) for an image (3, H, W)."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    running = RunningTorchServe(folder, [model], batching=batching, sparing=False)
    try:
        running.start()
        scores = TorchServeRuntime(model, running.torchserve).forward(image[None])[0]
        np.testing.assert_allclose(scores, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())
        yield TorchServeTarget(running.torchserve.address, _request(model, image))
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
