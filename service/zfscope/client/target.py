"""Addresses of a service: HOST:PORT, unix:PATH, or a gRPC target with a scheme such as dns:."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from zfscope.address import Address, is_loopback, parse_address, parse_socket
from zfscope.errors import InputError
from zfscope.proxies import Proxy, proxy_of

_LOCAL = re.compile(r"(unix-abstract|vsock):")
_LISTS = re.compile(r"(ipv4:|ipv6:)")
_NAMES = re.compile(r"(dns:(?://[^/]*/)?/?)")
_FOREIGN = re.compile(r"(xds|google-c2p):")


@dataclass(frozen=True)
class Target:
    """A gRPC channel target. addresses: the addresses in it, empty if gRPC resolves them otherwise."""

    text: str
    addresses: tuple[Address, ...] = ()
    local: bool = False

    @property
    def tls(self) -> bool:
        """Whether it was written as a URL that requires TLS."""
        return any(address.tls for address in self.addresses)

    @property
    def server_name(self) -> str:
        """Host name expected in the certificate, if it is not the host of the address; empty otherwise."""
        return "localhost" if self.text.startswith("unix:") else ""  # gRPC would expect the path

    @property
    def several(self) -> bool:
        """Whether it may resolve to several replicas, so that gRPC has to check the health of each."""
        return len(self.addresses) > 1 or bool(_NAMES.match(self.text) or _FOREIGN.match(self.text))

    @property
    def private(self) -> bool:
        """Whether traffic to it stays on this machine."""
        return self.local or (
            bool(self.addresses) and all(is_loopback(address.host) for address in self.addresses)
        )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy used to reach it; None for a direct connection."""
        return None if self.local else proxy_of(self.addresses)


def parse_target(text: str) -> Target:
    """Parse the address of a service. Raises InputError with the correct form for an invalid one.

    gRPC's schemes are passed on, but each address in them needs a port: gRPC would silently use 443.
    """
    stripped = text.strip()
    if _FOREIGN.match(stripped):
        return Target(stripped)
    try:
        if path := parse_socket(stripped):
            return Target(f"unix:{path}", local=True)
        if _LOCAL.match(stripped):
            return Target(stripped, local=True)
        return _of_addresses(stripped)
    except ValueError as error:
        raise InputError(str(error), field="address") from error


def _of_addresses(text: str) -> Target:
    prefix = _LISTS.match(text) or _NAMES.match(text)
    if prefix:
        rest = unquote(text[prefix.end() :])  # gRPC allows brackets as %5B and %5D
        addresses = tuple(parse_address(part, min_port=1) for part in rest.split(","))
        return Target(prefix[0] + ",".join(map(str, addresses)), addresses)
    if "," in text:
        raise ValueError(
            f"'{text}' has several addresses; write them as ipv4:10.0.0.1:50051,10.0.0.2:50051, or as "
            "dns:///HOST:PORT one name that resolves to all of them"
        )
    address = parse_address(text, min_port=1)
    return Target(str(address), (address,))
