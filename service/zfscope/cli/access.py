"""The options of a connection, which every command has that may ask a running service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

from typer import Option, Typer
from typer.main import get_command

from zfscope.cli.command import Command

FILES = {
    "tls_ca": "Who signed the service's certificate, PEM.",
    "tls_client_certificate": "This client's certificate, PEM.",
    "tls_client_key": "Its private key, PEM.",
    "token_file": "The token that the service asks for.",
}
"""Each a setting of `zfscope.client.Access`."""
TLS = "Talk TLS, by the system's authorities."

_given: ContextVar[Mapping[str, Any]] = ContextVar("given")


class Remote(Command):
    """A command with --server: it takes what the connection needs too, and leaves it for `connect`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _connection_options()

    def invoke(self, ctx: Any) -> Any:
        """Run the command, which knows nothing of these options."""
        with accessing({name: ctx.params.pop(name) for name in ("tls", *FILES)}):
            return super().invoke(ctx)


def option_of(setting: str) -> str:
    """Name the option of a setting."""
    return f"--{setting.replace('_', '-')}"


@contextmanager
def accessing(options: Mapping[str, Any]) -> Iterator[None]:
    """Have connections opened as options say; those that are not given are read from the environment."""
    token = _given.set({name: value for name, value in options.items() if value})
    try:
        yield
    finally:
        _given.reset(token)


def given() -> Mapping[str, Any]:
    """Give the options of the command that runs."""
    return _given.get({})


def _connection_options() -> list[Any]:
    """Give the options as typer makes them of a command that has no others."""

    def connection(
        tls: Annotated[bool, Option("--tls", help=TLS)] = False,
        tls_ca: Annotated[str | None, _file("tls_ca")] = None,
        tls_client_certificate: Annotated[str | None, _file("tls_client_certificate")] = None,
        tls_client_key: Annotated[str | None, _file("tls_client_key")] = None,
        token_file: Annotated[str | None, _file("token_file")] = None,
    ) -> None: ...

    app = Typer(add_completion=False)
    app.command()(connection)
    return [option for option in get_command(app).params if option.name in ("tls", *FILES)]


def _file(setting: str) -> Any:
    return Option(option_of(setting), metavar="FILE", help=FILES[setting])
