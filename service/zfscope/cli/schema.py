"""Options made from an analyzer's JSON schema, so that a plugin's parameters are typed like any other."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from zfscope.errors import InputError

_SCALARS: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": int, "number": float}


class Parser(argparse.ArgumentParser):
    """Says what is wrong by raising InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


Options = argparse._ActionsContainer
"""A parser, or a group of its options: argparse has no public name for both."""


def add_options(parser: Options, schema: Mapping[str, Any]) -> None:
    """Add an option for each property of a schema. What is not given is left out of the result.

    Scalars are typed as they are, choices are checked, booleans are flags with a --no-, lists of scalars
    are options that may be repeated; everything else is JSON, or @FILE with JSON in it.
    """
    for name, field in schema.get("properties", {}).items():
        _add(parser, name, resolved(field, schema), required=name in schema.get("required", ()))


def resolved(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference into the schema's definitions, and take what is optional as what it may be."""
    if "$ref" in field:
        target = schema["$defs"][field["$ref"].rsplit("/", 1)[-1]]
        return resolved({**target, **{key: value for key, value in field.items() if key != "$ref"}}, schema)
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        own = {key: value for key, value in field.items() if key != "anyOf"}
        return resolved({**choices[0], **own}, schema)
    return field


def _add(parser: Options, name: str, field: Mapping[str, Any], *, required: bool) -> None:
    settings: dict[str, Any] = {
        "dest": name,
        "required": required,
        "default": argparse.SUPPRESS,
        "help": _help(field),
    }
    kind, items = str(field.get("type")), field.get("items", {})
    if kind == "boolean":
        settings["action"] = argparse.BooleanOptionalAction
    elif "enum" in field:
        settings["choices"] = field["enum"]
    elif kind in _SCALARS:
        settings |= {"type": _SCALARS[kind], "metavar": kind.upper()}
    elif kind == "array" and items.get("type") in _SCALARS:
        settings |= {"type": _SCALARS[items["type"]], "metavar": items["type"].upper(), "action": "append"}
        settings["help"] = f"{settings['help']} May be repeated.".strip()
    else:
        settings |= {"type": json_or_file, "metavar": "JSON|@FILE"}
    parser.add_argument(f"--{name.replace('_', '-')}", **settings)


def json_or_file(text: str) -> Any:
    """Read JSON, or @FILE with JSON in it. Raises InputError."""
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise InputError(f"'{text:.80}' is no JSON, and no @FILE with JSON in it: {error}") from error


def _help(field: Mapping[str, Any]) -> str:
    words = str(field.get("description", ""))
    if field.get("default") is not None:
        words = f"{words}  [default: {json.dumps(field['default'])}]"
    return words.replace("%", "%%").strip()
