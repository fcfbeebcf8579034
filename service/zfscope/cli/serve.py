"""`zfscope serve`: run the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zfscope.allocator import SERVICE_BYTES, keep_freed_memory, release_freed_memory_at_rest
from zfscope.cli import options as opt
from zfscope.cli.command import option, parameter, with_parameters
from zfscope.cli.output import print_json, print_table
from zfscope.cli.streams import OutputLost, echo, reserve_stdout
from zfscope.errors import InputError, ZfscopeError
from zfscope.location import find_store

if TYPE_CHECKING:  # importing it takes seconds
    from collections.abc import Callable

    from zfscope.server.settings import Settings

_CERTIFICATE = "Server certificate, PEM; requires --tls-key."
_KEY = "Private key of the server certificate, PEM."
_CLIENT_CA = "CA certificate for client certificates, PEM; clients must present one."
_TOKENS = "File of accepted bearer tokens, one per line; clients must send one."
_INSECURE = "Allow listening beyond loopback addresses without TLS or client authentication."
_DEFAULT_MODEL = "Model for requests that name none.  [default: the store's default model]"
_CACHE = "Cache folder for exported graphs.  [default: in the user's cache]"
_LISTEN = "Address to listen on, or unix:PATH; port 0 selects a free port.  [default: 127.0.0.1:50051]"
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


_CHECK = "Check settings, store, models and analyzers, and exit: 0 if all work, 1 otherwise."

FAILED_EXIT = 1


def serve(store: Path | None, check: bool, as_json: bool, **settings: Any) -> None:
    """Serve models over gRPC until Ctrl-C.

    Settings can also be set in the environment: ZFSCOPE_LISTEN, ZFSCOPE_WATCH and so on.

    \b
    Examples:
      zfscope serve
      zfscope serve --listen 0.0.0.0:50051 --tls-certificate tls.crt --tls-key tls.key --token-file tokens
      zfscope serve --check
    """
    import asyncio

    if as_json and not check:
        raise InputError("--json requires --check; the service itself logs JSON", field="json")
    keep_freed_memory(SERVICE_BYTES)
    release_freed_memory_at_rest()
    from zfscope.server.app import serve as run
    from zfscope.server.settings import Settings
    from zfscope.wire.settings import read_settings

    def read() -> Settings:
        passed = {
            name: opt.option_value(value) for name, value in settings.items() if value not in (None, "")
        }
        return read_settings(Settings, store=find_store(store), **passed)

    if check:
        _check(read, as_json=as_json)
    else:
        asyncio.run(run(read(), announce=_announce))


with_parameters(
    serve,
    *_SETTINGS,
    option("check", bool, _CHECK, False, flags=("--check",)),
    parameter("as_json", opt.AsJson, False),
)


def _check(read: "Callable[[], Settings]", *, as_json: bool) -> None:
    """Check the service that would be started, and print the outcome. read: returns its settings."""
    import asyncio

    from zfscope.server.self_check import CheckState, check_service, failed_settings
    from zfscope.server.telemetry.log import configure_log

    reserve_stdout()  # analyzers may print when they are imported
    configure_log()
    try:
        checks = asyncio.run(check_service(read()))
    except ZfscopeError as error:
        checks = [failed_settings(error)]
    works = all(each.state is not CheckState.failed for each in checks)
    if as_json:
        rows = [{"check": each.name, "result": each.state, "details": each.details} for each in checks]
        print_json({"works": works, "checks": rows})
    else:
        columns = {"check": "left", "result": "left", "details": "left"}
        title = "the service can start" if works else "the service cannot start, or not with every model"
        print_table(title, columns, [(each.name, each.state, each.details) for each in checks])
    if not works:
        raise typer.Exit(FAILED_EXIT)


def _announce(line: str) -> None:
    """Print a line and flush: the parent process may read it through a pipe. Raises OSError."""
    try:
        echo(line)
    except OutputLost as lost:
        raise lost.error from None
