"""ModelService: what models there are, and what they are made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import grpc

from zfscope.analysis.description import model_info, model_summary
from zfscope.errors import DamagedModel
from zfscope.server.backend import Backend
from zfscope.store import DamagedEntry, Manifest
from zfscope.store.integrity import damaged_model
from zfscope.store.manifest import MANIFEST
from zfscope.v1 import model_pb2 as pb
from zfscope.v1.model_pb2_grpc import ModelServiceServicer
from zfscope.wire.convert import to_message
from zfscope.wire.models import version_of


class ModelService(ModelServiceServicer):
    """Reads manifests; no weights are loaded."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        return await self._backend.readers.run(partial(list_models, self._backend))

    async def GetModel(
        self,
        request: pb.GetModelRequest,
        context: grpc.aio.ServicerContext[pb.GetModelRequest, pb.GetModelResponse],
    ) -> pb.GetModelResponse:
        return await self._backend.readers.run(partial(get_model, self._backend, request))


def list_models(backend: Backend) -> pb.ListModelsResponse:
    """Answer a ListModels. Blocks."""
    default = backend.models.default
    return pb.ListModelsResponse(models=[_listed(found, default) for found in backend.models.listing()])


def get_model(backend: Backend, request: pb.GetModelRequest) -> pb.GetModelResponse:
    """Answer a GetModel. Blocks."""
    manifest = backend.models.manifest(request.model, version_of(request))
    with _sendable(manifest):
        return to_message(pb.GetModelResponse, model_info(manifest, backend.models.default))


@contextmanager
def _sendable(manifest: Manifest) -> Iterator[None]:
    """Translate protobuf's error about a number that a field cannot hold. Raises DamagedModel."""
    try:
        yield
    except ValueError as error:
        raise damaged_model(
            manifest.title, f"'{MANIFEST}' has a number that cannot be sent: {error}"
        ) from error


def _listed(found: Manifest | DamagedEntry, default: tuple[str, int]) -> pb.ModelSummary:
    if isinstance(found, Manifest):
        try:
            with _sendable(found):
                return to_message(pb.ModelSummary, model_summary(found, default))
        except DamagedModel as error:
            found = DamagedEntry(found.name, found.version, error.message)
    return to_message(pb.ModelSummary, model_summary(found, default))
