"""Building blocks of commands: lazy import, rejection of empty values, connection options."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from inspect import Parameter, Signature, signature
from itertools import pairwise
from typing import Annotated, Any, ClassVar, TypeVar, cast

from typer import Option, Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from zfscope.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

# Options for which an empty value is valid: `train --checkpoints ''` keeps none.
_EMPTY_ALLOWED = frozenset({"--checkpoints"})

# Connection options that name a file, with their help; each is a setting of `zfscope.client.Access`.
FILES = {
    "tls_ca": "CA certificate that signed the service's certificate, PEM.",
    "tls_client_certificate": "Client certificate, PEM.",
    "tls_client_key": "Private key of the client certificate, PEM.",
    "token_file": "File with the bearer token for the service.",
}

_connection_options: ContextVar[Mapping[str, Any]] = ContextVar("given")


class Command(TyperCommand):
    """Command that rejects empty options and arguments instead of using their defaults."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command line. Raises InputError for an empty one."""
        options = {
            word for option in self.params if not getattr(option, "is_flag", False) for word in option.opts
        }
        check_not_empty(args, options, others=ctx.ignore_unknown_options)
        return super().parse_args(ctx, args)


def make_command(function: Callable[..., Any], name: str, **options: Any) -> Any:
    """Make a command from a function. options: see `Typer.command`."""
    app = Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, **{"cls": Command, **options})(function)
    return get_command(app)


def option(
    name: str, kind: Any, text: str, default: Any = None, *, flags: Sequence[str] = (), **declared: Any
) -> Parameter:
    """Return the function parameter that declares an option.

    text: help text. flags: spellings on the command line, by default derived from the name. declared: see
    `typer.Option`.
    """
    return parameter(name, Annotated[kind, Option(*flags, help=text, **declared)], default)


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return the function parameter for an annotation that typer understands, such as those in `options`."""
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flag(setting: str) -> str:
    """Return the flag for a setting name: `--tls-ca` for `tls_ca`."""
    return f"--{setting.replace('_', '-')}"


# Connection options of every command that can use a service.
_CONNECTION = (
    option("tls", bool, "Use TLS with the system's certificate authorities.", False, flags=("--tls",)),
    *(option(name, str | None, meaning, metavar="FILE") for name, meaning in FILES.items()),
)


def remote(function: F) -> F:
    """Add the connection options to a command; `connect` reads them, they are not passed to the command."""

    @wraps(function)
    def command(**values: Any) -> Any:
        with use_connection_options({option.name: values.pop(option.name) for option in _CONNECTION}):
            return function(**values)

    return cast(F, with_parameters(command, *command_parameters(function), *_CONNECTION))


def command_parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of a command function as keyword-only parameters."""
    parameters = signature(function, eval_str=True).parameters.values()
    return [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]


def with_parameters(command: F, *parameters: Parameter) -> F:
    """Set the signature from which typer creates the options of a command that accepts **values."""
    vars(command)["__signature__"] = Signature(parameters)
    return command


@contextmanager
def use_connection_options(options: Mapping[str, Any]) -> Iterator[None]:
    """Use these connection options within the context; unset ones are read from the environment."""
    token = _connection_options.set({name: value for name, value in options.items() if value})
    try:
        yield
    finally:
        _connection_options.reset(token)


def connection_options() -> Mapping[str, Any]:
    """Return the connection options passed to the running command."""
    return _connection_options.get({})


def check_not_empty(words: Sequence[str], options: Collection[str], *, others: bool = False) -> None:
    """Raise InputError for an option with an empty value and for an empty argument.

    options: flags of the options that take a value. others: whether unknown options, whose values may be
    empty, are allowed too.
    """
    for before, word in pairwise(["", *words]):
        if before == "--":  # everything after it is an argument
            others, options = False, ()
        name, equals, value = word.partition("=")
        if equals and not value and name in options:
            _reject_empty(name)
        if not word and before in options:
            _reject_empty(before)
        if not word and before not in options and not (others and before.startswith("--")):
            raise InputError("empty argument ''; pass a value or omit it", field="arguments")


def _reject_empty(name: str) -> None:
    if name not in _EMPTY_ALLOWED:
        message = f"{name} is empty; pass a value or omit {name}"
        raise InputError(message, field=name.lstrip("-").replace("-", "_"))


@dataclass(frozen=True)
class CommandEntry:
    """Command that has not been imported yet.

    target: `module:name` of its function, or of its `Typer` if it has subcommands. summary: first sentence of
    its help, shown in the list of commands.
    """

    target: str
    summary: str

    def load(self, name: str) -> Any:
        """Import the command and convert it to typer's form."""
        module, _, attribute = self.target.partition(":")
        loaded = getattr(import_module(module), attribute)
        if not isinstance(loaded, Typer):
            return make_command(loaded, name)
        group = get_group(loaded)
        group.name = name
        return group


class LazyCommands(Mapping[str, Any]):
    """Mapping from names to commands that imports a command on lookup."""

    def __init__(self, entries: Mapping[str, CommandEntry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        return self._entries[name].load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(TyperGroup):
    """Group of the commands in `entries`, set by a subclass; listing them imports none."""

    entries: ClassVar[Mapping[str, CommandEntry]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast(Any, LazyCommands(self.entries))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.entries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands from their summaries, without importing them."""
        _stub_group(self._summaries(), ctx).format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands and options that complete a word, without importing any command."""
        return completions(ctx, incomplete, self._summaries())

    def _summaries(self) -> dict[str, str]:
        return {name: entry.summary for name, entry in self.entries.items()}


def completions(ctx: Any, incomplete: str, summaries: Mapping[str, str]) -> list[Any]:
    """Return the commands and the options of the group of `ctx` that complete a word."""
    group = _stub_group(summaries, ctx)
    with group.make_context(group.name, [], parent=ctx.parent, resilient_parsing=True) as own:
        return group.shell_complete(own, incomplete)


def _stub_group(summaries: Mapping[str, str], ctx: Any) -> TyperGroup:
    """Return a copy of the group of `ctx` whose commands consist of a summary only."""
    known = [TyperCommand(name, help=summary) for name, summary in summaries.items()]
    return TyperGroup(name=ctx.info_name, commands=cast(Any, known), params=ctx.command.params)
