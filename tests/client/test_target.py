"""Addresses of a service that the client accepts."""

import pytest

from zfscope.address import Address
from zfscope.client import Access, Client
from zfscope.client.target import parse_target
from zfscope.errors import InputError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("gpu:50051", "gpu:50051"),
        ("http://gpu:50051/", "gpu:50051"),
        ("::1:50051", "[::1]:50051"),
        ("dns:///gpu:50051", "dns:///gpu:50051"),
        ("dns:gpu:50051", "dns:gpu:50051"),
        ("dns://10.0.0.1/gpu:50051", "dns://10.0.0.1/gpu:50051"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("ipv6:%5B::1%5D:1", "ipv6:[::1]:1"),
        ("unix:/run/zfscope.sock", "unix:/run/zfscope.sock"),
        ("unix:///run/zfscope.sock", "unix:/run/zfscope.sock"),
        ("unix-abstract:zfscope", "unix-abstract:zfscope"),
        ("xds:///zfscope", "xds:///zfscope"),
    ],
)
def test_a_target_is_normalised_for_grpc(text: str, target: str) -> None:
    assert parse_target(text).text == target


def test_all_addresses_of_a_list_are_parsed() -> None:
    target = parse_target("ipv4:10.0.0.1:1,127.0.0.1:2")
    assert target.addresses == (Address("10.0.0.1", 1), Address("127.0.0.1", 2))
    assert not target.private
    assert parse_target("ipv4:127.0.0.1:1,127.0.0.1:2").private


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "'localhost' has no port; write HOST:PORT, such as localhost:50051"),
        ("dns:///gpu", "'gpu' has no port; write HOST:PORT, such as gpu:50051"),
        ("ipv4:10.0.0.1:1,10.0.0.2", "'10.0.0.2' has no port; write HOST:PORT, such as 10.0.0.2:50051"),
        ("gpu:0", "'gpu:0' has the port '0'; a port is a number from 1 to 65535, such as gpu:50051"),
        (
            "a:1,b:2",
            "'a:1,b:2' has several addresses; write them as ipv4:10.0.0.1:50051,10.0.0.2:50051, or as "
            "dns:///HOST:PORT one name that resolves to all of them",
        ),
    ],
)
def test_an_address_that_grpc_would_misread_is_rejected_before_connecting(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        Client(text)
    assert (refusal.value.message, refusal.value.field) == (message, "address")


def test_an_https_url_requires_tls_settings() -> None:
    with pytest.raises(InputError, match=r"https:// requires TLS, .* or write gpu:50051$") as refusal:
        Client("https://gpu:50051")
    assert refusal.value.field == "tls"
    Client("https://gpu:50051", access=Access(tls=True)).close()
