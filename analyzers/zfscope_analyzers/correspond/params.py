"""What to cover, and where to compare what it changes."""

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, field_validator

from zfscope.images.transform import FillColour
from zfscope_analyzers.params import Params, PhotoBox, distinct

RANDOM = "random"
"""The control among the parts."""


class Part(Params):
    """A part that all photos show, such as the nose."""

    name: str = Field(min_length=1, max_length=64, description="What the part is called.")
    boxes: tuple[PhotoBox, ...] = Field(
        max_length=32, description="Where it lies: a box in pixels of the photo for each photo, in order."
    )

    @field_validator("name")
    @classmethod
    def _is_not_the_control(cls, name: str) -> str:
        if name == RANDOM:
            raise ValueError(f"no part may be named '{RANDOM}': that is the control")
        return name


class CorrespondParams(Params):
    """What to cover, and where to compare what it changes."""

    parts: tuple[Part, ...] = Field(
        min_length=1, max_length=16, description="The parts to cover, one at a time."
    )
    layers: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        default=("pool5", "relu7"),
        min_length=1,
        max_length=8,
        description="Where features are compared: the outputs of the paper's layers 5 and 7.",
    )
    random: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10,
        description="The control: how often a box of the photo's mean size, at a random place, is covered in "
        "each photo; 0 for no control.",
    )
    seed: NonNegativeInt = Field(default=0, description="Of the random places.")
    fill: FillColour = Field(
        default="grey",
        description="What covers: grey (128), mean (the colour that the model's preprocessing takes off), or "
        "black (0).",
    )

    @field_validator("parts")
    @classmethod
    def _no_part_twice(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        distinct([part.name for part in parts])
        return parts
