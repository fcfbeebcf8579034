"""AnalysisService: what a network saw in a photo, by the analyzers that are installed."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import grpc

from zfscope.analysis.run import Meter, guarded
from zfscope.server.analyze import Partial, answer
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.server.services import analyzers
from zfscope.server.services.compare import compare_architectures
from zfscope.server.services.correspond import correspond
from zfscope.server.services.evolve import evolve
from zfscope.server.services.invariance import measure_invariance
from zfscope.server.services.occlude import occlude
from zfscope.server.services.project import project_photo
from zfscope.server.services.top_k import top_k
from zfscope.server.stream import Latest, Pause
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceServicer

_PARTIAL_PAUSE_S = 0.5
"""To draw what there is to see already takes the analyzer's own time: no sooner is it done again."""


class AnalysisService(AnalysisServiceServicer):
    """Runs analyzers on photos."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def ListAnalyzers(
        self,
        request: pb.ListAnalyzersRequest,
        context: grpc.aio.ServicerContext[pb.ListAnalyzersRequest, pb.ListAnalyzersResponse],
    ) -> pb.ListAnalyzersResponse:
        return await self._backend.readers.run(partial(list_analyzers, self._backend, request))

    async def Analyze(
        self,
        request: pb.AnalyzeRequest,
        context: grpc.aio.ServicerContext[pb.AnalyzeRequest, pb.AnalyzeResponse],
    ) -> AsyncIterator[pb.AnalyzeResponse]:
        latest: Latest[pb.AnalyzeResponse] = Latest()
        cancel = Cancel(context)
        work = partial(analyze, self._backend, request, cancel, latest)
        running = asyncio.ensure_future(self._backend.workers.run(work))
        try:
            async for progress in latest.until(running):
                yield progress
            yield await running
        finally:  # a reader who stalls holds up the end of the call
            cancel.end()

    async def Project(
        self,
        request: pb.ProjectRequest,
        context: grpc.aio.ServicerContext[pb.ProjectRequest, pb.ProjectResponse],
    ) -> pb.ProjectResponse:
        return await self._backend.workers.run(
            partial(project_photo, self._backend, request, Cancel(context))
        )

    async def Occlude(
        self,
        request: pb.OccludeRequest,
        context: grpc.aio.ServicerContext[pb.OccludeRequest, pb.OccludeResponse],
    ) -> pb.OccludeResponse:
        return await self._backend.workers.run(partial(occlude, self._backend, request, Cancel(context)))

    async def MeasureInvariance(
        self,
        request: pb.MeasureInvarianceRequest,
        context: grpc.aio.ServicerContext[pb.MeasureInvarianceRequest, pb.MeasureInvarianceResponse],
    ) -> pb.MeasureInvarianceResponse:
        return await self._backend.workers.run(
            partial(measure_invariance, self._backend, request, Cancel(context))
        )

    async def Correspond(
        self,
        request: pb.CorrespondRequest,
        context: grpc.aio.ServicerContext[pb.CorrespondRequest, pb.CorrespondResponse],
    ) -> pb.CorrespondResponse:
        return await self._backend.workers.run(partial(correspond, self._backend, request, Cancel(context)))

    async def CompareArchitectures(
        self,
        request: pb.CompareArchitecturesRequest,
        context: grpc.aio.ServicerContext[pb.CompareArchitecturesRequest, pb.CompareArchitecturesResponse],
    ) -> pb.CompareArchitecturesResponse:
        return await self._backend.workers.run(
            partial(compare_architectures, self._backend, request, Cancel(context))
        )

    async def TopK(
        self, request: pb.TopKRequest, context: grpc.aio.ServicerContext[pb.TopKRequest, pb.TopKResponse]
    ) -> pb.TopKResponse:
        return await self._backend.workers.run(partial(top_k, self._backend, request, Cancel(context)))

    async def Evolve(
        self,
        request: pb.EvolveRequest,
        context: grpc.aio.ServicerContext[pb.EvolveRequest, pb.EvolveResponse],
    ) -> pb.EvolveResponse:
        return await self._backend.workers.run(partial(evolve, self._backend, request, Cancel(context)))


def list_analyzers(backend: Backend, request: pb.ListAnalyzersRequest) -> pb.ListAnalyzersResponse:
    """Answer a ListAnalyzers. Blocks."""
    version = request.version if request.HasField("version") else None
    model = backend.models.loaded(request.model, version).model
    listed = []
    for found in backend.analyzers.values():
        with guarded(found):
            listed.append(analyzers.analyzer_to_wire(found, model))
    return pb.ListAnalyzersResponse(analyzers=listed)


def analyze(
    backend: Backend, request: pb.AnalyzeRequest, cancel: Cancel, latest: Latest[pb.AnalyzeResponse]
) -> pb.AnalyzeResponse:
    """Answer an Analyze: the last message; those before go to `latest`. Blocks.

    What there is to see already is asked for only when its reader waits for that message, in the thread
    that tells of it: an analyzer may go on to write to what it shows.
    """
    question, meter, pause = analyzers.question_of(request), Meter(), Pause(_PARTIAL_PAUSE_S)

    def tell(model: Model, share: float, partial: Partial | None) -> None:
        done, seconds_left = meter.read(share)
        progress = pb.Progress(fraction=done, seconds_left=seconds_left)
        if partial is not None and latest.awaited and pause.over:
            progress.partial.CopyFrom(analyzers.analysis_to_wire(partial(), model))
            pause.begin()
        latest.put(pb.AnalyzeResponse(progress=progress))

    answered = answer(backend, question, cancel, tell)
    return pb.AnalyzeResponse(result=analyzers.analysis_to_wire(answered.analysis, answered.model))
