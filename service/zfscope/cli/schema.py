"""Command-line options generated from an analyzer's JSON schema."""

import base64
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout
from inspect import Parameter
from itertools import pairwise
from pathlib import Path
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand

from zfscope.cli.command import flag, option
from zfscope.cli.photos import read_file
from zfscope.cli.streams import standard_output
from zfscope.errors import InputError
from zfscope.text import printable
from zfscope.validation import resolve_reference, unknown_name

# Maximum nesting of the JSON shape shown in help: a plugin's schema may be recursive.
_MAX_DEPTH = 6
_FILES = "FILE [FILE ...]"
_POLYGONS = '"X,Y X,Y X,Y; ..."|JSON|FILE'
_VERTICES = re.compile(r"[-+.,;\s\d]+")
_SCALARS: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": int, "number": float}
# click's UsageError, which typer does not export.
_UsageError: type[Exception] = BadParameter.__mro__[1]


class AnalyzerCommand(TyperCommand):
    """Command of an analyzer; usage errors become an InputError of one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command line. Raises InputError."""
        several = {word for option in self.params if option.metavar == _FILES for word in option.opts}
        try:
            with redirect_stdout(standard_output()):  # help goes to the real stdout, like results
                return super().parse_args(ctx, expand_repeated(args, several))
        except _UsageError as error:
            message = f"{self._message(error).rstrip('.')}; see {ctx.command_path} --help"
            raise InputError(message) from error

    def get_help(self, ctx: Any) -> str:
        """Return the help with control characters escaped, as its text comes from a plugin."""
        return printable(super().get_help(ctx))

    def _message(self, error: Any) -> str:
        flags = ["--help", *(word for option in self.params for word in option.opts if word[:2] == "--")]
        name = getattr(error, "option_name", None)
        if name in flags:
            return f"argument {name}: expected at least one argument"
        if name:
            return f"{name} {unknown_name(name, flags)}"
        if error.message:
            return str(error.message)
        word = error.param.opts[0]
        return f"the following arguments are required: {word if word[:2] == '--' else error.param.metavar}"


