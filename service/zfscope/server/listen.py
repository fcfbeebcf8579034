"""Where the service listens, with which options of gRPC and credentials; other machines only with them."""

import errno
import socket

import grpc

from zfscope.address import is_loopback, parse_address
from zfscope.errors import InputError
from zfscope.server.settings import Settings
from zfscope.wire.credentials import read_authorities, read_pair

_REASONS = {
    errno.EADDRINUSE: "it is in use",
    errno.EADDRNOTAVAIL: "it is not an address of this machine",
    errno.EACCES: "ports below 1024 need privileges",
}


def server_options(settings: Settings, connections: int) -> list[tuple[str, int]]:
    """Return the options of gRPC's server. connections: the number that it accepts."""
    return [
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ("grpc.max_send_message_length", settings.max_send_bytes),
        # Photos are compressed already, and what unpacks to a thousand times its size never gets that far.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.so_reuseport", 0),  # or two services could share a port and never know
        # Clients may ping as often as once a second, idle too.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Pings do not keep a connection, calls and health watches do. Clients connect again by themselves.
        ("grpc.max_connection_idle_ms", round(settings.max_idle_s * 1000)),
        # gRPC would try to accept more for ever, and write so to stderr once a second.
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        # The timeout that counts: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms.
        ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
    ]


def bind(server: grpc.aio.Server, settings: Settings, *, tokens: bool) -> str:
    """Open the port, with TLS where there is a certificate, and give the address that was bound.

    tokens: whether callers need one. Raises InputError for files that cannot be used, for an address beyond
    this machine that anybody could read along or call, and for one that cannot be bound.
    """
    credentials = _credentials(settings)
    host = settings.listen.rpartition(":")[0]
    if not settings.allow_insecure and not is_loopback(host):
        _check(settings, tokens=tokens)
    try:
        if credentials:
            port = server.add_secure_port(settings.listen, credentials)
        else:
            port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise InputError(
            f"cannot listen on {settings.listen}: {_reason(settings.listen)}; name another", field="listen"
        ) from error
    return f"{host}:{port}"


def _reason(listen: str) -> str:
    """Return why an address cannot be bound, which gRPC does not say."""
    address = parse_address(listen)
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
    except socket.gaierror:
        return "its host is unknown"
    except OSError as error:
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    return "it is in use, or not an address of this machine"


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Read what the service proves itself with, and who signs its callers where they have to."""
    pair = read_pair(settings.tls_certificate, settings.tls_key, prefix="tls")
    if settings.tls_client_ca is None:
        return pair and grpc.ssl_server_credentials([pair[::-1]])
    if pair is None:
        raise InputError("tls_client_ca asks for tls_certificate and tls_key too", field="tls_client_ca")
    authorities = read_authorities(settings.tls_client_ca, field="tls_client_ca")
    return grpc.ssl_server_credentials([pair[::-1]], authorities, require_client_auth=True)


def _check(settings: Settings, *, tokens: bool) -> None:
    missing = []
    if settings.tls_certificate is None:
        missing.append("TLS (tls_certificate and tls_key)")
    if not tokens and settings.tls_client_ca is None:
        missing.append("a way to know its callers (token_file, or tls_client_ca)")
    if missing:
        raise InputError(
            f"the service does not listen on {settings.listen} without {' and '.join(missing)}; with "
            "allow_insecure it does, where only those reach it who may",
            field="listen",
        )
