"""ONNX graphs that output only the maxima of each map in 3 x 3 cells."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from zfscope.networks.layer import Shape
from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.runtimes.cells import cell_count, cell_window
from zfscope.runtimes.onnx.graph import partial_graph


def onnx_cells_graph(
    spec: NetworkSpec, weights: Mapping[str, NDArray[np.float32]], layers: Sequence[str]
) -> bytes:
    """Return a graph of the part of a network that some layers need, with their cells' maxima as outputs.

    weights: those of the whole network, by name, such as `conv1.weight`. The output of a layer is
    `conv1/cells`, see `Runtime.cell_maxima`. The graph is validated.
    """
    known = shapes(spec)
    nodes = [_pool(layer, known[layer]) for layer in layers]
    return partial_graph(spec, weights, layers, nodes, [_output(layer, known[layer]) for layer in layers])


def output_name(layer: str) -> str:
    """Return the name of a layer's output."""
    return f"{layer}/cells"


def _pool(layer: str, shape: Shape) -> NodeProto:
    """Return the node of a layer. Max pooling reads the blocked layout of ONNX Runtime's convolutions."""
    name = output_name(layer)
    if len(shape) == 1:
        return helper.make_node("Identity", [layer], [name], name=name)
    rows, columns = map(cell_window, shape[1:])
    return helper.make_node(
        "MaxPool",
        [layer],
        [name],
        name=name,
        kernel_shape=[rows.kernel, columns.kernel],
        strides=[rows.stride, columns.stride],
        pads=[rows.padding, columns.padding] * 2,
    )


def _output(layer: str, shape: Shape) -> ValueInfoProto:
    cells = [shape[0], *map(cell_count, shape[1:])]
    return helper.make_tensor_value_info(output_name(layer), TensorProto.FLOAT, ["N", *cells])
