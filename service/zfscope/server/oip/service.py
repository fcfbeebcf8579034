"""GRPCInferenceService of the Open Inference Protocol, for models and analyzers."""

from functools import partial
from importlib.metadata import version

import structlog

from zfscope.errors import ZfscopeError
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceServicer
from zfscope.server.backend import Backend
from zfscope.server.deadline import CallCancellation
from zfscope.server.interceptors import Context
from zfscope.server.lifecycle.health import HealthService
from zfscope.server.oip import analyzers, describe, models
from zfscope.server.oip.parameters import InferTarget, parse_infer_target
from zfscope.server.oip.statistics import repository_index, statistics
from zfscope.server.telemetry.statistics import CallTimes

_EXTENSIONS = ("classification", "model_configuration", "parameters", "statistics")
_log = structlog.get_logger("zfscope.server")


class InferenceService(GRPCInferenceServiceServicer):
    """Runs models and analyzers; the model name of an analyzer is MODEL/ANALYZER."""

    def __init__(self, backend: Backend, health: HealthService) -> None:
        """health: its status is the readiness of the server and of all models."""
        self._backend = backend
        self._health = health

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._health.serving)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        target = parse_infer_target(request.name, request.version, field="version")
        ready = self._health.serving and await self._backend.readers.run(
            partial(can_run, self._backend, target)
        )
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="zfscope", version=version("zfscope"), extensions=_EXTENSIONS)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        target = parse_infer_target(request.name, request.version, field="version")
        return await self._backend.readers.run(partial(describe.metadata, self._backend, target))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        target = parse_infer_target(request.model_name, request.model_version, field="model_version")
        cancel, times, success = CallCancellation(context), CallTimes(), False
        try:
            if target.analyzer:
                work = partial(analyzers.infer, self._backend, request, target, cancel)
                response = await times.run(self._backend.workers.run, "infer", work)
            else:
                response = await models.infer(self._backend, request, target, cancel, times)
            success = True
            return response
        finally:
            self._record(target, times, success=success)

    def _record(self, target: InferTarget, times: CallTimes, *, success: bool) -> None:
        """Record a call, unless its model or analyzer is unknown or the model was never loaded."""
        loaded = self._backend.models.get_cached(target.model, target.version)
        if loaded and (not target.analyzer or target.analyzer in self._backend.registry):
            key = target.title(loaded.model.name), loaded.model.version
            self._backend.statistics.record_call(key, times, success=success)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        target = parse_infer_target(request.name, request.version, field="version")
        return await self._backend.readers.run(partial(describe.config, self._backend, target))

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        target = parse_infer_target(request.name, request.version, field="version")
        work = partial(statistics, self._backend, target, every=not request.name)
        return await self._backend.readers.run(work)

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        work = partial(repository_index, self._backend, request, serving=self._health.serving)
        return await self._backend.readers.run(work)


def can_run(backend: Backend, target: InferTarget) -> bool:
    """Return whether a model or analyzer can run requests; loads the model. Blocks."""
    try:
        backend.models.get(target.model, target.version).runtime.check()
        if target.analyzer:
            backend.registry.analyzer(target.analyzer)
    except ZfscopeError as error:
        _log.info("not ready", model=target.model[:80], version=target.version, reason=str(error)[:200])
        return False
    return True
