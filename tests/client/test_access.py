"""Credentials of the client, and targets that never receive a token."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from zfscope.client import Access, Client
from zfscope.client.target import parse_target
from zfscope.errors import InputError

TOKEN = "0123456789abcdef"
SENT = (("authorization", f"Bearer {TOKEN}"),)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "127.0.0.1:50051",
        "[::1]:50051",
        "dns:///localhost:50051",
        "dns:localhost:50051",
        "ipv4:127.0.0.1:1,127.0.0.1:2",
        "ipv6:[::1]:1,[::1]:2",
        "unix:/run/zfscope.sock",
    ],
)
def test_a_token_is_sent_to_this_machine_without_tls(target: str) -> None:
    assert Access(token=SecretStr(TOKEN)).metadata(parse_target(target), tls=False) == SENT


@pytest.mark.parametrize(
    "target",
    [
        "gpu:50051",
        "10.0.0.1:50051",
        "[2001:db8::1]:50051",
        "dns:///gpu:50051",
        "dns://127.0.0.1/gpu:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:2",
        "localhost.example.org:50051",
        "xds:///localhost",
    ],
)
def test_a_token_is_sent_to_other_machines_only_with_tls_or_if_allowed(target: str) -> None:
    access = Access(token=SecretStr(TOKEN))

    with pytest.raises(InputError, match=r"a token is not sent to '.*' without TLS") as refusal:
        Client(target, access=access)

    assert refusal.value.field == "token"
    assert TOKEN not in refusal.value.message
    assert access.metadata(parse_target(target), tls=True) == SENT
    assert (
        access.model_copy(update={"allow_insecure": True}).metadata(parse_target(target), tls=False) == SENT
    )


def test_without_a_token_no_metadata_is_sent() -> None:
    assert Access().metadata(parse_target("gpu:50051"), tls=False) == ()


def test_any_tls_setting_enables_tls(pems: Any) -> None:
    client = {"tls_client_certificate": pems.client_certificate, "tls_client_key": pems.client_key}

    assert Access().credentials() is None
    for settings in ({"tls": True}, {"tls_ca": pems.ca}, client):
        assert Access(**settings).credentials() is not None


def test_connection_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZFSCOPE_TLS_CA", str(tmp_path / "ca.pem"))

    with pytest.raises(InputError, match=r"ca.pem' cannot be read: No such file") as refusal:
        Client("localhost:1")

    assert refusal.value.field == "tls_ca"


def test_an_invalid_value_in_the_environment_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_TLS", "perhaps")

    with pytest.raises(InputError, match="tls is 'perhaps': "):
        Client("localhost:1")
