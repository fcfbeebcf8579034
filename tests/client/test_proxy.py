"""The client with a proxy set in the environment."""

from typing import Any

import pytest

from zfscope.client import Client
from zfscope.errors import NotReady


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A proxy that refuses every connection."""
    for name in ("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:1")
    return "http://127.0.0.1:1"


def test_a_service_on_this_machine_is_called_without_the_proxy(service: Any, photo: bytes) -> None:
    for host in ("127.0.0.1", "localhost"):
        with Client(service.address.replace("127.0.0.1", host)) as client:
            assert client.health() == "SERVING"
            assert client.classify(photo).model == "tiny"
            assert client.analyze("project", [photo]).model == "tiny"


def test_a_failed_connection_names_the_variable_and_the_proxy(proxy: str) -> None:
    with Client("192.0.2.1:50051", timeout_s=20) as client, pytest.raises(NotReady) as failure:
        client.health()
    assert failure.value.message.endswith(
        f"; the connection uses the proxy set by the environment variable http_proxy ({proxy}); to connect "
        "directly, unset it or add the service's host to no_proxy"
    )
    assert "secret" not in failure.value.message


def test_no_proxy_in_upper_case_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "nowhere.invalid")
    with Client("nowhere.invalid:50051", timeout_s=20) as client, pytest.raises(NotReady) as failure:
        client.health()
    assert "nowhere.invalid" in failure.value.message
    assert "proxy" not in failure.value.message
