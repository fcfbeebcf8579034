"""Parser of addresses, HOST:PORT or unix:PATH, shared by every option and setting."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_UNIX = "unix:"
# The longest path of a unix socket, in bytes, on Linux.
_MAX_SOCKET_PATH = 107
_PLAIN, _WITH_TLS = ("http", "grpc"), ("https", "grpcs")


@dataclass(frozen=True)
class Address:
    """A host (IPv6 without brackets) and a port. tls: whether written as an https:// or grpcs:// URL."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{bracket_ipv6(self.host)}:{self.port}"


def parse_address(text: str, *, example_port: int = 50051, min_port: int = 0) -> Address:
    """Parse HOST:PORT or a URL (`http://HOST:PORT/`).

    example_port: port shown in error messages. min_port: 1 for an address to connect to, 0 to listen on.
    Raises ValueError with a one-sentence message that shows the correct form.
    """
    scheme, rest = _without_scheme(text.strip(), text)
    host, port = _split(rest, text, example_port, min_port)
    _check_host(host, text)
    if not _is_port(port, min_port):
        raise ValueError(
            f"'{text}' has the port '{port}'; a port is a number from {min_port} to 65535, such as "
            f"{bracket_ipv6(host)}:{example_port}"
        )
    return Address(host, int(port), tls=scheme in _WITH_TLS)


def parse_socket(text: str) -> Path | None:
    """Return the path of a unix socket, from unix:PATH or unix:///PATH; None for any other address.

    Raises ValueError for a path that gRPC would misread: empty, too long, or with reserved characters.
    """
    stripped = text.strip()
    if not stripped.startswith(_UNIX):
        return None
    path = stripped.removeprefix(_UNIX)
    if path.startswith("//"):
        path = path[2:]
        if not path.startswith("/"):
            raise ValueError(f"'{text}' has a host; write unix:PATH, such as unix:/run/zfscope.sock")
    if not path or path.endswith("/"):
        raise ValueError(f"'{text}' has no file name; write unix:PATH, such as unix:/run/zfscope.sock")
    if reserved := re.search(r"[%?#\0]", path):  # gRPC parses the address as a URI
        raise ValueError(f"'{text}' contains {reserved[0]!r}, which is not allowed in the path of a socket")
    if (size := len(path.encode(errors="surrogateescape"))) > _MAX_SOCKET_PATH:
        raise ValueError(f"'{text}' has a path of {size} bytes; allowed: at most {_MAX_SOCKET_PATH}")
    return Path(path)


def check_endpoint(text: str) -> str:
    """Return the http:// or https:// URL of an OTLP endpoint without its trailing slash.

    The port is optional for https:// only (443). Raises ValueError for any other text.
    """
    stripped = text.strip().rstrip("/")
    scheme = stripped.partition("://")[0].lower()
    if scheme not in ("http", "https") or "://" not in stripped:
        if "@" in text:
            raise ValueError("an endpoint with '@' is not http://HOST:PORT: leave user name and password out")
        raise ValueError(
            f"'{text}' is not a URL; write http://HOST:PORT or https://HOST:PORT, such as "
            "http://localhost:4317"
        )
    portless = scheme == "https" and re.fullmatch(
        r"https://(\[[^\]/?#]*\]|[^\[\]:/?#]+)", stripped, re.IGNORECASE
    )
    parse_address(f"{stripped}:443" if portless else stripped, example_port=4317, min_port=1)
    return stripped


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is reachable from this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def is_this_machine(host: str) -> bool:
    """Return whether a connection to a host ends on this machine: loopback, or the unspecified address."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return is_loopback(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return any(ip.is_loopback or ip.is_unspecified for ip in (address, mapped) if ip)


def bracket_ipv6(host: str) -> str:
    """Return a host as written in HOST:PORT: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _without_scheme(stripped: str, text: str) -> tuple[str, str]:
    """Split off the scheme of a URL. Raises ValueError for user names, paths and unknown schemes."""
    match = _SCHEME.match(stripped)
    scheme = match[1].lower() if match else ""
    if scheme and scheme not in (*_PLAIN, *_WITH_TLS):
        raise ValueError(f"'{text}' is not HOST:PORT: '{scheme}://' is not a supported scheme; leave it out")
    rest = stripped[match.end() :] if match else stripped
    if "@" in rest:
        raise ValueError("an address with '@' is not HOST:PORT: leave user name and password out")
    rest = rest.rstrip("/")
    if re.search(r"[/?#]", rest):
        raise ValueError(f"'{text}' has a path; write HOST:PORT alone")
    return scheme, rest


def _is_port(text: str, min_port: int) -> bool:
    return len(text) < 9 and text.isascii() and text.isdecimal() and min_port <= int(text) <= 65535


def _split(rest: str, text: str, example_port: int, min_port: int) -> tuple[str, str]:
    if rest.startswith("["):
        host, closed, port = rest[1:].partition("]")
        if not closed or not _is_ipv6(host) or (port and not port.startswith(":")):
            raise ValueError(f"'{text}' is not an IPv6 address in brackets; write it as [::1]:{example_port}")
        port = port[1:]
    elif _is_ipv6(rest):
        raise ValueError(
            f"'{text}' is an IPv6 address; write it in brackets, with a port: {_guesses(rest, example_port)}"
        )
    else:
        host, _, port = rest.rpartition(":")
        if not host and not rest.startswith(":"):
            host, port = ("", rest) if rest.isdecimal() else (rest, "")
    if not host:
        likely = port if _is_port(port, min_port) else example_port
        raise ValueError(f"'{text}' has no host; write HOST:PORT, such as 127.0.0.1:{likely}, this machine")
    if not port:
        raise ValueError(
            f"'{text}' has no port; write HOST:PORT, such as {bracket_ipv6(host)}:{example_port}"
        )
    return host, port


def _guesses(address: str, example_port: int) -> str:
    """Return the likely meanings of an IPv6 address without brackets: its last part may be a port."""
    host, _, port = address.rpartition(":")
    whole = f"[{address}]:{example_port}"
    return f"{whole} or [{host}]:{port}" if port.isdecimal() and _is_ipv6(host) else whole


def _check_host(host: str, text: str) -> None:
    numbers = re.fullmatch(r"[0-9.]+", host)
    if _is_ipv6(host) or (numbers and _is_ip(host)):
        return
    if numbers or not _HOST_NAME.fullmatch(host):
        kind = "an IPv4 address" if numbers else "a host name or an IP address"
        raise ValueError(f"'{text}' is not HOST:PORT: '{host}' is not {kind}")


def _is_ipv6(host: str) -> bool:
    return ":" in host and _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
