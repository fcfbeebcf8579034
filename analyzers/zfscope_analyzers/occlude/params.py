"""What to cover, and what to look at meanwhile."""

import base64
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from zfscope_analyzers.params import Params, PhotoBox

_COLOUR = "#[0-9a-fA-F]{6}"


def _file_of(value: Any) -> Any:
    """Return the bytes of a file that JSON holds as base64; lines may be broken."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"a file has to come as base64: {error}") from error


MaskFile = Annotated[bytes, BeforeValidator(_file_of), WithJsonSchema({"type": "string", "format": "base64"})]
"""An image file's bytes; in JSON as base64."""


class OccludeParams(Params):
    """What to cover, and what to look at meanwhile. Windows are in pixels of the network's input."""

    window: PositiveInt = Field(default=32, description="Side of the square that covers, in pixels.")
    stride: PositiveInt = Field(
        default=8, validate_default=True, description="Pixels from one position to the next."
    )
    masks: tuple[MaskFile, ...] = Field(
        default=(),
        max_length=256,
        description="Cover these instead of a sliding window: image files as large as the photo, of which "
        "pixels lighter than 127 are covered.",
    )
    boxes: tuple[PhotoBox, ...] = Field(
        default=(), max_length=1024, description="Cover these, in photo pixels, instead of a sliding window."
    )
    fill: str = Field(
        default="grey",
        pattern=rf"^(grey|mean|blur|{_COLOUR})$",
        description="What covers: grey (128), mean (the mean colour of the network's crop of this photo), "
        "blur (that crop, by a Gaussian of a standard deviation of half a window), or #rrggbb.",
    )
    classes: tuple[str, ...] = Field(
        default=(), max_length=16, description="Labels or their ids; none: the clean photo's likeliest."
    )
    value: Literal["probability", "logit"] = Field(default="probability", description="Of the classes.")
    layer: str = Field(default="relu5", description="Whose map's total activation is watched.")
    map: NonNegativeInt | None = Field(
        default=None, description="Which of its maps; none: the strongest in the clean photo."
    )
    method: Literal["incremental", "full"] = Field(
        default="incremental",
        description="Compute again what changes, or run whole passes: the same numbers, slower.",
    )
    control: bool = Field(
        default=False, description="Project the map's strongest unit through randomised weights too, beside."
    )
    control_down_to: str = Field(
        default="", description="Randomise from the layer down to this one only; empty: all weights."
    )

    @field_validator("boxes")
    @classmethod
    def _boxes_or_masks(cls, boxes: tuple[PhotoBox, ...], info: ValidationInfo) -> tuple[PhotoBox, ...]:
        if boxes and info.data.get("masks"):
            raise ValueError("masks are given too; give one of the two")
        return boxes

    @field_validator("stride")
    @classmethod
    def _every_pixel_is_covered(cls, stride: int, info: ValidationInfo) -> int:
        window = info.data.get("window", stride)
        if stride > window:
            raise ValueError(f"stride {stride} is more than window {window}: pixels would stay uncovered")
        return stride
