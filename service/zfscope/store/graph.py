"""ONNX graphs of opaque networks: other outputs, and only what they need."""

from collections.abc import Iterator, Sequence

import onnx
from onnx import GraphProto, NodeProto


def with_outputs(graph: bytes, tensors: Sequence[str]) -> bytes:
    """Return a graph whose outputs are the given tensors, without what they do not need."""
    model = onnx.load_from_string(graph)
    prune(model.graph, tensors)
    known = {value.name: value for value in model.graph.output}
    del model.graph.output[:]
    # A tensor without a type: ONNX Runtime infers it.
    model.graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in tensors)
    data: bytes = model.SerializeToString()
    return data


def with_more_outputs(graph: bytes, tensors: Sequence[str]) -> bytes:
    """Return a graph with its outputs and, after them, the given tensors."""
    names = [value.name for value in onnx.load_from_string(graph).graph.output]
    return with_outputs(graph, [*names, *(name for name in tensors if name not in names)])


def prune(graph: GraphProto, tensors: Sequence[str]) -> None:
    """Remove the nodes and constants that tensors do not need; ONNX Runtime warns of unused constants."""
    needed, kept = set(tensors), list[NodeProto]()
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(_read_tensors(node))
            kept.insert(0, _copied(node))
    unused = [index for index, tensor in enumerate(graph.initializer) if tensor.name not in needed]
    del graph.node[:]
    graph.node.extend(kept)
    for index in reversed(unused):
        del graph.initializer[index]


def _read_tensors(node: NodeProto) -> Iterator[str]:
    """Yield the inputs of a node, and what the graphs inside it read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for each in inner.node:
                yield from _read_tensors(each)


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
