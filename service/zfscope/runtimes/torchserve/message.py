"""Messages to and from the handler in TorchServe: arrays in safetensors format, with text metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

# float32, or int64 for positions in maps.
Array = NDArray[Any]

# Parts of a request: a message with the images; layer names separated by commas; the SHA-256 of the expected
# weights; and optionally VALUES or SUMS, to return map maxima only. Without images, a request only checks the
# handler and its weights.
IMAGES, LAYERS, WEIGHTS, REDUCE = "images", "layers", "weights", "reduce"

# Values of REDUCE. The arrays of a layer are then `conv1/value`, `conv1/place` and, with SUMS, `conv1/sum`.
VALUES, SUMS = "values", "sums"

# Metadata key of an error message: TorchServe's gRPC has no status for a single request of a batch.
ERROR = "error"


@dataclass(frozen=True, eq=False)
class Message:
    """Arrays and text metadata, by name."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class HandlerRequest:
    """A parsed request of a batch: layers of images, whole or reduced; or an error."""

    images: Array
    layers: tuple[str, ...] = ()
    reduce: str = ""
    error: str = ""


def pack(message: Message) -> bytes:
    """Serialise a message."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    return safetensors.numpy.save(arrays, dict(message.metadata) or None)  # safetensors writes {} incorrectly


def unpack(data: bytes) -> Message:
    """Parse a message. Raises ValueError for invalid bytes."""
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{len(data)} bytes that are not in safetensors format: {error}") from error
    size = int.from_bytes(data[:8], "little")
    return Message(arrays, json.loads(data[8 : 8 + size]).get("__metadata__", {}))
