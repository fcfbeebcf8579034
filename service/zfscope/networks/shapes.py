"""The shape of every layer's output, by arithmetic alone."""

from collections.abc import Mapping
from math import prod

from zfscope.networks.spec import (
    INPUT,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    NetworkSpec,
)

Shape = tuple[int, ...]
"""(maps, rows, columns), or (units,) of a fully connected layer."""


def shapes(spec: NetworkSpec, *, input_size: int | None = None) -> Mapping[str, Shape]:
    """Give the output shape of every layer for square images of `input_size` pixels (default: its own).

    Raises ValueError, naming the layer, where the layers do not fit together.
    """
    size, sources = input_size or spec.input_size, spec.sources
    known: dict[str, Shape] = {INPUT: (spec.input_channels, size, size)}
    for layer in spec.layers:
        known[layer.name] = _shape(layer, [known[name] for name in sources[layer.name]])
    return known


def parameter_count(spec: NetworkSpec) -> int:
    """Count the weights and biases of the network."""
    known = shapes(spec)
    return sum(
        prod(weight_shape(layer, known[spec.sources[layer.name][0]])) + known[layer.name][0]
        for layer in spec.layers
        if isinstance(layer, Conv | Linear)
    )


def multiplications(spec: NetworkSpec) -> int:
    """Count the multiply-accumulates of one image's forward pass, in filters and full connections."""
    known = shapes(spec)
    return sum(
        prod(weight_shape(layer, known[spec.sources[layer.name][0]])) * prod(known[layer.name][1:])
        for layer in spec.layers
        if isinstance(layer, Conv | Linear)
    )


def weight_shape(layer: Conv | Linear, source: Shape) -> Shape:
    """Give the shape of a layer's weights: (out, in, rows, columns) of filters, (out, in) of full ones."""
    if isinstance(layer, Conv):
        return (layer.channels, source[0], layer.kernel, layer.kernel)
    return (layer.units, source[0])


def tensor_shapes(spec: NetworkSpec) -> Mapping[str, Shape]:
    """Return the shape of every weight and bias, by its name and in the order of `layers.state_dict()`."""
    known, found = shapes(spec), dict[str, Shape]()
    for layer in spec.layers:
        if isinstance(layer, Conv | Linear):
            weight = weight_shape(layer, known[spec.sources[layer.name][0]])
            found |= {f"{layer.name}.weight": weight, f"{layer.name}.bias": weight[:1]}
    return found


def window_count(size: int, layer: Conv | MaxPool | AvgPool, *, before: int, after: int) -> int:
    """Count the windows of a layer along a side of `size` pixels with the padding before and after it.

    A `ceil` pool keeps a last window that overhangs the far edge, if it starts on a pixel
    (not wholly in the padding): the rule of Caffe, cuda-convnet and torch.
    """
    room = size + before + after - layer.kernel
    if room < 0:
        return 0
    count = room // layer.stride + 1
    overhangs = isinstance(layer, MaxPool) and layer.rounding == "ceil" and room % layer.stride > 0
    return count + (overhangs and count * layer.stride < size + before)


def _shape(layer: Layer, sources: list[Shape]) -> Shape:
    source = sources[0]
    if isinstance(layer, Conv | MaxPool | AvgPool):
        return _window_shape(layer, source)
    if isinstance(layer, LocalResponseNorm) and layer.region == "within_map":
        _expect(len(source) == 3, layer, source, "maps, not a vector")
    if isinstance(layer, Linear):
        _expect(len(source) == 1, layer, source, "a vector: put a flatten before it")
        return (layer.units,)
    if isinstance(layer, Flatten):
        return (prod(source),)
    if isinstance(layer, Concat):
        _expect(len({shape[1:] for shape in sources}) == 1, layer, sources, "maps of one size")
        return (sum(shape[0] for shape in sources), *source[1:])
    if isinstance(layer, Add):
        _expect(len(set(sources)) == 1, layer, sources, "inputs of one shape")
    return source


def _window_shape(layer: Conv | MaxPool | AvgPool, source: Shape) -> Shape:
    _expect(len(source) == 3, layer, source, "maps, not a vector")
    maps, rows, columns = source
    left, top, right, bottom = layer.padding
    height = window_count(rows, layer, before=top, after=bottom)
    width = window_count(columns, layer, before=left, after=right)
    _expect(height > 0 and width > 0, layer, source, f"maps of at least {layer.kernel} pixels with padding")
    return (layer.channels if isinstance(layer, Conv) else maps, height, width)


def _expect(fits: bool, layer: Layer, found: object, wanted: str) -> None:
    if not fits:
        raise ValueError(f"layer '{layer.name}' reads {found}; it needs {wanted}")
