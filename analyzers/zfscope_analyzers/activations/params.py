"""Parameters of the activation analysis."""

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from zfscope.engine.seeds import Rank
from zfscope.images.geometry import Box
from zfscope.networks.landmarks import default_layers
from zfscope.networks.spec import NetworkSpec
from zfscope_analyzers.params import Params, PhotoBox, reject_duplicates, with_layer


class ActivationsParams(Params):
    """Maps of a layer to show, and the part of the photo to look at."""

    layer: str = Field(
        default="", description="Layer of the maps, such as conv1. Empty: the model's last convolution."
    )
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=4096,
        description="Maps to show, in this order; empty: the `top` strongest. In a fully connected layer, "
        "the numbers of units.",
    )
    top: PositiveInt = Field(default=9, description="Number of maps, if `maps` is empty.")
    rank: Rank = Field(
        default="max",
        description="Order of the maps: by their largest activation (max) or by their sum (sum).",
    )
    y: FiniteFloat | None = Field(
        default=None,
        description="Place in the photo, with `x`: of each map, only the unit counts whose receptive field "
        "is centred nearest to it. Distance from the photo's upper edge, in its pixels.",
    )
    x: FiniteFloat | None = Field(
        default=None,
        validate_default=True,
        description="Place in the photo, with `y`: distance from its left edge, in its pixels.",
    )
    box: PhotoBox | None = Field(
        default=None,
        description="Box in photo pixels: only units whose receptive fields are centred in it count, or else "
        "the nearest unit.",
    )
    sheet: bool = Field(
        default=True,
        description="Whether to draw the sheet of all maps, which takes longer than their pictures.",
    )

    @property
    def area(self) -> Box | None:
        """The box, or the place as a box without area, in photo pixels; None for the whole photo."""
        if self.box:
            return Box(**self.box.model_dump())
        return None if self.y is None or self.x is None else Box(self.x, self.y, self.x, self.y)

    def resolve(self, spec: NetworkSpec) -> "ActivationsParams":
        """Return the parameters with the full name of the layer that they mean in a network."""
        return with_layer(self, spec, default_layers(spec).last_convolution)

    @field_validator("maps")
    @classmethod
    def _reject_duplicates(cls, maps: tuple[int, ...]) -> tuple[int, ...]:
        return reject_duplicates(maps)

    @field_validator("top")
    @classmethod
    def _reject_top_with_maps(cls, top: int, info: ValidationInfo) -> int:
        if info.data.get("maps"):
            raise ValueError("maps are set too; set only one of them")
        return top

    @field_validator("x")
    @classmethod
    def _require_both_y_and_x_or_neither(cls, x: float | None, info: ValidationInfo) -> float | None:
        if "y" in info.data and (info.data["y"] is None) != (x is None):
            raise ValueError("set both y and x, or neither")
        return x

    @field_validator("box")
    @classmethod
    def _reject_box_with_place(cls, box: PhotoBox | None, info: ValidationInfo) -> PhotoBox | None:
        if box and info.data.get("y") is not None:
            raise ValueError("y and x are set too; set either a place or a box")
        return box
