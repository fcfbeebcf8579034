"""The layers of a network while its graph is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.layers import Flatten, Scale, SelectMaps
from zfscope.store.importing.onnx.names import NodeOrigin
from zfscope.store.importing.onnx.values import View


def _make_layer(
    kind: type[Layer], name: str, inputs: tuple[str, ...], sources: Sequence[Shape], fields: Mapping[str, Any]
) -> tuple[Layer, Shape]:
    """Return a layer and its output shape. Errors do not mention the layer's temporary name."""
    try:
        layer = kind(name=name, inputs=inputs, **fields)
        return layer, layer.output_shape(sources)
    except ValidationError as error:
        message = "; ".join(str(detail["msg"]).removeprefix("Value error, ") for detail in error.errors())
    except ValueError as error:
        message = str(error)
    raise ValueError(re.sub(f"^layer '{name}':? ", "", message))


@dataclass
class Builder:
    """The layers read so far. Names are temporary until all layers are known."""

    layers: list[Layer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    weights: dict[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
    origins: dict[str, NodeOrigin] = field(default_factory=dict)
    origin: NodeOrigin = field(default_factory=lambda: NodeOrigin((), ""))

    def add(
        self,
        kind: type[Layer],
        inputs: Sequence[str],
        *,
        weights: Mapping[str, NDArray[np.float32]] | None = None,
        **fields: Any,
    ) -> View:
        """Add a layer and return its output. Raises ValueError if it does not fit its inputs."""
        name = f"layer{len(self.layers)}"
        sources = [self.shapes[source] for source in inputs]
        layer, shape = _make_layer(kind, name, tuple(inputs), sources, fields)
        expected = layer.parameters(sources[0])
        given = {part: array.shape for part, array in (weights or {}).items()}
        if given != expected:
            raise ValueError(f"weights of shapes {given} do not fit an input of shape {sources[0]}")
        self.layers.append(layer)
        self.shapes[name] = shape
        self.origins[name] = self.origin
        if weights:
            self.weights[name] = weights
        return View(name, shape)

    def unscaled(self, value: View) -> View:
        """Return a view without a factor: a layer that scales is added if there is one."""
        if value.is_unscaled:
            return value
        count = value.shape[0]
        scaled = self._add_unnamed(
            Scale,
            [value.layer],
            weights={
                "weight": np.full(count, value.scale, np.float32),
                "bias": np.full(count, value.offset, np.float32),
            },
        )
        return value.of_layer(scaled.layer, scaled.shape)

    def maps(self, value: View) -> View:
        """Return a tensor (1, C, H, W) as the plain output of a layer."""
        value = self.unscaled(value)
        if value.is_plain and len(value.shape) == 3:
            return value
        selected = value.selected_maps()
        if selected is not None:
            return self._add_unnamed(SelectMaps, [value.layer], maps=selected)
        if value.keeps_order and len(value.shape) == 3 and value.dims == (1, *value.shape):
            return View(value.layer, value.shape)
        raise ValueError(
            f"a tensor of shape {value.dims} that rearranges values within maps is not supported"
        )

    def vector(self, value: View) -> View:
        """Return all values of a tensor's layer as a vector, in the order of the layer."""
        value = self.unscaled(value)
        if len(value.shape) == 1:
            return View(value.layer, value.shape)
        return self._add_unnamed(Flatten, [value.layer])

    def units(self, value: View) -> View:
        """Return a tensor as the vector of its values, in its own order."""
        value = self.unscaled(value)
        vector = self.vector(View(value.layer, value.shape))
        if value.keeps_order:
            return vector
        return self._add_unnamed(SelectMaps, [vector.layer], maps=value.indices.ravel().tolist())

    def whole(self, value: View) -> View:
        """Return a tensor as the plain output of a layer: (1, units) as a vector, any other as maps."""
        return self.units(value) if len(value.dims) == 2 else self.maps(value)

    def _add_unnamed(self, kind: type[Layer], inputs: Sequence[str], **fields: Any) -> View:
        """Add a layer that no node stands for by itself; it is named after its kind."""
        origin, self.origin = self.origin, NodeOrigin((), str(kind.model_fields["kind"].default))
        try:
            return self.add(kind, inputs, **fields)
        finally:
            self.origin = origin
