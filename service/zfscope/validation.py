"""Readable messages for pydantic's validation errors; unknown names are reported with the allowed ones."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

UNKNOWN = "is not known; "
_MAX_NAMES = 40
# Longer names are not compared with the allowed ones, which would take time.
_MAX_TYPO = 200
_PREFIX = "Value error, "
# Types in the terms of a request, where pydantic names Python's.
_TYPES = dict.fromkeys(
    ("model_type", "model_attributes_type", "dataclass_type", "dataclass_exact_type", "dict_type"),
    "Input should be a JSON object",
)
_TYPES |= dict.fromkeys(("list_type", "tuple_type", "set_type"), "Input should be a list")
_TYPES |= {"int_parsing_size": "Input is too large for an integer"}


def validation_faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[ErrorDetails, str]]:
    """Yield each error of a validation with a readable message."""
    for fault in error.errors(include_url=False):
        yield fault, _message(fault, model)


def first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first error in one line: `network.layers[3].stride: ...`."""
    fault, message = next(validation_faults(error, model))
    path = path_of(fault["loc"])
    return f"{path}: {message}" if path else message


def path_of(location: Sequence[int | str]) -> str:
    """Return a location in data as a path: `units[2].y`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def shown_value(value: object) -> str:
    """Return a value as messages show it; empty for null, files, and objects, which their path names."""
    if isinstance(value, bool):
        return str(value).lower()
    items = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(item, str | int | float) for item in items):
        return ""
    return f"{list(value) if isinstance(value, tuple) else value!r:.80}"


def unknown_name(name: str, allowed: Sequence[str]) -> str:
    """Return the message for an unknown name, listing the allowed names and suggesting the closest."""
    if not allowed:
        return f"{UNKNOWN}nothing is allowed here"
    shown = ", ".join(allowed[:_MAX_NAMES]) + (", ..." if len(allowed) > _MAX_NAMES else "")
    return f"{UNKNOWN}allowed: {shown}{nearest_name(name, allowed)}"


def nearest_name(name: str, allowed: Sequence[str]) -> str:
    """Return the end of a message that suggests the closest name; empty if none is close."""
    nearest = get_close_matches(name, allowed, n=1) if len(name) <= _MAX_TYPO else []
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def resolve_reference(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a `$ref` of a JSON schema, and replace an optional type by its non-null type."""
    if "$ref" in field:
        target = schema["$defs"][field["$ref"].rsplit("/", 1)[-1]]
        return resolve_reference(
            {**target, **{key: value for key, value in field.items() if key != "$ref"}}, schema
        )
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        own = {key: value for key, value in field.items() if key != "anyOf"}
        return resolve_reference({**choices[0], **own}, schema)
    return field


def takes_text(field: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Return whether a field of a JSON schema accepts a plain string, which is then not parsed as JSON."""
    field = resolve_reference(field, schema)
    if "anyOf" in field:
        return any(takes_text(choice, schema) for choice in field["anyOf"])
    values = (*field.get("enum", ()), *([field["const"]] if "const" in field else ()))
    return field.get("type") == "string" or any(isinstance(value, str) for value in values)


def _message(fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] in _TYPES:
        return _TYPES[fault["type"]]
    if fault["type"] != "extra_forbidden":
        text = re.sub("^(Tuple|Set|Frozenset)", "List", fault["msg"].removeprefix(_PREFIX))
        return (
            re.sub(r"\b(True|False)\b", lambda match: match[0].lower(), text)
            if _lists_values(fault)
            else text
        )
    *parents, name = fault["loc"]
    schema = model.model_json_schema()
    return unknown_name(str(name), tuple(dict.fromkeys(_names(schema, schema, parents))))


def _lists_values(fault: ErrorDetails) -> bool:
    return fault["type"] in ("literal_error", "enum")


def _names(
    field: Mapping[str, Any], schema: Mapping[str, Any], parents: Sequence[int | str]
) -> Iterator[str]:
    """Yield the names of the properties at a location of a schema."""
    field = resolve_reference(field, schema)
    if not parents:
        yield from field.get("properties", ())
    inner, left = _inner(field, parents)
    for part in inner:
        yield from _names(part, schema, left)


def _inner(
    field: Mapping[str, Any], parents: Sequence[int | str]
) -> tuple[list[Mapping[str, Any]], Sequence[int | str]]:
    """Return the schemas one step further along a location, and the remaining steps."""
    choices = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    if not parents:
        return choices, parents
    first, left = parents[0], parents[1:]
    tagged = field.get("discriminator", {}).get("mapping", {})
    if first in tagged:
        return [{"$ref": tagged[first]}], left
    if choices:  # pydantic adds the name of the union member to the location
        return choices, left if isinstance(first, str) else parents
    if isinstance(first, int):
        items = field.get("prefixItems", ())
        return [items[first] if first < len(items) else field.get("items", {})], left
    return [field.get("properties", {}).get(first, field.get("additionalProperties") or {})], left
