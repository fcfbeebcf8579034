"""`zfscope health`: check whether a service accepts requests."""

from typing import Annotated

import typer

from zfscope.cli import options as opt
from zfscope.cli.command import remote
from zfscope.cli.connect import connect_to
from zfscope.cli.output import print_json
from zfscope.cli.streams import echo

NOT_SERVING_EXIT = 1


@remote
def health(
    server: Annotated[
        str,
        typer.Option(
            "--server", metavar="HOST:PORT", help="Address of the service, or unix:PATH.", show_default=True
        ),
    ] = "127.0.0.1:50051",
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            max=86_400,
            help="Time to wait for a response, in seconds.",
        ),
    ] = 5,
    as_json: opt.AsJson = False,
) -> None:
    """Check whether a service accepts requests.

    The exit code is 0 for SERVING, 1 for NOT_SERVING and 2 if it does not respond.

    \b
    Examples:
      zfscope health --server localhost:50051
      zfscope health --server unix:/run/zfscope/zfscope.sock
    """
    with connect_to(server, timeout_s=timeout_s) as client:
        status = client.health()
    if as_json:
        print_json({"server": server, "status": status})
    else:
        echo(status)
    if status != "SERVING":
        raise typer.Exit(NOT_SERVING_EXIT)
