"""Reading a graph as an opaque network: its tensors as layers, and its batch dimension made free."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from zfscope.networks.layers import GraphTensor
from zfscope.networks.spec import INPUT, NetworkSpec
from zfscope.store.graph import prune
from zfscope.store.importing.onnx.batch import free_batch
from zfscope.store.importing.onnx.forms import (
    channels_last_tensors,
    form_of_scores,
    form_of_tensor,
    grids_of,
)
from zfscope.store.importing.onnx.names import NodeOrigins, choose_names
from zfscope.store.importing.onnx.normalise import CHANNELS, fix_input, normalise, run, to_float32
from zfscope.store.importing.onnx.options import ReadOptions
from zfscope.store.importing.onnx.protobuf import tensors
from zfscope.store.importing.onnx.reader import (
    UnreadableNode,
    read_graph,
    scores_tensor,
    with_default_inputs,
)
from zfscope.store.manifest import OpaqueGraph

# Largest difference between batches of several images and of one, as a fraction of a tensor's largest value.
TOLERANCE = 1e-4
# Images of the batch that is compared with single images.
_IMAGES = 3

_WEIGHT_TYPES = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.INT8,
    TensorProto.UINT8,
)

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class OpaqueReading:
    """A graph that runs as a whole.

    spec: its tensors as layers. graph: the file. tensors, difference: number of tensors compared between a
    batch and single images, and their largest difference as a fraction of the largest value.
    """

    spec: NetworkSpec
    graph: bytes
    info: OpaqueGraph
    tensors: int
    difference: float


def read_opaque(original: ModelProto, options: ReadOptions) -> OpaqueReading:
    """Read a graph that `read_model` returned as an opaque network; changes it.

    Raises ValueError for control flow and for an output that cannot be class scores or maps.
    """
    is_fixed = _has_fixed_batch(original)
    image = fix_input(original, options.size)
    to_float32(original)
    obstacle = _obstacle(normalise(original), original, image, options)
    scores = scores_tensor(original.graph, options.output)
    pixels = _images(image, 1)
    candidates = _candidates(original.graph, image.name, scores)
    outputs = run(original, pixels, candidates)
    spec = _spec(original.graph, image, outputs, scores, options.name)
    layers = [layer for layer in spec.layers if isinstance(layer, GraphTensor)]
    freed, difference = _freed(original, image, layers, outputs, is_fixed=is_fixed)
    info = OpaqueGraph(
        input=image.name,
        channels_last=_is_channels_last(image),
        batches=freed is not None,
        parameters=sum(
            prod(each.dims) for each in tensors(original.graph) if each.data_type in _WEIGHT_TYPES
        ),
        obstacle=obstacle,
    )
    graph = freed or original
    prune(graph.graph, [value.name for value in graph.graph.output])
    return OpaqueReading(spec, graph.SerializeToString(), info, len(layers) if freed else 0, difference)


def _has_fixed_batch(model: ModelProto) -> bool:
    """Return whether the batch dimension of the graph's input is fixed. The input is not checked yet."""
    constants = {tensor.name for tensor in model.graph.initializer}
    images = next((value for value in model.graph.input if value.name not in constants), None)
    dims = images.type.tensor_type.shape.dim if images else []
    return bool(dims and dims[0].dim_value)


def _obstacle(
    simplified: ModelProto, original: ModelProto, image: ValueInfoProto, options: ReadOptions
) -> str:
    """Return the node that prevents reading the graph as a list of layers; empty if nothing does."""
    try:
        read_graph(simplified, original, image, name=options.name, output=options.output)
    except UnreadableNode as error:
        return str(error).split(": ", 1)[0]
    return ""


def _candidates(graph: GraphProto, image: str, scores: str) -> list[str]:
    """Return the tensors that may be layers: computed from the image, and needed for the class scores."""
    dependent, needed = {image}, {scores}
    for node in graph.node:
        if not dependent.isdisjoint(node.input):
            dependent.update(node.output)
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
    if scores not in dependent:
        raise ValueError(f"output '{scores}' does not depend on the image")
    used = dependent & needed
    return [name for node in graph.node for name in node.output if name in used]


