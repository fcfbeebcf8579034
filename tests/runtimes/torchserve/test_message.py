"""Messages: packing and unpacking."""

import numpy as np
import pytest

from zfscope.runtimes.torchserve.message import Message, pack, unpack


def test_arrays_and_metadata_are_preserved() -> None:
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    message = unpack(pack(Message({"conv1": array, "fc8": array.T}, {"error": "ein Fehler: ü"})))
    np.testing.assert_array_equal(message.arrays["conv1"], array)
    np.testing.assert_array_equal(message.arrays["fc8"], array.T)
    assert message.metadata == {"error": "ein Fehler: ü"}


@pytest.mark.parametrize(
    "message", [Message(), Message({"a": np.zeros((0, 3), np.float32)}), Message({}, {"b": ""})]
)
def test_messages_may_be_empty(message: Message) -> None:
    unpacked = unpack(pack(message))
    assert {name: array.shape for name, array in unpacked.arrays.items()} == {
        name: array.shape for name, array in message.arrays.items()
    }
    assert unpacked.metadata == message.metadata


@pytest.mark.parametrize("data", [b"", b"Prediction failed", b"\xff" * 8, pack(Message({}, {"b": "c"}))[:-4]])
def test_bytes_in_another_format_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"^{len(data)} bytes that are not in safetensors format"):
        unpack(data)
