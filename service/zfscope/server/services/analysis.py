"""AnalysisService: runs the installed analyzers on photos."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from google.protobuf.message import Message

from zfscope.analysis.call import Partial
from zfscope.analysis.call import analyze as run_analysis
from zfscope.analysis.description import list_analyzers as describe_analyzers
from zfscope.analysis.indexed_photo import indexed_photo
from zfscope.analysis.progress import PartialResults, ProgressMeter
from zfscope.answers import TYPED
from zfscope.answers.analysis import TypedAnalysis
from zfscope.errors import Forbidden, InputError
from zfscope.server.backend import Backend
from zfscope.server.deadline import CallCancellation
from zfscope.server.interceptors import Context
from zfscope.server.services.requests import analysis_to_wire, handle_typed, outcome_to_wire, untyped_call
from zfscope.server.services.stream import MessageQueue
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceServicer
from zfscope.wire.convert import to_message
from zfscope.wire.models import version_of


class AnalysisService(AnalysisServiceServicer):
    """Runs analyzers on photos."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def ListAnalyzers(
        self, request: pb.ListAnalyzersRequest, context: Context
    ) -> pb.ListAnalyzersResponse:
        return await self._backend.readers.run(partial(list_analyzers, self._backend, request))

    async def GetIndexedPhoto(
        self, request: pb.GetIndexedPhotoRequest, context: Context
    ) -> pb.GetIndexedPhotoResponse:
        return await self._backend.readers.run(partial(get_indexed_photo, self._backend, request))

    async def Analyze(
        self, request: pb.AnalyzeRequest, context: Context
    ) -> AsyncIterator[pb.AnalyzeResponse]:
        messages: MessageQueue[pb.AnalyzeResponse] = MessageQueue()
        cancel = CallCancellation(context)
        work = partial(analyze, self._backend, request, cancel, messages)
        running = asyncio.ensure_future(self._backend.workers.run(work))
        try:
            async for progress in messages.read_until(running):
                yield progress
            yield await running
        finally:  # a stalled reader delays the end of the call, on which the work is otherwise cancelled
            cancel.cancel()


def _typed_method(typed: TypedAnalysis[Any]) -> Any:
    """Return the servicer method of an analysis with a dedicated RPC."""

    async def method(self: AnalysisService, request: Any, context: Context) -> Message:
        work = partial(handle_typed, typed, self._backend, request, CallCancellation(context))
        return await self._backend.workers.run(work)

    method.__name__ = typed.rpc
    return method


for _analysis in TYPED:
    setattr(AnalysisService, _analysis.rpc, _typed_method(_analysis))


def list_analyzers(backend: Backend, request: pb.ListAnalyzersRequest) -> pb.ListAnalyzersResponse:
    """Handle a ListAnalyzers call. Blocks."""
    model = backend.models.get(request.model, version_of(request)).model
    described = describe_analyzers(backend.registry, model)
    return to_message(pb.ListAnalyzersResponse, {"analyzers": described})


def get_indexed_photo(backend: Backend, request: pb.GetIndexedPhotoRequest) -> pb.GetIndexedPhotoResponse:
    """Handle a GetIndexedPhoto call. Blocks.

    The file is read and verified for each part of it, so that no call depends on another.
    """
    if not backend.settings.indexed_photos:
        raise Forbidden(
            "this service does not return the files of indexed photos; its operator can turn the setting "
            "indexed_photos on"
        )
    if request.max_bytes < 0:
        raise InputError(f"max_bytes is {request.max_bytes}; allowed: 0 and more", field="max_bytes")
    model = backend.models.find(request.model, version_of(request))
    photo = indexed_photo(model, request.index, request.blake2b, backend.image_limits)
    size, offset = len(photo.data), request.offset
    if not 0 <= offset <= size:
        raise InputError(f"offset is {offset}; allowed: 0 to {size}, the size of the file", field="offset")
    part = photo.data[offset : offset + (request.max_bytes or size)]
    return to_message(pb.GetIndexedPhotoResponse, {**vars(photo), "data": part, "size": size})


def analyze(
    backend: Backend,
    request: pb.AnalyzeRequest,
    cancel: CallCancellation,
    messages: MessageQueue[pb.AnalyzeResponse],
) -> pb.AnalyzeResponse:
    """Handle an Analyze call: return the result; put progress messages into `messages`. Blocks.

    A partial result is computed only if the reader is waiting for it.
    """
    call = untyped_call(request)
    wanted = request.partial_results if request.HasField("partial_results") else True
    meter, partials = ProgressMeter(), PartialResults(wanted=wanted, pictures=call.pictures)

    def report(model: Model, fraction: float, partial: Partial | None) -> None:
        done, seconds_left = meter.read(fraction)
        progress = pb.Progress(fraction=done, seconds_left=seconds_left)
        if partial is not None and messages.reader_waiting and partials.due:
            progress.partial.CopyFrom(analysis_to_wire(partials.compute(partial), model))
        messages.put(pb.AnalyzeResponse(progress=progress))

    outcome = run_analysis(backend, call, check_cancelled=cancel.check, report=report)
    return pb.AnalyzeResponse(result=outcome_to_wire(outcome))
