"""What the clients of a service share: unary calls and streams of analyses, before they are sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zfscope.answers import AnalyzerInfo, Classification, ModelInfo, ModelSummary, Progress
from zfscope.answers.analysis import Analyzed
from zfscope.cancellation import Cancellation
from zfscope.client.calls import AnalysisRequest, check_options, sendable
from zfscope.client.connection import Connection
from zfscope.client.generated import CallOptions
from zfscope.client.photos import Photo, image_to_wire
from zfscope.errors import ZfscopeError
from zfscope.results import Analysis
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub
from zfscope.wire.convert import to_dataclass
from zfscope.wire.status import MAX_REQUEST_BYTES

A = TypeVar("A")


@dataclass(frozen=True, eq=False)
class UnaryCall(Generic[A]):
    """A call with one answer. rpc: its name. read: makes the answer of the response."""

    rpc: str
    request: Message
    read: Callable[[Any], A]
    timeout_s: float | None = None
    cancel: Cancellation | None = None


def stubs(channel: Any) -> dict[str, Any]:
    """Return the methods of a channel by the names of their RPCs."""
    found: dict[str, Any] = {}
    for stub in (
        ModelServiceStub(channel),
        ClassificationServiceStub(channel),
        AnalysisServiceStub(channel),
        health_pb2_grpc.HealthStub(channel),
    ):
        found |= vars(stub)
    return found


def read_limit(trailing: Any) -> int | None:
    """Return the limit of a request in bytes that an answer's trailing metadata has; None without one."""
    found = next((text for key, text in trailing or () if key == MAX_REQUEST_BYTES), "")
    return int(found) if found.isdecimal() else None


def check_health(timeout_s: float) -> UnaryCall[str]:
    """Return a health check of the whole service."""

    def read(response: health_pb2.HealthCheckResponse) -> str:
        status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
        return status

    return UnaryCall("Check", health_pb2.HealthCheckRequest(), read, timeout_s)


def list_models(options: CallOptions) -> UnaryCall[tuple[ModelSummary, ...]]:
    """Return the call that lists all models."""
    check_options(options, CallOptions)

    def read(response: model_pb2.ListModelsResponse) -> tuple[ModelSummary, ...]:
        return tuple(to_dataclass(ModelSummary, model) for model in response.models)

    return UnaryCall("ListModels", model_pb2.ListModelsRequest(), read, **options)


def describe_model(name: str, version: int | None, options: CallOptions) -> UnaryCall[ModelInfo]:
    """Return the call that describes a model."""
    check_options(options, CallOptions)
    with sendable():
        request = model_pb2.GetModelRequest(model=name, version=version)
    return UnaryCall("GetModel", request, lambda response: to_dataclass(ModelInfo, response), **options)


def classify(photo: Photo, options: CallOptions, **fields: Any) -> UnaryCall[Classification]:
    """Return the call that classifies a photo. Raises InputError for one that cannot be used."""
    check_options(options, CallOptions)
    with sendable():
        request = classification_pb2.ClassifyRequest(image=image_to_wire(photo), **fields)
    return UnaryCall("Classify", request, lambda response: to_dataclass(Classification, response), **options)


def list_analyzers(
    model: str, version: int | None, options: CallOptions
) -> UnaryCall[tuple[AnalyzerInfo, ...]]:
    """Return the call that lists the analyzers."""
    check_options(options, CallOptions)
    with sendable():
        request = analysis_pb2.ListAnalyzersRequest(model=model, version=version)

    def read(response: analysis_pb2.ListAnalyzersResponse) -> tuple[AnalyzerInfo, ...]:
        return tuple(to_dataclass(AnalyzerInfo, analyzer) for analyzer in response.analyzers)

    return UnaryCall("ListAnalyzers", request, read, **options)


def typed_call(request: AnalysisRequest[A]) -> UnaryCall[A]:
    """Return the call of an analysis with an RPC of its own."""
    typed = request.typed
    assert typed
    return UnaryCall(
        typed.rpc,
        request.typed_message(),
        lambda response: to_dataclass(typed.answer, response),
        request.timeout_s,
        request.cancel,
    )


def read_progress(message: analysis_pb2.Progress) -> Progress:
    """Return a report of progress."""
    return to_dataclass(Progress, message)


def read_result(request: AnalysisRequest[A], message: analysis_pb2.Analysis) -> A:
    """Return the answer that the last message of an Analyze holds. Raises ZfscopeError for an old service."""
    sizes = [(size.height, size.width) for size in message.photos]
    if request.typed and len(sizes) != len(request.images):
        raise ZfscopeError(
            "the service is older than this client and cannot report progress here; call without `progress`",
            field="progress",
        )
    found = Analyzed(message.model, message.version, to_dataclass(Analysis, message))
    return request.read(found, sizes)


def stream_timeout_s(request: AnalysisRequest[Any], connection: Connection) -> float | None:
    """Return the time limit of an Analyze: of a typed analysis the client's own, of others the service's."""
    if request.timeout_s is None and not request.typed:
        return None
    return connection.timeout_of(request.timeout_s)
