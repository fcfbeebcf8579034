"""Fully connected layers."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.layers import (
    Conv,
    Linear,
)
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import Call, Value, as_float, operator
from zfscope.store.importing.onnx.values import View


@operator("Gemm", "MatMul")
def _linear(builder: Builder, call: Call) -> Sequence[Value]:
    """Read a fully connected layer; of maps of one position, and if maps are needed again, a convolution."""
    value, weight, bias = call.view(), as_float(call.required(1)), call.constant(2)
    stated = call.attributes
    matrix = weight if stated.get("transB", 0) else weight.T
    if stated.get("transA", 0) or weight.ndim != 2 or value.dims != (1, matrix.shape[1]):
        raise ValueError(
            f"a product of tensors of shapes {value.dims} and {weight.shape} is not supported; allowed: "
            "fully connected layers, which read one vector per image"
        )
    matrix = matrix * stated.get("alpha", 1.0)
    if bias is not None:
        bias = np.broadcast_to(as_float(bias) * stated.get("beta", 1.0), (1, len(matrix)))[0]
    source = builder.unscaled(value)
    weights = {"weight": _columns(matrix, source)} | ({} if bias is None else {"bias": as_float(bias)})
    if call.as_maps and source.shape[1:] == (1, 1):
        weights["weight"] = weights["weight"][:, :, None, None]
        maps = builder.add(
            Conv, [source.layer], weights=weights, channels=len(matrix), kernel=1, bias=bias is not None
        )
        return [maps.reindexed(maps.indices.reshape(1, len(matrix)))]
    vector = builder.vector(View(source.layer, source.shape))
    return [builder.add(Linear, [vector.layer], weights=weights, units=len(matrix), bias=bias is not None)]


def _columns(matrix: NDArray[np.float32], source: View) -> NDArray[np.float32]:
    """Return the matrix for the layer's own order of values, of which the tensor may be a reordered part."""
    if source.keeps_order:
        return as_float(matrix)
    columns = np.zeros((prod(source.shape), len(matrix)), np.float32)
    np.add.at(columns, source.indices.ravel(), matrix.T)
    return as_float(columns.T)
