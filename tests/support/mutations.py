"""Hypothesis strategies for malformed requests: a valid one with changed fields or changed bytes."""

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

# Range of the values to draw, by type; for enums it includes undefined numbers.
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-3, 99),
}
TEXTS = [
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
# Length of a long repeated field.
MANY = 300


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a field's type: its limits, small values and unusual ones."""
    if field.cpp_type in LIMITS:
        low, high = LIMITS[field.cpp_type]
        return (
            st.sampled_from([low, high, 0, 1])
            | st.integers(max(low, -5), min(high, 300))
            | st.integers(low, high)
        )
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        # Any 32 bits: st.floats(width=32) rejects some of its own draws and then prints the whole request.
        return st.integers(0, 2**32 - 1).map(_as_float) | st.floats(-10, 300, width=32)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=200)
    return st.sampled_from(TEXTS) | st.text(max_size=20)


def _as_float(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value


def submessages(message: Message) -> Iterator[Message]:
    """Yield a message and all messages set inside it, recursively, without map entries."""
    yield message
    for field, value in message.ListFields():
        if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            inside = [each for each in value.values() if isinstance(each, Message)]
        else:
            inside = list(value) if field.is_repeated else [value]
        for each in inside:
            yield from submessages(each)


@st.composite
def with_fields_changed(draw: st.DrawFn, seed: Message) -> bytes:
    """Draw a message with one to three fields set, cleared or extended, at any depth."""
    message = type(seed)()
    message.CopyFrom(seed)
    for _ in range(draw(st.integers(1, 3))):
        target = draw(st.sampled_from(list(submessages(message))))
        if target.DESCRIPTOR.fields:
            change_field(draw, target, draw(st.sampled_from(list(target.DESCRIPTOR.fields))))
    return message.SerializeToString()


def change_field(draw: st.DrawFn, message: Message, field: FieldDescriptor) -> None:
    """Change one field of a message."""
    inner = field.message_type
    if draw(st.integers(0, 4)) == 0 or (inner and inner.GetOptions().map_entry):
        message.ClearField(field.name)
    elif inner:
        value = getattr(message, field.name)
        if field.is_repeated:
            for _ in range(draw(st.sampled_from([1, 2, MANY]))):
                value.add()
        else:
            value.SetInParent()
    elif field.is_repeated:
        value = draw(values(field))
        getattr(message, field.name).extend([value] * draw(st.sampled_from([1, 2, MANY])))
    else:
        setattr(message, field.name, draw(values(field)))


@st.composite
def with_bytes_changed(draw: st.DrawFn, seed: Message) -> bytes:
    """Draw a serialised message with bytes flipped, cut, inserted, repeated or truncated."""
    data = bytearray(seed.SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        change = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "truncate"]))
        if change == "flip" and data:
            data[min(at, len(data) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del data[at : at + length]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif change == "repeat":
            data[at:at] = data[at : at + length]
        elif change == "truncate":
            del data[at:]
    return bytes(data)


def mutated(seed: Message) -> st.SearchStrategy[bytes]:
    """Return a strategy for serialised requests: `seed` with changed fields or bytes, and random bytes."""
    return with_fields_changed(seed) | with_bytes_changed(seed) | st.binary(max_size=100)