def _spec(graph: GraphProto, image: ValueInfoProto, outputs: Arrays, scores: str, name: str) -> NetworkSpec:
    """Return the network of the tensors that are maps, tokens or units. outputs: for one image."""
    producers = {output: node for node in graph.node for output in node.output}
    grids = grids_of([(producers[tensor], array) for tensor, array in outputs.items()])
    last = channels_last_tensors(graph, outputs, image.name, is_image_last=_is_channels_last(image))
    kept = {}
    for tensor, array in outputs.items():
        form = (
            form_of_scores(array, grids)
            if tensor == scores
            else form_of_tensor(producers[tensor], array, grids, channels_last=tensor in last)
        )
        if form is not None:
            kept[tensor] = form
    if scores not in kept:
        shape = tuple(outputs[scores].shape)
        raise ValueError(f"output '{scores}' has the shape {shape}; class scores have the shape (N, classes)")
    origins = NodeOrigins(graph, graph)
    names = choose_names({tensor: origins.of(producers[tensor]) for tensor in kept}, reserved=[INPUT])
    layers = [
        GraphTensor(
            name=names[tensor],
            tensor=tensor,
            operator=producers[tensor].op_type,
            inputs=tuple(names.get(each, INPUT) for each in _sources(producers, tensor, kept, image.name)),
            **form,
        )
        for tensor, form in kept.items()
    ]
    channels, size = _extent(image)
    spec = NetworkSpec(name=name, input_channels=channels, input_size=size, layers=tuple(layers))
    return spec.model_copy(update={"layers": with_default_inputs(spec.needed_for([names[scores]]))})


def _sources(
    producers: Mapping[str, NodeProto], tensor: str, kept: Collection[str], image: str
) -> Sequence[str]:
    """Return the nearest kept tensors, or the image, that a tensor is computed from."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    pending = list(producers[tensor].input)
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name in kept or name == image:
            found[name] = None
        elif name in producers:
            pending += producers[name].input
    # The image as well as tensors: a residual connection, or only the shape of the image.
    return [name for name in found if name != image] or [image]


def _freed(
    original: ModelProto,
    image: ValueInfoProto,
    layers: Sequence[GraphTensor],
    outputs: Arrays,
    *,
    is_fixed: bool,
) -> tuple[ModelProto | None, float]:
    """Return the graph for any number of images, and its largest difference from single ones.

    None if there is no such graph whose results for an image do not depend on the others of the batch.
    outputs: all tensors for one image. is_fixed: whether the batch dimension of its input was fixed.
    """
    names = [layer.tensor for layer in layers]
    images = _images(image, _IMAGES)
    alone = [run(original, images[number : number + 1], names) for number in range(_IMAGES)]
    # A batch that is free in the input may still be written into constants.
    for constants in (True,) if is_fixed else (False, True):
        freed = free_batch(original, image.name, outputs, constants=constants)
        try:
            together = run(freed, images, names)
        except ValueError:
            continue
        worst = max(_batch_difference(together[name], [each[name] for each in alone]) for name in names)
        if worst <= TOLERANCE:
            return freed, worst
    return None, 0.0


def _batch_difference(together: NDArray[Any], alone: Sequence[NDArray[Any]]) -> float:
    """Return the largest difference of a tensor between a batch and its single images."""
    if together.shape != (len(alone), *alone[0].shape[1:]):
        return float("inf")
    return max(_difference(values, single[0]) for values, single in zip(together, alone, strict=True))


def _difference(values: NDArray[Any], expected: NDArray[Any]) -> float:
    if not np.isfinite(expected).all():
        return float("inf")
    largest = float(np.abs(expected).max())
    return float(np.abs(values - expected).max()) / max(largest, float(np.finfo(np.float32).tiny))


def _images(image: ValueInfoProto, count: int) -> NDArray[np.float32]:
    """Return random images of the input's shape, each with its own range of values."""
    _, *dims = (dim.dim_value for dim in image.type.tensor_type.shape.dim)
    noise = np.random.default_rng(0).standard_normal((count, *dims))
    scales = np.array([1.0, 0.3, 2.0][:count]).reshape(-1, 1, 1, 1)
    result: NDArray[np.float32] = (noise * scales).astype(np.float32)
    return result


def _is_channels_last(image: ValueInfoProto) -> bool:
    return image.type.tensor_type.shape.dim[1].dim_value not in CHANNELS


def _extent(image: ValueInfoProto) -> tuple[int, int]:
    """Return the channels and the size of the input."""
    _, *dims = (dim.dim_value for dim in image.type.tensor_type.shape.dim)
    return (dims[2], dims[0]) if _is_channels_last(image) else (dims[0], dims[1])
