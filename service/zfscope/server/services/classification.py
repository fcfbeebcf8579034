"""ClassificationService: the likeliest classes of a photo."""

from functools import partial

import grpc

from zfscope.analysis.classification import ClassScore, classify
from zfscope.errors import InputError
from zfscope.images.preprocess import Crops
from zfscope.server.backend import Backend
from zfscope.server.images import image_from_wire, size_to_wire
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1.classification_pb2_grpc import ClassificationServiceServicer

MAX_TOP = 1000
_DEFAULT_TOP = 5


class ClassificationService(ClassificationServiceServicer):
    """Runs forward passes through the model's runtime."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Classify(
        self,
        request: pb.ClassifyRequest,
        context: grpc.aio.ServicerContext[pb.ClassifyRequest, pb.ClassifyResponse],
    ) -> pb.ClassifyResponse:
        return await self._backend.workers.run(partial(classify_photo, self._backend, request))


def classify_photo(backend: Backend, request: pb.ClassifyRequest) -> pb.ClassifyResponse:
    """Answer a Classify. Blocks."""
    top = _top(request)
    loaded = backend.models.loaded(request.model, request.version if request.HasField("version") else None)
    crops: Crops = "ten" if request.ten_crop else "centre"
    prepared = image_from_wire(request.image, loaded.model, limits=backend.image_limits, crops=crops)
    scores = classify(loaded.model, loaded.runtime, prepared, top=min(top, len(loaded.model.labels)))
    return pb.ClassifyResponse(
        model=loaded.model.name,
        version=loaded.model.version,
        classes=[_score_to_wire(score) for score in scores],
        photo=size_to_wire(prepared.photo),
    )


def _top(request: pb.ClassifyRequest) -> int:
    top = request.top if request.HasField("top") else _DEFAULT_TOP
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"top is {top}; allowed are 1 to {MAX_TOP} classes", field="top")
    return top


def _score_to_wire(score: ClassScore) -> pb.ClassScore:
    return pb.ClassScore(
        index=score.index,
        label_id=score.label_id,
        label=score.label,
        probability=score.probability,
        logit=score.logit,
    )
