"""Connections that use the environment's proxy."""

import pytest

from zfscope.address import parse_address
from zfscope.proxies import Proxy, proxy_of

PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
EXCEPTIONS = ("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a proxy for all hosts, without exceptions."""
    for name in (*PROXIES, *EXCEPTIONS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")


def proxy_for(*texts: str) -> Proxy | None:
    return proxy_of([parse_address(text) for text in texts])


@pytest.mark.parametrize("address", ["gpu:50051", "10.0.0.1:50051", "[fe80::1]:50051"])
def test_other_machines_are_reached_through_the_proxy(address: str) -> None:
    assert proxy_for(address) == Proxy("http_proxy", "http://proxy.test:3128")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "LOCALHOST:1", "[::1]:1", "0.0.0.0:1"])
def test_this_machine_is_reached_directly(address: str) -> None:
    assert proxy_for(address) is None


def test_several_addresses_bypass_the_proxy_only_if_all_do() -> None:
    assert proxy_for("127.0.0.1:1", "127.0.0.2:1") is None
    assert proxy_for("127.0.0.1:1", "10.0.0.1:1")
    assert proxy_for()  # unknown addresses, as of xds:///


@pytest.mark.parametrize("variable", EXCEPTIONS)
@pytest.mark.parametrize(
    "listed",
    [
        "gpu.lab.test",
        "GPU.lab.test",
        "other, .lab.test",
        "*.lab.test",
        "lab.test",
        "*",
        "gpu.lab.test:50051",
        "x,,gpu.lab.test.",
    ],
)
def test_exceptions_apply_in_upper_and_lower_case(
    monkeypatch: pytest.MonkeyPatch, variable: str, listed: str
) -> None:
    monkeypatch.setenv(variable, listed)
    assert proxy_for("gpu.lab.test:50051") is None


@pytest.mark.parametrize("listed", ["10.0.0.0/8", "10.1.2.3", "10.1.2.3:50051"])
def test_exceptions_can_be_ip_addresses_and_networks(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for("10.1.2.3:50051") is None
    assert proxy_for("11.1.2.3:50051")


@pytest.mark.parametrize("listed", ["fd00::/8", "[fd00::1]", "fd00::1", "[fd00::1]:50051"])
def test_exceptions_can_be_ipv6_addresses_and_networks(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for("[fd00::1]:50051") is None
    assert proxy_for("[fe80::1]:50051")


@pytest.mark.parametrize(
    "listed", ["u.lab.test", "gpu.lab", "gpu.lab.test:1", "lab.test.org", "", "10.0.0.0/99"]
)
def test_hosts_that_do_not_match_use_the_proxy(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for("gpu.lab.test:50051")


def test_no_grpc_proxy_takes_precedence_over_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_grpc_proxy", "other")
    monkeypatch.setenv("NO_PROXY", "gpu")
    assert proxy_for("gpu:50051")


def test_the_message_names_the_variable_without_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:secret@other.test:8080")
    assert str(proxy_for("gpu:1")) == (
        "the connection uses the proxy set by the environment variable https_proxy (http://other.test:8080); "
        "to connect directly, unset it or add the service's host to no_proxy"
    )


def test_without_a_proxy_variable_the_connection_is_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy")
    assert proxy_for("gpu:1") is None
