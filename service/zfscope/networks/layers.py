"""The kinds of layers as data, each with its own arithmetic; none of it needs torch.

What a kind computes stands in three tables, a row for each kind: `networks.forward`, `engine.backward` and
`runtimes.onnx.graph`. Nothing else names a kind: a new one is a class, which enters itself, and those rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from math import inf, prod
from operator import or_
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    TypeVar,
)

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

Shape = tuple[int, ...]
"""(maps, rows, columns), or (units,) of a fully connected layer."""

Rounding = Literal["floor", "ceil"]


# Names as torch has them, `layer1.0.conv1`, which are names of files and folders too.
LAYER_NAME = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"


class Padding(NamedTuple):
    """Pixels added at each side of a map before a window slides over it."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Window(NamedTuple):
    """A square window that slides over maps.

    rounding: `ceil` keeps a last window that overhangs the far edge, if it starts on a pixel (not wholly in
    the padding): the rule of Caffe, cuda-convnet and torch. outside: the value of every pixel of padding.
    """

    kernel: int
    stride: int = 1
    padding: Padding = Padding()
    rounding: Rounding = "floor"
    outside: float = 0.0

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the rows and columns of windows on maps of rows x columns pixels."""
        left, top, right, bottom = self.padding
        return self._count(rows, top, bottom), self._count(columns, left, right)

    def _count(self, size: int, before: int, after: int) -> int:
        room = size + before + after - self.kernel
        if room < 0:
            return 0
        count = room // self.stride + 1
        overhangs = self.rounding == "ceil" and room % self.stride > 0
        return count + (overhangs and count * self.stride < size + before)

    def span(self, count: int) -> int:
        """Return the pixels under `count` windows side by side."""
        return (count - 1) * self.stride + self.kernel

    def whole_padding(self, rows: int, columns: int) -> Padding:
        """Return the padding that makes every window whole: an overhanging last one is filled up."""
        left, top, right, bottom = self.padding
        height, width = self.grid(rows, columns)
        last_column, last_row = self.span(width) - left, self.span(height) - top
        return Padding(left, top, max(right, last_column - columns), max(bottom, last_row - rows))


KINDS: dict[str, type["Layer"]] = {}
"""The kinds of layers by name; each class with a `kind` enters itself."""


class Layer(BaseModel):
    """What every layer has: a name, and what it reads (nothing named: the layer before it).

    A kind of layer is a subclass with a `kind`, and with what differs of the arithmetic here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Whether it reads two or more inputs; every other layer reads one.
    joins: ClassVar[bool] = False

    if TYPE_CHECKING:
        kind: str
    name: str = Field(pattern=LAYER_NAME)
    inputs: tuple[str, ...] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enter a kind among those that networks are read with."""
        if "kind" in cls.model_fields:
            known = KINDS.setdefault(cls.model_fields["kind"].default, cls)
            if known is not cls:
                raise TypeError(f"{cls.__name__} has the kind of {known.__name__}; name another one")

    @property
    def window(self) -> Window | None:
        """The window that slides over the maps; None where a unit sees its own pixel alone, or all."""
        return None

    @property
    def unpadded(self) -> "Layer":
        """The layer for maps that have its padding already; one that pads by itself is the same."""
        return self

    @property
    def drop_rate(self) -> float | None:
        """The share of units that training sets to zero, None where it does not."""
        return None

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        """Return the shape of the output. Raises ValueError, naming the layer, for inputs that do not fit."""
        return sources[0]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        """Return the shapes of `weight`, its first axis the maps or units, and `bias`; empty without any."""
        return {}

    def _expect(self, fits: bool, found: object, needed: str) -> None:
        if not fits:
            raise ValueError(f"layer '{self.name}' reads {found}; it needs {needed}")


class _Windowed(Layer):
    """A layer that slides a square window over its maps."""

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
        self._expect(len(source) == 3, source, "maps, not a vector")
        height, width = self.window.grid(*source[1:])
        self._expect(height > 0 and width > 0, source, f"maps of at least {self.kernel} pixels with padding")
        return source[0], height, width


class Conv(_Windowed):
    """Filters over all maps, with a bias each; windows that do not fit are left out (floor)."""

    kind: Literal["conv"] = "conv"
    channels: PositiveInt

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return self.channels, *super().output_shape(sources)[1:]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        weight = (self.channels, source[0], self.kernel, self.kernel)
        return {"weight": weight, "bias": (self.channels,)}


class MaxPool(_Windowed):
    """The largest value of each window; `ceil` keeps the last window that overhangs the edge."""

    kind: Literal["max_pool"] = "max_pool"
    rounding: Rounding = "floor"

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.rounding, outside=-inf)


class AvgPool(_Windowed):
    """The mean of each window, padding counted as zeros; windows that do not fit are left out."""

    kind: Literal["avg_pool"] = "avg_pool"


class ReLU(Layer):
    """max(x, 0)."""

    kind: Literal["relu"] = "relu"


class LocalResponseNorm(Layer):
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

    @property
    def window(self) -> Window | None:
        if self.region == "across_maps":
            return None
        return Window(self.size, padding=Padding(*[self.size // 2] * 4))

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._expect(self.region == "across_maps" or len(sources[0]) == 3, sources[0], "maps, not a vector")
        return sources[0]


class Flatten(Layer):
    """Maps to a vector, in the order map, row, column."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        return (prod(sources[0]),)


class Linear(Layer):
    """A fully connected layer with biases."""

    kind: Literal["linear"] = "linear"
    units: PositiveInt

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._expect(len(sources[0]) == 1, sources[0], "a vector: put a flatten before it")
        return (self.units,)

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        return {"weight": (self.units, source[0]), "bias": (self.units,)}


class Dropout(Layer):
    """Zeroes a share of the units while training; does nothing else."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(default=0.5, ge=0, lt=1)

    @property
    def drop_rate(self) -> float:
        return self.rate


class Concat(Layer):
    """Stacks the maps of its inputs."""

    kind: Literal["concat"] = "concat"
    joins: ClassVar[bool] = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._expect(len({shape[1:] for shape in sources}) == 1, sources, "maps of one size")
        return sum(shape[0] for shape in sources), *sources[0][1:]


class Add(Layer):
    """Adds its inputs, which have one shape."""

    kind: Literal["add"] = "add"
    joins: ClassVar[bool] = True

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        self._expect(len(set(sources)) == 1, sources, "inputs of one shape")
        return sources[0]


@cache
def _reader(kinds: tuple[type[Layer], ...]) -> TypeAdapter[Layer]:
    union: Any = reduce(or_, kinds)
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])


class _AnyKind:
    """Has a field read as a layer of any kind that there is at that time, and written as that kind."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.simple_ser_schema("any")
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return handler(_reader(tuple(KINDS.values())).core_schema)

    @staticmethod
    def _read(value: Any) -> Layer:
        return _reader(tuple(KINDS.values())).validate_python(value)


AnyLayer = Annotated[Layer, _AnyKind()]

_L = TypeVar("_L", bound=Layer)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class KindTable(dict[str, Callable[Concatenate[Any, _P], _R]], Generic[_P, _R]):
    """A function for each kind of layer, by the kind's name: (layer, ...) to a result."""

    def row(
        self, kind: type[_L]
    ) -> Callable[[Callable[Concatenate[_L, _P], _R]], Callable[Concatenate[_L, _P], _R]]:
        """Enter the decorated function, whose first argument is a layer of the kind."""

        def entered(function: Callable[Concatenate[_L, _P], _R]) -> Callable[Concatenate[_L, _P], _R]:
            self[kind.model_fields["kind"].default] = function
            return function

        return entered
