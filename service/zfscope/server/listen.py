"""Listening address, gRPC server options and credentials; other machines require TLS and authentication."""

import socket

import grpc

from zfscope.address import parse_address
from zfscope.errors import InputError
from zfscope.listening import bind_failure, check_exposure, listen_error
from zfscope.server.settings import Settings
from zfscope.wire.credentials import read_authorities, read_pair


def server_options(settings: Settings, connections: int) -> list[tuple[str, int]]:
    """Return the options of the gRPC server. connections: maximum number of connections."""
    return [
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ("grpc.max_send_message_length", settings.max_send_bytes),
        # No compression: photos are compressed already, and a decompression bomb is never unpacked.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.so_reuseport", 0),  # otherwise two services could share a port unnoticed
        # Clients may ping once a second, even without calls in progress.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Calls and health watches keep a connection open, pings do not. Clients reconnect automatically.
        ("grpc.max_connection_idle_ms", round(settings.max_idle_s * 1000)),
        # Without a limit gRPC runs out of file descriptors, retries forever and logs to stderr every second.
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        # The timeout that takes effect: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms.
        ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
    ]


def bind(server: grpc.aio.Server, settings: Settings, *, tokens: bool) -> str:
    """Bind the port, with TLS if a certificate is set; return the bound address.

    tokens: whether clients must send a token. Raises InputError for unusable credential files, for an
    address of other machines without TLS or client authentication, and for an address that cannot be bound.
    """
    credentials = _credentials(settings)
    host = settings.listen.rpartition(":")[0]
    check_exposure(
        settings.listen,
        tls=settings.tls_certificate is not None,
        authenticated=tokens or settings.tls_client_ca is not None,
        allow_insecure=settings.allow_insecure,
        authentication="token_file or tls_client_ca",
    )
    try:
        if credentials:
            port = server.add_secure_port(settings.listen, credentials)
        else:
            port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise listen_error(settings.listen, _reason(settings.listen)) from error
    return f"{host}:{port}"


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


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Read the certificate and key, and the client CA for mutual TLS. Returns None without TLS."""
    pair = read_pair(settings.tls_certificate, settings.tls_key, prefix="tls")
    if settings.tls_client_ca is None:
        return pair and grpc.ssl_server_credentials([pair[::-1]])
    if pair is None:
        message = "tls_client_ca is set without tls_certificate and tls_key; set all three"
        raise InputError(message, field="tls_client_ca")
    authorities = read_authorities(settings.tls_client_ca, field="tls_client_ca")
    return grpc.ssl_server_credentials([pair[::-1]], authorities, require_client_auth=True)
