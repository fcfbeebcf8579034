"""Names of layers, from what exporters write: scopes of modules, names of weights, paths of nodes."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"
_PARAMETER = re.compile(r"(.+)\.(weight|bias|kernel|gamma)")
# Maximum length of a layer name, which is also used in names of files.
_MAX_LENGTH = 120
# Maximum number of operators that are merged into one.
_MAX_FUSED = 4
_GENERATED = re.compile(r"^(onnx::|val_|_val|t_)")


@dataclass(frozen=True)
class NodeOrigin:
    """Where a layer comes from: the path of its module, and its operator in lower case."""

    path: tuple[str, ...]
    operator: str


class NodeOrigins:
    """Origins of the nodes of a simplified graph, found in the graph before simplification.

    Simplification drops the metadata of nodes and the names of fused weights. Nodes are matched by name, or
    by the tensor that they write. A node that replaces a part of an operator, such as HardSwish, is matched
    by the node that reads it.
    """

    def __init__(self, original: GraphProto, simplified: GraphProto) -> None:
        counts = Counter(node.name for node in original.node)
        self._by_name = {node.name: node for node in original.node if node.name and counts[node.name] == 1}
        self._by_output = {output: node for node in original.node for output in node.output}
        self._readers = {name: node for node in reversed(simplified.node) for name in node.input}

    def of(self, node: NodeProto) -> NodeOrigin:
        """Return the origin of a node of the simplified graph."""
        named = self._by_name.get(node.name)
        if named is not None and named.op_type == node.op_type:
            return NodeOrigin(_path(named), node.op_type.lower())
        writer = self._by_output.get(node.output[0])
        original = self._fused(writer, node.op_type) or writer or named or self._reader(node) or node
        return NodeOrigin(_path(original), node.op_type.lower())

    def _reader(self, node: NodeProto) -> NodeProto | None:
        """Return the original of the first node that reads a new tensor."""
        reader = self._readers.get(node.output[0])
        return self._by_output.get(reader.output[0]) if reader else None

    def _fused(self, node: NodeProto | None, operator: str) -> NodeProto | None:
        """Return the node of an operator that later ones, up to the given node, were merged with."""
        for _ in range(_MAX_FUSED):
            if node is None or node.op_type == operator:
                return node
            node = self._by_output.get(node.input[0]) if node.input else None
        return None


def _path(node: NodeProto) -> tuple[str, ...]:
    """Return the path of a node's module: from its weight, the exporter's scope, its name, or its output.

    The weight comes first: a convolution that the exporter fused with its normalisation has the scope of the
    latter.
    """
    for name in node.input[1:]:
        parameter = _PARAMETER.fullmatch(name)
        if parameter and not _GENERATED.match(name):
            return tuple(parameter[1].split("."))
    scope = _scope(node)
    if scope is not None:
        return tuple(scope.replace("@", "_").split(".")) if scope else ()
    if "/" in node.name:
        return _joined(node.name.strip("/").split("/")[:-1])
    return _joined((node.name or node.output[0]).split("/"))


def _scope(node: NodeProto) -> str | None:
    """Return the path of the module that the newer exporter of torch states; None without a valid one."""
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    try:
        scopes = json.loads(text.replace("'", '"'))
    except ValueError:
        return None
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes) or not scopes:
        return None
    return scopes[-2] if len(scopes) > 1 else ""


def _joined(parts: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of a path; children of a list repeat its path: layer1/layer1.0 is layer1.0."""
    path: list[str] = []
    for part in parts:
        names = part.split(".")
        repeated = next((n for n in range(len(names) - 1, 0, -1) if path[-n:] == names[:n]), 0)
        path += names[repeated:]
    return tuple(path)


def choose_names(origins: Mapping[str, NodeOrigin], *, reserved: Sequence[str] = ()) -> Mapping[str, str]:
    """Return a unique layer name for each key, in order of evaluation.

    A module that contains no other gives its name to its last layer, which is its output; its earlier layers
    have their operator added. So have operators that a module with others inside applies itself.
    """
    paths = {origin.path for origin in origins.values()}
    parents = {path[:depth] for path in paths for depth in range(len(path))}
    last = {origin.path: key for key, origin in origins.items()}
    operators = {path: {o.operator for o in origins.values() if o.path == path} for path in paths}
    taken = Counter(reserved)
    names = {}
    for key, origin in origins.items():
        is_module = bool(origin.path) and origin.path not in parents
        bare = is_module and (last[origin.path] == key or len(operators[origin.path]) == 1)
        names[key] = _unique(_valid(origin.path if bare else (*origin.path, origin.operator)), taken)
    return names


def _valid(path: Sequence[str]) -> str:
    """Return a path as a valid layer name."""
    parts = [re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_") for part in path]
    name = ".".join(part for part in parts if part)[:_MAX_LENGTH].rstrip(".") or "layer"
    return name if name[0].isalpha() else f"layer{'' if name[0] == '_' else '_'}{name}"


def _unique(name: str, taken: Counter[str]) -> str:
    unique, number = name, 0
    while taken[unique]:
        number += 1
        unique = f"{name}_{number}"
    taken[unique] += 1
    return unique
