"""How the client connects: limits, load balancing, retries, TLS."""

import json

import grpc

from zfscope.client.connection import Connection
from zfscope.client.retry import shipped_service_config
from zfscope.client.target import Target

_MIB = 1 << 20
_ANY_SIZE = (1 << 31) - 1
"""Bytes of a request that gRPC keeps to send it again; by default 256 KiB, less than most photos."""
CONNECT_S = 5.0
"""For one attempt to connect."""
KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 20.0, 20.0
"""Silence during a call after which a connection is pinged, and the time that it has to answer."""


def open_channel(connection: Connection) -> grpc.Channel:
    """Open a channel for threads."""
    options = channel_options(connection)
    if connection.credentials:
        return grpc.secure_channel(connection.target.text, connection.credentials, options)
    return grpc.insecure_channel(connection.target.text, options)


def open_async_channel(connection: Connection) -> grpc.aio.Channel:
    """Open a channel for an event loop."""
    options = channel_options(connection)
    if connection.credentials:
        return grpc.aio.secure_channel(connection.target.text, connection.credentials, options)
    return grpc.aio.insecure_channel(connection.target.text, options)


def channel_options(connection: Connection) -> list[tuple[str, str | int]]:
    """Return the options of a channel, which takes answers of the service's limit; gRPC's own is 4 MiB."""
    target, server_name = connection.target, connection.server_name
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", 128 * _MIB),
        ("grpc.service_config", service_config(target)),
        ("grpc.per_rpc_retry_buffer_size", _ANY_SIZE),
        ("grpc.enable_http_proxy", int(target.proxy is not None)),
        # A service that starts is found within a fraction of a second, not after whole ones.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Despite its name, this is the time limit of one attempt to connect, TLS included.
        ("grpc.min_reconnect_backoff_ms", round(CONNECT_S * 1000)),
        # A machine that is gone without a word is noticed within 40 s of a call that waits for it.
        ("grpc.keepalive_time_ms", round(KEEPALIVE_S * 1000)),
        ("grpc.keepalive_timeout_ms", round(KEEPALIVE_TIMEOUT_S * 1000)),
        # The timeout that counts: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms. Every
        # ping has this one, by default 60 s.
        ("grpc.http2.ping_timeout_ms", round(KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),  # no limit: by default pings end after two without data
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


def service_config(target: Target) -> str:
    """Return the service config that zfscope ships, for any language, in JSON.

    Several replicas are called in turn, and those that say NOT_SERVING left out. A call that no replica began
    is sent again, except streams: gRPC's own retry of a stream can hang. For a target of one address, health
    is not asked first: what the service says itself is the better message.
    """
    if target.several:
        return json.dumps(shipped_service_config())
    return json.dumps(
        {name: value for name, value in shipped_service_config().items() if name != "healthCheckConfig"}
    )
