"""Requests that went wrong: strategies that change a good one, in its fields or in its bytes."""

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-3, 99),
}
WORDS = [
    "",
    "conv5",
    "tiny",
    "relu5",
    "project",
    "../../etc/passwd",
    "a" * 5000,
    "\0",
    "\u202e\U0001f52c",
    "-1",
    "NaN",
]
MANY = 300


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Give values of a field's type: at its limits, small, and odd."""
    if field.cpp_type in LIMITS:
        low, high = LIMITS[field.cpp_type]
        return (
            st.sampled_from([low, high, 0, 1])
            | st.integers(max(low, -5), min(high, 300))
            | st.integers(low, high)
        )
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        # Any 32 bits. st.floats(width=32) rejects some of its own draws, and then prints the whole request.
        return st.integers(0, 2**32 - 1).map(_as_float) | st.floats(-10, 300, width=32)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=200)
    return st.sampled_from(WORDS) | st.text(max_size=20)


def _as_float(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value


def parts(message: Message) -> Iterator[Message]:
    """Give a message and all that are set inside it, without map entries."""
    yield message
    for field, value in message.ListFields():
        if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            inside = [each for each in value.values() if isinstance(each, Message)]
        else:
            inside = list(value) if field.is_repeated else [value]
        for each in inside:
            yield from parts(each)


@st.composite
def with_fields_changed(draw: st.DrawFn, seed: Message) -> bytes:
    """Set, clear, add or take away fields of a message, some levels deep."""
    message = type(seed)()
    message.CopyFrom(seed)
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(list(parts(message))))
        if part.DESCRIPTOR.fields:
            change(draw, part, draw(st.sampled_from(list(part.DESCRIPTOR.fields))))
    return message.SerializeToString()


def change(draw: st.DrawFn, message: Message, field: FieldDescriptor) -> None:
    """Change one field of a message."""
    inner = field.message_type
    if draw(st.integers(0, 4)) == 0 or (inner and inner.GetOptions().map_entry):
        message.ClearField(field.name)
    elif inner:
        held = getattr(message, field.name)
        if field.is_repeated:
            for _ in range(draw(st.sampled_from([1, 2, MANY]))):
                held.add()
        else:
            held.SetInParent()
    elif field.is_repeated:
        value = draw(values(field))
        getattr(message, field.name).extend([value] * draw(st.sampled_from([1, 2, MANY])))
    else:
        setattr(message, field.name, draw(values(field)))


@st.composite
def with_bytes_changed(draw: st.DrawFn, seed: Message) -> bytes:
    """Flip, cut, insert or repeat bytes of a message on the wire."""
    data = bytearray(seed.SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        how = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "end"]))
        if how == "flip" and data:
            data[min(at, len(data) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at : at + length]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif how == "repeat":
            data[at:at] = data[at : at + length]
        elif how == "end":
            del data[at:]
    return bytes(data)


def mutated(seed: Message) -> st.SearchStrategy[bytes]:
    """Give requests like `seed`, of which something is wrong, or nothing."""
    return with_fields_changed(seed) | with_bytes_changed(seed) | st.binary(max_size=100)
