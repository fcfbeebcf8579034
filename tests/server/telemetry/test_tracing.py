"""Traces that the service sends to a collector."""

import json
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.forked import ForkedProcess
from zfscope.client import Client
from zfscope.errors import InputError
from zfscope.server.settings import Settings
from zfscope.server.telemetry.tracing import configure_traces
from zfscope.v1 import analysis_pb2, image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that keeps the received requests."""

    def __init__(self) -> None:
        self.received: queue.Queue[Any] = queue.Queue()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.received.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> Iterator[tuple[dict[str, str], Span]]:
        """Yield each received span with the attributes of its process."""
        while not self.received.empty():
            for process_spans in self.received.get().resource_spans:
                resource = {pair.key: pair.value.string_value for pair in process_spans.resource.attributes}
                for scope in process_spans.scope_spans:
                    for span in scope.spans:
                        yield resource, span


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    server, servicer = grpc.server(ThreadPoolExecutor(1)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def stop(process: ForkedProcess) -> str:
    """Stop a service; return its log."""
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    return log


def test_a_call_is_a_span_in_the_trace_of_its_caller_with_child_spans(
    start: Callable[..., Any], collector: tuple[Collector, str], photo: bytes
) -> None:
    servicer, endpoint = collector
    process = start(traces_endpoint=endpoint)
    address = process.stdout.readline().split()[-1]
    with Client(address) as client, grpc.insecure_channel(address) as channel:
        client.wait_until_ready(60)
        image = image_pb2.Image(encoded=photo)
        metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "mine"))
        request = analysis_pb2.MeasureInvarianceRequest(images=[image], layers=["conv1"])
        AnalysisServiceStub(channel).MeasureInvariance(request, metadata=metadata, timeout=60)
        client.classify(photo)
        with pytest.raises(InputError):
            client.classify(b"no photo")
    log = [json.loads(line) for line in stop(process).splitlines()]

    received = list(servicer.spans())
    assert all(resource["service.name"] == "zfscope" for resource, _ in received)
    spans = [span for _, span in received]
    (call,) = (span for span in spans if span.parent_span_id.hex() == PARENT)
    assert call.name == "zfscope.v1.AnalysisService/MeasureInvariance"
    assert (call.kind, call.trace_id.hex()) == (Span.SPAN_KIND_SERVER, TRACE)
    call_attributes = attributes(call)
    assert (call_attributes["rpc.system"], call_attributes["rpc.method"]) == ("grpc", "MeasureInvariance")
    assert (call_attributes["rpc.grpc.status_code"], call_attributes["zfscope.request_id"]) == (0, "mine")
    (work,) = (span for span in spans if span.parent_span_id == call.span_id)
    passes = [span for span in spans if span.parent_span_id == work.span_id]
    assert work.name == "work"
    assert {span.name for span in passes} == {"forward"}
    assert all(work.start_time_unix_nano <= span.start_time_unix_nano for span in passes)
    assert sum(attributes(span)["zfscope.images"] for span in passes) > 2

    succeeded, failed = (span for span in spans if span.name == "zfscope.v1.ClassificationService/Classify")
    assert {span.name for span in spans if span.parent_span_id == succeeded.span_id} == {"work", "batch"}
    assert (attributes(failed)["rpc.grpc.status_code"], attributes(failed)["error.type"]) == (
        3,
        "INPUT_ERROR",
    )
    assert failed.status.code == Status.STATUS_CODE_UNSET  # a client error
    lines = {line.get("request_id"): line for line in log}
    assert lines["mine"]["trace_id"] == TRACE


def test_an_unreachable_collector_does_not_affect_calls(start: Callable[..., Any], photo: bytes) -> None:
    process = start(traces_endpoint="http://127.0.0.1:9")
    with Client(process.stdout.readline().split()[-1]) as client:
        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"

    log = [json.loads(line) for line in stop(process).splitlines()]
    assert any("Failed to export traces" in line["event"] for line in log)


def test_an_endpoint_without_the_otel_extra_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(InputError, match=r"pip install 'zfscope\[otel\]'") as caught:
        configure_traces("http://localhost:4317")

    assert caught.value.field == "traces_endpoint"
    assert Settings().traces_endpoint == ""
