"""Proxy settings that gRPC reads from the environment, and the proxy named in connection errors."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from zfscope.address import Address, is_this_machine

# Variables that gRPC reads, in order of precedence; lower case only.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
# gRPC reads the lower-case forms only, but both are in common use.
_EXCEPTIONS = ("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY")


@dataclass(frozen=True)
class Proxy:
    """A proxy. variable: environment variable that sets it. url: its value without credentials."""

    variable: str
    url: str

    def __str__(self) -> str:
        return (
            f"the connection uses the proxy set by the environment variable {self.variable} ({self.url}); to "
            "connect directly, unset it or add the service's host to no_proxy"
        )


def proxy_of(addresses: Sequence[Address]) -> Proxy | None:
    """Return the proxy for connections to a service, or None for a direct connection.

    addresses: those of the service; empty if unknown. Connections to this machine and to hosts in `no_proxy`
    or `NO_PROXY` are direct.
    """
    variable = next((name for name in _PROXIES if os.environ.get(name)), None)
    if variable is None or (addresses and all(map(_is_direct, addresses))):
        return None
    return Proxy(variable, _without_credentials(os.environ[variable]))


def _is_direct(address: Address) -> bool:
    if is_this_machine(address.host):
        return True
    listed = next((os.environ[name] for name in _EXCEPTIONS if os.environ.get(name)), "")
    return any(_covers(entry.strip().lower(), address) for entry in listed.split(","))


def _covers(entry: str, address: Address) -> bool:
    """Return whether a `no_proxy` entry (`*`, domain, IP or network, optional port) covers an address."""
    host = address.host.lower().rstrip(".")
    name, _, port = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
    if port and port != str(address.port):
        return False
    name = name.strip("[]").removeprefix("*").strip(".")
    if not name:
        return entry.startswith("*")
    return host == name or host.endswith(f".{name}") or _in_network(host, name)


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
    except ValueError:
        return "a value that is not a URL"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme else host
