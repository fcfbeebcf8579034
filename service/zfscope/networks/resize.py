"""Networks on images of another size than their own, in training."""

from collections.abc import Mapping
from functools import lru_cache

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


def needs_own_size(layer: Layer, source: Shape, output: Shape) -> bool:
    """Return whether the inputs of a layer have to be resized to the size that its weights are for.

    These are layers with a vector as output, and convolutions over the whole map. source, output: shapes of
    the first input and the output for images of the network's own size.
    """
    return len(output) == 1 or (_covers_map(layer, source) and bool(layer.parameters(source)))


def fitted(layer: Layer, source: Shape, actual: Shape) -> Layer:
    """Return a layer for maps of another size: a pooling layer over the whole map stays one.

    source: shape of the input for images of the network's own size. actual: shape of the input.
    """
    if _covers_map(layer, source) and not layer.parameters(source):
        return layer.model_copy(update={"kernel": actual[1:]})
    return layer


@lru_cache(maxsize=64)
def resized_shapes(spec: NetworkSpec, size: int) -> Mapping[str, Shape]:
    """Return the output shape of each layer of `Network.forward` with `resize_maps`.

    size: rows and columns of the images. Raises ValueError, naming the layer, if the images do not fit.
    """
    own, sources = shapes(spec), spec.sources
    known: dict[str, Shape] = {INPUT: (spec.input_channels, size, size)}
    for layer in spec.layers:
        names = sources[layer.name]
        inputs = [known[name] for name in names]
        if needs_own_size(layer, own[names[0]], own[layer.name]):
            inputs = [own[name] for name in names]
        known[layer.name] = fitted(layer, own[names[0]], inputs[0]).output_shape(inputs)
    return known


def _covers_map(layer: Layer, source: Shape) -> bool:
    """Return whether the layer has one window, which covers the whole map."""
    window = layer.window
    return window is not None and window.kernel == source[1:] and not any(window.padding)
