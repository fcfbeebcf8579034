"""Help texts and descriptions never start with a fragment such as "Of the model"."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import typer
from pydantic import BaseModel, Field

from zfscope.analysis.registry import load_analyzers
from zfscope.cli.app import app
from zfscope.cli.command import make_command, option, with_parameters
from zfscope.cli.schema import schema_options
from zfscope.client import Access
from zfscope.server.settings import Settings

FRAGMENTS = ("Of ", "Which ", "Who ", "What ", "Whose ")
ANALYZERS = {name: registered.analyzer for name, registered in load_analyzers().items()}


def commands(group: Any, path: str = "zfscope") -> Iterator[tuple[str, Any]]:
    """Yield every command with its path; groups included."""
    yield path, group
    for name in getattr(group, "commands", ()):
        yield from commands(group.commands[name], f"{path} {name}")


def help_texts(command: Any) -> dict[str, str]:
    """Return the help of a command and of its options and arguments."""
    texts = {option.name: getattr(option, "help", None) or "" for option in command.params}
    summaries = {name: entry.summary for name, entry in getattr(command, "entries", {}).items()}
    return {"help": command.help or "", **texts, **summaries}


def descriptions(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every description in a JSON schema, nested ones included, with its path."""
    if isinstance(schema, Mapping):
        if isinstance(text := schema.get("description"), str):
            yield path, text
        for name, value in schema.items():
            yield from descriptions(value, f"{path}/{name}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from descriptions(value, f"{path}/{index}")


def fragments(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts that start with a fragment."""
    return {name: text for name, text in texts.items() if text.lstrip().startswith(FRAGMENTS)}


def analyzer_command(schema: Mapping[str, Any]) -> Any:
    """Return a command with the options of a parameters schema."""

    def run(**values: Any) -> None: ...

    return make_command(with_parameters(run, *schema_options(schema).values()), "analyzer")


COMMANDS = dict(commands(typer.main.get_group(app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_contains_no_fragments(path: str) -> None:
    assert fragments(help_texts(COMMANDS[path])) == {}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_a_help_text(path: str) -> None:
    ignored = {"install_completion", "show_completion"}
    texts = {name: text for name, text in help_texts(COMMANDS[path]).items() if name not in ignored}
    assert [name for name, text in texts.items() if not text] == []


@pytest.mark.parametrize("name", ANALYZERS)
def test_the_help_of_an_analyzer_contains_no_fragments(name: str) -> None:
    schema = ANALYZERS[name].params.model_json_schema()
    assert fragments(help_texts(analyzer_command(schema)) | {"summary": ANALYZERS[name].summary}) == {}
    assert fragments(dict(descriptions(schema))) == {}


@pytest.mark.parametrize("settings", [Settings, Access])
def test_the_descriptions_of_settings_contain_no_fragments(settings: type[BaseModel]) -> None:
    texts = dict(descriptions(settings.model_json_schema()))
    assert len(texts) >= len(settings.model_fields)
    assert fragments(texts) == {}


@pytest.mark.parametrize("word", FRAGMENTS)
def test_a_fragment_is_found_in_help_and_in_descriptions(word: str) -> None:
    class Inner(BaseModel):
        edge: int = Field(0, description=f"{word}the box.")

    class Params(BaseModel):
        boxes: list[Inner] = Field([], description="Boxes to occlude.")

    def run(**values: Any) -> None: ...

    command = make_command(with_parameters(run, option("version", int, f"{word}the model.")), "x", help=word)
    assert list(fragments(help_texts(command))) == ["help", "version"]
    assert list(fragments(dict(descriptions(Params.model_json_schema())))) == ["/$defs/Inner/properties/edge"]
    generated = analyzer_command(Inner.model_json_schema())
    assert list(fragments(help_texts(generated))) == ["parameter_0"]
