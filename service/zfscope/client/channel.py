"""How the client connects: limits, load balancing, retries, TLS."""

import json
import re
from importlib.resources import files

import grpc

_MIB = 1 << 20


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, *, server_name: str = ""
) -> grpc.Channel:
    """Open a channel that takes answers of the service's own limit; gRPC's own would be 4 MiB.

    credentials: for TLS. server_name: of the service's certificate, where it is not that of the target.
    """
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", 128 * _MIB),
        ("grpc.service_config", service_config(target)),
        # A service that starts is found within a fraction of a second, not after whole ones.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A machine that is gone without a word is noticed within 40 s of a call that waits for it.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    if credentials:
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)


def service_config(target: str) -> str:
    """Give the service config that zfscope ships, for any language, in JSON.

    Several replicas are called in turn, and those that say NOT_SERVING left out; a call that none took is
    sent again, since every one is pure. Where a target is one address, health is not asked first: what the
    service says itself is the better message.
    """
    shipped = files("zfscope.client").joinpath("service_config.json").read_text()
    if re.match("dns:|xds:", target) or "," in target:
        return shipped
    config = json.loads(shipped)
    del config["healthCheckConfig"]
    return json.dumps(config)
