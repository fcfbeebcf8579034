"""`zfscope serve`: run the service."""

from pathlib import Path
from typing import Any

from zfscope.cli import options as opt
from zfscope.cli.command import option, parameter, taking
from zfscope.cli.memory import give_freed_memory_back
from zfscope.cli.streams import OutputLost, echo
from zfscope.location import find_store

_PROOF = "The service proves itself with both, PEM."
_INSECURE = "Listen beyond this machine without TLS, or without knowing who calls."
_DEFAULT_MODEL = "Model of requests that name none.  [default: the store's own]"
_CACHE = "Directory of exported graphs.  [default: this user's cache]"

# Settings of the service; those that are not given are read from the environment.
_SETTINGS = (
    option("listen", str | None, "Port 0 takes a free one.  [default: 127.0.0.1:50051]", metavar="HOST:PORT"),
    option("default_model", str | None, _DEFAULT_MODEL, flags=("--model",)),
    option("runtime", opt.RuntimeName | None, "Runtime of the forward pass.  [default: onnx]"),
    parameter("torchserve", opt.TorchServeAddress, ""),
    option("device", opt.DeviceName | None, "Device of the forward pass.  [default: cpu]"),
    option("threads", int | None, "Of one forward pass.  [default: the CPUs of this process]", min=1),
    option("cache", Path | None, _CACHE, metavar="DIR"),
    parameter("store", opt.Store, None),
    option("watch", bool | None, "Load models and versions that appear in the store.", flags=("--watch",)),
    option("tls_certificate", Path | None, _PROOF, metavar="FILE"),
    option("tls_key", Path | None, _PROOF, metavar="FILE"),
    option("tls_client_ca", Path | None, "Ask callers for certificates that it signed.", metavar="FILE"),
    option("token_file", Path | None, "Ask callers for a token; one a line, any will do.", metavar="FILE"),
    option("allow_insecure", bool | None, _INSECURE, flags=("--allow-insecure",)),
)


def serve(store: Path | None, **settings: Any) -> None:
    """Serve models over gRPC until Ctrl-C. Every setting is also read from ZFSCOPE_... in the environment.

    \b
    Examples:
      zfscope serve
      zfscope serve --listen 0.0.0.0:50051 --tls-certificate tls.crt --tls-key tls.key --token-file tokens
    """
    import asyncio

    give_freed_memory_back()
    from zfscope.server.app import serve as run
    from zfscope.server.settings import Settings
    from zfscope.wire.settings import read_settings

    given = {name: opt.plain(value) for name, value in settings.items() if value not in (None, "")}
    asyncio.run(run(read_settings(Settings, store=find_store(store), **given), announce=_announce))


taking(serve, *_SETTINGS)


def _announce(line: str) -> None:
    """Print a line at once: whoever started the service may read it through a pipe. Raises OSError."""
    try:
        echo(line)
    except OutputLost as lost:
        raise lost.error from None
