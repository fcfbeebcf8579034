"""What to do to the photos, and where to look."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from zfscope.images.transform import Fill
from zfscope_analyzers.params import Params, distinct

Kind = Literal["vertical", "horizontal", "scale", "rotation"]
_MOST_VALUES = 200
_Pixels = Annotated[float, Field(ge=-1024, le=1024)]
_Ratio = Annotated[float, Field(ge=0.1, le=10)]
_Degrees = Annotated[float, Field(ge=-360, le=360)]


class InvarianceParams(Params):
    """What to do to the photos, and where to look."""

    transformations: Annotated[tuple[Kind, ...], AfterValidator(distinct)] = Field(
        default=("vertical", "scale", "rotation"),
        min_length=1,
        description="What is done to the photos, one at a time: vertical or horizontal (translations), "
        "scale, rotation.",
    )
    translations_px: tuple[_Pixels, ...] = Field(
        default=tuple(float(step) for step in range(-60, 61, 6)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Moves in pixels of the network's input, positive down or to the right.",
    )
    scales: tuple[_Ratio, ...] = Field(
        default=tuple(tenth / 10 for tenth in range(6, 19)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Ratios about the crop's centre: 2 shows everything twice as large.",
    )
    rotations_deg: tuple[_Degrees, ...] = Field(
        default=tuple(float(angle) for angle in range(0, 360, 10)),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Angles about the crop's centre in degrees, positive counter-clockwise.",
    )
    layers: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        default=("relu1", "relu7"),
        min_length=1,
        max_length=8,
        description="Where features are compared; the figure shows the first and the last of these.",
    )
    fill: Fill = Field(
        default="mean",
        description="What comes in where there is no photo: mean (the colour that the model's preprocessing "
        "takes off), grey (128), black (0), or edge (the photo's edge pixels repeated).",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="The true class of each photo, in order: a label's id or name, or '' for the class that "
        "is likeliest before anything is done. Empty: that class for all photos.",
    )

    def values(self, kind: Kind) -> tuple[float, ...]:
        """Return how much of a transformation is done, one at a time."""
        return {"scale": self.scales, "rotation": self.rotations_deg}.get(kind, self.translations_px)
