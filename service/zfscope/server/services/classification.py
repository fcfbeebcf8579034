"""ClassificationService: the most likely classes of a photo."""

from dataclasses import dataclass
from functools import partial

import grpc
import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import DEFAULT_TOP, check_classifies, check_top, classification
from zfscope.images.preprocess import Crops
from zfscope.runtimes import LoadedModel
from zfscope.server.backend import Backend
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1.classification_pb2_grpc import ClassificationServiceServicer
from zfscope.wire.convert import to_message
from zfscope.wire.images import Pixels, pixels_from_wire
from zfscope.wire.models import version_of


class ClassificationService(ClassificationServiceServicer):
    """Classifies photos, with forward passes batched across requests."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Classify(
        self,
        request: pb.ClassifyRequest,
        context: grpc.aio.ServicerContext[pb.ClassifyRequest, pb.ClassifyResponse],
    ) -> pb.ClassifyResponse:
        prepared = await self._prepare(request)
        logits = await self._backend.batcher.forward(prepared.loaded, prepared.image.pixels)
        return response_of(prepared, logits)

    async def _prepare(self, request: pb.ClassifyRequest) -> "PreparedRequest":
        """Prepare a photo in a thread, a tensor directly: reading it takes less time than waking a thread."""
        work = partial(prepare_request, self._backend, request)
        if request.image.HasField("tensor") and self._backend.models.get_cached(*_model_of(request)):
            return work()
        return await self._backend.readers.run(work)


@dataclass(frozen=True, eq=False)
class PreparedRequest:
    """Validated request, with its image prepared for the model."""

    loaded: LoadedModel
    image: Pixels
    top: int


def prepare_request(backend: Backend, request: pb.ClassifyRequest) -> PreparedRequest:
    """Validate a request and prepare its image. Blocks, except for a tensor and a cached model."""
    top = request.top if request.HasField("top") else DEFAULT_TOP
    check_top(top)
    loaded = backend.models.get(*_model_of(request))
    check_classifies(loaded.model)
    crops: Crops = "ten" if request.ten_crop else "centre"
    image = pixels_from_wire(request.image, loaded.model, limits=backend.image_limits, crops=crops)
    return PreparedRequest(loaded, image, top)


def response_of(prepared: PreparedRequest, logits: NDArray[np.float32]) -> pb.ClassifyResponse:
    """Return the response with the most likely classes. logits: (crops, classes)."""
    image, loaded = prepared.image, prepared.loaded
    result = classification(
        loaded.model,
        logits,
        prepared.top,
        photo_size=image.size,
        warnings=image.warnings,
        precision=loaded.runtime.precision,
    )
    return to_message(pb.ClassifyResponse, result)


def _model_of(request: pb.ClassifyRequest) -> tuple[str, int | None]:
    return request.model, version_of(request)
