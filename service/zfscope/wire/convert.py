"""Conversion between protobuf messages and plain values, by fields of the same name.

    to_message(pb.ProjectResponse, projections)      dataclass or mapping to message
    to_dataclass(Projections, response)              message to dataclass
    to_values(request, leave_out={"image"})          message to a dict of the fields that it sets

Enums become lower-case strings, tensors numpy arrays, sizes (height, width), tables `Table`, repeated fields
tuples and unset optional fields None.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zfscope.errors import InputError
from zfscope.results import Cell, Table
from zfscope.v1 import analysis_pb2, image_pb2, tensor_pb2
from zfscope.wire.enums import enum_from_wire, enum_to_wire, enums_from_wire
from zfscope.wire.tensors import tensor_from_wire, tensor_to_wire

T = TypeVar("T")
M = TypeVar("M", bound=Message)

# Fields that have a different name in dataclasses.
_PLAIN_NAMES = {"photo": "photo_size"}
_WIRE_NAMES = {plain: wire for wire, plain in _PLAIN_NAMES.items()}


def to_message(kind: type[M], values: Any) -> M:
    """Convert a dataclass or mapping to a message; None and missing values stay unset.

    Messages among the values are used unchanged. Raises InputError for an unknown enum value or an
    unsupported array, TypeError or ValueError for a value of the wrong type or range.
    """
    if not isinstance(values, Mapping) and not hasattr(values, "__dict__"):
        names = ", ".join(field.name for field in _fields(kind.DESCRIPTOR))
        raise TypeError(f"{values!r:.80} is not a mapping with {names}")
    known = values if isinstance(values, Mapping) else vars(values)
    named = (
        (field, known.get(_PLAIN_NAMES.get(field.name, field.name))) for field in _fields(kind.DESCRIPTOR)
    )
    return kind(**{field.name: _to_wire(field, value) for field, value in named if value is not None})


def to_dataclass(kind: type[T], message: Message) -> T:
    """Convert a message to a dataclass. Raises InputError for an unknown enum value or an invalid tensor."""
    readers = _field_readers(kind, message.DESCRIPTOR)  # type: ignore[arg-type]  # mypy: type[T] is not hashable
    return kind(**{reader.name: _read(reader, message) for reader in readers})


def to_values(message: Message, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields set in a message as plain values by name; nested messages become mappings.

    A field without presence counts as set unless it is empty, zero or false; in nested messages it always
    counts as set. Raises InputError like `to_dataclass`.
    """
    pairs = ((field, getattr(message, field.name)) for field in _fields(message.DESCRIPTOR))
    values = {
        field.name: _plain(field, value)
        for field, value in pairs
        if field.name not in leave_out and (message.HasField(field.name) if field.has_presence else value)
    }
    return {name: value for name, value in values.items() if value is not None}


class _FieldReader(NamedTuple):
    """Reader of one field of a dataclass.

    name: name of the dataclass field. field: descriptor of the message field. item: dataclass of its items.
    optional: whether the value is None if unset.
    """

    name: str
    field: FieldDescriptor
    item: type[Any] | None
    optional: bool


