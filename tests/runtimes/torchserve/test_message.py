"""Messages are what they were when they arrive."""

import numpy as np
import pytest

from zfscope.runtimes.torchserve.message import Message, pack, unpack


def test_arrays_and_words_arrive_as_they_were() -> None:
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = unpack(pack(Message({"conv1": array, "fc8": array.T}, {"error": "ein Fehler: ü"})))
    np.testing.assert_array_equal(found.arrays["conv1"], array)
    np.testing.assert_array_equal(found.arrays["fc8"], array.T)
    assert found.metadata == {"error": "ein Fehler: ü"}


@pytest.mark.parametrize(
    "message", [Message(), Message({"a": np.zeros((0, 3), np.float32)}), Message({}, {"b": ""})]
)
def test_a_message_may_have_little_in_it(message: Message) -> None:
    found = unpack(pack(message))
    assert {name: array.shape for name, array in found.arrays.items()} == {
        name: array.shape for name, array in message.arrays.items()
    }
    assert found.metadata == message.metadata


@pytest.mark.parametrize("data", [b"", b"Prediction failed", b"\xff" * 8, pack(Message({}, {"b": "c"}))[:-4]])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"^{len(data)} bytes that are not in safetensors format"):
        unpack(data)
