"""Parameters of the correspondence analysis."""

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, field_validator

from zfscope.images.transform import FillColour
from zfscope.networks.landmarks import default_layers
from zfscope.networks.spec import NetworkSpec
from zfscope_analyzers.params import Params, PhotoBox, reject_duplicates, with_layers

# Name of the control among the parts.
RANDOM = "random"


class PartBoxes(Params):
    """An object part that all photos show, such as the nose, and its box in each photo."""

    name: str = Field(min_length=1, max_length=64, description="Name of the part.")
    boxes: tuple[PhotoBox, ...] = Field(
        max_length=32,
        description="One box per photo around the part, in photo pixels, in order of the photos.",
    )

    @field_validator("name")
    @classmethod
    def _reject_name_of_control(cls, name: str) -> str:
        if name == RANDOM:
            raise ValueError(f"'{RANDOM}' is reserved for the control; give the part another name")
        return name


class CorrespondParams(Params):
    """Parts to occlude, layers in which to compare features, and the control."""

    parts: tuple[PartBoxes, ...] = Field(
        min_length=1, max_length=16, description="Parts to occlude, one at a time."
    )
    layers: Annotated[tuple[str, ...], AfterValidator(reject_duplicates)] = Field(
        default=(),
        max_length=8,
        description="Layers whose features are compared. Empty: the model's last layer with maps below "
        "its classifier and the input of its last layer with weights, as the paper's layers 5 and 7; in a "
        "model that ends in maps, the activation after the middle convolution and the last layer.",
    )
    random: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10,
        description="Number of draws of the control: each occludes a box of the photo's mean part size at a "
        "random position in each photo; 0 for no control.",
    )
    seed: NonNegativeInt = Field(default=0, description="Seed of the random positions.")
    fill: FillColour = Field(
        default="grey",
        description="Colour of the occluded boxes: grey (128), mean (the mean colour that the model's "
        "preprocessing subtracts) or black (0).",
    )

    def resolve(self, spec: NetworkSpec) -> "CorrespondParams":
        """Return the parameters with the full names of the layers that they mean in a network."""
        known = default_layers(spec)
        return with_layers(self, spec, (known.lower_features, known.upper_features))

    @field_validator("parts")
    @classmethod
    def _reject_duplicate_parts(cls, parts: tuple[PartBoxes, ...]) -> tuple[PartBoxes, ...]:
        reject_duplicates([part.name for part in parts])
        return parts
