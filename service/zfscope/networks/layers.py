"""Kinds of layers as data, with their shape arithmetic; torch is not needed.

A kind has a row in each of three tables: `networks.forward`, `engine.backward`, `runtimes.onnx.graph`. No
other code depends on particular kinds: a new kind is a class, which registers itself, and these rows.
"""

from collections.abc import Mapping, Sequence
from functools import cache, reduce
from math import inf, prod
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

# (maps, rows, columns), or (units,) of a fully connected layer.
Shape = tuple[int, ...]

Rounding = Literal["floor", "ceil"]

# Names in torch's style, such as `layer1.0.conv1`; they are also used as names of files and directories.
LAYER_NAME = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"


class Padding(NamedTuple):
    """Padding of a map in pixels, on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Window(NamedTuple):
    """A square sliding window.

    rounding: `ceil` keeps a last window that extends beyond the padded map, unless it starts in the padding,
    as in Caffe, cuda-convnet and torch. padding_value: value of padded positions.
    """

    kernel: int
    stride: int = 1
    padding: Padding = Padding()
    rounding: Rounding = "floor"
    padding_value: float = 0.0

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the number of windows, as rows and columns, on maps of rows x columns."""
        left, top, right, bottom = self.padding
        return self._count(rows, top, bottom), self._count(columns, left, right)

    def _count(self, size: int, before: int, after: int) -> int:
        room = size + before + after - self.kernel
        if room < 0:
            return 0
        count = room // self.stride + 1
        # Complete windows leave a remainder. With `ceil`, one more window is kept if it starts before the
        # padding at the end: stride 2, padding 1 (-), windows a, b, c:
        #
        #   kernel 3   -  0  1  2  3  -           kernel 2   -  0  1  2  -
        #              a  a  a                               a  a
        #                    b  b  b                               b  b
        #                          c  c  c kept                          c  c dropped
        has_remainder = room % self.stride > 0
        starts_inside = count * self.stride < size + before
        return count + (self.rounding == "ceil" and has_remainder and starts_inside)

    def span(self, count: int) -> int:
        """Return the extent of `count` adjacent windows."""
        return (count - 1) * self.stride + self.kernel

    def whole_padding(self, rows: int, columns: int) -> Padding:
        """Return the padding that makes every window lie within the padded map, including the last one."""
        left, top, right, bottom = self.padding
        height, width = self.grid(rows, columns)
        last_column, last_row = self.span(width) - left, self.span(height) - top
        return Padding(left, top, max(right, last_column - columns), max(bottom, last_row - rows))


# Kinds of layers by name; each class with a `kind` registers itself.
KINDS: dict[str, type["Layer"]] = {}


class Layer(BaseModel):
    """Base class of all kinds of layers.

    inputs: names of the layer's inputs; empty for the layer before it. A kind is a subclass with a field
    `kind` that overrides the properties and methods below as needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Whether the layer has two or more inputs; all other layers have one.
    joins: ClassVar[bool] = False

    if TYPE_CHECKING:
        kind: str
    name: str = Field(pattern=LAYER_NAME)
    inputs: tuple[str, ...] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Register the kind, so that networks with it can be read."""
        if "kind" in cls.model_fields:
            known = KINDS.setdefault(cls.model_fields["kind"].default, cls)
            if known is not cls:
                raise TypeError(f"{cls.__name__} has the same kind as {known.__name__}; choose another name")

    @property
    def window(self) -> Window | None:
        """The sliding window; None if a unit depends on one position of the input or on all positions."""
        return None

    @property
    def unpadded(self) -> "Layer":
        """The layer without padding, to be run on padded inputs; unchanged if the layer pads internally."""
        return self

    @property
    def drop_rate(self) -> float | None:
        """Fraction of units that training sets to zero; None for layers without dropout."""
        return None

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        """Return the output shape. Raises ValueError, naming the layer, for incompatible inputs."""
        return sources[0]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        """Return the shapes of `weight` (first axis: maps or units) and `bias`; empty without weights."""
        return {}

    def _require(self, fits: bool, found: object, needed: str) -> None:
        if not fits:
            raise ValueError(f"layer '{self.name}' reads {found}; it needs {needed}")


class _Windowed(Layer):
    """A layer with a square sliding window."""

    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: Padding = Padding()

    @model_validator(mode="after")
    def _padding_is_smaller_than_the_window(self) -> "_Windowed":
        if not all(0 <= side < self.kernel for side in self.padding):
            raise ValueError(
                f"layer '{self.name}': padding {tuple(self.padding)} must lie in 0..{self.kernel - 1}, "
                f"below its kernel of {self.kernel}"
            )
        return self

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding)

    @property
    def unpadded(self) -> Layer:
        return self.model_copy(update={"padding": Padding()})

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        self._require(len(source) == 3, source, "maps, not a vector")
        height, width = self.window.grid(*source[1:])
        self._require(height > 0 and width > 0, source, f"maps of at least {self.kernel} pixels with padding")
        return source[0], height, width


class Conv(_Windowed):
    """Convolution over all maps, with biases; incomplete windows are dropped."""

    kind: Literal["conv"] = "conv"
    channels: PositiveInt

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return self.channels, *super().output_shape(sources)[1:]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        weight = (self.channels, source[0], self.kernel, self.kernel)
        return {"weight": weight, "bias": (self.channels,)}


class MaxPool(_Windowed):
    """Max pooling. rounding: see `Window`."""

    kind: Literal["max_pool"] = "max_pool"
    rounding: Rounding = "floor"

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.rounding, padding_value=-inf)


class AvgPool(_Windowed):
    """Average pooling; padding counts as zeros, incomplete windows are dropped."""

    kind: Literal["avg_pool"] = "avg_pool"


class ReLU(Layer):
    """Rectification: max(x, 0)."""

    kind: Literal["relu"] = "relu"


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
        return Window(self.size, padding=Padding(*[self.size // 2] * 4))

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(self.region == "across_maps" or len(sources[0]) == 3, sources[0], "maps, not a vector")
        return sources[0]


class Flatten(Layer):
    """Reshapes maps to a vector in the order map, row, column."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return (prod(sources[0]),)


class Linear(Layer):
    """Fully connected layer with biases."""

    kind: Literal["linear"] = "linear"
    units: PositiveInt

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._require(len(sources[0]) == 1, sources[0], "a vector: add a flatten layer before it")
        return (self.units,)

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        return {"weight": (self.units, source[0]), "bias": (self.units,)}


class Dropout(Layer):
    """Sets a fraction of units to zero in training; the identity otherwise."""

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


@cache
def _layer_adapter(kinds: tuple[type[Layer], ...]) -> TypeAdapter[Layer]:
    union: Any = reduce(or_, kinds)
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])


class _AnyKind:
    """Validates a field as a layer of any registered kind, and serialises it as that kind."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.simple_ser_schema("any")
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return handler(_layer_adapter(tuple(KINDS.values())).core_schema)

    @staticmethod
    def _read(value: Any) -> Layer:
        return _layer_adapter(tuple(KINDS.values())).validate_python(value)


AnyLayer = Annotated[Layer, _AnyKind()]
