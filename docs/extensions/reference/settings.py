"""Settings of the service, the page and the clients, from their models."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings

from reference.commands import flags_of
from reference.markdown import code, table, text
from zfscope.client import Access
from zfscope.page.settings import PageSettings
from zfscope.server.settings import Settings

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_MIB = 1 << 20


def service() -> str:
    """Return the settings of `zfscope serve`."""
    return _settings(Settings, "serve")


def page() -> str:
    """Return the settings of `zfscope page`."""
    return _settings(PageSettings, "page")


def client() -> str:
    """Return the settings of clients and of commands with `--server`."""
    return _settings(Access, "classify")


def _settings(model: type[BaseSettings], command: str) -> str:
    prefix, options = model.model_config.get("env_prefix", ""), flags_of(command)
    schema = model.model_json_schema()
    rows = [
        (
            code(f"{prefix}{name}".upper()),
            code(options.get(name, "")),
            _default(field),
            text(field["description"]) + _allowed(field),
        )
        for name, field in schema["properties"].items()
    ]
    return table(("variable", "option", "default", "meaning"), rows)


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", []):
        return ""
    if isinstance(default, int) and default >= _MIB and default % _MIB == 0:
        return f"{code(default)} ({default // _MIB} MiB)"
    return code(default if isinstance(default, str) else json.dumps(default))


def _allowed(field: Mapping[str, Any]) -> str:
    """Return the range of a number, as a sentence; empty for other values."""
    kinds = [field, *field.get("anyOf", ())]
    bounds = [f"{sign} {kind[key]:,}" for kind in kinds for key, sign in _BOUNDS.items() if key in kind]
    return f" ({', '.join(bounds)})" if bounds else ""
