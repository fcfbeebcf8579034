"""Options made from an analyzer's JSON schema, so that a plugin's parameters are typed like any other."""

import base64
import json
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
from zfscope.validation import resolved, unknown_name

# Maximum depth of the JSON that help sketches: a plugin's schema may contain itself.
_MOST_DEPTH = 6
_FILES = "FILE [FILE ...]"
_SCALARS: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": int, "number": float}
# typer does not export it.
_UsageError: type[Exception] = BadParameter.__mro__[1]


class AnalyzerCommand(TyperCommand):
    """The command of an analyzer: what is wrong with its options is an InputError, of one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line. Raises InputError."""
        several = {word for option in self.params if option.metavar == _FILES for word in option.opts}
        try:
            with redirect_stdout(standard_output()):  # help is printed where the results are
                return super().parse_args(ctx, repeated(args, several))
        except _UsageError as error:
            message = f"{self._message(error).rstrip('.')}; see {ctx.command_path} --help"
            raise InputError(message) from error

    def get_help(self, ctx: Any) -> str:
        """Return the help; a package wrote it, and its control characters are escaped."""
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


def repeated(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Return words with an option of several files before each: `--masks a b` as `--masks a --masks b`."""
    found, current = list[str](), ""
    for word, following in pairwise([*words, "--"]):
        if word == "--":  # only arguments follow
            options = ()
        if word.startswith("-") and word != "-":
            current = word if word in options and not following.startswith("-") else ""
            found += [] if current else [word]
        else:
            found += [current, word] if current else [word]
    return found


def options_of(schema: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return an option for each property of a schema, by its name, which a parameter of Python may not have.

    Scalars are typed as they are, choices are checked, booleans are flags with a --no-, base64 is the name
    of a file to read. Lists of scalars are options that may be repeated, those of files take several names;
    everything else is JSON, or the name of a file with JSON in it.
    """
    required = schema.get("required", ())
    return {
        name: _option(f"parameter_{number}", name, field, schema, required=name in required)
        for number, (name, field) in enumerate(schema.get("properties", {}).items())
    }


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


def _option(
    parameter: str, name: str, field: Mapping[str, Any], schema: Mapping[str, Any], *, required: bool
) -> Parameter:
    """Return the option of a field. parameter: what it sets. name: of the field."""
    shape, field = shape_of(field, schema), resolved(field, schema)
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
    elif read is json_or_file:
        text = f"{text}  As JSON, or a file with it: {shape}"

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
    """Return `read` with errors that name the option. choices: the allowed words, empty for any."""

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
    """Return what reads one value of a field, raising ValueError or InputError, and its name in help."""
    if _is_file(field):
        return file_as_base64, "FILE"
    kind = str(field.get("type"))
    return (_SCALARS[kind], kind.upper()) if kind in _SCALARS else (json_or_file, "JSON|FILE")


def _is_file(field: Mapping[str, Any]) -> bool:
    """Return whether a field takes the bytes of a file."""
    return field.get("type") == "string" and field.get("format") == "base64"


def file_as_base64(name: str) -> str:
    """Read a file as JSON holds its bytes. Raises InputError, and ValueError where it cannot be read."""
    return base64.b64encode(_bytes(name, "cannot be read")).decode()


def json_or_file(text: str) -> Any:
    """Read JSON, or the name of a file with JSON in it; @FILE is a file, whatever its name looks like.

    Raises ValueError for anything else, and InputError for a file that is not read.
    """
    try:
        if not text.startswith("@"):
            return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{", '"')):
            raise ValueError(f"'{text:.80}' is no JSON: {error}") from error
    name = text.removeprefix("@")
    data = _bytes(name, "is no JSON, and no file that can be read")
    try:
        return json.loads(data)
    except ValueError as error:
        raise ValueError(f"the file '{name:.80}' is no JSON: {error}") from error


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
