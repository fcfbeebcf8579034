"""Operators that are one layer together: nested concatenations, and local response normalisation of torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, numpy_helper

from zfscope.store.importing.onnx.protobuf import attributes

# Operators between the squares and their mean over neighbouring maps: the maps become the depth of a volume.
_AROUND_THE_MEAN = ("Reshape", "Squeeze", "Unsqueeze", "Pad")


@dataclass(frozen=True)
class NormPattern:
    """x / (k + alpha * mean of x * x over `size` maps) ** beta, computed by several nodes.

    absorbed: outputs of the nodes other than the last.
    """

    source: str
    constants: Mapping[str, float]
    absorbed: frozenset[str]


def merge_concatenations(graph: GraphProto) -> None:
    """Merge each concatenation into the one that alone reads it, along the same axis.

    torch's older exporter does so by itself; its newer one does not. Both then give the same layers.
    """
    reads = Counter([name for node in graph.node for name in node.input])
    reads.update(value.name for value in graph.output)
    concatenations: dict[str, NodeProto] = {}
    for node in graph.node:
        if node.op_type != "Concat":
            continue
        parts: list[str] = []
        for name in node.input:
            inner = concatenations.get(name)
            merged = inner is not None and reads[name] == 1 and attributes(inner) == attributes(node)
            parts += inner.input if inner is not None and merged else [name]
        del node.input[:]
        node.input.extend(parts)
        concatenations[node.output[0]] = node


def find_norms(graph: GraphProto) -> Mapping[str, NormPattern]:
    """Return the norms of a graph by the tensor of their last node."""
    finder = _Finder(graph)
    found = {node.output[0]: finder.norm(node) for node in graph.node if node.op_type == "Div"}
    return {output: pattern for output, pattern in found.items() if pattern}


class _Finder:
    def __init__(self, graph: GraphProto) -> None:
        self._producers = {output: node for node in graph.node for output in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._absorbed: set[str] = set()

    def norm(self, div: NodeProto) -> NormPattern | None:
        """Return the norm that a division ends, if it does."""
        self._absorbed = set()
        source, divisor = div.input
        power = self._step(divisor, "Pow")
        total = power and self._step(power.input[0], "Add")
        scaled = total and self._step(self._variable(total), "Mul")
        if not power or not total or not scaled:
            return None
        mean = self._around(self._variable(scaled))
        if mean is None or mean.op_type != "AveragePool":
            return None
        self._absorbed.add(mean.output[0])
        squares = self._around(mean.input[0])
        if squares is None or squares.op_type != "Mul" or list(squares.input) != [source, source]:
            return None
        self._absorbed.add(squares.output[0])
        beta = self._number([power.input[1]])
        k, alpha = self._number(total.input), self._number(scaled.input)
        kernel: Sequence[int] = attributes(mean)["kernel_shape"]
        sizes = [size for size in kernel if size > 1]
        if beta is None or k is None or alpha is None or len(sizes) > 1:
            return None
        constants = {"size": sizes[0] if sizes else 1, "alpha": alpha, "beta": beta, "k": k}
        return NormPattern(source, constants, frozenset(self._absorbed))

    def _step(self, tensor: str, operator: str) -> NodeProto | None:
        node = self._producers.get(tensor)
        if node is None or node.op_type != operator:
            return None
        self._absorbed.add(tensor)
        return node

    def _around(self, tensor: str) -> NodeProto | None:
        """Return the first node below a tensor that does not only reshape or pad."""
        node = self._producers.get(tensor)
        while node is not None and node.op_type in _AROUND_THE_MEAN:
            self._absorbed.add(node.output[0])
            node = self._producers.get(node.input[0])
        return node

    def _variable(self, node: NodeProto) -> str:
        """Return the operand of a node that is not constant."""
        return next((name for name in node.input if name not in self._constants), "")

    def _number(self, names: Sequence[str]) -> float | None:
        constants = [self._constants[name] for name in names if name in self._constants]
        values = [numpy_helper.to_array(constant) for constant in constants]
        return float(values[0].ravel()[0]) if len(values) == 1 and values[0].size == 1 else None
