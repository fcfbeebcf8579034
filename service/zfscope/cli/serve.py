"""`zfscope serve`: run the service."""

from pathlib import Path
from typing import Any

from zfscope.cli import options as opt
from zfscope.cli.command import option, parameter, with_parameters
from zfscope.cli.memory import return_freed_memory
from zfscope.cli.streams import OutputLost, echo
from zfscope.location import find_store

_CERTIFICATE = "Server certificate, PEM; requires --tls-key."
_KEY = "Private key of the server certificate, PEM."
_CLIENT_CA = "CA certificate for client certificates, PEM; clients must present one."
_TOKENS = "File of accepted bearer tokens, one per line; clients must send one."
_INSECURE = "Allow listening beyond loopback addresses without TLS or client authentication."
_DEFAULT_MODEL = "Model for requests that name none.  [default: the store's default model]"
_CACHE = "Cache folder for exported graphs.  [default: in the user's cache]"
_LISTEN = "Address to listen on; port 0 selects a free port.  [default: 127.0.0.1:50051]"
_THREADS = "Threads per forward pass.  [default: the number of CPUs available]"

# Settings of the service; unset ones are read from the environment.
_SETTINGS = (
    option("listen", str | None, _LISTEN, metavar="HOST:PORT"),
    option("default_model", str | None, _DEFAULT_MODEL, flags=("--model",), metavar="NAME"),
    option("runtime", opt.RuntimeName | None, "Runtime of the forward pass.  [default: onnx]"),
    parameter("torchserve", opt.TorchServeAddress, ""),
    option("device", opt.DeviceName | None, "Device of the forward pass.  [default: cpu]"),
    option("precision", opt.PrecisionName | None, "Precision of the forward pass.  [default: float32]"),
    option("threads", int | None, _THREADS, min=1, metavar="N"),
    option("cache", Path | None, _CACHE, metavar="DIR"),
    parameter("store", opt.Store, None),
    option(
        "watch",
        bool | None,
        "Load new models and versions as they are added to the store.",
        flags=("--watch",),
    ),
    option("tls_certificate", Path | None, _CERTIFICATE, metavar="FILE"),
    option("tls_key", Path | None, _KEY, metavar="FILE"),
    option("tls_client_ca", Path | None, _CLIENT_CA, metavar="FILE"),
    option("token_file", Path | None, _TOKENS, metavar="FILE"),
    option("allow_insecure", bool | None, _INSECURE, flags=("--allow-insecure",)),
)


def serve(store: Path | None, **settings: Any) -> None:
    """Serve models over gRPC until Ctrl-C.

    Settings can also be set in the environment: ZFSCOPE_LISTEN, ZFSCOPE_WATCH and so on.

    \b
    Examples:
      zfscope serve
      zfscope serve --listen 0.0.0.0:50051 --tls-certificate tls.crt --tls-key tls.key --token-file tokens
    """
    import asyncio

    return_freed_memory()
    from zfscope.server.app import serve as run
    from zfscope.server.settings import Settings
    from zfscope.wire.settings import read_settings

    passed = {name: opt.option_value(value) for name, value in settings.items() if value not in (None, "")}
    asyncio.run(run(read_settings(Settings, store=find_store(store), **passed), announce=_announce))


with_parameters(serve, *_SETTINGS)


def _announce(line: str) -> None:
    """Print a line and flush: the parent process may read it through a pipe. Raises OSError."""
    try:
        echo(line)
    except OutputLost as lost:
        raise lost.error from None