def expand_repeated(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Repeat an option before each of its values: `--masks a b` becomes `--masks a --masks b`.

    options: flags that accept several values.
    """
    expanded, current = list[str](), ""
    for word, following in pairwise([*words, "--"]):
        if word == "--":  # everything after it is an argument
            options = ()
        if word.startswith("-") and word != "-":
            current = word if word in options and not following.startswith("-") else ""
            expanded += [] if current else [word]
        else:
            expanded += [current, word] if current else [word]
    return expanded


def schema_options(schema: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return an option for each property of a schema, keyed by the property's name.

    Scalars are typed, enums are checked, booleans become `--name/--no-name` flags, and base64 properties take
    the name of a file to read. Lists of scalars are repeatable options, lists of files take several names.
    Everything else takes JSON or the name of a JSON file; lists of polygons also text, see
    `polygons_or_json`. The Python parameters are numbered, as a property's name may not be a valid
    identifier.
    """
    required = schema.get("required", ())
    return {
        name: _option(f"parameter_{number}", name, field, schema, required=name in required)
        for number, (name, field) in enumerate(schema.get("properties", {}).items())
    }


def json_shape(field: Mapping[str, Any], schema: Mapping[str, Any], depth: int = _MAX_DEPTH) -> str:
    """Return the shape of the JSON for a field: `[{"x0": NUMBER, "y0": NUMBER}, ...]`."""
    field = resolve_reference(field, schema)
    if not depth:
        return "..."
    if field.get("type") == "array":
        return f"[{json_shape(field.get('items', {}), schema, depth - 1)}, ...]"
    if "properties" in field:
        inner = (f'"{name}": {json_shape(of, schema, depth - 1)}' for name, of in field["properties"].items())
        return f"{{{', '.join(inner)}}}"
    return str(field.get("type", "JSON")).upper()


def _option(
    parameter: str, name: str, field: Mapping[str, Any], schema: Mapping[str, Any], *, required: bool
) -> Parameter:
    """Return the option for a field. parameter: name of the Python parameter. name: name of the field."""
    shape, field = json_shape(field, schema), resolve_reference(field, schema)
    kind, items, text = field.get("type"), field.get("items", {}), _help(field)
    default = Parameter.empty if required else None
    if kind == "boolean":
        return option(parameter, bool | None, text, default, flags=(f"{flag(name)}/{flag(f'no-{name}')}",))
    several = kind == "array" and (_is_file(items) or items.get("type") in _SCALARS)
    read, metavar = _reader(items if several else field)
    choices = [str(choice) for choice in (items if several else field).get("enum", ())]
    if several and _is_file(items):
        metavar = _FILES
    elif several:
        text = f"{text} May be repeated."
    elif choices:
        metavar = f"{{{','.join(choices)}}}"
    elif read in (json_or_file, polygons_or_json):
        text = f"{text}  JSON or a JSON file: {shape}"

    return option(
        parameter,
        list[Any] if several else Any,
        text.strip(),
        default,
        flags=(flag(name),),
        parser=_parser(name, read, () if several else choices),
        metavar=metavar,
        autocompletion=lambda: choices,
    )


def _parser(name: str, read: Callable[[str], Any], choices: Sequence[str]) -> Callable[[str], Any]:
    """Wrap `read` in a parser whose errors name the option. choices: allowed values, empty for any."""

    def parse(word: str) -> Any:
        try:
            if choices and word not in choices:
                raise ValueError(f"invalid choice: {word!r} (choose from {', '.join(map(repr, choices))})")
            return read(word)
        except (ValueError, InputError) as error:
            message = f"invalid {read.__name__} value: {word!r}" if read in (int, float) else str(error)
            raise BadParameter(f"argument {flag(name)}: {message}") from error

    return parse


def _reader(field: Mapping[str, Any]) -> tuple[Callable[[str], Any], str]:
    """Return the function that reads one value of a field, and the metavar for help.

    The function raises ValueError or InputError.
    """
    if _is_file(field):
        return file_as_base64, "FILE"
    if field.get("type") == "array" and field.get("items", {}).get("format") == "polygon":
        return polygons_or_json, _POLYGONS
    kind = str(field.get("type"))
    return (_SCALARS[kind], kind.upper()) if kind in _SCALARS else (json_or_file, "JSON|FILE")


def _is_file(field: Mapping[str, Any]) -> bool:
    """Return whether a field holds the bytes of a file."""
    return field.get("type") == "string" and field.get("format") == "base64"


def file_as_base64(name: str) -> str:
    """Read a file as base64. Raises ValueError if it cannot be read, InputError if it is rejected."""
    return base64.b64encode(_bytes(name, "cannot be read")).decode()


def polygons_or_json(text: str) -> Any:
    """Parse polygons as text, or JSON or the name of a JSON file like `json_or_file`.

    Polygons are separated by semicolons, their vertices by spaces: `120,80 200,90 160,170; 10,10 40,10 9,30`.
    Raises ValueError for text that is neither.
    """
    if "," not in text or not _VERTICES.fullmatch(text):
        return json_or_file(text)
    try:
        polygons = [
            [[float(x), float(y)] for x, y in (vertex.split(",") for vertex in polygon.split())]
            for polygon in text.split(";")
        ]
    except ValueError as error:
        raise ValueError(
            f"'{text:.80}' is not a list of vertices; write each as X,Y: 120,80 200,90 160,170"
        ) from error
    return [polygon for polygon in polygons if polygon]


def json_or_file(text: str) -> Any:
    """Parse JSON, or read the JSON file with this name; `@FILE` always names a file.

    Raises ValueError for invalid JSON, InputError for a rejected file such as a named pipe.
    """
    try:
        if not text.startswith("@"):
            return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{", '"')):
            raise ValueError(f"'{text:.80}' is not valid JSON: {error}") from error
    name = text.removeprefix("@")
    data = _bytes(name, "is neither valid JSON nor a readable file")
    try:
        return json.loads(data)
    except ValueError as error:
        raise ValueError(f"file '{name:.80}' is not valid JSON: {error}") from error


def _bytes(name: str, fault: str) -> bytes:
    try:
        return read_file(Path(name))
    except OSError as error:
        raise ValueError(f"'{name:.80}' {fault}: {error.strerror}") from error


def _help(field: Mapping[str, Any]) -> str:
    text = str(field.get("description", ""))
    if field.get("default") is not None:
        text = f"{text}  [default: {json.dumps(field['default'])}]"
    return text
