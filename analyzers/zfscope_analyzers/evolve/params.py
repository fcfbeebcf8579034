"""Which maps to follow through a training, and at which epochs."""

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationInfo, field_validator

from zfscope_analyzers.names import distinct

MOST_MAPS, MOST_EPOCHS = 32, 32


class EvolveParams(BaseModel):
    """Which maps to follow through a training, and at which epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: str = Field(
        default="",
        description="That of the final weights, by its name NAME; those of epochs are NAME-epoch-005. "
        "Empty: the only NAME there is.",
    )
    layer: str = Field(default="conv3", description="Whose maps: a convolutional layer, or one above it.")
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MOST_MAPS,
        description="Which maps; empty: the `count` strongest at the end, from `first` on.",
    )
    count: int = Field(default=6, ge=1, le=MOST_MAPS, description="How many maps, when none are given.")
    first: NonNegativeInt = Field(default=0, description="How many of the strongest maps to pass over.")
    epochs: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MOST_EPOCHS,
        description="After which epochs, besides the end; empty: all that have an index.",
    )
    settling: bool = Field(default=True, description="Measure how fast the maps settle, too.")

    @field_validator("maps", "epochs")
    @classmethod
    def _each_once(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return distinct(numbers)

    @field_validator("count", "first")
    @classmethod
    def _maps_or_a_page(cls, number: int, info: ValidationInfo) -> int:
        if info.data.get("maps"):
            raise ValueError("maps are given too; give one of the two")
        return number
