"""Mapping of exceptions to gRPC statuses, without internal text."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from zfscope.client import Client
from zfscope.errors import Cancelled, RuntimeUnavailable, ZfscopeError
from zfscope.server.services import classification
from zfscope.server.settings import Settings
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.wire.status import REQUEST_ID

CLASSIFY = "/zfscope.v1.ClassificationService/Classify"


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes every classification fail with an error."""

    def fail(error: BaseException) -> None:
        def read(*args: object, **options: object) -> None:
            raise error

        monkeypatch.setattr(classification, "prepare_request", read)

    return fail


def classify_error(channel: grpc.Channel, photo: bytes) -> grpc.RpcError:
    """Call Classify, which must fail, and return its error."""
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    with pytest.raises(grpc.RpcError) as caught:
        ClassificationServiceStub(channel).Classify(request, timeout=30)
    return caught.value


def test_a_service_failure_is_internal_with_a_request_id_and_no_internal_text(
    fail: Any, channel: grpc.Channel, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    fail(RuntimeError("/etc/secret"))

    error = classify_error(channel, photo)

    assert error.code() is grpc.StatusCode.INTERNAL
    message, request_id = error.details().rsplit(" ", 1)
    assert message == "the service failed; see its log for request id"
    assert b"secret" not in b"".join(
        value if isinstance(value, bytes) else value.encode() for _, value in error.trailing_metadata()
    )
    assert request_id in capfd.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Cancelled("the client cancelled the call or disconnected"), grpc.StatusCode.CANCELLED),
        (RuntimeUnavailable("no onnxruntime here"), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_errors_are_mapped_to_their_status(
    fail: Any, channel: grpc.Channel, photo: bytes, error: ZfscopeError, code: grpc.StatusCode
) -> None:
    fail(error)

    rpc_error = classify_error(channel, photo)

    assert (rpc_error.code(), rpc_error.details()) == (code, error.message)


def test_an_admitted_call_sends_its_initial_metadata_before_its_work_is_done(
    monkeypatch: pytest.MonkeyPatch, channel: grpc.Channel, photo: bytes
) -> None:
    released, read = threading.Event(), classification.prepare_request

    def slow_read(*args: Any, **options: Any) -> Any:
        released.wait(timeout=30)
        return read(*args, **options)

    monkeypatch.setattr(classification, "prepare_request", slow_read)
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=photo)).SerializeToString()
    # Called as a stream: for unary calls, gRPC Python returns the initial metadata only with the response.
    call = channel.unary_stream(CLASSIFY)(request, timeout=30, metadata=[(REQUEST_ID, "mine")])

    assert dict(call.initial_metadata())[REQUEST_ID] == "mine"  # blocks until it arrives
    assert call.is_active()
    released.set()
    assert pb.ClassifyResponse.FromString(next(call)).model == "tiny"


def test_an_error_after_admission_has_details(fail: Any, channel: grpc.Channel, photo: bytes) -> None:
    fail(RuntimeUnavailable("no onnxruntime here"))

    error = classify_error(channel, photo)

    assert REQUEST_ID in dict(error.initial_metadata())
    assert REQUEST_ID in dict(error.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in rpc_status.from_call(error).details)
    assert info.reason == "RUNTIME_UNAVAILABLE"


def test_an_error_before_admission_has_trailers_only(cold_service: Any, photo: bytes) -> None:
    with grpc.insecure_channel(cold_service.address) as channel:
        error = classify_error(channel, photo)

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert REQUEST_ID not in dict(error.initial_metadata())
    assert REQUEST_ID in dict(error.trailing_metadata())


def test_malformed_bytes_are_an_invalid_argument(channel: grpc.Channel) -> None:
    call = channel.unary_unary(CLASSIFY)

    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", timeout=30)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == (
        "the request (3 bytes) is not a valid message of this method; check the proto"
    )


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/zfscope.v1.AnalysisService/Guess")(b"", timeout=30)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_over_the_size_limit_is_rejected(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(CLASSIFY)(bytes(Settings().max_receive_bytes + 1), timeout=30)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_cancelled_call_does_not_affect_others(
    monkeypatch: pytest.MonkeyPatch, channel: grpc.Channel, client: Client, photo: bytes
) -> None:
    started, released, read = threading.Event(), threading.Event(), classification.prepare_request

    def slow_read(*args: Any, **options: Any) -> Any:
        started.set()
        released.wait(timeout=30)
        return read(*args, **options)

    monkeypatch.setattr(classification, "prepare_request", slow_read)
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    cancelled = ClassificationServiceStub(channel).Classify.future(request, timeout=30)
    assert started.wait(timeout=30)
    cancelled.cancel()
    released.set()

    assert client.classify(photo).model == "tiny"


def test_a_full_method_is_rejected_with_a_retry_delay_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, make_service: Callable[..., Any], photo: bytes
) -> None:
    started, released, read = threading.Event(), threading.Event(), classification.prepare_request

    def slow_read(*args: Any, **options: Any) -> Any:
        started.set()
        released.wait(timeout=30)
        return read(*args, **options)

    monkeypatch.setattr(classification, "prepare_request", slow_read)
    service = make_service(settings.model_copy(update={"queues": {"Classify": 1}}))
    service.warm_up()
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    with grpc.insecure_channel(service.address) as channel, Client(service.address) as client:
        first = ClassificationServiceStub(channel).Classify.future(request, timeout=30)
        assert started.wait(timeout=30)

        error = classify_error(channel, photo)

        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details() == "too many Classify requests in progress (limit 1); try again in a moment"
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in rpc_status.from_call(error).details)
        assert retry.retry_delay.seconds == 1
        assert client.models()
        released.set()
        assert first.result(timeout=30).model == "tiny"
