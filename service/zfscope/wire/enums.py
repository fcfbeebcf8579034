"""Conversion between protobuf enums (RULE_GUIDED) and the names that users type (`guided`)."""

from collections.abc import Iterable
from functools import cache

from google.protobuf.descriptor import EnumDescriptor

from zfscope.errors import InputError

# Names that stay upper case, unlike `grey` next to them.
_UPPER_CASE = frozenset({"RGB", "BGR"})


def enum_from_wire(enum: EnumDescriptor, value: int, *, field: str) -> str | None:
    """Return the name of a value, None for unspecified. Raises InputError for an unknown value."""
    names = _value_names(enum)
    if value not in names:
        raise _unknown_value(enum, value, field)
    return names[value]


def enums_from_wire(enum: EnumDescriptor, values: Iterable[int], *, field: str) -> list[str]:
    """Return the names of a repeated field. Raises InputError for unspecified or unknown values."""
    names = []
    for index, value in enumerate(values):
        name = enum_from_wire(enum, value, field=f"{field}[{index}]")
        if name is None:
            raise _unknown_value(enum, value, f"{field}[{index}]")
        names.append(name)
    return names


def enum_to_wire(enum: EnumDescriptor, name: str, *, field: str) -> int:
    """Return the value of a name. Raises InputError for an unknown name."""
    values = {known: value for value, known in _value_names(enum).items() if known}
    if name not in values:
        raise InputError(f"'{name}' is not valid; allowed: {', '.join(values)}", field=field)
    return values[name]


def _unknown_value(enum: EnumDescriptor, value: int, field: str) -> InputError:
    allowed = ", ".join(name for name in enum.values_by_name if not name.endswith("_UNSPECIFIED"))
    return InputError(f"value {value} is not valid; allowed: {allowed}", field=field)


@cache
def _value_names(enum: EnumDescriptor) -> dict[int, str | None]:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {value.number: value.name.removeprefix(prefix) for value in enum.values if value.number}
    typed = {number: name if name in _UPPER_CASE else name.lower() for number, name in names.items()}
    return {0: None, **typed}
