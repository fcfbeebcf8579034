"""ClassificationService: the likeliest classes of a photo."""

from functools import partial

import grpc
import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.classification import ClassScore, check_classifies, check_top, likeliest
from zfscope.images.preprocess import Crops, Prepared
from zfscope.server.backend import Backend
from zfscope.server.images import image_from_wire, size_to_wire
from zfscope.server.models import Loaded
from zfscope.store import Model
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1.classification_pb2_grpc import ClassificationServiceServicer

_DEFAULT_TOP = 5


class ClassificationService(ClassificationServiceServicer):
    """Runs forward passes through the model's runtime, those of several requests at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Classify(
        self,
        request: pb.ClassifyRequest,
        context: grpc.aio.ServicerContext[pb.ClassifyRequest, pb.ClassifyResponse],
    ) -> pb.ClassifyResponse:
        loaded, prepared = await self._backend.readers.run(partial(read, self._backend, request))
        logits = await self._backend.batcher.forward(loaded, prepared.pixels)
        return response_of(loaded.model, prepared, logits, top=_top(request))


def read(backend: Backend, request: pb.ClassifyRequest) -> tuple[Loaded, Prepared]:
    """Check a request, and prepare its photo for its model. Blocks."""
    check_top(_top(request))
    loaded = backend.models.loaded(request.model, request.version if request.HasField("version") else None)
    check_classifies(loaded.model)
    crops: Crops = "ten" if request.ten_crop else "centre"
    return loaded, image_from_wire(request.image, loaded.model, limits=backend.image_limits, crops=crops)


def response_of(
    model: Model, prepared: Prepared, logits: NDArray[np.float32], *, top: int
) -> pb.ClassifyResponse:
    """Write the likeliest classes by the logits of a photo's crops."""
    return pb.ClassifyResponse(
        model=model.name,
        version=model.version,
        classes=[_score_to_wire(score) for score in likeliest(model, logits, top)],
        photo=size_to_wire(prepared.photo),
    )


def _top(request: pb.ClassifyRequest) -> int:
    return request.top if request.HasField("top") else _DEFAULT_TOP


def _score_to_wire(score: ClassScore) -> pb.ClassScore:
    return pb.ClassScore(
        index=score.index,
        label_id=score.label_id,
        label=score.label,
        probability=score.probability,
        logit=score.logit,
    )
