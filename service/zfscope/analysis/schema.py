"""The JSON schema of an analyzer's parameters, read."""

from collections.abc import Mapping
from typing import Any


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


def takes_text(field: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Say whether a string may be the value of a field, rather than JSON of it."""
    field = resolved(field, schema)
    if "anyOf" in field:
        return any(takes_text(choice, schema) for choice in field["anyOf"])
    values = (*field.get("enum", ()), *([field["const"]] if "const" in field else ()))
    return field.get("type") == "string" or any(isinstance(value, str) for value in values)
