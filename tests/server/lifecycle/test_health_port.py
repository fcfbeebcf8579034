"""The port for health checks alone: no TLS, no tokens, no other service."""

import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from zfscope.client import Access, Client
from zfscope.errors import InputError
from zfscope.server.app import Service
from zfscope.server.settings import Settings
from zfscope.v1 import model_pb2
from zfscope.v1.model_pb2_grpc import ModelServiceStub

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def service(settings: Settings, pems: Any, make_service: Callable[[Settings], Any]) -> Any:
    """A cold service with mutual TLS, a token and a port for health checks."""
    token = SecretStr("0123456789abcdef")
    secured = {**pems.server, "tls_client_ca": pems.ca, "token": token, "health_listen": "127.0.0.1:0"}
    return make_service(settings.model_copy(update=secured))


@pytest.fixture
def health_channel(service: Any) -> Any:
    with grpc.insecure_channel(service.service.health_address) as channel:
        yield channel


def check(channel: grpc.Channel) -> int:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30).status


def test_a_probe_without_tls_and_token_gets_the_status(service: Any, health_channel: grpc.Channel) -> None:
    assert check(health_channel) == NOT_SERVING
    service.warm_up()
    assert check(health_channel) == SERVING
    with Client(service.service.health_address, access=Access()) as client:
        assert client.health() == "SERVING"


def test_nothing_but_health_is_served(service: Any, health_channel: grpc.Channel) -> None:
    service.warm_up()
    with pytest.raises(grpc.RpcError) as caught:
        ModelServiceStub(health_channel).ListModels(model_pb2.ListModelsRequest(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    reflection = health_channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection(iter([b""]), timeout=30))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_watchers_get_the_shutdown_before_the_port_is_closed(
    service: Any, health_channel: grpc.Channel
) -> None:
    service.warm_up()
    watch = health_pb2_grpc.HealthStub(health_channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == SERVING
    stopping = service.submit(service.service.stop())
    assert [message.status for message in watch] == [NOT_SERVING]
    stopping.result(timeout=60)


async def test_a_port_in_use_is_an_error_at_startup(service: Any, settings: Settings) -> None:
    address = service.service.health_address
    second = Service(settings.model_copy(update={"health_listen": address}))
    message = f"cannot listen on {address}: it is in use; choose another address"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$") as caught:
        await second.start()
    assert caught.value.field == "health_listen"
    await second.stop()


def test_there_is_no_such_port_by_default(
    settings: Settings, make_service: Callable[[Settings], Any]
) -> None:
    assert make_service(settings).service.health_address == ""
