"""The JSON schema of an analyzer's parameters, read."""

from collections.abc import Mapping
from typing import Any

from zfscope.validation import resolved


def takes_text(field: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Say whether a string may be the value of a field, rather than JSON of it."""
    field = resolved(field, schema)
    if "anyOf" in field:
        return any(takes_text(choice, schema) for choice in field["anyOf"])
    values = (*field.get("enum", ()), *([field["const"]] if "const" in field else ()))
    return field.get("type") == "string" or any(isinstance(value, str) for value in values)
