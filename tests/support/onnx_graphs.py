"""Small ONNX graphs, and their import compared with ONNX Runtime on the original graph."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from zfscope.engine.trace import Trace, trace
from zfscope.networks import Network
from zfscope.networks.network import network_with_weights
from zfscope.ort import import_onnxruntime
from zfscope.store.importing.onnx.normalise import fix_input, normalise, to_float32
from zfscope.store.importing.onnx.reader import GraphReading, read_graph
from zfscope.store.importing.onnx.verify import verify

node = helper.make_node

Array = NDArray[Any]


def random_array(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return normally distributed values."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def make_model(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array] | None = None,
    *,
    image: Sequence[int | str] = (1, 3, 8, 8),
    outputs: Sequence[str] = (),
    opset: int = 17,
    inputs: Sequence[ValueInfoProto] = (),
    dtype: int = TensorProto.FLOAT,
) -> ModelProto:
    """Return a graph that reads 'image'. outputs: its outputs; empty: the last node's first."""
    arrays = constants or {}
    names = outputs or [nodes[-1].output[0]]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("image", dtype, list(image)), *inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name in names],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def read_in_process(model: ModelProto, *, size: int | None = None, output: str = "") -> GraphReading:
    """Read a graph as `read_onnx` does, in this process, with its comparison of all tensors."""
    original = ModelProto()
    original.CopyFrom(model)
    image = fix_input(original, size)
    to_float32(original)
    reading = read_graph(normalise(original), original, image, name="graph", output=output)
    verify(original, image, reading)
    return reading


def import_graph(model: ModelProto, *, expected: str = "", channels_last: bool = False) -> Network:
    """Import a graph and compare its output with ONNX Runtime's for the original graph.

    expected: tensor of the original graph that holds the class scores; empty: its output.
    """
    reading = read_in_process(model)
    network = network_with_weights(reading.spec, reading.weights)
    image = random_array(1, *network.shapes["input"], seed=1)
    name = expected or model.graph.output[0].name
    layout = image.transpose(0, 2, 3, 1) if channels_last else image
    theirs = run_original(model, np.ascontiguousarray(layout), [name])[name]
    ours = trace(network, torch.from_numpy(image)).outputs[network.spec.layers[-1].name].numpy()
    assert ours.size == theirs.size
    assert_close(ours.reshape(-1), theirs.reshape(-1))
    return network


def run_original(model: ModelProto, image: Array, outputs: Sequence[str]) -> dict[str, Array]:
    """Return tensors of a graph, computed by ONNX Runtime without optimisations."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    extended = ModelProto()
    extended.CopyFrom(model)
    del extended.graph.output[:]
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = onnxruntime.InferenceSession(extended.SerializeToString(), options)
    feed = image.astype(np.float16) if "float16" in session.get_inputs()[0].type else image
    return dict(zip(outputs, session.run(list(outputs), {session.get_inputs()[0].name: feed}), strict=True))


def assert_close(ours: Array, theirs: Array, tolerance: float = 1e-4) -> None:
    """Assert that values differ by at most a fraction of the largest."""
    largest = float(np.abs(theirs).max())
    assert largest > 0
    assert float(np.abs(ours - theirs).max()) <= tolerance * largest


def traced(network: Network, seed: int = 1) -> Trace:
    """Return the trace of a random image."""
    return trace(network, torch.from_numpy(random_array(1, *network.shapes["input"], seed=seed)))


def kinds(network: Network) -> list[str]:
    """Return the kinds of a network's layers, in order."""
    return [layer.kind for layer in network.spec.layers]
