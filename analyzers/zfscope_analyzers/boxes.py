"""Boxes of a photo, as callers give them."""

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class PhotoBox(BaseModel):
    """A rectangle in pixels of the photo, half open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x0: FiniteFloat = Field(description="Left edge.")
    y0: FiniteFloat = Field(description="Upper edge.")
    x1: FiniteFloat = Field(description="Right edge.")
    y1: FiniteFloat = Field(description="Lower edge.")

    @model_validator(mode="after")
    def _has_an_area(self) -> "PhotoBox":
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError("the box is empty: x0 has to be less than x1, and y0 less than y1")
        return self
