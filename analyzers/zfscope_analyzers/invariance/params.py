"""Parameters of the invariance analysis."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from zfscope.images.transform import Fill
from zfscope.networks.landmarks import default_layers
from zfscope.networks.spec import NetworkSpec
from zfscope_analyzers.params import Params, reject_duplicates, with_layers

TransformationKind = Literal["vertical", "horizontal", "scale", "rotation"]
_MAX_VALUES = 200
_Pixels = Annotated[float, Field(ge=-1024, le=1024)]
_Ratio = Annotated[float, Field(ge=0.1, le=10)]
_Degrees = Annotated[float, Field(ge=-360, le=360)]


class InvarianceParams(Params):
    """Transformations of the photos, layers in which to compare features, and classes to follow."""

    transformations: Annotated[tuple[TransformationKind, ...], AfterValidator(reject_duplicates)] = Field(
        default=("vertical", "scale", "rotation"),
        min_length=1,
        description="Transformations to apply, one at a time: vertical or horizontal (translation), scale, "
        "rotation.",
    )
    translations_px: tuple[_Pixels, ...] = Field(
        default=tuple(float(step) for step in range(-60, 61, 6)),
        min_length=1,
        max_length=_MAX_VALUES,
        description="Translations in pixels of the network's input, positive down or to the right.",
    )
    scales: tuple[_Ratio, ...] = Field(
        default=tuple(tenth / 10 for tenth in range(6, 19)),
        min_length=1,
        max_length=_MAX_VALUES,
        description="Scale factors about the centre of the crop: 2 enlarges everything twofold.",
    )
    rotations_deg: tuple[_Degrees, ...] = Field(
        default=tuple(float(angle) for angle in range(0, 360, 10)),
        min_length=1,
        max_length=_MAX_VALUES,
        description="Rotations about the centre of the crop in degrees, positive counter-clockwise.",
    )
    layers: Annotated[tuple[str, ...], AfterValidator(reject_duplicates)] = Field(
        default=(),
        max_length=8,
        description="Layers whose features are compared; the figure shows the first and the last of them. "
        "Empty: the activation after the model's first convolution, and the input of its last layer with "
        "weights.",
    )
    fill: Fill = Field(
        default="mean",
        description="Fill outside of the photo: mean (the mean colour that the model's preprocessing "
        "subtracts), grey (128), black (0) or edge (repeats the photo's edge pixels).",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="True class of each photo, in order: the id or name of a label, or '' for the class that "
        "is most likely before any transformation. Empty: the most likely class of every photo.",
    )

    def resolve(self, spec: NetworkSpec) -> "InvarianceParams":
        """Return the parameters with the full names of the layers that they mean in a network."""
        known = default_layers(spec)
        return with_layers(self, spec, (known.first_activation, known.upper_features))

    def values(self, kind: TransformationKind) -> tuple[float, ...]:
        """Return the values of one kind of transformation, in the order in which they are applied."""
        return {"scale": self.scales, "rotation": self.rotations_deg}.get(kind, self.translations_px)
