"""Settings of the service and its clients, read from ZFSCOPE_ environment variables."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from zfscope.errors import InputError
from zfscope.validation import UNKNOWN, path_of, validation_faults

# Settings that protect a service or its callers: an empty value by mistake must not disable them.
_PROTECTING = frozenset(
    {"token", "token_file", "tls", "tls_ca", "tls_certificate", "tls_key", "tls_client_ca"}
    | {"tls_client_certificate", "tls_client_key"}
)
S = TypeVar("S", bound=BaseSettings)


def read_settings(kind: type[S], **values: Any) -> S:
    """Return settings from the given values and, for the others, from the environment.

    Empty variables count as unset, as written by shells and compose files; empty protecting ones are
    an error. Raises InputError for an invalid value.
    """
    _check_not_empty(kind, values)
    try:
        return kind(**values)
    except ValidationError as error:
        fault, message = next(validation_faults(error, kind))
        field = path_of(fault["loc"])
        value = repr(fault["input"])
        # A URL with '@' may hold a password.
        bare = message.startswith(UNKNOWN) or "@" in value
        raise InputError(
            f"{field} {message}" if bare else f"{field} is {value}: {message}", field=field
        ) from error
    except SettingsError as error:
        raise _not_json(kind, str(error)) from error


def unknown_variables(kind: type[BaseSettings], others: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield each environment variable with the prefix of the settings that is none of them.

    Each comes with the closest known name, empty if none is close. others: variables with this prefix that
    something else reads.
    """
    prefix = kind.model_config.get("env_prefix", "")
    known = {f"{prefix}{name}".upper() for name in kind.model_fields} | others
    for name in sorted(os.environ):
        upper = name.upper()
        if upper.startswith(prefix) and upper not in known:
            yield name, "".join(get_close_matches(upper, known, n=1, cutoff=0.75))


def _check_not_empty(kind: type[BaseSettings], values: Mapping[str, Any]) -> None:
    """Raise InputError for an empty environment variable of a protecting setting."""
    prefix = kind.model_config.get("env_prefix", "").upper()
    for name, value in os.environ.items():
        field = name.upper().removeprefix(prefix).lower()
        protects = field in _PROTECTING and field in kind.model_fields and name.upper().startswith(prefix)
        if protects and not value and field not in values:
            raise InputError(f"{name} is empty; set it to a value, or unset it to do without", field=field)


def _not_json(kind: type[BaseSettings], message: str) -> InputError:
    """Return the error for a variable that is not valid JSON; pydantic's message quotes the setting."""
    field = next((name for name in kind.model_fields if f'"{name}"' in message), "")
    variable = f"{kind.model_config.get('env_prefix', '')}{field}".upper()
    given = os.environ.get(variable, os.environ.get(variable.lower(), ""))
    examples = kind.model_fields[field].examples if field else None
    form = f"JSON such as {examples[0]}" if examples else "JSON"
    return InputError(f"{variable} is {given!r:.80}; allowed: {form}", field=field)
