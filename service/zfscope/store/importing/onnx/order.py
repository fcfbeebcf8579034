"""The order of nodes: as in the original graph, which exporters write in the order of evaluation."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf

from onnx import GraphProto, NodeProto


def in_original_order(nodes: Sequence[NodeProto], original: GraphProto) -> list[NodeProto]:
    """Return nodes of a simplified graph, whose parallel branches are in any order, in their original order.

    nodes: in an order in which each follows those that it reads; so are those returned.
    """
    positions = _positions(nodes, original)
    producers = {output: index for index, node in enumerate(nodes) for output in node.output}
    waiting = [{producers[name] for name in node.input if name in producers} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, needed in enumerate(waiting):
        for producer in needed:
            readers[producer].append(index)
    ready = [(positions[index], index) for index, needed in enumerate(waiting) if not needed]
    heapify(ready)
    ordered = []
    while ready:
        _, index = heappop(ready)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader].discard(index)
            if not waiting[reader]:
                heappush(ready, (positions[reader], reader))
    return ordered


def _positions(nodes: Sequence[NodeProto], original: GraphProto) -> list[float]:
    """Return the position of each node in the original graph; of a new node, that of the first reader."""
    known = {output: float(index) for index, node in enumerate(original.node) for output in node.output}
    first_reader: dict[str, float] = {}
    positions = []
    for node in reversed(nodes):
        position = known.get(node.output[0], first_reader.get(node.output[0], inf))
        positions.append(position)
        for name in node.input:
            first_reader[name] = min(position, first_reader.get(name, inf))
    return positions[::-1]
