"""Where a TorchServe is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TorchServe:
    """address: HOST:PORT of its gRPC inference API. timeout_s: how long it may take for an answer."""

    address: str = "127.0.0.1:7070"
    timeout_s: float = 10
