"""Commands: each is imported when it runs, refuses empty values, and may have options of a connection."""

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

# Options for which an empty value means something: train without checkpoints.
_MAY_BE_EMPTY = frozenset({"--checkpoints"})

# The options of a connection that name a file, each a setting of `zfscope.client.Access`, with their help.
FILES = {
    "tls_ca": "Certificate of the authority that signed the service's, PEM.",
    "tls_client_certificate": "This client's certificate, PEM.",
    "tls_client_key": "Private key of this client's certificate, PEM.",
    "token_file": "File with the token that the service asks for.",
}

_given: ContextVar[Mapping[str, Any]] = ContextVar("given")


class Command(TyperCommand):
    """A command of typer; an empty option or argument is an InputError, and not the default."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line. Raises InputError for an empty one."""
        options = {
            word for option in self.params if not getattr(option, "is_flag", False) for word in option.opts
        }
        check_not_empty(args, options, others=ctx.ignore_unknown_options)
        return super().parse_args(ctx, args)


def make_command(function: Callable[..., Any], name: str, **options: Any) -> Any:
    """Return a function as a command. options: see `Typer.command`."""
    app = Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, **{"cls": Command, **options})(function)
    return get_command(app)


def option(
    name: str, kind: Any, text: str, default: Any = None, *, flags: Sequence[str] = (), **declared: Any
) -> Parameter:
    """Return an option as a parameter of a function.

    text: its help. flags: as users type it, by default made of the name. declared: see `typer.Option`.
    """
    return parameter(name, Annotated[kind, Option(*flags, help=text, **declared)], default)


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return an option or an argument that typer declares, such as those of `options`, as a parameter."""
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flag(setting: str) -> str:
    """Return the option of a setting: `--tls-ca`."""
    return f"--{setting.replace('_', '-')}"


# The options of a connection, with every command that may ask a service.
_CONNECTION = (
    option("tls", bool, "Use TLS, with the system's authorities.", False, flags=("--tls",)),
    *(option(name, str | None, meaning, metavar="FILE") for name, meaning in FILES.items()),
)


def remote(function: F) -> F:
    """Add the options of a connection to a command; `connect` uses them, the command gets none of them."""

    @wraps(function)
    def command(**values: Any) -> Any:
        with accessing({option.name: values.pop(option.name) for option in _CONNECTION}):
            return function(**values)

    return cast(F, taking(command, *parameters_of(function), *_CONNECTION))


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of a command as its options are made of them."""
    found = signature(function, eval_str=True).parameters.values()
    return [each.replace(kind=Parameter.KEYWORD_ONLY) for each in found]


def taking(command: F, *parameters: Parameter) -> F:
    """Have typer make the options of a command, which takes any values, from these parameters."""
    vars(command)["__signature__"] = Signature(parameters)
    return command


@contextmanager
def accessing(options: Mapping[str, Any]) -> Iterator[None]:
    """Open connections with these options; those that are not given are read from the environment."""
    token = _given.set({name: value for name, value in options.items() if value})
    try:
        yield
    finally:
        _given.reset(token)


def given() -> Mapping[str, Any]:
    """Return the options of a connection that were given to the command that runs."""
    return _given.get({})


def check_not_empty(words: Sequence[str], options: Collection[str], *, others: bool = False) -> None:
    """Raise InputError for an option with an empty value, and for an empty argument.

    options: those that take a value. others: whether there are further ones, whose values may be empty.
    """
    for before, word in pairwise(["", *words]):
        if before == "--":  # only arguments follow
            others, options = False, ()
        name, equals, value = word.partition("=")
        if equals and not value and name in options:
            _refuse(name)
        if not word and before in options:
            _refuse(before)
        if not word and before not in options and not (others and before.startswith("--")):
            raise InputError("an argument is empty: ''; fill it in, or leave it out", field="arguments")


def _refuse(name: str) -> None:
    if name not in _MAY_BE_EMPTY:
        message = f"{name} is empty; pass a value, or leave {name} out"
        raise InputError(message, field=name.lstrip("-").replace("-", "_"))


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet.

    where: its function, or its `Typer` if it has commands of its own, as `module:name`. summary: the first
    sentence of its help, which a list of commands shows.
    """

    where: str
    summary: str

    def load(self, name: str) -> Any:
        """Import the command and return it as typer runs it."""
        module, _, attribute = self.where.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, Typer):
            return make_command(found, name)
        group = get_group(found)
        group.name = name
        return group


class LazyCommands(Mapping[str, Any]):
    """Commands by name; one is imported when it is looked up."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        return self._entries[name].load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(TyperGroup):
    """A group of the commands in `entries`, which a subclass states; lists of them import none."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast(Any, LazyCommands(self.entries))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.entries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, from their summaries alone."""
        _stated(self._summaries(), ctx).format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands and options that a word may become, from the summaries alone."""
        return completions(ctx, incomplete, self._summaries())

    def _summaries(self) -> dict[str, str]:
        return {name: entry.summary for name, entry in self.entries.items()}


def completions(ctx: Any, incomplete: str, summaries: Mapping[str, str]) -> list[Any]:
    """Return the commands, and the options of the group of `ctx`, that a word may become."""
    group = _stated(summaries, ctx)
    with group.make_context(group.name, [], parent=ctx.parent, resilient_parsing=True) as own:
        return group.shell_complete(own, incomplete)


def _stated(summaries: Mapping[str, str], ctx: Any) -> TyperGroup:
    """Return the group of `ctx` with commands that have nothing but a summary."""
    known = [TyperCommand(name, help=summary) for name, summary in summaries.items()]
    return TyperGroup(name=ctx.info_name, commands=cast(Any, known), params=ctx.command.params)
