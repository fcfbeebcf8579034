"""Traces by OpenTelemetry: a span for each call, and spans for its parts, where they go somewhere."""

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
_FAULTS = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})
"""Statuses that are the service's own fault, and not its caller's."""

_tracer = trace.get_tracer("zfscope")


class CallSpan:
    """The span of a call, a child of its caller's where that says so. It is the current one of its task."""

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
    def names(self) -> dict[str, str]:
        """What names it in a log, nothing where it is not recorded."""
        if not self._span.is_recording():
            return {}
        return {"trace_id": trace.format_trace_id(self._span.get_span_context().trace_id)}

    def end(self, code: grpc.StatusCode, failure: str) -> None:
        """End it with the status of the call. failure: what kind of failure, empty where it was none."""
        self._span.set_attribute("rpc.grpc.status_code", code.value[0])
        if failure:
            self._span.set_attribute("error.type", failure)
        if code in _FAULTS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


@contextmanager
def part(name: str, **attributes: str | int) -> Iterator[None]:
    """Record a part of the current call; where there is none, as for a batch of several, nothing."""
    if not trace.get_current_span().is_recording():
        yield
        return
    with _tracer.start_as_current_span(
        name, attributes={f"zfscope.{key}": value for key, value in attributes.items()}
    ):
        yield


def configure_traces(endpoint: str) -> Callable[[], None]:
    """Send this process's traces to an OTLP endpoint, and give what sends the last and ends it.

    endpoint: http://HOST:PORT of OTLP over gRPC, https:// with TLS; empty sends nothing. Whatever else may be
    set is read from the OTEL_ variables of the environment. Raises InputError without the extra `otel`.
    """
    if not endpoint:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        told = "traces_endpoint asks for OpenTelemetry's SDK: pip install 'zfscope[otel]'"
        raise InputError(told, field="traces_endpoint") from error
    resource = Resource.create({"service.name": "zfscope", "service.version": version("zfscope")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=endpoint, channel_options=_options(endpoint))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _options(endpoint: str) -> Any:
    """Return the channel's options: the environment's proxy only on the way to other machines."""
    try:
        addresses = (parse_address(endpoint),)
    except ValueError:  # such as https://HOST, whose port is 443
        return None
    return (("grpc.enable_http_proxy", int(proxy_of(addresses) is not None)),)
