"""Helpers shared by the synchronous and asynchronous clients: stubs, requests and responses."""

from typing import Any, TypeVar

from grpc_health.v1 import health_pb2_grpc

from zfscope.answers import Progress
from zfscope.answers.analysis import Analyzed
from zfscope.client.calls import AnalysisRequest, UnaryCall
from zfscope.client.connection import Connection
from zfscope.errors import ZfscopeError
from zfscope.results import Analysis
from zfscope.v1 import analysis_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub
from zfscope.wire.convert import to_dataclass
from zfscope.wire.status import MAX_REQUEST_BYTES

A = TypeVar("A")


def stubs(channel: Any) -> dict[str, Any]:
    """Return the RPC methods of a channel by name."""
    methods: dict[str, Any] = {}
    for stub in (
        ModelServiceStub(channel),
        ClassificationServiceStub(channel),
        AnalysisServiceStub(channel),
        health_pb2_grpc.HealthStub(channel),
    ):
        methods |= vars(stub)
    return methods


def read_limit(trailing: Any) -> int | None:
    """Return the service's request size limit in bytes from trailing metadata, or None."""
    text = next((value for key, value in trailing or () if key == MAX_REQUEST_BYTES), "")
    return int(text) if text.isdecimal() else None


def typed_unary_call(request: AnalysisRequest[A]) -> UnaryCall[A]:
    """Return the unary call of an analysis that has a dedicated RPC."""
    typed = request.typed
    assert typed
    return UnaryCall(
        typed.rpc,
        request.typed_message(),
        lambda response: to_dataclass(typed.result_type, response),
        request.timeout_s,
        request.cancel,
    )


def read_progress(message: analysis_pb2.Progress) -> Progress:
    """Convert a progress message."""
    return to_dataclass(Progress, message)


def read_result(request: AnalysisRequest[A], message: analysis_pb2.Analysis) -> A:
    """Convert the final message of an Analyze call. Raises ZfscopeError if the service is too old."""
    sizes = [(size.height, size.width) for size in message.photos]
    if request.typed and len(sizes) != len(request.images):
        raise ZfscopeError(
            "the service is older than this client and cannot report progress here; call without `progress`",
            field="progress",
        )
    analyzed = Analyzed(message.model, message.version, to_dataclass(Analysis, message))
    return request.read(analyzed, sizes)


def stream_timeout_s(request: AnalysisRequest[Any], connection: Connection) -> float | None:
    """Return the time limit of an Analyze call in seconds; None leaves it to the service (if untyped)."""
    if request.timeout_s is None and not request.typed:
        return None
    return connection.timeout_of(request.timeout_s)
