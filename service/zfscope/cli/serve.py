"""`zfscope serve`: run the service."""

from pathlib import Path
from typing import Annotated

import typer

from zfscope.cli import options as opt
from zfscope.cli.memory import give_freed_memory_back
from zfscope.cli.streams import OutputLost, echo
from zfscope.location import find_store

PemFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The service proves itself with both, PEM.")
]


def serve(
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Port 0 takes a free one.  [default: 127.0.0.1:50051]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="What requests get that name no model.  [default: the store's own]"),
    ] = None,
    runtime: Annotated[
        opt.RuntimeName | None, typer.Option(help="Who runs the forward pass.  [default: onnx]")
    ] = None,
    torchserve: opt.TorchServeAddress = "",
    device: Annotated[
        opt.DeviceName | None, typer.Option(help="What the forward pass runs on.  [default: cpu]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of one forward pass.  [default: the CPUs of this process]")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For exported graphs.  [default: this user's cache]")
    ] = None,
    store: opt.Store = None,
    watch: Annotated[
        bool | None, typer.Option("--watch", help="Take up models and versions that appear in the store.")
    ] = None,
    tls_certificate: PemFile = None,
    tls_key: PemFile = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask callers for certificates that it signed.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask callers for a token; one a line, any will do.")
    ] = None,
    allow_insecure: Annotated[
        bool | None,
        typer.Option(
            "--allow-insecure", help="Listen beyond this machine without TLS, or without knowing who calls."
        ),
    ] = None,
) -> None:
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

    wishes = {
        "listen": listen,
        "default_model": model,
        "runtime": runtime and runtime.value,
        "torchserve": torchserve or None,
        "device": device and device.value,
        "threads": threads,
        "cache": cache,
        "store": find_store(store),
        "watch": watch,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "token_file": token_file,
        "allow_insecure": allow_insecure,
    }
    settings = read_settings(Settings, **{name: wish for name, wish in wishes.items() if wish is not None})
    asyncio.run(run(settings, announce=_announce))


def _announce(line: str) -> None:
    """Print a line at once: whoever started the service may read it through a pipe. Raises OSError."""
    try:
        echo(line)
    except OutputLost as lost:
        raise lost.error from None
