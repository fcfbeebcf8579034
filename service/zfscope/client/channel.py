"""How the client connects: limits, load balancing, retries, TLS."""

import json

import grpc

_MIB = 1 << 20
_SERVICES = ("ModelService", "ClassificationService", "AnalysisService")
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": f"zfscope.v1.{service}"} for service in _SERVICES],
            # Every call is pure, so one that no service took may be sent again.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, *, server_name: str = ""
) -> grpc.Channel:
    """Open a channel that takes answers of the service's own limit; gRPC's own would be 4 MiB.

    credentials: for TLS. server_name: of the service's certificate, where it is not that of the target.
    """
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", 128 * _MIB),
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        # A service that starts is found within a fraction of a second, not after whole ones.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    if credentials:
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)
