"""Clients for commands: local or connected to a running service."""

from pathlib import Path
from typing import TYPE_CHECKING

from zfscope.choices import runtime_for
from zfscope.cli import options as opt
from zfscope.cli.command import connection_options
from zfscope.cli.streams import reserve_stdout
from zfscope.errors import InputError
from zfscope.location import find_store

if TYPE_CHECKING:  # importing them takes half a second or more, too long for `zfscope --help`
    from zfscope.client import Client, ClientMethods


def connect(
    server: str,
    store: Path | None,
    *,
    runtime: opt.RuntimeName | None = None,
    precision: opt.PrecisionName | None = None,
    torchserve: str = "",
    indexes: Path | None = None,
) -> "ClientMethods":
    """Return a client of the service at `server`, or a local client if that is empty.

    runtime: None for the one that computes in the precision. precision: None for float32. torchserve,
    indexes: see `LocalClient`. Raises InputError if `indexes` is not a folder, and if this or a precision is
    combined with `server`.
    """
    if server:
        _check_remote(precision, indexes)
        return connect_to(server)
    if indexes is not None and indexes.exists() and not indexes.is_dir():
        raise InputError(f"--indexes: '{indexes}' is not a folder", field="indexes")
    # Imported before the store is searched: without the engine, a missing store is not the actual problem.
    from zfscope.local import LocalClient

    reserve_stdout()  # analyzers run in this process and may print
    return LocalClient(
        find_store(store),
        runtime=runtime or runtime_for(precision),
        precision=precision or opt.PrecisionName.float32,
        torchserve=torchserve,
        indexes=indexes,
    )


def _check_remote(precision: opt.PrecisionName | None, indexes: Path | None) -> None:
    """Raise InputError for options that a service has settings of its own for."""
    if indexes is not None:
        message = "--indexes cannot be combined with --server; the service reads its own indexes"
        raise InputError(message, field="indexes")
    if precision is not None:
        message = (
            "--precision cannot be combined with --server; the service computes in its own: "
            "`zfscope serve --precision`"
        )
        raise InputError(message, field="precision")


def connect_to(server: str, *, timeout_s: float = 60) -> "Client":
    """Return a client of the service at `server`, using the command's connection options."""
    from zfscope.client import Access, Client
    from zfscope.wire.settings import read_settings

    return Client(server, timeout_s=timeout_s, access=read_settings(Access, **connection_options()))
