"""Forms of tensors as layers: maps, tokens of patches, or units, by their shapes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isqrt, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from zfscope.networks.layer import Shape
from zfscope.store.importing.onnx.protobuf import attributes

# Operators whose outputs are their inputs' values in another form.
_REARRANGING = frozenset(
    ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout", "Expand")
)
# Maximum number of tokens before those of the patches: the class token, and registers.
_MAX_SKIPPED = 8


def grids_of(outputs: Sequence[tuple[NodeProto, NDArray[Any]]]) -> frozenset[tuple[int, int]]:
    """Return the rows and columns of the graph's maps: of convolutions and pooling, and halves of them."""
    sizes = {
        (array.shape[2], array.shape[3])
        for node, array in outputs
        if array.ndim == 4 and any(part in node.op_type for part in ("Conv", "Pool", "Resize"))
    }
    halves = {
        (rows // part, columns // part)
        for rows, columns in sizes
        for part in (2, 4, 8, 16)
        if rows % part == columns % part == 0
    }
    return frozenset(size for size in sizes | halves if prod(size) > 1)


def channels_last_tensors(
    graph: GraphProto, outputs: Mapping[str, NDArray[Any]], image: str, *, is_image_last: bool
) -> frozenset[str]:
    """Return the tensors of four axes whose last is that of maps, by the transpositions before them.

    image: name of the input. is_image_last: whether its channels are the last axis.
    """
    found = {image} if is_image_last else set[str]()
    for node in graph.node:
        source = next((name for name in node.input if name in outputs or name == image), "")
        is_last = source in found
        if node.op_type == "Transpose":
            is_last = {(0, 2, 3, 1): True, (0, 3, 1, 2): False}.get(
                tuple(attributes(node).get("perm", ())), is_last
            )
        if is_last and "Conv" not in node.op_type:
            found.update(node.output)
    return frozenset(found)


def form_of_tensor(
    node: NodeProto, array: NDArray[Any], grids: Collection[tuple[int, int]], *, channels_last: bool
) -> Mapping[str, Any] | None:
    """Return the fields `shape`, `layout` and `skipped` of a tensor's layer; None if it is not one.

    channels_last: whether its maps are the last axis, if the sizes leave this open.
    """
    is_layer = array.dtype == np.float32 and array.ndim > 1 and array.shape[0] == 1
    if not is_layer or node.op_type in _REARRANGING:
        return None
    return _form_of(array.shape[1:], grids, channels_last=channels_last)


def form_of_scores(array: NDArray[Any], grids: Collection[tuple[int, int]]) -> Mapping[str, Any] | None:
    """Return the fields of the layer of the class scores, or of the maps that a network ends in; or None."""
    if array.dtype != np.float32 or array.ndim < 2 or array.shape[0] != 1:
        return None
    shape = array.shape[1:]
    if prod(shape) == shape[0]:
        return {"shape": shape[:1], "layout": "units"}
    if len(shape) == 3 and shape[1] == shape[2]:
        return {"shape": shape, "layout": "maps"}
    return _form_of(shape, grids)


def _form_of(
    shape: Shape, grids: Collection[tuple[int, int]], *, channels_last: bool = False
) -> Mapping[str, Any] | None:
    if 0 in shape:
        return None
    if len(shape) == 1:
        return {"shape": shape, "layout": "units"}
    if len(shape) == 2:
        return _form_of_tokens(*shape, grids)
    if len(shape) != 3:
        return None
    sizes = {*grids, (1, 1)}
    may_be_last = shape[:2] in sizes
    if shape[1:] in sizes and not (may_be_last and channels_last):
        return {"shape": shape, "layout": "maps"}
    return {"shape": (shape[2], *shape[:2]), "layout": "channels_last"} if may_be_last else None


def _form_of_tokens(tokens: int, width: int, grids: Collection[tuple[int, int]]) -> Mapping[str, Any] | None:
    """Return a layer of tokens: a map per feature, with the patches of a known grid, or of a square."""
    if tokens == 1:
        return {"shape": (width,), "layout": "units"}
    fitting = [
        grid for grid in grids if 0 <= tokens - prod(grid) <= _MAX_SKIPPED and prod(grid) > _MAX_SKIPPED
    ]
    fitting = fitting or [(side, side) for side in _square_sides(tokens)]
    if not fitting:
        return None
    rows, columns = max(fitting, key=prod)
    return {"shape": (width, rows, columns), "layout": "tokens", "skipped": tokens - rows * columns}


def _square_sides(tokens: int) -> Iterator[int]:
    """Yield the side of a square of patches, if there are just as many tokens, or one more."""
    for patches in (tokens, tokens - 1):
        if patches > 1 and isqrt(patches) ** 2 == patches:
            yield isqrt(patches)
