"""`zfscope serve`: run the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfscope.cli.location import find_store
from zfscope.cli.memory import give_freed_memory_back
from zfscope.cli.options import DeviceName, RuntimeName, Store
from zfscope.errors import InputError

if TYPE_CHECKING:
    from zfscope.server.settings import Settings


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
        RuntimeName | None, typer.Option(help="Who runs the forward pass.  [default: onnx]")
    ] = None,
    device: Annotated[
        DeviceName | None, typer.Option(help="What the forward pass runs on.  [default: cpu]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of one forward pass.  [default: the CPUs of this process]")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For exported graphs.  [default: this user's cache]")
    ] = None,
    store: Store = None,
) -> None:
    """Serve models over gRPC until Ctrl-C. Every setting is also read from ZFSCOPE_... in the environment.

    \b
    Examples:
      zfscope serve
      zfscope serve --listen 0.0.0.0:50051 --store /srv/models
    """
    import asyncio

    give_freed_memory_back()
    from zfscope.server.app import serve as run

    wishes = {
        "listen": listen,
        "default_model": model,
        "runtime": runtime and runtime.value,
        "device": device and device.value,
        "threads": threads,
        "cache": cache,
        "store": find_store(store),
    }
    settings = _settings({name: wish for name, wish in wishes.items() if wish is not None})
    asyncio.run(run(settings, announce=_announce))


def _settings(wishes: dict[str, Any]) -> "Settings":
    from pydantic import ValidationError

    from zfscope.server.settings import Settings

    try:
        return Settings(**wishes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{field} is {first['input']!r}: {first['msg']}", field=field) from error


def _announce(line: str) -> None:
    """Print a line at once: who started the service may be reading it through a pipe."""
    print(line, flush=True)
