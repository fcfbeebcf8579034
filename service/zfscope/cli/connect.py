"""Client of a command: of this process, or of a running service."""

from pathlib import Path
from typing import TYPE_CHECKING

from zfscope.cli import options as opt
from zfscope.cli.command import given
from zfscope.cli.streams import keep_stdout
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:  # both bring half a second or more of imports, which `zfscope --help` does without
    from zfscope.client import Client, ClientMethods


def connect(
    server: str,
    store: Path | None,
    *,
    runtime: opt.RuntimeName = opt.RuntimeName.onnx,
    torchserve: str = "",
    indexes: Path | None = None,
) -> "ClientMethods":
    """Return a client of the service at `server`, or of this process if that is empty.

    runtime, torchserve, indexes: see `LocalClient`. Raises InputError for a service's indexes, and for
    indexes that are not a folder.
    """
    if server:
        if indexes is not None:
            raise InputError("--indexes is of this process; a service reads its own", field="indexes")
        return connect_to(server)
    if indexes is not None and indexes.exists() and not indexes.is_dir():
        raise InputError(f"--indexes: '{indexes}' is not a folder", field="indexes")
    from zfscope.local import LocalClient  # first: where the engine is missing there may be no store either

    keep_stdout()  # from analyzers, which run in this process
    return LocalClient(find_store(store), runtime=runtime, torchserve=torchserve, indexes=indexes)


def connect_to(server: str, *, timeout_s: float = 60) -> "Client":
    """Return a client of the service at `server`, with the options of the connection that were given."""
    from zfscope.client import Access, Client
    from zfscope.wire.settings import read_settings

    return Client(server, timeout_s=timeout_s, access=read_settings(Access, **given()))
