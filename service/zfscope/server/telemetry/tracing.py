"""OpenTelemetry traces: one span per call and one per part of it, if an endpoint is configured."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import grpc
from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode

from zfscope.address import parse_address
from zfscope.errors import InputError
from zfscope.proxies import proxy_of
from zfscope.server.protos import Method

_TRACE_HEADERS = frozenset({"traceparent", "tracestate", "baggage"})
# Statuses of server errors, as opposed to client errors.
_FAULTS = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})

_tracer = trace.get_tracer("zfscope")


class CallSpan:
    """Span of a call, a child of the caller's span if its metadata names one; current in its task."""

    def __init__(self, method: Method, request_id: str, sent: Sequence[tuple[str, str | bytes]]) -> None:
        """sent: the metadata of the call."""
        headers = {key: value for key, value in sent if key in _TRACE_HEADERS and isinstance(value, str)}
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": method.service,
            "rpc.method": method.name,
            "zfscope.request_id": request_id,
        }
        name = f"{method.service}/{method.name}"
        self._span = _tracer.start_span(
            name, context=extract(headers), kind=SpanKind.SERVER, attributes=attributes
        )
        context.attach(trace.set_span_in_context(self._span))

    @property
    def log_fields(self) -> dict[str, str]:
        """Trace id for log lines; empty if the span is not recorded."""
        if not self._span.is_recording():
            return {}
        return {"trace_id": trace.format_trace_id(self._span.get_span_context().trace_id)}

    def end(self, code: grpc.StatusCode, failure: str) -> None:
        """End the span with the status of the call. failure: error reason; empty if the call succeeded."""
        self._span.set_attribute("rpc.grpc.status_code", code.value[0])
        if failure:
            self._span.set_attribute("error.type", failure)
        if code in _FAULTS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """Record the block as a child of the current span; do nothing without one, such as in a batch."""
    if not trace.get_current_span().is_recording():
        yield
        return
    with _tracer.start_as_current_span(
        name, attributes={f"zfscope.{key}": value for key, value in attributes.items()}
    ):
        yield


def configure_traces(endpoint: str) -> Callable[[], None]:
    """Send this process's traces to an OTLP endpoint; return a function that flushes and shuts down.

    endpoint: http://HOST:PORT of OTLP over gRPC, https:// with TLS; empty sends nothing. All other
    settings come from the OTEL_ environment variables. Raises InputError if the extra `otel` is missing.
    """
    if not endpoint:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        message = "traces_endpoint requires the OpenTelemetry SDK: pip install 'zfscope[otel]'"
        raise InputError(message, field="traces_endpoint") from error
    resource = Resource.create({"service.name": "zfscope", "service.version": version("zfscope")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=endpoint, channel_options=_options(endpoint))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _options(endpoint: str) -> Any:
    """Return the channel's options: use the environment's proxy only for other machines."""
    try:
        addresses = (parse_address(endpoint),)
    except ValueError:  # such as https://HOST, whose port is 443
        return None
    return (("grpc.enable_http_proxy", int(proxy_of(addresses) is not None)),)
