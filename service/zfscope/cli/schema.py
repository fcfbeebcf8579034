"""Options made from an analyzer's JSON schema, so that a plugin's parameters are typed like any other."""

import argparse
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from zfscope.cli.reading import read_file
from zfscope.cli.streams import echo
from zfscope.errors import InputError
from zfscope.validation import resolved, unknown_name

_SCALARS: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": int, "number": float}
_MOST_DEPTH = 6
"""So deep is the JSON that help sketches: a plugin's schema may hold itself."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong by raising InputError."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options; an unknown one is refused with those that are allowed, and the nearest."""
        found, unknown = self.parse_known_args(args, namespace)
        for word in unknown:
            name = word.partition("=")[0]
            if name.startswith("-"):
                options = [option for option in self._option_string_actions if option.startswith("--")]
                self.error(f"{name} {unknown_name(name, options)}")
        if unknown:
            self.error(f"unexpected: {' '.join(unknown)}")
        return found

    def print_help(self, file: Any = None) -> None:
        """Print the help on the command's own standard output, like any other result."""
        echo(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


Options = argparse._ActionsContainer
"""A parser, or a group of its options: argparse has no public name for both."""


def add_options(parser: Options, schema: Mapping[str, Any]) -> None:
    """Add an option for each property of a schema. What is not given is left out of the result.

    Scalars are typed as they are, choices are checked, booleans are flags with a --no-, what is base64 is
    the name of a file to read. Lists of scalars are options that may be repeated, those of files take
    several names; everything else is JSON, or the name of a file with JSON in it.
    """
    for name, field in schema.get("properties", {}).items():
        shape = shape_of(field, schema)
        _add(parser, name, resolved(field, schema), shape, required=name in schema.get("required", ()))


def shape_of(field: Mapping[str, Any], schema: Mapping[str, Any], depth: int = _MOST_DEPTH) -> str:
    """Sketch the JSON that a field takes: `[{"x0": NUMBER, "y0": NUMBER}, ...]`."""
    field = resolved(field, schema)
    if not depth:
        return "..."
    if field.get("type") == "array":
        return f"[{shape_of(field.get('items', {}), schema, depth - 1)}, ...]"
    if "properties" in field:
        inner = (f'"{name}": {shape_of(of, schema, depth - 1)}' for name, of in field["properties"].items())
        return f"{{{', '.join(inner)}}}"
    return str(field.get("type", "JSON")).upper()


def _add(parser: Options, name: str, field: Mapping[str, Any], shape: str, *, required: bool) -> None:
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
    elif _is_file(field):
        settings |= {"type": file_as_base64, "metavar": "FILE"}
    elif kind in _SCALARS:
        settings |= {"type": _SCALARS[kind], "metavar": kind.upper()}
    elif kind == "array" and _is_file(items):
        settings |= {"type": file_as_base64, "metavar": "FILE", "nargs": "+", "action": "extend"}
    elif kind == "array" and items.get("type") in _SCALARS:
        settings |= {"type": _SCALARS[items["type"]], "metavar": items["type"].upper(), "action": "append"}
        settings["help"] = f"{settings['help']} May be repeated.".strip()
    else:
        settings |= {"type": json_or_file, "metavar": "JSON|FILE"}
        settings["help"] = f"{settings['help']}  As JSON, or a file with it: {shape}".strip()
    parser.add_argument(f"--{name.replace('_', '-')}", **settings)


def _is_file(field: Mapping[str, Any]) -> bool:
    """Say whether a field takes the bytes of a file."""
    return field.get("type") == "string" and field.get("format") == "base64"


def file_as_base64(name: str) -> str:
    """Read a file as JSON holds its bytes. Raises ArgumentTypeError, which a parser reports."""
    try:
        return base64.b64encode(read_file(Path(name))).decode()
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except OSError as error:
        raise argparse.ArgumentTypeError(f"'{name:.80}' cannot be read: {error.strerror}") from error


def json_or_file(text: str) -> Any:
    """Read JSON, or the name of a file with JSON in it; @FILE is a file, whatever its name looks like.

    Raises ArgumentTypeError, which a parser tells with the name of the option.
    """
    if text.startswith("@"):
        return _from_file(text[1:])
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{", '"')):
            raise argparse.ArgumentTypeError(f"'{text:.80}' is no JSON: {error}") from error
    return _from_file(text)


def _from_file(name: str) -> Any:
    try:
        return json.loads(read_file(Path(name)))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except OSError as error:
        words = f"no JSON, and no file that can be read: {error.strerror}"
        raise argparse.ArgumentTypeError(f"'{name:.80}' is {words}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"the file '{name:.80}' is no JSON: {error}") from error


def _help(field: Mapping[str, Any]) -> str:
    words = str(field.get("description", ""))
    if field.get("default") is not None:
        words = f"{words}  [default: {json.dumps(field['default'])}]"
    return words.replace("%", "%%").strip()
