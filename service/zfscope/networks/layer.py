"""The base class of layers, the registry of their kinds, and tables of functions by kind."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from zfscope.networks.windows import Window

# (maps, rows, columns), or (units,) of a fully connected layer.
Shape = tuple[int, ...]

# Names in torch's style, such as `layer1.0.conv1`; they are also used as names of files and directories.
LAYER_NAME = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"

# Kinds of layers by name; each class with a `kind` registers itself.
KINDS: dict[str, type["Layer"]] = {}


def computed_kinds() -> frozenset[str]:
    """Return the kinds that the tables have rows for: all but those of opaque networks."""
    return frozenset(name for name, kind in KINDS.items() if not kind.is_opaque)


class Layer(BaseModel):
    """Base class of all kinds of layers.

    name: unique name. inputs: names of the layer's inputs; empty for the layer before it. A kind is a
    subclass with a field `kind` that overrides the properties and methods below as needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Whether the layer has two or more inputs; all other layers have one.
    joins: ClassVar[bool] = False
    # Whether the layer is an activation function, such as a rectifier.
    activates: ClassVar[bool] = False

    # Whether the backward pass applies the layer's gradient at the photo, whatever the rule.
    goes_back_by_gradient: ClassVar[bool] = False
    # Whether the layer is a tensor of a graph that only ONNX Runtime runs, which no other code computes.
    is_opaque: ClassVar[bool] = False

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
    def described_kind(self) -> str:
        """The kind as descriptions of models show it."""
        return self.kind

    @property
    def window(self) -> Window | None:
        """The sliding window; None if a unit depends on one position of the input or on all positions."""
        return None

    @property
    def unpadded(self) -> "Layer":
        """The layer without padding, to be run on padded inputs; unchanged if the layer pads internally."""
        return self

    def edge_scale(self, source: Shape) -> NDArray[np.float32] | None:
        """Return factors, (rows, columns), that correct the unpadded layer's output for windows at the edges.

        Returns None if all factors are 1. source: shape of the input.
        """
        return None

    @property
    def drop_rate(self) -> float | None:
        """Fraction of units that training sets to zero; None for layers without dropout."""
        return None

    @property
    def rectifies(self) -> bool:
        """Whether the layer replaces negative values by zero."""
        return False

    def output_shape(self, sources: Sequence[Shape]) -> Shape:
        """Return the output shape. Raises ValueError, naming the layer, for incompatible inputs."""
        return sources[0]

    def parameters(self, source: Shape) -> Mapping[str, Shape]:
        """Return the shapes of `weight` (first axis: maps or units) and `bias`; empty without weights."""
        return {}

    def _require(self, fits: bool, found: object, needed: str) -> None:
        if not fits:
            raise ValueError(f"layer '{self.name}' reads {found}; it needs {needed}")


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

_L = TypeVar("_L", bound=Layer)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class KindTable(dict[str, Callable[Concatenate[Any, _P], _R]], Generic[_P, _R]):
    """Functions by kind of layer, whose first argument is the layer."""

    def row(
        self, kind: type[_L]
    ) -> Callable[[Callable[Concatenate[_L, _P], _R]], Callable[Concatenate[_L, _P], _R]]:
        """Register the decorated function for a kind of layer."""

        def register(function: Callable[Concatenate[_L, _P], _R]) -> Callable[Concatenate[_L, _P], _R]:
            self[kind.model_fields["kind"].default] = function
            return function

        return register
