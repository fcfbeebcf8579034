"""Descriptions of models, their layers and their accuracy."""

from dataclasses import dataclass

from zfscope.results import html_table


@dataclass(frozen=True)
class ModelSummary:
    """Summary of one version of a model.

    is_default: whether requests without a model name use it. damage: why the model is unusable and what to
    do; empty for a usable model. For a damaged one only name, version (0 if unknown) and is_default are set.
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

    shape: shape of its output for one image, (maps, rows, columns) or (units,). stride_px,
    receptive_field_px: the larger of rows and columns, in pixels of the network's input; None if units see
    the whole input or the network is opaque, as are the separate numbers of rows and columns. block: whether
    the layer is one of those to list first: outputs of blocks, and layers that analyses use by default.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    stride_px: int | None
    receptive_field_px: int | None
    stride_rows_px: int | None = None
    stride_columns_px: int | None = None
    receptive_field_rows_px: int | None = None
    receptive_field_columns_px: int | None = None
    block: bool = False


@dataclass(frozen=True)
class LabelInfo:
    """Label of a class: id in the data set, and readable name."""

    id: str
    name: str


@dataclass(frozen=True)
class PreprocessingInfo:
    """Preprocessing from a photo to the network's input; mean and std are on a scale of 0 to 255.

    channels: `RGB`, `BGR` or `grey` (one channel), also the order of mean and std. mean: empty if the model
    subtracts a mean image. interpolation: filter that resamples the photo: bilinear, bicubic, nearest or
    lanczos; empty if an older service does not state it.
    """

    short_side_px: int
    centre_px: int
    crop_px: int
    channels: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = ""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a model in percent, measured on `images` photos of `data`; None if not measured."""

    top1_percent: float
    top5_percent: float
    ten_crop_top1_percent: float | None
    ten_crop_top5_percent: float | None
    images: int
    data: str


@dataclass(frozen=True)
class GraphInfo:
    """How the graph of an opaque network runs.

    obstacle: why it cannot be read as a list of layers; empty if it can. batches: whether it accepts any
    number of images at once; otherwise images run one by one.
    """

    obstacle: str
    batches: bool


@dataclass(frozen=True)
class ModelInfo:
    """A model with its layers, labels and preprocessing. accuracy: None if not measured.

    precision: in which the service, or this process, classifies with it: `float32`, `tf32` or `bfloat16`;
    empty if an older service does not state it. graph: of an opaque network; None for a list of layers.
    """

    summary: ModelSummary
    layers: tuple[LayerInfo, ...]
    labels: tuple[LabelInfo, ...]
    preprocessing: PreprocessingInfo
    accuracy: Accuracy | None
    precision: str = "float32"
    graph: GraphInfo | None = None

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
