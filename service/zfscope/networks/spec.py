"""A network as data: layers in the order of evaluation, each naming what it reads."""

from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from zfscope.errors import NotFound

INPUT = "input"
"""The name by which a layer reads the image itself."""

Rounding = Literal["floor", "ceil"]


class Padding(NamedTuple):
    """Pixels added at each side of a map before a window slides over it."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class _Layer(BaseModel):
    """What every layer has: a name, and what it reads (nothing named: the layer before it)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    inputs: tuple[str, ...] = ()


class _Window(_Layer):
    """A layer that slides a square window over its maps."""

    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: Padding = Padding()

    @model_validator(mode="after")
    def _padding_is_smaller_than_the_window(self) -> "_Window":
        if not all(0 <= side < self.kernel for side in self.padding):
            raise ValueError(
                f"layer '{self.name}': padding {tuple(self.padding)} must lie in 0..{self.kernel - 1}, "
                f"below its kernel of {self.kernel}"
            )
        return self


class Conv(_Window):
    """Filters over all maps, with a bias each; windows that do not fit are left out (floor)."""

    kind: Literal["conv"] = "conv"
    channels: PositiveInt


class MaxPool(_Window):
    """The largest value of each window; `ceil` keeps the last window that overhangs the edge."""

    kind: Literal["max_pool"] = "max_pool"
    rounding: Rounding = "floor"


class AvgPool(_Window):
    """The mean of each window, padding counted as zeros; windows that do not fit are left out."""

    kind: Literal["avg_pool"] = "avg_pool"


class ReLU(_Layer):
    """max(x, 0)."""

    kind: Literal["relu"] = "relu"


class LocalResponseNorm(_Layer):
    """Contrast normalisation: x / (k + alpha * mean of squares over a window) ** beta.

    The window is `size` maps around a map at one place, or, of the region `within_map`, `size` x `size`
    places of one map. What it overhangs counts as zeros, so the mean is the sum over its whole size.

    The constants are not in the paper; the defaults are those of Krizhevsky et al. 2012, whose
    alpha of 1e-4 is not divided by the size: 5e-4 / 5 here.
    """

    kind: Literal["local_response_norm"] = "local_response_norm"
    region: Literal["across_maps", "within_map"] = "across_maps"
    size: PositiveInt = 5
    alpha: PositiveFloat = 5e-4
    beta: PositiveFloat = 0.75
    k: PositiveFloat = 2.0

    @model_validator(mode="after")
    def _size_is_odd(self) -> "LocalResponseNorm":
        if self.size % 2 == 0:
            raise ValueError(f"layer '{self.name}': size {self.size} must be odd, to have a middle")
        return self


class Flatten(_Layer):
    """Maps to a vector, in the order map, row, column."""

    kind: Literal["flatten"] = "flatten"


class Linear(_Layer):
    """A fully connected layer with biases."""

    kind: Literal["linear"] = "linear"
    units: PositiveInt


class Dropout(_Layer):
    """Zeroes a share of the units while training; does nothing else."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(default=0.5, ge=0, lt=1)


class Concat(_Layer):
    """Stacks the maps of its inputs."""

    kind: Literal["concat"] = "concat"


class Add(_Layer):
    """Adds its inputs, which have one shape."""

    kind: Literal["add"] = "add"


Layer = Annotated[
    Conv | ReLU | MaxPool | AvgPool | LocalResponseNorm | Flatten | Linear | Dropout | Concat | Add,
    Field(discriminator="kind"),
]

LAYER_KINDS: tuple[type[_Layer], ...] = (
    Conv,
    ReLU,
    MaxPool,
    AvgPool,
    LocalResponseNorm,
    Flatten,
    Linear,
    Dropout,
    Concat,
    Add,
)
_JOINS = (Concat, Add)


def window_of(layer: Layer) -> Conv | MaxPool | AvgPool | None:
    """Give the window that a layer slides over places, None for one that sees its own place alone.

    A norm within maps sees what a mean of its size would.
    """
    if isinstance(layer, Conv | MaxPool | AvgPool):
        return layer
    if isinstance(layer, LocalResponseNorm) and layer.region == "within_map":
        around = Padding(*[layer.size // 2] * 4)
        return AvgPool(name=layer.name, inputs=layer.inputs, kernel=layer.size, padding=around)
    return None


class NetworkSpec(BaseModel):
    """A network: the image it reads, and its layers in the order of evaluation.

    The output of the last layer is the class scores. Raises `pydantic.ValidationError` for a
    duplicate name, a layer that reads what does not come before it, or a wrong number of inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    input_channels: PositiveInt = 3
    input_size: PositiveInt = 224
    layers: tuple[Layer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_walk(self) -> "NetworkSpec":
        seen = {INPUT}
        for layer, sources in zip(self.layers, _sources(self.layers), strict=True):
            _check_inputs(layer, sources, seen)
            seen.add(layer.name)
        return self

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """What every layer reads, by name, the unnamed layer before it filled in."""
        return {layer.name: read for layer, read in zip(self.layers, _sources(self.layers), strict=True)}

    @property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    def needed_for(self, wanted: Collection[str]) -> tuple[Layer, ...]:
        """Return layers by name and all that they are computed from, in the order of evaluation."""
        sources, needed = self.sources, set(wanted)
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(sources[layer.name])
        return tuple(layer for layer in self.layers if layer.name in needed)


def check_layer(spec: NetworkSpec, layer: str, *, field: str = "layer") -> None:
    """Raise NotFound, with the names that there are, unless the network has the layer."""
    names = [known.name for known in spec.layers]
    if layer not in names:
        raise NotFound(f"no layer '{layer}'; this model has {', '.join(names)}", field=field)


def layers_of_maps(spec: NetworkSpec) -> NetworkSpec:
    """Give the network as far as its maps go: up to where they become a vector."""
    layers = tuple(takewhile(lambda layer: not isinstance(layer, Flatten | Linear), spec.layers))
    return NetworkSpec(
        name=spec.name, input_channels=spec.input_channels, input_size=spec.input_size, layers=layers
    )


def _sources(layers: tuple[Layer, ...]) -> list[tuple[str, ...]]:
    before = [INPUT, *(layer.name for layer in layers)]
    return [layer.inputs or (before[place],) for place, layer in enumerate(layers)]


def _check_inputs(layer: Layer, sources: tuple[str, ...], seen: set[str]) -> None:
    if layer.name in seen:
        raise ValueError(f"layer '{layer.name}' is named twice")
    unknown = [name for name in sources if name not in seen]
    if unknown:
        raise ValueError(f"layer '{layer.name}' reads '{unknown[0]}', which does not come before it")
    if isinstance(layer, _JOINS) != (len(sources) > 1):
        raise ValueError(
            f"layer '{layer.name}' of kind {layer.kind} reads {len(sources)} inputs; "
            "concat and add read two or more, every other kind reads one"
        )
