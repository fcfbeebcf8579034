"""What travels to the handler in TorchServe and back: arrays as safetensors, and words beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

Array = NDArray[Any]
"""Of float32, and places in maps, of int64."""

IMAGES, LAYERS, WEIGHTS, REDUCE = "images", "layers", "weights", "reduce"
"""The parts of a request: a message with the images; names of layers, joined by commas; the SHA-256 of the
weights that are meant; and, where of every map only its strongest unit is wanted, VALUES, or SUMS too. One
without images asks only whether the handler is there, with those weights."""

VALUES, SUMS = "values", "sums"
"""What REDUCE may be. A layer's answer is then `conv1/value`, `conv1/place` and, with SUMS, `conv1/sum`."""

ERROR = "error"
"""The word of an answer that says why there is none: TorchServe's gRPC has no status for one of a batch."""


@dataclass(frozen=True, eq=False)
class Message:
    """Arrays by name, and words by name."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Asked:
    """What one request of a batch wants: layers of images, reduced or whole; or, with an error, nothing."""

    images: Array
    layers: tuple[str, ...] = ()
    reduce: str = ""
    error: str = ""


def pack(message: Message) -> bytes:
    """Give a message as bytes."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    return safetensors.numpy.save(arrays, dict(message.words) or None)  # it writes an empty one wrong


def unpack(data: bytes) -> Message:
    """Read a message. Raises ValueError for bytes that are none."""
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{len(data)} bytes that are no safetensors: {error}") from error
    size = int.from_bytes(data[:8], "little")
    return Message(arrays, json.loads(data[8 : 8 + size]).get("__metadata__", {}))
