"""Tokens: required by every RPC except health, and checked before the request is read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr

from tests.server.conftest import RunningService, run_service
from zfscope.client import Access, Client
from zfscope.errors import InputError, Unauthenticated
from zfscope.server.app import Service
from zfscope.server.protos import SERVICES, descriptor_pool
from zfscope.server.settings import Settings
from zfscope.wire.status import error_of

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text(f"{NEW}\n{OLD}\n")
    return path


@pytest.fixture(scope="module")
def token_service(settings: Settings, tokens: Path) -> Iterator[RunningService]:
    """A warm service that requires a token."""
    with run_service(settings.model_copy(update={"token_file": tokens})) as service:
        service.warm_up()
        yield service


@pytest.fixture
def plain_channel(token_service: RunningService) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(token_service.address) as channel:
        yield channel


def methods() -> list[str]:
    """Return the path of every method of the service except health and reflection."""
    services = map(descriptor_pool().FindServiceByName, SERVICES)
    return [f"/{service.full_name}/{method.name}" for service in services for method in service.methods]


def rpc_error(call: Callable[[], Any]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("token", [NEW, OLD])
def test_any_configured_token_is_accepted(token_service: RunningService, token: str, photo: bytes) -> None:
    with Client(token_service.address, access=Access(token=SecretStr(token))) as client:
        assert client.classify(photo).model == "tiny"
        assert client.analyze("project", [photo], {"layer": "conv5", "top": 1}).analysis.pictures


def test_the_client_sends_the_first_token_of_a_file(token_service: RunningService, tokens: Path) -> None:
    with Client(token_service.address, access=Access(token_file=tokens)) as client:
        assert client.models()


def test_the_error_for_a_missing_token_explains_how_to_send_one(token_service: RunningService) -> None:
    with Client(token_service.address) as client, pytest.raises(Unauthenticated) as caught:
        client.models()

    message = "token missing; send one as metadata, authorization: Bearer TOKEN"
    assert caught.value.message == message


def test_an_unknown_token_is_rejected(token_service: RunningService) -> None:
    access = Access(token=SecretStr("guess-0123456789abcdef"))
    with Client(token_service.address, access=access) as client, pytest.raises(Unauthenticated) as caught:
        client.models()

    assert caught.value.message.startswith("unknown token; ")


@pytest.mark.parametrize("method", methods())
def test_every_method_requires_a_token(plain_channel: grpc.Channel, method: str) -> None:
    error = rpc_error(lambda: list(plain_channel.unary_stream(method)(b"", timeout=30)))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert isinstance(error_of(error), Unauthenticated)


def test_reflection_requires_a_token(plain_channel: grpc.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    reflect = reflection_pb2_grpc.ServerReflectionStub(plain_channel).ServerReflectionInfo

    error = rpc_error(lambda: list(reflect(iter([request]), timeout=30)))
    responses = list(reflect(iter([request]), timeout=30, metadata=[("authorization", f"Bearer {OLD}")]))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert responses[0].list_services_response.service


def test_an_unknown_method_requires_a_token(plain_channel: grpc.Channel) -> None:
    error = rpc_error(lambda: plain_channel.unary_unary("/zfscope.v1.ModelService/Guess")(b"", timeout=30))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_requires_no_token(plain_channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(plain_channel)
    request = health_pb2.HealthCheckRequest()

    assert health.Check(request, timeout=30).status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(request, timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


@pytest.mark.parametrize(
    "sent",
    [
        [("authorization", NEW)],
        [("authorization", f"Basic {NEW}")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {NEW[:-1]}")],
        [("authorization", f"Bearer {NEW}x")],
        [("authorization", f"Bearer {NEW.upper()}")],
        [("authorization", f"Bearer {NEW}"), ("authorization", "Bearer another-0123456789")],
        [("x-authorization", f"Bearer {NEW}")],
        [("authorization-bin", f"Bearer {NEW}".encode())],
    ],
)
def test_only_a_single_complete_bearer_token_is_accepted(plain_channel: grpc.Channel, sent: Any) -> None:
    call = plain_channel.unary_unary("/zfscope.v1.ModelService/ListModels")

    assert rpc_error(lambda: call(b"", timeout=30, metadata=sent)).code() is (grpc.StatusCode.UNAUTHENTICATED)


def test_the_scheme_is_case_insensitive(plain_channel: grpc.Channel) -> None:
    call = plain_channel.unary_unary("/zfscope.v1.ModelService/ListModels")

    assert call(b"", timeout=30, metadata=[("authorization", f"bearer {NEW}")])


@pytest.mark.parametrize("sent", [NEW, OLD, "x", NEW[:-1], "y" * 1000])
def test_a_token_is_compared_with_every_configured_token_in_constant_time(
    plain_channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr("zfscope.wire.credentials.hmac.compare_digest", compare)
    call = plain_channel.unary_unary("/zfscope.v1.ModelService/ListModels")
    metadata = [("authorization", f"Bearer {sent}")]
    if sent in (NEW, OLD):
        assert call(b"", timeout=30, metadata=metadata)
    else:
        rpc_error(lambda: call(b"", timeout=30, metadata=metadata))

    assert compared == [(32, 32)] * 2


def test_an_unauthenticated_upload_is_rejected_before_it_is_complete(plain_channel: grpc.Channel) -> None:
    upload = plain_channel.stream_unary("/zfscope.v1.ClassificationService/Classify")

    def endless_request() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    assert rpc_error(lambda: upload(endless_request(), timeout=30)).code() is grpc.StatusCode.UNAUTHENTICATED


def test_neither_the_log_nor_an_error_contains_a_token(
    token_service: RunningService,
    plain_channel: grpc.Channel,
    capfd: pytest.CaptureFixture[str],
    photo: bytes,
) -> None:
    wrong = "wrong-0123456789abcdef"
    call = plain_channel.unary_unary("/zfscope.v1.ModelService/ListModels")
    error = rpc_error(lambda: call(b"", timeout=30, metadata=[("authorization", f"Bearer {wrong}")]))
    with Client(token_service.address, access=Access(token=SecretStr(NEW))) as client:
        client.classify(photo)

    output = "".join(capfd.readouterr()) + str(error.trailing_metadata()) + error.details()
    assert "UNAUTHENTICATED" in output
    assert all(token not in output for token in (wrong, NEW, OLD))


def test_an_empty_token_is_an_error_at_startup(settings: Settings) -> None:
    with pytest.raises(InputError, match="the token is empty"):
        Service(settings.model_copy(update={"token": SecretStr("")}))
