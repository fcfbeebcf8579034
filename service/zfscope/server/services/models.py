"""ModelService: lists and describes the models of the store."""

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
    """Describes models from their manifests, without loading weights."""

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
    """Handle a ListModels call. Blocks."""
    default = backend.models.default
    return pb.ListModelsResponse(models=[_summary(entry, default) for entry in backend.models.listing()])


def get_model(backend: Backend, request: pb.GetModelRequest) -> pb.GetModelResponse:
    """Handle a GetModel call. Blocks."""
    manifest = backend.models.manifest(request.model, version_of(request))
    with _report_unsendable(manifest):
        return to_message(
            pb.GetModelResponse, model_info(manifest, backend.models.default, backend.settings.precision)
        )


@contextmanager
def _report_unsendable(manifest: Manifest) -> Iterator[None]:
    """Raise DamagedModel in place of protobuf's error for a number that does not fit its field."""
    try:
        yield
    except ValueError as error:
        raise damaged_model(
            manifest.title, f"'{MANIFEST}' has a number that cannot be sent: {error}"
        ) from error


def _summary(entry: Manifest | DamagedEntry, default: tuple[str, int]) -> pb.ModelSummary:
    if isinstance(entry, Manifest):
        try:
            with _report_unsendable(entry):
                return to_message(pb.ModelSummary, model_summary(entry, default))
        except DamagedModel as error:
            entry = DamagedEntry(entry.name, entry.version, error.message)
    return to_message(pb.ModelSummary, model_summary(entry, default))
