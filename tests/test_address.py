"""Parsing of addresses: unambiguous forms are accepted, others rejected with the correct form."""

import re
from pathlib import Path

import pytest

from zfscope.address import (
    Address,
    check_endpoint,
    is_loopback,
    is_this_machine,
    parse_address,
    parse_socket,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("localhost:0", "localhost", 0),
        ("my_service.zfscope-net:65535", "my_service.zfscope-net", 65535),
        (" gpu:50051 ", "gpu", 50051),
        ("http://gpu:50051", "gpu", 50051),
        ("HTTP://gpu:50051//", "gpu", 50051),
        ("grpc://gpu:50051/", "gpu", 50051),
        ("[::1]:50051", "::1", 50051),
        ("http://[::1]:50051", "::1", 50051),
        ("::1:50051", "::1", 50051),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
    ],
)
def test_unambiguous_addresses_are_accepted(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize("scheme", ["https", "grpcs", "HTTPS"])
def test_a_url_scheme_can_enable_tls(scheme: str) -> None:
    assert parse_address(f"{scheme}://gpu:50051") == Address("gpu", 50051, tls=True)


def test_an_address_is_formatted_for_grpc() -> None:
    assert [str(parse_address(text)) for text in ("::1:50051", "http://gpu:1/")] == ["[::1]:50051", "gpu:1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "'localhost' has no port; write HOST:PORT, such as localhost:50051"),
        ("localhost:", "'localhost:' has no port; write HOST:PORT, such as localhost:50051"),
        ("http://gpu", "'http://gpu' has no port; write HOST:PORT, such as gpu:50051"),
        ("[::1]", "'[::1]' has no port; write HOST:PORT, such as [::1]:50051"),
        ("50051", "'50051' has no host; write HOST:PORT, such as 127.0.0.1:50051, this machine"),
        (":50051", "':50051' has no host; write HOST:PORT, such as 127.0.0.1:50051, this machine"),
        ("", "'' has no host; write HOST:PORT, such as 127.0.0.1:50051, this machine"),
        ("::1", "'::1' is an IPv6 address; write it in brackets, with a port: [::1]:50051"),
        (
            "::1:5005",
            "'::1:5005' is an IPv6 address; write it in brackets, with a port: "
            "[::1:5005]:50051 or [::1]:5005",
        ),
        ("[::1:50051", "'[::1:50051' is not an IPv6 address in brackets; write it as [::1]:50051"),
        ("[::1]50051", "'[::1]50051' is not an IPv6 address in brackets; write it as [::1]:50051"),
        ("[gpu]:50051", "'[gpu]:50051' is not an IPv6 address in brackets; write it as [::1]:50051"),
        (
            "gpu:70000",
            "'gpu:70000' has the port '70000'; a port is a number from 0 to 65535, such as gpu:50051",
        ),
        ("gpu:-1", "'gpu:-1' has the port '-1'; a port is a number from 0 to 65535, such as gpu:50051"),
        ("gpu:http", "'gpu:http' has the port 'http'; a port is a number from 0 to 65535, such as gpu:50051"),
        (
            "gpu:\uff15",
            "'gpu:\uff15' has the port '\uff15'; a port is a number from 0 to 65535, such as gpu:50051",
        ),
        ("1.2.3.999:1", "'1.2.3.999:1' is not HOST:PORT: '1.2.3.999' is not an IPv4 address"),
        ("a:b:1", "'a:b:1' is not HOST:PORT: 'a:b' is not a host name or an IP address"),
        ("a b:1", "'a b:1' is not HOST:PORT: 'a b' is not a host name or an IP address"),
        ("*:1", "'*:1' is not HOST:PORT: '*' is not a host name or an IP address"),
        ("http://gpu:1/api", "'http://gpu:1/api' has a path; write HOST:PORT alone"),
        ("ftp://gpu:1", "'ftp://gpu:1' is not HOST:PORT: 'ftp://' is not a supported scheme; leave it out"),
        ("me:secret@gpu:1", "an address with '@' is not HOST:PORT: leave user name and password out"),
    ],
)
def test_other_addresses_are_rejected_with_the_correct_form(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_address(text)


def test_an_address_to_connect_to_requires_a_port_and_errors_suggest_one() -> None:
    message = "'gpu:0' has the port '0'; a port is a number from 1 to 65535, such as gpu:7070"
    with pytest.raises(ValueError, match=message):
        parse_address("gpu:0", example_port=7070, min_port=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "::1", "localhost", "LocalHost."])
def test_loopback_hosts_are_recognised(host: str) -> None:
    assert is_loopback(host)
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "10.0.0.1", "[fe80::1]", "localhost.example.org", "127.0.0.1.example.org", ""]
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_addresses_of_this_machine_are_recognised(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "gpu"])
def test_addresses_of_other_machines_are_recognised(host: str) -> None:
    assert not is_this_machine(host)


@pytest.mark.parametrize("text", ["0", "99999", ":70000"])
def test_an_unusable_port_is_not_suggested(text: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"'{text}' has no host; write HOST:PORT, such as 127.0.0.1:50051,")
    ):
        parse_address(text, min_port=1)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://localhost:4317/", "http://localhost:4317"),
        ("https://collector", "https://collector"),
        ("HTTPS://[::1]:4317", "HTTPS://[::1]:4317"),
    ],
)
def test_an_endpoint_is_a_url_without_a_trailing_slash(text: str, endpoint: str) -> None:
    assert check_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "foo",
            "'foo' is not a URL; write http://HOST:PORT or https://HOST:PORT, such as http://localhost:4317",
        ),
        ("localhost:4317", "'localhost:4317' is not a URL; write http://HOST:PORT or https://HOST:PORT"),
        ("ftp://localhost:4317", "'ftp://localhost:4317' is not a URL"),
        ("http://localhost", "'http://localhost' has no port; write HOST:PORT, such as localhost:4317"),
        ("http://localhost:4317/v1/traces", "'http://localhost:4317/v1/traces' has a path"),
        ("http://:4317", "'http://:4317' has no host"),
        ("https://", "'https://' is not a URL"),
        ("http://localhost:0", "'http://localhost:0' has the port '0'"),
        ("https://u:pass@collector", "leave user name and password out"),
    ],
)
def test_an_invalid_endpoint_is_rejected_with_the_correct_form(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        check_endpoint(text)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:/run/zfscope.sock", "/run/zfscope.sock"),
        (" unix:///run/zfscope.sock", "/run/zfscope.sock"),
        ("unix:zfscope.sock", "zfscope.sock"),
        (f"unix:/{'a' * 106}", f"/{'a' * 106}"),
    ],
)
def test_the_path_of_a_unix_socket_is_parsed(text: str, path: str) -> None:
    assert parse_socket(text) == Path(path)


@pytest.mark.parametrize("text", ["127.0.0.1:50051", "unix", "dns:///gpu:1"])
def test_another_address_is_not_a_unix_socket(text: str) -> None:
    assert parse_socket(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unix:", "'unix:' has no file name; write unix:PATH, such as unix:/run/zfscope.sock"),
        ("unix:/run/", "'unix:/run/' has no file name; write unix:PATH, such as unix:/run/zfscope.sock"),
        ("unix://run/a", "'unix://run/a' has a host; write unix:PATH, such as unix:/run/zfscope.sock"),
        ("unix:/a?b", "'unix:/a?b' contains '?', which is not allowed in the path of a socket"),
        (f"unix:/{'a' * 107}", f"'unix:/{'a' * 107}' has a path of 108 bytes; allowed: at most 107"),
    ],
)
def test_a_path_that_grpc_would_misread_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_socket(text)
