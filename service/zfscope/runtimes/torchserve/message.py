"""Messages to and from the TorchServe handler: arrays in safetensors format, with text metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

# float32, or int64 for indices in maps.
Array = NDArray[Any]

# Parts of a request: a message with the images; comma-separated names of layers; the SHA-256 of the expected
# weights; and optionally VALUES or SUMS, to return only the maxima of maps. A request without images checks
# that the handler responds and has these weights.
IMAGES, LAYERS, WEIGHTS, REDUCE = "images", "layers", "weights", "reduce"

# Values of REDUCE. The response then has the arrays `conv1/value`, `conv1/place` and, with SUMS, `conv1/sum`.
VALUES, SUMS = "values", "sums"

# Metadata key of an error message: TorchServe cannot return a gRPC status for one request of a batch.
ERROR = "error"


@dataclass(frozen=True, eq=False)
class Message:
    """Arrays and text metadata, by name."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class HandlerRequest:
    """A parsed request of a batch, or an error. reduce: VALUES, SUMS, or empty for whole outputs."""

    images: Array
    layers: tuple[str, ...] = ()
    reduce: str = ""
    error: str = ""


def pack(message: Message) -> bytes:
    """Serialise a message."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    return safetensors.numpy.save(arrays, dict(message.metadata) or None)  # safetensors writes {} incorrectly


def unpack(data: bytes) -> Message:
    """Parse a message. Raises ValueError if the data is not in safetensors format."""
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{len(data)} bytes that are not in safetensors format: {error}") from error
    size = int.from_bytes(data[:8], "little")
    return Message(arrays, json.loads(data[8 : 8 + size]).get("__metadata__", {}))
