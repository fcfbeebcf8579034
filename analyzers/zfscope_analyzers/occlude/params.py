"""Parameters of the occlusion analysis."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from zfscope.images.fill import FILL_PATTERN
from zfscope.networks.landmarks import default_layers
from zfscope.networks.spec import NetworkSpec
from zfscope_analyzers.params import MAX_VERTICES, FileBytes, Params, PhotoBox, PhotoPolygon, with_layer

# JSON has the short form: a list of [x, y].
_Polygon = Annotated[
    PhotoPolygon,
    WithJsonSchema(
        {
            "type": "array",
            "format": "polygon",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            "minItems": 3,
            "maxItems": MAX_VERTICES,
        }
    ),
]

# Names of the parameters with shapes that replace the sliding window, and of that.
Shapes = Literal["masks", "boxes", "polygons", "windows"]


class WindowSizes(NamedTuple):
    """Side of the occluding square, and distance between two of them, in pixels of the network's input."""

    window: int
    stride: int


class OccludeParams(Params):
    """Windows to occlude, and the classes and feature map to watch."""

    window: PositiveInt | None = Field(
        default=None,
        description="Side of the occluding square in pixels of the network's input; unset: 1/7 of the "
        "input's side, 32 of 224.",
    )
    stride: PositiveInt | None = Field(
        default=None,
        description="Distance between windows in pixels of the network's input, at most `window`; unset: "
        "1/28 of the input's side, 8 of 224.",
    )
    masks: tuple[FileBytes, ...] = Field(
        default=(),
        max_length=256,
        description="Masks to occlude instead of a sliding window: image files of the photo's size; pixels "
        "lighter than 127 are occluded.",
    )
    boxes: tuple[PhotoBox, ...] = Field(
        default=(),
        max_length=1024,
        description="Boxes to occlude instead of a sliding window, in photo pixels.",
    )
    polygons: tuple[_Polygon, ...] = Field(
        default=(),
        max_length=256,
        description="Polygons to occlude instead of a sliding window: each a list of at least three vertices "
        "[x, y] in photo pixels, with an even-odd fill; pixels of the network's input whose centre is inside "
        "are occluded.",
    )
    fill: str = Field(
        default="grey",
        pattern=FILL_PATTERN,
        description="Fill of the occluded pixels: grey (128), mean (the mean colour of the network's crop of "
        "this photo), blur (that crop, blurred by a Gaussian with a standard deviation of half a window) or "
        "#rrggbb.",
    )
    classes: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="Names or ids of the classes to watch; empty: the most likely class of the clean photo.",
    )
    value: Literal["probability", "logit"] = Field(
        default="probability", description="Class score to report: probability or logit."
    )
    layer: str = Field(
        default="",
        description="Layer of the feature map to watch. Empty: the activation after the model's last "
        "convolution.",
    )
    map: NonNegativeInt | None = Field(
        default=None,
        description="Feature map whose total activation to watch; unset: the map that is strongest in the "
        "clean photo.",
    )
    method: Literal["auto", "incremental", "full"] = Field(
        default="auto",
        description="How to run the network: incremental (recompute only what an occlusion changes), full "
        "(whole forward passes) or auto (whichever is faster for the network and the windows). The numbers "
        "are the same up to rounding.",
    )
    control: bool = Field(
        default=False,
        description="Also project the map's strongest unit with randomised weights, as a control.",
    )
    control_down_to: str = Field(
        default="",
        description="First layer whose weights the control randomises, up to `layer`; earlier layers keep "
        "theirs. Empty: all layers.",
    )

    @property
    def shapes(self) -> Shapes:
        """Kind of the occluded shapes."""
        if self.masks:
            return "masks"
        return "boxes" if self.boxes else "polygons" if self.polygons else "windows"

    def sizes(self, side: int) -> WindowSizes:
        """Return the window and the stride for a network whose input has this side, in pixels.

        The defaults fit to each other and to a value that is set.
        """
        window = self.window or max(round(side / 7), self.stride or 1)
        return WindowSizes(window, self.stride or min(max(round(side / 28), 1), window))

    def resolve(self, spec: NetworkSpec) -> "OccludeParams":
        """Return the parameters with the full name of the layer that they mean in a network."""
        return with_layer(self, spec, default_layers(spec).last_activation)

    @field_validator("boxes", "polygons")
    @classmethod
    def _reject_several_kinds(cls, shapes: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        others = [name for name in ("masks", "boxes") if name != info.field_name and info.data.get(name)]
        if shapes and others:
            raise ValueError(f"{others[0]} are set too; set only one of them")
        return shapes

    @field_validator("stride")
    @classmethod
    def _require_overlap(cls, stride: int | None, info: ValidationInfo) -> int | None:
        window = info.data.get("window")
        if stride and window and stride > window:
            raise ValueError(
                f"stride {stride} is larger than window {window}: some pixels would never be occluded"
            )
        return stride
