"""Listening addresses, TLS and mutual TLS."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from zfscope.client import Access, Client
from zfscope.errors import InputError, NotReady
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.listen import bind
from zfscope.server.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
def start_tls_service(settings: Settings, pems: Any, make_service: Callable[..., Any]) -> Callable[..., str]:
    """Return a function that starts a warm service with a certificate and returns its address."""

    def start(**changes: Any) -> str:
        service = make_service(settings.model_copy(update={**pems.server, **changes}))
        service.warm_up()
        return str(service.address)

    return start


async def listen(settings: Settings, *, tokens: bool = False) -> str:
    server = grpc.aio.server()
    if tokens:
        settings = settings.model_copy(update={"token": SecretStr(TOKEN)})
    try:
        return bind(server, settings, ServiceCredentials(settings))
    finally:
        await server.stop(None)


def test_a_client_that_trusts_the_authority_connects_with_tls(
    start_tls_service: Callable[..., str], pems: Any, photo: bytes
) -> None:
    address = start_tls_service()
    for target in (address, address.replace("127.0.0.1", "localhost")):
        with Client(target, access=Access(tls_ca=pems.ca)) as client:
            assert client.classify(photo).model == "tiny"


def test_a_client_without_tls_cannot_connect(start_tls_service: Callable[..., str]) -> None:
    with Client(start_tls_service()) as client, pytest.raises(NotReady):
        client.models()


def test_a_certificate_of_another_authority_is_not_trusted(
    start_tls_service: Callable[..., str], untrusted_pems: Any
) -> None:
    access = Access(tls_ca=untrusted_pems.ca)
    with Client(start_tls_service(), access=access) as client, pytest.raises(NotReady, match="VERIFY_FAILED"):
        client.models()


def test_a_certificate_unknown_to_the_system_is_not_trusted(start_tls_service: Callable[..., str]) -> None:
    with (
        Client(start_tls_service(), access=Access(tls=True)) as client,
        pytest.raises(NotReady, match="VERIFY_FAILED"),
    ):
        client.models()


def test_a_certificate_for_another_name_is_trusted_only_if_that_name_is_expected(
    start_tls_service: Callable[..., str], pems: Any
) -> None:
    target = f"ipv4:{start_tls_service()}"

    def models(name: str) -> Any:
        with Client(target, access=Access(tls_ca=pems.ca, tls_server_name=name)) as client:
            return client.models()

    with pytest.raises(NotReady, match="Hostname Verification Check failed"):
        models("elsewhere.test")
    assert models("localhost")


def test_mutual_tls_requires_a_client_certificate_of_the_authority(
    start_tls_service: Callable[..., str], pems: Any, untrusted_pems: Any
) -> None:
    address = start_tls_service(tls_client_ca=pems.ca)

    def access(files: Any) -> Access:
        return Access(
            tls_ca=pems.ca,
            tls_client_certificate=files.client_certificate,
            tls_client_key=files.client_key,
        )

    with Client(address, access=access(pems)) as client:
        assert client.models()
        assert client.health() == "SERVING"
    for untrusted in (Access(tls_ca=pems.ca), access(untrusted_pems)):
        with Client(address, access=untrusted) as client, pytest.raises(NotReady):
            client.models()
        with Client(address, access=untrusted) as client, pytest.raises(NotReady):
            client.health()


def test_mutual_tls_and_a_token_can_be_combined(
    start_tls_service: Callable[..., str], pems: Any, photo: bytes
) -> None:
    address = start_tls_service(tls_client_ca=pems.ca, token=SecretStr(TOKEN))
    access = Access(
        tls_ca=pems.ca,
        tls_client_certificate=pems.client_certificate,
        tls_client_key=pems.client_key,
        token=SecretStr(TOKEN),
    )
    with Client(address, access=access) as client:
        assert client.classify(photo).model == "tiny"


async def test_a_public_address_requires_tls_and_authentication(settings: Settings, pems: Any) -> None:
    public = settings.model_copy(update={"listen": "0.0.0.0:0"})
    tls = public.model_copy(update=pems.server)

    with pytest.raises(InputError, match=r"without TLS \(.*\) and client authentication") as caught:
        await listen(public)
    with pytest.raises(InputError, match=r"0.0.0.0:0 without TLS \(tls_certificate and tls_key\); set"):
        await listen(public, tokens=True)
    with pytest.raises(InputError, match="without client authentication"):
        await listen(tls)

    assert caught.value.field == "listen"
    assert (await listen(tls, tokens=True)).startswith("0.0.0.0:")
    assert await listen(tls.model_copy(update={"tls_client_ca": pems.ca}))


async def test_allow_insecure_permits_a_public_address_without_tls(
    settings: Settings,
) -> None:
    insecure = settings.model_copy(update={"listen": "0.0.0.0:0", "allow_insecure": True})

    assert (await listen(insecure)).startswith("0.0.0.0:")


async def test_mutual_tls_without_a_server_certificate_is_an_error(settings: Settings, pems: Any) -> None:
    with pytest.raises(InputError, match="tls_client_ca is set without tls_certificate and tls_key"):
        await listen(settings.model_copy(update={"tls_client_ca": pems.ca}))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:50051", "it is not an address of this machine"),
        ("nowhere.invalid:50051", "its host name cannot be resolved"),
    ],
)
async def test_the_error_for_an_address_that_cannot_be_bound_has_the_reason(
    settings: Settings, address: str, reason: str
) -> None:
    changed = settings.model_copy(update={"listen": address, "allow_insecure": True})
    with pytest.raises(
        InputError, match=f"^cannot listen on {address}: {reason}; choose another address$"
    ) as caught:
        await listen(changed)
    assert caught.value.field == "listen"
