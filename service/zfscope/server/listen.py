"""Listening address and options of the gRPC server; other machines require TLS and authentication."""

import socket
from contextlib import nullcontext

import grpc

from zfscope.address import parse_address, parse_socket
from zfscope.listening import bind_failure, check_exposure, listen_error
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.settings import Settings
from zfscope.server.unix_socket import bind_reason, claim_socket

# Options of every gRPC server of the service.
_COMMON_OPTIONS = [
    # No compression: photos are compressed already, and a decompression bomb is never unpacked.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.so_reuseport", 0),  # otherwise two services could share a port unnoticed
    ("grpc.server_handshake_timeout_ms", 20_000),
]


def server_options(settings: Settings, connections: int) -> list[tuple[str, int]]:
    """Return the options of the gRPC server. connections: maximum number of connections."""
    return [
        *_COMMON_OPTIONS,
        *_age_options(settings),
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ("grpc.max_send_message_length", settings.max_send_bytes),
        # Clients may ping once a second, even without calls in progress.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Calls and health watches keep a connection open, pings do not. Clients reconnect automatically.
        ("grpc.max_connection_idle_ms", round(settings.max_idle_s * 1000)),
        # Without a limit gRPC runs out of file descriptors, retries forever and logs to stderr every second.
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        # The timeout that takes effect: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms.
        ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
    ]


def health_options() -> list[tuple[str, int]]:
    """Return the options of the gRPC server for health checks alone; anyone may connect to it."""
    return [
        *_COMMON_OPTIONS,
        ("grpc.max_receive_message_length", 1024),
        ("grpc.max_connection_idle_ms", 60_000),
        ("grpc.max_allowed_incoming_connections", 32),
    ]


def _age_options(settings: Settings) -> list[tuple[str, int]]:
    """Return the options that limit the age of a connection, none without a limit."""
    if settings.max_connection_age_s is None:
        return []
    grace_s = settings.max_connection_age_grace_s or settings.max_deadline_s
    return [
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
        # Without a grace time, a health watch, which never ends, would keep the connection open forever.
        ("grpc.max_connection_age_grace_ms", round(grace_s * 1000)),
    ]


def bind(server: grpc.aio.Server, settings: Settings, credentials: ServiceCredentials) -> str:
    """Bind the port or unix socket, with TLS if a certificate is set; return the bound address.

    Raises InputError for an address of other machines without TLS or client authentication, and for one that
    cannot be bound.
    """
    path = parse_socket(settings.listen)
    if path is None:  # the permissions of a unix socket restrict access to it
        check_exposure(
            settings.listen,
            tls=credentials.tls,
            authenticated=credentials.authenticates,
            allow_insecure=settings.allow_insecure,
            authentication="token_file or tls_client_ca",
        )
    with claim_socket(path, int(settings.socket_mode, 8)) if path else nullcontext():
        return _bind(server, settings.listen, credentials.server_credentials(), field="listen")


def bind_health(server: grpc.aio.Server, settings: Settings) -> str:
    """Bind the port for health checks alone; return the bound address. Raises InputError."""
    return _bind(server, settings.health_listen, None, field="health_listen")


def _bind(
    server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None, *, field: str
) -> str:
    """Bind an address; return it with the port that was chosen. field: setting with the address."""
    try:
        if credentials:
            port = server.add_secure_port(listen, credentials)
        else:
            port = server.add_insecure_port(listen)
    except RuntimeError as error:
        path = parse_socket(listen)
        raise listen_error(listen, bind_reason(path) if path else _reason(listen), field=field) from error
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def _reason(listen: str) -> str:
    """Return why an address cannot be bound; gRPC does not report it. Tries to bind the address again."""
    address = parse_address(listen)
    try:
        for family, kind, protocol, _, socket_address in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(socket_address)
    except OSError as error:
        return bind_failure(error)
    return "it is in use, or not an address of this machine"
