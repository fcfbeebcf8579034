"""Networks as data: layers in order of evaluation, their inputs, and the shapes derived from them."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from math import prod

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from zfscope.networks.layer import KINDS, AnyLayer, Layer, Shape

# Name of the network's input, the image.
INPUT = "input"


class NetworkSpec(BaseModel):
    """A network: the size of its input, and its layers in order of evaluation.

    name: name of the architecture. input_channels: 3, or 1 for grey levels. input_size: side of the square
    input in pixels. layers: each is one of the kinds `conv`, `max_pool` and so on.

    The output of the last layer is the class scores. Raises `pydantic.ValidationError` for a duplicate layer
    name, an input that is not defined before the layer, or a wrong number of inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    input_channels: PositiveInt = 3
    input_size: PositiveInt = 224
    layers: tuple[AnyLayer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _inputs_come_first(self) -> "NetworkSpec":
        defined = {INPUT}
        for layer, sources in zip(self.layers, self._sources(), strict=True):
            _check_inputs(layer, sources, defined)
            defined.add(layer.name)
        if len({layer.is_opaque for layer in self.layers}) > 1:
            raise ValueError("layers of kind graph_tensor are mixed with others; a network has either")
        return self

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Inputs of each layer by name, with defaults filled in."""
        return {layer.name: read for layer, read in zip(self.layers, self._sources(), strict=True)}

    def _sources(self) -> list[tuple[str, ...]]:
        before = [INPUT, *(layer.name for layer in self.layers)]
        return [layer.inputs or (before[index],) for index, layer in enumerate(self.layers)]

    @property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @property
    def scores(self) -> str:
        """Name of the last layer, whose output is the class scores."""
        return self.layers[-1].name

    @property
    def is_opaque(self) -> bool:
        """Whether the network is a graph that runs as a whole; its layers are tensors of the graph."""
        return self.layers[-1].is_opaque

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the network, excluding its name and default values.

        Identifies the network in indexes, training runs and exported graphs. Because defaults are excluded,
        optional fields that a later version adds do not change it.
        """
        layers = [
            {"kind": layer.kind, **layer.model_dump(mode="json", exclude_defaults=True)}
            for layer in self.layers
        ]
        text = json.dumps([self.input_channels, self.input_size, layers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def convolutions(self) -> tuple[str, ...]:
        """Names of the layers that have a window and weights, in order of evaluation."""
        return tuple(layer.name for layer, parameters in _parameters(self) if layer.window and parameters)

    def layer(self, name: str, *, field: str = "layer") -> Layer:
        """Return a layer by name, or by a suffix after a dot that no other layer has.

        For example, `conv1` is `layer1.0.conv1` if no other layer ends in `.conv1`. Raises NotFound, with a
        short list of layers, for an unknown name, and InputError for a suffix of several layers.
        """
        from zfscope.networks.lookup import complete_name, unknown_layer  # imported late: they need specs

        known = self.by_name
        full = name if name in known else complete_name(tuple(known), name, field=field)
        if full is None:
            raise unknown_layer(self, name, field=field)
        return known[full]

    def has_maps(self, layer: str) -> bool:
        """Return whether a layer has feature maps rather than units."""
        return len(shapes(self)[layer]) == 3

    def needed_for(self, wanted: Collection[str]) -> tuple[Layer, ...]:
        """Return the wanted layers and all layers that they depend on, in order of evaluation."""
        sources, needed = self.sources, set(wanted)
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(sources[layer.name])
        return tuple(layer for layer in self.layers if layer.name in needed)


def convolutional_part(spec: NetworkSpec) -> NetworkSpec:
    """Return the network without its classifier: the layers before the first vector."""
    known = shapes(spec)
    layers = tuple(takewhile(lambda layer: len(known[layer.name]) == 3, spec.layers))
    return NetworkSpec(
        name=spec.name, input_channels=spec.input_channels, input_size=spec.input_size, layers=layers
    )


@lru_cache(maxsize=64)
def shapes(spec: NetworkSpec, *, input_size: int | None = None) -> Mapping[str, Shape]:
    """Return the output shape of each layer for images of `input_size` x `input_size` pixels.

    input_size: default: the network's. Raises ValueError, naming the layer, if layers are incompatible.
    """
    size, sources = input_size or spec.input_size, spec.sources
    known: dict[str, Shape] = {INPUT: (spec.input_channels, size, size)}
    for layer in spec.layers:
        known[layer.name] = layer.output_shape([known[name] for name in sources[layer.name]])
    return known


def tensor_shapes(spec: NetworkSpec) -> Mapping[str, Shape]:
    """Return the shapes of weights and biases by name, in the order of `layers.state_dict()`."""
    return {
        f"{layer.name}.{part}": shape for layer, parts in _parameters(spec) for part, shape in parts.items()
    }


def parameter_count(spec: NetworkSpec) -> int:
    """Return the number of weights and biases."""
    return sum(map(prod, tensor_shapes(spec).values()))


def multiplications(spec: NetworkSpec) -> int:
    """Return the number of multiply-adds in one image's forward pass; only layers with weights count."""
    known = shapes(spec)
    return sum(
        prod(parts["weight"]) * prod(known[layer.name][1:]) for layer, parts in _parameters(spec) if parts
    )


def _parameters(spec: NetworkSpec) -> Iterator[tuple[Layer, Mapping[str, Shape]]]:
    known, sources = shapes(spec), spec.sources
    for layer in spec.layers:
        yield layer, layer.parameters(known[sources[layer.name][0]])


def _check_inputs(layer: Layer, sources: tuple[str, ...], defined: set[str]) -> None:
    if layer.name in defined:
        raise ValueError(f"layer name '{layer.name}' is not unique")
    unknown = [name for name in sources if name not in defined]
    if unknown:
        raise ValueError(f"layer '{layer.name}' reads '{unknown[0]}', which is not defined before it")
    if not layer.is_opaque and layer.joins != (len(sources) > 1):
        *joins, last = (name for name, kind in KINDS.items() if kind.joins)
        raise ValueError(
            f"layer '{layer.name}' of kind {layer.kind} reads {len(sources)} inputs; "
            f"{', '.join(joins)} and {last} read two or more, every other kind reads one"
        )
