"""Kinds of layers as data, with their shape arithmetic; torch is not needed.

A kind has a row in each of three tables: `networks.forward`, `engine.backward`, `runtimes.onnx.nodes`. No
other code depends on particular kinds: a new kind is a class, which registers itself, and these rows. The
exception is `GraphTensor`, of networks that are run as a whole.
"""

from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.windows import Extent, Padding, Rounding, Window, pair


class _Windowed(Layer):
    """A layer with a sliding window.

    kernel, stride: rows and columns, or one number for both. padding: pixels added on each side of a map.
    """

    kernel: Extent
    stride: Extent = 1
    padding: Padding = Padding()

    @model_validator(mode="after")
    def _padding_is_valid(self) -> "_Windowed":
        if min(self.padding) < 0:
            raise ValueError(f"layer '{self.name}': padding {tuple(self.padding)} must not be negative")
        return self

    @property
    def window(self) -> Window:
        return Window(pair(self.kernel), pair(self.stride), self.padding)

    @property
    def unpadded(self) -> Layer:
        return self.model_copy(update={"padding": Padding()})

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        self._require(len(source) == 3, source, "maps, not a vector")
        rows, columns = self.window.grid(*source[1:])
        reach = " x ".join(map(str, self.window.reach))
        self._require(rows > 0 and columns > 0, source, f"maps of at least {reach} pixels with padding")
        return source[0], rows, columns


class Conv(_Windowed):
    """Convolution, with a bias per map unless `bias` is false; incomplete windows are dropped.

    channels: number of maps. dilation: distance between the pixels of a window. groups: number of equal parts
    into which input and output maps are divided; each output part is computed from the corresponding input
    part. With as many groups as maps, the convolution is depthwise.
    """

    kind: Literal["conv"] = "conv"
    channels: PositiveInt
    dilation: Extent = 1
    groups: PositiveInt = 1
    bias: bool = True

    @property
    def window(self) -> Window:
        return super().window._replace(dilation=pair(self.dilation))

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        shape = super().output_shape(sources)
        divisible = shape[0] % self.groups == 0 and self.channels % self.groups == 0
        groups = f"numbers of input and output maps ({self.channels}) divisible by its {self.groups} groups"
        self._require(divisible, f"{shape[0]} maps", groups)
        return self.channels, *shape[1:]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        weight = (self.channels, source[0] // self.groups, *pair(self.kernel))
        return {"weight": weight, "bias": (self.channels,)} if self.bias else {"weight": weight}


class _Pool(_Windowed):
    """A pooling layer. rounding: see `Window`."""

    rounding: Rounding = "floor"

    @model_validator(mode="after")
    def _no_window_lies_in_the_padding(self) -> "_Pool":
        rows, columns = self.window.reach
        left, top, right, bottom = self.padding
        if max(left, right) >= columns or max(top, bottom) >= rows:
            raise ValueError(
                f"layer '{self.name}': padding {tuple(self.padding)} must be smaller than its windows of "
                f"{rows} x {columns}"
            )
        return self

    @property
    def window(self) -> Window:
        return super().window._replace(rounding=self.rounding)


class MaxPool(_Pool):
    """Max pooling. dilation: distance between the pixels of a window."""

    kind: Literal["max_pool"] = "max_pool"
    dilation: Extent = 1

    @property
    def window(self) -> Window:
        return super().window._replace(padding_value=-inf, dilation=pair(self.dilation))


class AvgPool(_Pool):
    """Average pooling. count_include_pad: whether the mean includes padding, as zeros.

    Positions that a last window covers beyond the padding (`ceil`) are never included, as in torch and ONNX.
    """

    kind: Literal["avg_pool"] = "avg_pool"
    count_include_pad: bool = True

    @property
    def unpadded(self) -> Layer:
        return self.model_copy(update={"padding": Padding(), "rounding": "floor", "count_include_pad": True})

    def edge_scale(self, source: Shape) -> NDArray[np.float32] | None:
        left, top, right, bottom = self.padding if self.count_include_pad else Padding()
        rows, columns = self.window.grid(*source[1:])
        scales = [
            self._axis_scale(axis, count, -before, source[1 + axis] + after)
            for axis, count, before, after in ((0, rows, top, bottom), (1, columns, left, right))
        ]
        scale = np.outer(*scales).astype(np.float32)
        return None if (scale == 1).all() else scale

    def _axis_scale(self, axis: int, count: int, first: int, end: int) -> NDArray[np.float64]:
        """Return, for each window, kernel size / number of positions in the mean.

        Positions from `first` up to, but not including, `end` are in the mean.
        """
        kernel, stride = self.window.kernel[axis], self.window.stride[axis]
        starts = np.arange(count) * stride - (self.padding.left if axis else self.padding.top)
        counted = np.minimum(starts + kernel, end) - np.maximum(starts, first)
        return kernel / counted


class ReLU(Layer):
    """Rectification: max(x, 0)."""

    kind: Literal["relu"] = "relu"
    activates: ClassVar[bool] = True

    @property
    def rectifies(self) -> bool:
        return True


class Clip(Layer):
    """Clipping to low..high. low, high: None for no bound; the defaults are those of ReLU6."""

    kind: Literal["clip"] = "clip"
    activates: ClassVar[bool] = True
    low: FiniteFloat | None = 0.0
    high: FiniteFloat | None = 6.0

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "Clip":
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"layer '{self.name}': low {self.low} must be less than high {self.high}")
        return self

    @property
    def rectifies(self) -> bool:
        return self.low == 0


