"""gRPC channels of the clients: limits, load balancing, retries, TLS."""

import json

import grpc

from zfscope.client.connection import Connection
from zfscope.client.retry import shipped_service_config
from zfscope.client.target import Target

_MIB = 1 << 20
# Maximum bytes of a request that gRPC buffers for retries; its default of 256 KiB is less than most photos.
_ANY_SIZE = (1 << 31) - 1
# Time limit of one connection attempt in seconds.
CONNECT_S = 5.0
# Seconds without traffic during a call before a keepalive ping, and seconds to wait for its reply.
KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 20.0, 20.0


def open_channel(connection: Connection) -> grpc.Channel:
    """Open a synchronous channel."""
    options = channel_options(connection)
    if connection.credentials:
        return grpc.secure_channel(connection.target.text, connection.credentials, options)
    return grpc.insecure_channel(connection.target.text, options)


def open_async_channel(connection: Connection) -> grpc.aio.Channel:
    """Open an asyncio channel."""
    options = channel_options(connection)
    if connection.credentials:
        return grpc.aio.secure_channel(connection.target.text, connection.credentials, options)
    return grpc.aio.insecure_channel(connection.target.text, options)


def channel_options(connection: Connection) -> list[tuple[str, str | int]]:
    """Return the channel options; responses may be up to the service's limit, not gRPC's default of 4 MiB."""
    target, server_name = connection.target, connection.server_name
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", 128 * _MIB),
        ("grpc.service_config", service_config(target)),
        ("grpc.per_rpc_retry_buffer_size", _ANY_SIZE),
        ("grpc.enable_http_proxy", int(target.proxy is not None)),
        # Reconnect to a restarting service within a fraction of a second, not after seconds.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Despite its name, this is the time limit of one attempt to connect, TLS included.
        ("grpc.min_reconnect_backoff_ms", round(CONNECT_S * 1000)),
        # Detect a machine that vanished without closing the connection within 40 s of a waiting call.
        ("grpc.keepalive_time_ms", round(KEEPALIVE_S * 1000)),
        ("grpc.keepalive_timeout_ms", round(KEEPALIVE_TIMEOUT_S * 1000)),
        # The timeout that takes effect: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms,
        # but applies this one, 60 s by default, to every ping.
        ("grpc.http2.ping_timeout_ms", round(KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),  # no limit: by default pings end after two without data
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


def service_config(target: Target) -> str:
    """Return the shipped service config for a target as JSON.

    Replicas are called round-robin, except those that report NOT_SERVING. Calls that no replica started are
    retried, except streams, for which gRPC's retries can hang. For a single address the health check is
    omitted, because the service's own error message is more specific.
    """
    if target.several:
        return json.dumps(shipped_service_config())
    return json.dumps(
        {name: value for name, value in shipped_service_config().items() if name != "healthCheckConfig"}
    )
