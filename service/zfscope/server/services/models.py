"""ModelService: what models there are, and what they are made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import grpc

from zfscope.analysis.description import LayerDescription, describe
from zfscope.errors import DamagedModel
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.shapes import parameter_count
from zfscope.server.backend import Backend
from zfscope.store import Accuracy, DamagedEntry, Manifest
from zfscope.store.integrity import damaged
from zfscope.store.manifest import MANIFEST
from zfscope.v1 import model_pb2 as pb
from zfscope.v1.model_pb2_grpc import ModelServiceServicer

_CHANNELS = {"RGB": pb.CHANNEL_ORDER_RGB, "BGR": pb.CHANNEL_ORDER_BGR}


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
    manifest = backend.models.manifest(
        request.model, request.version if request.HasField("version") else None
    )
    with _sendable(manifest):
        return _description(manifest, backend.models.default)


def _description(manifest: Manifest, default: tuple[str, int]) -> pb.GetModelResponse:
    return pb.GetModelResponse(
        summary=_summary(manifest, default),
        layers=[_layer(layer) for layer in describe(manifest.network)],
        labels=[pb.Label(id=label.id, name=label.name) for label in manifest.labels],
        preprocessing=_preprocessing(manifest.preprocessing),
        accuracy=_accuracy(manifest.accuracy) if manifest.accuracy else None,
    )


@contextmanager
def _sendable(manifest: Manifest) -> Iterator[None]:
    """Translate protobuf's error about a number that a field cannot hold. Raises DamagedModel."""
    try:
        yield
    except ValueError as error:
        raise damaged(manifest.title, f"'{MANIFEST}' has a number that cannot be sent: {error}") from error


def _listed(found: Manifest | DamagedEntry, default: tuple[str, int]) -> pb.ModelSummary:
    if isinstance(found, Manifest):
        try:
            with _sendable(found):
                return _summary(found, default)
        except DamagedModel as error:
            found = DamagedEntry(found.name, found.version, error.message)
    return pb.ModelSummary(
        name=found.name,
        version=found.version,
        is_default=(found.name, found.version) == default,
        damage=found.reason,
    )


def _summary(manifest: Manifest, default: tuple[str, int]) -> pb.ModelSummary:
    return pb.ModelSummary(
        name=manifest.name,
        version=manifest.version,
        summary=manifest.summary,
        network=manifest.network.name,
        classes=len(manifest.labels),
        parameters=parameter_count(manifest.network),
        is_default=(manifest.name, manifest.version) == default,
    )


def _layer(layer: LayerDescription) -> pb.Layer:
    return pb.Layer(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        parameters=layer.parameters,
        stride_px=layer.stride,
        receptive_field_px=layer.receptive_field,
    )


def _preprocessing(steps: Preprocessing) -> pb.Preprocessing:
    return pb.Preprocessing(
        short_side_px=steps.short_side,
        centre_px=steps.centre,
        crop_px=steps.crop,
        channels=_CHANNELS[steps.channels],
        mean=() if steps.mean == "image" else steps.mean,
        std=steps.std,
    )


def _accuracy(accuracy: Accuracy) -> pb.Accuracy:
    return pb.Accuracy(
        top1_percent=accuracy.top1,
        top5_percent=accuracy.top5,
        ten_crop_top1_percent=accuracy.ten_crop_top1,
        ten_crop_top5_percent=accuracy.ten_crop_top5,
        images=accuracy.images,
        data=accuracy.data,
    )