Function = Literal[
    "leaky_relu", "elu", "selu", "tanh", "sigmoid", "hard_sigmoid", "hard_swish", "softplus", "gelu"
]

# Constants of activation functions, alpha and beta, by name; those of other functions are fixed.
_CONSTANTS: Mapping[str, int] = {"leaky_relu": 1, "elu": 1, "hard_sigmoid": 2}


class Activation(Layer):
    """An elementwise activation function other than ReLU.

    alpha: slope of `leaky_relu` below zero, or limit of `elu`. alpha, beta: `hard_sigmoid` is alpha * x +
    beta, clipped to 0..1. Other functions take neither. `gelu` is the exact form, with the error function.
    """

    kind: Literal["activation"] = "activation"
    activates: ClassVar[bool] = True
    goes_back_by_gradient: ClassVar[bool] = True
    function: Function
    alpha: FiniteFloat | None = None
    beta: FiniteFloat | None = None

    @model_validator(mode="after")
    def _constants_fit_the_function(self) -> "Activation":
        needed = _CONSTANTS.get(self.function, 0)
        if [self.alpha is not None, self.beta is not None] != [needed > 0, needed > 1]:
            names = ("no constants", "alpha", "alpha and beta")[needed]
            raise ValueError(f"layer '{self.name}': {self.function} takes {names}")
        return self


class PReLU(Layer):
    """max(x, 0) + slope * min(x, 0), with a learnt slope per map or unit."""

    kind: Literal["prelu"] = "prelu"
    activates: ClassVar[bool] = True
    goes_back_by_gradient: ClassVar[bool] = True

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        return {"weight": (source[0],)}


class Scale(Layer):
    """weight * x + bias, per map or unit: the form of batch normalisation in a trained network."""

    kind: Literal["scale"] = "scale"

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        return {"weight": (source[0],), "bias": (source[0],)}


class SelectMaps(Layer):
    """Selects maps or units of the input: slices, splits, channel shuffles. maps: their numbers, in order."""

    kind: Literal["select_maps"] = "select_maps"
    maps: tuple[NonNegativeInt, ...] = Field(min_length=1)

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        last = max(self.maps)
        self._require(last < sources[0][0], sources[0], f"at least {last + 1} maps")
        return len(self.maps), *sources[0][1:]


