"""Parameters of the measurement of faithfulness."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, ValidationInfo, field_validator

from zfscope_analyzers.params import FileBytes, Params, PhotoBox

NAME = "faithfulness"


class FaithfulnessParams(Params):
    """The attribution to measure, and how pixels are removed."""

    method: str = Field(
        default="occlude", description="Analyzer whose tensor `attribution` is measured, such as occlude."
    )
    method_parameters: dict[str, Any] = Field(
        default={},
        description="Parameters of that analyzer by name. The class is added, unless they select one.",
    )
    attribution: FileBytes | None = Field(
        default=None,
        description="Attribution to measure instead of a method's: a .npy file of numbers (rows, columns) of "
        "the network's input; for a single photo.",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="Class of each photo, in order: the id or name of a label, or '' for the most likely "
        "class. Empty: the most likely class of every photo.",
    )
    removal: Literal["blur", "mean", "grey"] = Field(
        default="blur",
        description="Replacement of removed pixels: blur (the network's crop, blurred by a Gaussian with a "
        "standard deviation of 1/14 of its side), mean (the mean colour of that crop) or grey (128).",
    )
    step: float = Field(
        default=0.02,
        ge=0.001,
        le=0.5,
        description="Share of the pixels that is removed per step; rounded so that all steps are equal.",
    )
    value: Literal["probability", "logit"] = Field(
        default="probability", description="Class score to follow: probability or logit."
    )
    random: int = Field(
        default=5, ge=0, le=100, description="Number of random orders to compare with; 0 for none."
    )
    seed: NonNegativeInt = Field(
        default=0,
        description="Seed of the random orders, and of the order of pixels with equal attributions.",
    )
    control: bool = Field(
        default=True,
        description="Whether to measure the attribution of the network with randomised weights, too.",
    )
    boxes: tuple[PhotoBox, ...] = Field(
        default=(),
        max_length=1024,
        description="Boxes around the object in photo pixels: the pointing game measures the share "
        "of the attribution inside; for a single photo.",
    )
    masks: tuple[FileBytes, ...] = Field(
        default=(),
        max_length=256,
        description="Masks of the object for the pointing game: image files of the photo's size; pixels "
        "lighter than 127 are inside; for a single photo.",
    )

    @property
    def steps(self) -> int:
        """Number of equal steps in which all pixels are removed."""
        return max(round(1 / self.step), 2)

    @property
    def has_control(self) -> bool:
        """Whether a control is measured: a given attribution has none."""
        return self.control and self.attribution is None

    @field_validator("method")
    @classmethod
    def _reject_itself(cls, method: str) -> str:
        if method == NAME:
            raise ValueError("it cannot measure itself; name an analyzer that gives a tensor `attribution`")
        return method

    @field_validator("attribution")
    @classmethod
    def _reject_method_too(cls, attribution: bytes | None, info: ValidationInfo) -> bytes | None:
        if attribution is not None:
            for name, verb in (("method", "is"), ("method_parameters", "are")):
                default = cls.model_fields[name].default
                if info.data.get(name, default) != default:
                    raise ValueError(f"{name} {verb} set too; set only one of them")
        return attribution
