"""Models, their layers and their accuracy."""

from dataclasses import dataclass

from zfscope.results import html_table


@dataclass(frozen=True)
class ModelSummary:
    """A line about one version of a model.

    is_default: requests that name no model get it. damage: why it cannot be used and what to do, empty for
    a model that can be; of a damaged one only name, version (0: unknown) and is_default are known.
    """

    name: str
    version: int
    summary: str
    network: str
    classes: int
    parameters: int
    is_default: bool
    damage: str = ""


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network.

    shape: of its output for one image, (maps, rows, columns) or (units,). stride_px and
    receptive_field_px: in pixels of the network's input, None where units see all of it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    stride_px: int | None
    receptive_field_px: int | None


@dataclass(frozen=True)
class LabelInfo:
    """A class: the data set's own name, and one for people."""

    id: str
    name: str


@dataclass(frozen=True)
class PreprocessingInfo:
    """From a photo to the network's input; mean and std on a scale of 0 to 255.

    channels: `RGB` or `BGR`, the order of mean and std too. mean: empty where a mean image travels with
    the weights.
    """

    short_side_px: int
    centre_px: int
    crop_px: int
    channels: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Accuracy:
    """How often a model is right, in percent of `images` photos of `data`; None: not measured."""

    top1_percent: float
    top5_percent: float
    ten_crop_top1_percent: float | None
    ten_crop_top5_percent: float | None
    images: int
    data: str


@dataclass(frozen=True)
class ModelInfo:
    """A model, layer by layer; accuracy is None when it was never measured."""

    summary: ModelSummary
    layers: tuple[LayerInfo, ...]
    labels: tuple[LabelInfo, ...]
    preprocessing: PreprocessingInfo
    accuracy: Accuracy | None

    def _repr_html_(self) -> str:
        columns = ("layer", "kind", "output", "parameters", "stride px", "receptive field px")
        rows = [
            (
                layer.name,
                layer.kind,
                " x ".join(map(str, layer.shape)),
                layer.parameters,
                layer.stride_px,
                layer.receptive_field_px,
            )
            for layer in self.layers
        ]
        return html_table(columns, rows)