class LocalResponseNorm(Layer):
    """Contrast normalisation: x / (k + alpha * mean of squares over a window) ** beta.

    region: `across_maps` for windows of `size` neighbouring maps at one position, `within_map` for windows of
    `size` x `size` positions of one map. Values beyond the edge count as zeros: the mean always divides by
    the full size.

    The paper does not state the constants; the defaults are those of Krizhevsky et al. 2012, whose alpha of
    1e-4 multiplies the sum rather than the mean: 5e-4 / 5 here.
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
            raise ValueError(f"layer '{self.name}': size {self.size} must be odd")
        return self

    @property
    def window(self) -> Window | None:
        if self.region == "across_maps":
            return None
        return Window(pair(self.size), padding=Padding(*[self.size // 2] * 4))

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(self.region == "across_maps" or len(sources[0]) == 3, sources[0], "maps, not a vector")
        return sources[0]


class Flatten(Layer):
    """Reshapes maps to a vector in the order map, row, column."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return (prod(sources[0]),)


class Linear(Layer):
    """Fully connected layer, with a bias per unit unless `bias` is false. units: number of outputs."""

    kind: Literal["linear"] = "linear"
    units: PositiveInt
    bias: bool = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(len(sources[0]) == 1, sources[0], "a vector: add a flatten layer before it")
        return (self.units,)

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        weight = (self.units, source[0])
        return {"weight": weight, "bias": (self.units,)} if self.bias else {"weight": weight}


class Dropout(Layer):
    """Sets units to zero in training; the identity otherwise. rate: fraction of the units."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(default=0.5, ge=0, lt=1)

    @property
    def drop_rate(self) -> float:
        return self.rate


class Concat(Layer):
    """Concatenates the maps of its inputs."""

    kind: Literal["concat"] = "concat"
    joins: ClassVar[bool] = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(len({shape[1:] for shape in sources}) == 1, sources, "maps of equal size")
        return sum(shape[0] for shape in sources), *sources[0][1:]


class Add(Layer):
    """Adds its inputs, which have the same shape."""

    kind: Literal["add"] = "add"
    joins: ClassVar[bool] = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(len(set(sources)) == 1, sources, "inputs of equal shape")
        return sources[0]


class Multiply(Layer):
    """Multiplies its inputs; axes of size 1 are broadcast, as in squeeze-and-excitation."""

    kind: Literal["multiply"] = "multiply"
    goes_back_by_gradient: ClassVar[bool] = True
    joins: ClassVar[bool] = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        try:
            shape = np.broadcast_shapes(*sources)
        except ValueError:
            shape = ()
        fits = len({len(source) for source in sources}) == 1 and shape in sources
        self._require(fits, sources, "inputs of equal shape, or axes of size 1")
        return shape


class GraphTensor(Layer):
    """A tensor of an opaque network: a graph that is not a list of known layers and runs as a whole.

    tensor: its name in the graph. operator: the operator that computes it. shape: its output as maps (maps,
    rows, columns), or as units (units,). layout: axes in the graph, after the batch: `maps` (maps, rows,
    columns), `channels_last` (rows, columns, maps), `tokens` (tokens, maps), one token per patch in row-major
    order, or `units`. skipped: number of tokens before those of the patches, such as the class token.
    inputs: the tensors of the network that it depends on directly.
    """

    is_opaque: ClassVar[bool] = True

    kind: Literal["graph_tensor"] = "graph_tensor"
    tensor: str
    operator: str
    shape: tuple[PositiveInt, ...]
    layout: Literal["maps", "channels_last", "tokens", "units"]
    skipped: NonNegativeInt = 0

    @model_validator(mode="after")
    def _shape_fits_the_layout(self) -> "GraphTensor":
        axes = 1 if self.layout == "units" else 3
        if len(self.shape) != axes:
            raise ValueError(
                f"layer '{self.name}': shape {self.shape} has {len(self.shape)} axes; {axes} with the layout "
                f"'{self.layout}'"
            )
        return self

    @property
    def described_kind(self) -> str:
        return self.operator

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return self.shape
