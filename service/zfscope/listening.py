"""Rules for addresses to listen on, shared by the service and the page."""

import errno
import socket
from contextlib import ExitStack

from zfscope.address import is_loopback, parse_address
from zfscope.errors import InputError

_REASONS = {
    errno.EADDRINUSE: "it is in use",
    errno.EADDRNOTAVAIL: "it is not an address of this machine",
    errno.EACCES: "ports below 1024 need privileges",
}


def check_exposure(
    listen: str, *, tls: bool, authenticated: bool, allow_insecure: bool, authentication: str
) -> None:
    """Raise InputError for an address that other machines reach without TLS or without authentication.

    authentication: the settings that provide it, for the message.
    """
    if allow_insecure or is_loopback(listen.rpartition(":")[0]):
        return
    missing = [] if tls else ["TLS (tls_certificate and tls_key)"]
    if not authenticated:
        missing.append(f"client authentication ({authentication})")
    if missing:
        raise InputError(
            f"refusing to listen on {listen} without {' and '.join(missing)}; set allow_insecure "
            "only if the network itself restricts access to the port",
            field="listen",
        )


def bind_socket(listen: str) -> socket.socket:
    """Bind a TCP socket to HOST:PORT. Raises InputError for an address that cannot be bound."""
    address = parse_address(listen)
    with ExitStack() as stack:
        try:
            family, kind, protocol, _, socket_address = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(socket_address)
        except OSError as error:
            raise listen_error(listen, bind_failure(error)) from error
        stack.pop_all()  # only a failure closes it
        return bound


def bind_failure(error: OSError) -> str:
    """Return why an address cannot be bound."""
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def listen_error(listen: str, reason: str, *, field: str = "listen") -> InputError:
    """Return the error for an address that cannot be bound. field: setting with the address."""
    return InputError(f"cannot listen on {listen}: {reason}; choose another address", field=field)
