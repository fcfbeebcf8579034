"""A node with its operands, and the table of operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from zfscope.networks.layer import Layer
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.protobuf import attributes
from zfscope.store.importing.onnx.values import View

Constant = NDArray[Any]
Value = View | Constant


@dataclass(frozen=True)
class Call:
    """A node with its operands: None for one that is left out.

    as_maps: whether a vector that the node computes becomes maps again, as in squeeze-and-excitation.
    """

    node: NodeProto
    operands: tuple[Value | None, ...]
    as_maps: bool = False

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the node by name."""
        return attributes(self.node)

    def view(self, index: int = 0) -> View:
        """Return an operand that layers compute."""
        value = self.operands[index] if index < len(self.operands) else None
        if not isinstance(value, View):
            raise ValueError(f"input {index} is constant or missing; it must be computed from the image")
        return value

    def constant(self, index: int) -> Constant | None:
        """Return a constant operand; None if it is left out."""
        value = self.operands[index] if index < len(self.operands) else None
        if isinstance(value, View):
            raise ValueError(f"input {index} is computed from the image; only constants are supported there")
        return value

    def required(self, index: int) -> Constant:
        """Return a constant operand that must not be left out."""
        value = self.constant(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value


# Maps an operator to a function that returns its outputs.
Reader = Callable[[Builder, Call], Sequence[Value]]
OPERATORS: dict[str, Reader] = {}


def operator(*names: str) -> Callable[[Reader], Reader]:
    """Register the decorated function for operators."""

    def register(reader: Reader) -> Reader:
        OPERATORS.update(dict.fromkeys(names, reader))
        return reader

    return register


def add_elementwise(builder: Builder, value: View, kind: type[Layer], **fields: Any) -> View:
    """Add a layer of single values; whatever view of the layer below is kept."""
    source = builder.unscaled(value)
    result = builder.add(kind, [source.layer], **fields)
    return source.of_layer(result.layer, result.shape)


def as_float(values: Constant) -> NDArray[np.float32]:
    """Return a constant in float32."""
    return np.ascontiguousarray(values, np.float32)


def values_per_map(value: View, constant: Constant) -> NDArray[np.float32]:
    """Return a constant operand as one value per map or unit. Raises ValueError if it has others."""
    values = value.per_map(as_float(constant))
    if values is None:
        raise ValueError(
            f"a constant of shape {constant.shape} with a tensor of shape {value.dims} is not supported: it "
            "must have one value, or one per map"
        )
    return values
