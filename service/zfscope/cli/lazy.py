"""Commands by name, each in a module that is imported only when the command is run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, cast

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet.

    where: its function, or its `Typer` if it has commands of its own, as `module:name`. summary: the first
    sentence of its help, which a list of commands shows. options: how it is registered; see
    `Typer.command`.
    """

    where: str
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self, name: str) -> Any:
        """Import the command and return it as typer runs it."""
        module, _, attribute = self.where.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, Typer):
            group = get_group(found)
            group.name = name
            return group
        app = Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, **self.options)(found)
        return get_command(app)


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
    """A group of the commands in `entries`, which a subclass states."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast(Any, LazyCommands(self.entries))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.entries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, from their summaries alone."""
        known = {name: TyperCommand(name, help=entry.summary) for name, entry in self.entries.items()}
        TyperGroup(commands=cast(Any, known)).format_commands(ctx, formatter)
