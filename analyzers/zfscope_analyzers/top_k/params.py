"""Which maps of an index to show, and how many photos of each."""

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationInfo, field_validator

from zfscope_analyzers.names import distinct

MOST_MAPS = 64
MOST_RECORDS = 9
"""The paper's top 9."""


class TopKParams(BaseModel):
    """Which maps of an index to show, and how many photos of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: str = Field(default="", description="Of the model, by its name; empty: its only one.")
    layer: str = Field(default="conv5", description="Whose maps: any that the index has.")
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MOST_MAPS,
        description="Which maps; empty: the `count` strongest by their strongest photo, from `first` on.",
    )
    count: int = Field(default=9, ge=1, le=MOST_MAPS, description="How many maps, when none are given.")
    first: NonNegativeInt = Field(
        default=0, description="How many of the strongest maps to pass over: 9 is the second page of 9."
    )
    top: int = Field(default=9, ge=1, le=MOST_RECORDS, description="How many photos of each map.")
    control: bool = Field(default=False, description="Project through randomised weights too, beside.")
    control_down_to: str = Field(
        default="", description="Randomise from the layer down to this one only; empty: all weights."
    )

    @field_validator("maps")
    @classmethod
    def _each_map_once(cls, maps: tuple[int, ...]) -> tuple[int, ...]:
        return distinct(maps)

    @field_validator("count", "first")
    @classmethod
    def _maps_or_a_page(cls, number: int, info: ValidationInfo) -> int:
        if info.data.get("maps"):
            raise ValueError("maps are given too; give one of the two")
        return number
