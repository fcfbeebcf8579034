"""Enums on the wire and as the words that users type: RULE_GUIDED and `guided`."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from zfscope.errors import InputError


def enum_from_wire(enum: EnumDescriptor, value: int, *, field: str) -> str | None:
    """Give the word of a value, None for unspecified. Raises InputError for a value without a name."""
    words = _words(enum)
    if value not in words:
        raise _refused(enum, value, field)
    return words[value]


def enums_from_wire(enum: EnumDescriptor, values: Iterable[int], *, field: str) -> list[str]:
    """Give the words of a repeated field. Raises InputError for unspecified, or a value without a name."""
    words = []
    for place, value in enumerate(values):
        word = enum_from_wire(enum, value, field=f"{field}[{place}]")
        if word is None:
            raise _refused(enum, value, f"{field}[{place}]")
        words.append(word)
    return words


def enum_words(request: Any, enums: Mapping[str, EnumDescriptor]) -> dict[str, str]:
    """Give the words of a request's enums, by field; what is unspecified is left out. Raises InputError."""
    words = {name: enum_from_wire(enum, getattr(request, name), field=name) for name, enum in enums.items()}
    return {name: word for name, word in words.items() if word is not None}


def enum_to_wire(enum: EnumDescriptor, word: str, *, field: str) -> int:
    """Give the value of a word. Raises InputError for a word that is none."""
    values = {known: value for value, known in _words(enum).items() if known}
    if word not in values:
        raise InputError(f"'{word}' is not allowed; {', '.join(values)} are", field=field)
    return values[word]


def _refused(enum: EnumDescriptor, value: int, field: str) -> InputError:
    allowed = ", ".join(name for name in enum.values_by_name if not name.endswith("_UNSPECIFIED"))
    return InputError(f"value {value} is not allowed; {allowed} are", field=field)


def _words(enum: EnumDescriptor) -> dict[int, str | None]:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}
    return {number: name if number else None for number, name in names.items()}