@cache
def _fields(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    return tuple(descriptor.fields)


@cache
def _field_readers(kind: type[Any], descriptor: Descriptor) -> tuple[_FieldReader, ...]:
    hints, known = get_type_hints(kind), descriptor.fields_by_name
    names = [(field.name, _WIRE_NAMES.get(field.name, field.name)) for field in fields(kind)]
    return tuple(
        _FieldReader(name, known[wire], _dataclass_in(hints[name]), NoneType in get_args(hints[name]))
        for name, wire in names
    )


def _dataclass_in(hint: Any) -> type[Any] | None:
    """Return the dataclass in a type hint such as `tuple[LayerInfo, ...]` or `Box | None`."""
    if is_dataclass(hint):
        return hint  # type: ignore[return-value]  # a hint is a class
    return next(filter(None, map(_dataclass_in, get_args(hint))), None)


def _read(reader: _FieldReader, message: Message) -> Any:
    field = reader.field
    if reader.optional and field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if of_value := _map_value(field):
        return {key: _from_wire(of_value, value[key], reader.item) for key in value}
    if field.is_repeated:
        return tuple(_from_wire(field, item, reader.item) for item in value)
    return _from_wire(field, value, reader.item)


def _from_wire(field: FieldDescriptor, value: Any, item: type[Any] | None) -> Any:
    if field.enum_type is not None:
        return enum_from_wire(field.enum_type, value, field=field.name) or ""
    if field.message_type is None:
        return value
    special = _CODECS.get(field.message_type.full_name)
    if special:
        return special.read(value, field.name)
    assert item is not None, field.full_name
    return to_dataclass(item, value)


def _to_wire(field: FieldDescriptor, value: Any) -> Any:
    if of_value := _map_value(field):
        return {key: _item_to_wire(of_value, item) for key, item in value.items()}
    if field.is_repeated:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise InputError(f"{field.name} is {value!r:.80}; it must be a list", field=field.name)
        return [_item_to_wire(field, item, f"[{index}]") for index, item in enumerate(value)]
    return _item_to_wire(field, value)


def _item_to_wire(field: FieldDescriptor, value: Any, index: str = "") -> Any:
    if field.enum_type is not None:
        return enum_to_wire(field.enum_type, value, field=f"{field.name}{index}") if value else 0
    if field.message_type is None or isinstance(value, Message):
        return value
    special = _CODECS.get(field.message_type.full_name)
    return special.write(value) if special else to_message(GetMessageClass(field.message_type), value)


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        read = enums_from_wire if field.is_repeated else enum_from_wire
        return read(field.enum_type, value, field=field.name)
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    if field.message_type.full_name == struct_pb2.Struct.DESCRIPTOR.full_name:
        return _CODECS[field.message_type.full_name].read(value, field.name)
    return [_mapping(item) for item in value] if field.is_repeated else _mapping(value)


def _mapping(message: Message) -> dict[str, Any]:
    pairs = ((field, getattr(message, field.name)) for field in _fields(message.DESCRIPTOR))
    return {
        field.name: _plain(field, value)
        for field, value in pairs
        if not field.has_presence or message.HasField(field.name)
    }


@cache
def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the value field of a map field; None for other fields."""
    entry = field.message_type
    is_map = entry is not None and entry.GetOptions().map_entry
    return entry.fields_by_name["value"] if entry is not None and is_map else None


class _Codec(NamedTuple):
    """Conversion of a message type without a matching dataclass. read: also receives the field name."""

    read: Callable[[Any, str], Any]
    write: Callable[[Any], Message]


def _size_to_wire(size: tuple[int, int]) -> image_pb2.Size:
    return image_pb2.Size(width=size[1], height=size[0])


def _table_from_wire(table: analysis_pb2.Table) -> Table:
    rows = tuple(tuple(_cell_from_wire(cell) for cell in row.cells) for row in table.rows)
    return Table(tuple(table.columns), rows)


def _table_to_wire(table: Table) -> analysis_pb2.Table:
    rows = [analysis_pb2.Row(cells=map(_cell_to_wire, row)) for row in table.rows]
    return analysis_pb2.Table(columns=table.columns, rows=rows)


def _cell_from_wire(cell: struct_pb2.Value) -> Cell:
    """Convert a cell; integral numbers become int, as the wire has doubles only."""
    if cell.HasField("string_value"):
        return cell.string_value
    if not cell.HasField("number_value"):
        return None
    value = cell.number_value
    return int(value) if value.is_integer() else value


def _cell_to_wire(cell: Cell) -> struct_pb2.Value:
    if cell is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(cell, str):
        return struct_pb2.Value(string_value=cell)
    return struct_pb2.Value(number_value=cell)


def _struct_to_wire(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


_CODECS: Mapping[str, _Codec] = {
    tensor_pb2.Tensor.DESCRIPTOR.full_name: _Codec(
        lambda tensor, name: tensor_from_wire(tensor, field=name), tensor_to_wire
    ),
    image_pb2.Size.DESCRIPTOR.full_name: _Codec(lambda size, _: (size.height, size.width), _size_to_wire),
    analysis_pb2.Table.DESCRIPTOR.full_name: _Codec(lambda table, _: _table_from_wire(table), _table_to_wire),
    struct_pb2.Struct.DESCRIPTOR.full_name: _Codec(
        lambda struct, _: json_format.MessageToDict(struct), _struct_to_wire
    ),
}
