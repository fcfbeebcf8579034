"""Parameters that several analyzers share: names without duplicates, boxes of photos, maps of an index."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

Names = TypeVar("Names", bound=Sequence[object])


def distinct(names: Names) -> Names:
    """Return the names, for validators. Raises ValueError where one of them stands there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"'{name}' is named more than once")
    return names


class Params(BaseModel):
    """Parameters of an analyzer, or a part of them: they never change, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PhotoBox(Params):
    """A rectangle in pixels of the photo, half open."""

    x0: FiniteFloat = Field(description="Left edge.")
    y0: FiniteFloat = Field(description="Upper edge.")
    x1: FiniteFloat = Field(description="Right edge.")
    y1: FiniteFloat = Field(description="Lower edge.")

    @model_validator(mode="after")
    def _has_an_area(self) -> "PhotoBox":
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError("the box is empty: x0 has to be less than x1, and y0 less than y1")
        return self


class MapsOrPage(Params):
    """Parameters that name `maps`, or else a page of the strongest ones: `count` of them, from `first` on."""

    @field_validator("maps", "epochs", check_fields=False)
    @classmethod
    def _each_once(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return distinct(numbers)

    @field_validator("count", "first", check_fields=False)
    @classmethod
    def _maps_or_a_page(cls, number: int, info: ValidationInfo) -> int:
        if info.data.get("maps"):
            raise ValueError("maps are given too; give one of the two")
        return number
