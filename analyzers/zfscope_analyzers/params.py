"""Parameter types shared by the analyzers: unique names, files, boxes in a photo, selections of maps."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from zfscope.errors import InputError, NotFound
from zfscope.networks.lookup import layer_names
from zfscope.networks.spec import NetworkSpec

# Maximum number of vertices of a polygon.
MAX_VERTICES = 1024
# Limit of a vertex's coordinates in pixels, far outside of any photo: products of two of them stay precise.
_FAR = 1e6

Names = TypeVar("Names", bound=Sequence[object])


def reject_duplicates(names: Names) -> Names:
    """Return the names unchanged, for use as a validator. Raises ValueError for a duplicate."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"'{name}' is named more than once")
    return names


def _decode_base64(value: Any) -> Any:
    """Decode a file that is base64 in JSON; line breaks are allowed."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"not valid base64: {error}") from error


# The bytes of a file; base64 in JSON.
FileBytes = Annotated[
    bytes, BeforeValidator(_decode_base64), WithJsonSchema({"type": "string", "format": "base64"})
]


class Params(BaseModel):
    """Base class of an analyzer's parameters: immutable; unknown names are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _HasLayer(Protocol):
    @property
    def layer(self) -> str: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self: ...


class _HasLayers(Protocol):
    @property
    def layers(self) -> tuple[str, ...]: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self: ...


OneLayer = TypeVar("OneLayer", bound=_HasLayer)
SeveralLayers = TypeVar("SeveralLayers", bound=_HasLayers)


def with_layer(params: OneLayer, spec: NetworkSpec, default: str = "") -> OneLayer:
    """Return parameters with the full name of their `layer`. default: layer to use if it is empty.

    Raises NotFound and InputError like `NetworkSpec.layer`.
    """
    return params.model_copy(update={"layer": spec.layer(params.layer or default).name})


def with_layers(params: SeveralLayers, spec: NetworkSpec, default: Sequence[str]) -> SeveralLayers:
    """Return parameters with the full names of their `layers`. default: layers to use if they are empty.

    Raises NotFound and InputError like `layer_names`. Duplicates among the default layers are removed.
    """
    named = params.layers
    layers = layer_names(spec, named) if named else tuple(dict.fromkeys(default))
    return params.model_copy(update={"layers": layers})


class _HasTop(Protocol):
    @property
    def top(self) -> int: ...

    @property
    def layer(self) -> str: ...

    @property
    def model_fields_set(self) -> set[str]: ...


def check_top(params: _HasTop, maps: int) -> None:
    """Raise InputError if a `top` was set that exceeds the number of maps; the default may exceed it."""
    if params.top > maps and "top" in params.model_fields_set:
        raise InputError(
            f"top is {params.top}; allowed: 1 to {maps} (layer '{params.layer}' has {maps} maps)",
            field="top",
        )


def check_map(number: int, maps: int, *, layer: str, field: str) -> None:
    """Raise NotFound, naming the field, for a map that a layer of `maps` maps does not have."""
    if number >= maps:
        raise NotFound(f"no map {number} in layer '{layer}'; allowed: 0 to {maps - 1}", field=field)


class PhotoBox(Params):
    """Rectangle in photo pixels; its right and lower edges are exclusive."""

    x0: FiniteFloat = Field(description="Left edge.")
    y0: FiniteFloat = Field(description="Upper edge.")
    x1: FiniteFloat = Field(description="Right edge.")
    y1: FiniteFloat = Field(description="Lower edge.")

    @model_validator(mode="after")
    def _reject_empty(self) -> "PhotoBox":
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError("the box is empty: x0 has to be less than x1, and y0 less than y1")
        return self


class PhotoPoint(Params):
    """Point of a photo in pixels from its upper left corner; also accepted as [x, y]."""

    x: FiniteFloat = Field(ge=-_FAR, le=_FAR)
    y: FiniteFloat = Field(ge=-_FAR, le=_FAR)

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if len(value) != 2:
            raise ValueError("a point has two coordinates, [x, y]")
        return {"x": value[0], "y": value[1]}


class PhotoPolygon(Params):
    """Polygon of a photo; also accepted as the list of its vertices, [[x, y], [x, y], [x, y]]."""

    vertices: tuple[PhotoPoint, ...] = Field(min_length=3, max_length=MAX_VERTICES)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"vertices": value} if isinstance(value, list | tuple) else value


class MapSelection(Params):
    """Feature maps given as `maps`, or else as a page of the strongest: skip `first`, take `count`."""

    @field_validator("maps", "epochs", check_fields=False)
    @classmethod
    def _reject_duplicates(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return reject_duplicates(numbers)

    @field_validator("count", "first", check_fields=False)
    @classmethod
    def _reject_page_with_maps(cls, number: int, info: ValidationInfo) -> int:
        if info.data.get("maps"):
            raise ValueError("maps are set too; set only one of them")
        return number
