"""Activation functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

import numpy as np

from zfscope.networks.layers import (
    Activation,
    Clip,
    PReLU,
    ReLU,
)
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import Call, Value, add_elementwise, operator, values_per_map
from zfscope.store.importing.onnx.values import View


@operator("Relu")
def _relu(builder: Builder, call: Call) -> Sequence[Value]:
    return [add_elementwise(builder, call.view(), ReLU)]


@operator("Clip")
def _clip(builder: Builder, call: Call) -> Sequence[Value]:
    stated = call.attributes
    low, high = _bound(call, 1, stated.get("min", -np.inf)), _bound(call, 2, stated.get("max", np.inf))
    return [_clipped(builder, call.view(), low, high)]


@operator("Max", "Min")
def _bounded(builder: Builder, call: Call) -> Sequence[Value]:
    """Read the maximum or minimum of a tensor and a number."""
    constants = [value for value in call.operands if not isinstance(value, View) and value is not None]
    values = [value for value in call.operands if isinstance(value, View)]
    if len(values) != 1 or len(constants) != 1 or constants[0].size != 1:
        raise ValueError("only the maximum or minimum of a tensor and one number is supported")
    number = float(constants[0].ravel()[0])
    low, high = (number, np.inf) if call.node.op_type == "Max" else (-np.inf, number)
    return [_clipped(builder, values[0], low, high)]


def _clipped(builder: Builder, value: View, low: float, high: float) -> View:
    """Add clipping; after a shift, as hard sigmoid: HardSwish is x * clip(x + 3, 0, 6) / 6."""
    if not value.is_unscaled and isfinite(low) and isfinite(high):
        width = high - low
        plain = replace(value, scale=1.0, offset=0.0)
        fields = {"alpha": value.scale / width, "beta": (value.offset - low) / width}
        clipped = add_elementwise(builder, plain, Activation, function="hard_sigmoid", **fields)
        return replace(clipped, scale=width, offset=low)
    if (low, high) == (0, np.inf):
        return add_elementwise(builder, value, ReLU)
    bounds = {"low": low if isfinite(low) else None, "high": high if isfinite(high) else None}
    return add_elementwise(builder, value, Clip, **bounds)


def _bound(call: Call, index: int, otherwise: float) -> float:
    """Return a bound of clipping; float32's largest values mean none."""
    constant = call.constant(index)
    bound = float(constant) if constant is not None else float(otherwise)
    return bound if abs(bound) < float(np.finfo(np.float32).max) else float(np.copysign(np.inf, bound))


# Activation functions by operator, with the defaults of their constants.
_FUNCTIONS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Elu": ("elu", {"alpha": 1.0}),
    "Selu": ("selu", {}),
    "Tanh": ("tanh", {}),
    "Sigmoid": ("sigmoid", {}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": ("hard_swish", {}),
    "Softplus": ("softplus", {}),
    "Gelu": ("gelu", {}),
}


@operator(*_FUNCTIONS)
def _activation(builder: Builder, call: Call) -> Sequence[Value]:
    function, defaults = _FUNCTIONS[call.node.op_type]
    stated = call.attributes
    if stated.get("approximate", b"none") != b"none":
        raise ValueError("only the exact form of Gelu is supported, approximate='none'")
    constants = {name: float(stated.get(name, value)) for name, value in defaults.items()}
    return [add_elementwise(builder, call.view(), Activation, function=function, **constants)]


@operator("PRelu")
def _prelu(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    slope = values_per_map(value, call.required(1))
    return [add_elementwise(builder, value, PReLU, weights={"weight": slope})]
