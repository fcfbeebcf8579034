"""Requests as the service reads them and as the client sends them."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from zfscope.analysis.call import AnalysisCall
from zfscope.answers.analysis import TypedAnalysis
from zfscope.client import Client
from zfscope.client.calls import AnalysisRequest, untyped_request
from zfscope.server.services.requests import typed_call
from zfscope.v1 import analysis_pb2 as pb


def call_of(typed: TypedAnalysis[Any], request: Message) -> AnalysisCall:
    """Return the analysis call that the service makes of a typed RPC's request."""
    return typed_call(typed, request, 64)


class RecordingClient(Client):
    """A client whose methods return the request instead of sending it."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")

    def _run(self, make: Callable[[], AnalysisRequest[Any]]) -> Any:
        request = make()
        return request.typed_message() if request.typed else request.message()


def analyze_request(analyzer: str, photos: Any, parameters: Mapping[str, Any]) -> pb.AnalyzeRequest:
    """Return the AnalyzeRequest that the client sends."""
    return untyped_request(analyzer, photos, parameters, {}).message()
