"""What the service answers, as plain values: no torch, no protobuf.

`warnings` of an answer: what was assumed or left out, empty where there is nothing to say.

It is long because all of them are here: a list, with nothing in it to take apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, Table


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
class Layer:
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
class Label:
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
    layers: tuple[Layer, ...]
    labels: tuple[Label, ...]
    preprocessing: PreprocessingInfo
    accuracy: Accuracy | None


@dataclass(frozen=True)
class ClassScore:
    """A class, its probability (0 to 1) and its score before the softmax."""

    index: int
    label_id: str
    label: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Classification:
    """The likeliest classes of a photo, likeliest first; photo_size is (height, width) in pixels."""

    model: str
    version: int
    classes: tuple[ClassScore, ...]
    photo_size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Unit:
    """A unit to project: its map, row and column; without row and column the map's strongest unit.

    In a fully connected layer, map is the unit itself.
    """

    map: int
    y: int | None = None
    x: int | None = None


@dataclass(frozen=True, eq=False)
class Projection:
    """What one unit saw.

    y, x: None in a fully connected layer. receptive_field: in pixels of the photo. picture: None unless
    pictures were asked for. tensor and control_tensor: float32 (3, H, W) in the size and channel order
    of the network's input, read-only, None unless asked for. control_ssim, control_rank_correlation: how
    alike the projection and its control are, -1..1, None without the control.
    """

    layer: str
    map: int
    y: int | None
    x: int | None
    activation: float
    receptive_field: Box
    picture: Picture | None
    tensor: NDArray[np.float32] | None
    control_tensor: NDArray[np.float32] | None
    control_ssim: float | None
    control_rank_correlation: float | None


@dataclass(frozen=True, eq=False)
class Projections:
    """What the units saw, and all of it on one sheet; photo_size is (height, width) in pixels."""

    model: str
    version: int
    projections: tuple[Projection, ...]
    sheet: Picture | None
    photo_size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class OccludedClass:
    """What covering the photo did to a class: its value as the photo is, and the least, with the window.

    lowest_at: in photo pixels; None where no window lowers the value by more than rounding. Tensors, None
    unless asked for: values float32 (windows,); value_map float32 (H, W) of the network's input, the mean
    over the windows that cover a pixel; photo_value_map the same in photo pixels.
    """

    label_id: str
    label: str
    clean: float
    lowest: float
    lowest_at: Box | None
    values: NDArray[np.float32] | None
    value_map: NDArray[np.float32] | None
    photo_value_map: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class OccludedMap:
    """What covering the photo did to a feature map: its activations, summed over space.

    Tensors, None unless asked for: totals float32 (windows,); total_map float32 (H, W) of the network's
    input; projection float32 (3, H, W) of the map's strongest unit, and control_projection of its control.
    control_ssim, control_rank_correlation: how alike these two are, -1..1, None without the control.
    """

    layer: str
    map: int
    clean_total: float
    lowest_total: float
    totals: NDArray[np.float32] | None
    total_map: NDArray[np.float32] | None
    projection: NDArray[np.float32] | None
    control_projection: NDArray[np.float32] | None
    control_ssim: float | None
    control_rank_correlation: float | None


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What the covered windows did; photo_size is (height, width) in pixels.

    Tensors, None unless asked for: positions int64 (windows, 4), first row, first column, rows, columns in
    the network's input; likeliest int64 (windows,), the likeliest class by its place among the labels.
    """

    model: str
    version: int
    windows: int
    classes: tuple[OccludedClass, ...]
    map: OccludedMap
    picture: Picture | None
    photo_size: tuple[int, int]
    positions: NDArray[np.int64] | None
    likeliest: NDArray[np.int64] | None
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class LayerDistances:
    """How far the features of a layer moved, for each value of a curve: the Euclidean distance.

    normalised_distances: divided by the norm of the photo's own features; 0 is no change.
    """

    layer: str
    distances: tuple[float, ...]
    normalised_distances: tuple[float, ...]


@dataclass(frozen=True)
class InvarianceCurve:
    """What a transformation (`vertical`, `horizontal`, `scale`, `rotation`) did to a photo, value by value.

    values: pixels of the network's input, ratios, or degrees. probabilities: of the photo's class, 0..1.
    """

    transformation: str
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    layers: tuple[LayerDistances, ...]


@dataclass(frozen=True)
class InvariancePhoto:
    """A photo, the class that is followed in it, and what the transformations did.

    chosen: `given`, or `likeliest` in the photo as it is. probability: of the class, in that photo, 0..1.
    """

    label_id: str
    label: str
    chosen: str
    probability: float
    curves: tuple[InvarianceCurve, ...]


@dataclass(frozen=True, eq=False)
class InvarianceTensors:
    """The numbers of a transformation for all photos, float32, read-only.

    values: (values,). distances, normalised_distances: (photos, values, layers). probabilities: (photos,
    values).
    """

    transformation: str
    values: NDArray[np.float32]
    distances: NDArray[np.float32]
    normalised_distances: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Invariance:
    """What moves, changes of scale and turns did to photos; tensors: empty unless asked for."""

    model: str
    version: int
    photos: tuple[InvariancePhoto, ...]
    picture: Picture | None
    tensors: tuple[InvarianceTensors, ...]
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class PartCorrespondence:
    """How alike the features of a layer change where a part is covered; `random` is the control.

    mean, deviation: over all pairs of photos, of the share of features (0..1) that do not change the same
    way in both. Lower: the network relates the parts more closely.
    """

    part: str
    layer: str
    mean: float
    deviation: float
    pairs: int


@dataclass(frozen=True, eq=False)
class Correspondence:
    """What covering parts did; a row for each part and layer, then those of the control.

    Tensors, None unless asked for: hamming float32 (parts, layers, photos, photos), the shares of each
    pair; boxes int64 (parts, photos, 4), x0, y0, x1, y1 in the network's input; random_hamming and
    random_boxes the same of the control, with its draws instead of the parts, None without one.
    """

    model: str
    version: int
    rows: tuple[PartCorrespondence, ...]
    picture: Picture | None
    hamming: NDArray[np.float32] | None
    boxes: NDArray[np.int64] | None
    random_hamming: NDArray[np.float32] | None
    random_boxes: NDArray[np.int64] | None
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class AnalyzerInfo:
    """An analyzer of the service.

    distribution, version: the package that brought it. parameters_schema: a JSON schema. cost: about how
    many forward passes it costs for each photo with its defaults, None where there are none. photos: fewest
    and most.
    """

    name: str
    summary: str
    distribution: str
    version: str
    parameters_schema: Mapping[str, Any]
    cost: int | None
    photos: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Progress:
    """How far an analysis is: a share (0..1), the seconds left if known, and what there is to see."""

    fraction: float
    seconds_left: float | None
    partial: Analysis | None


@dataclass(frozen=True, eq=False)
class Analyzed:
    """What an analyzer found, and by which model."""

    model: str
    version: int
    analysis: Analysis

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What was assumed or left out."""
        return self.analysis.warnings


@dataclass(frozen=True)
class TopRecord:
    """A photo among the strongest of a map; rank 0 is the strongest.

    path, label: in the data that was indexed. value: the recorded activation. recomputed: that of now. y, x:
    the unit's place, None in a fully connected layer. state: `ok`, `differs` (the activation is not
    reproduced), `changed` (the file is another one), `gone`, `silent` (nothing to project). patch: in pixels
    of the photo. recomputed and patch are None in the last three; the control's similarities, -1..1, without
    one too.
    """

    rank: int
    path: str
    label: str
    value: float
    recomputed: float | None
    y: int | None
    x: int | None
    state: str
    patch: Box | None
    control_ssim: float | None
    control_rank_correlation: float | None


@dataclass(frozen=True)
class TopMap:
    """A map with its strongest photos; alive: of `images` photos, those that activate it."""

    map: int
    alive: int
    images: int
    dead: bool
    records: tuple[TopRecord, ...]


@dataclass(frozen=True, eq=False)
class TopK:
    """The photos of an index that activate maps most.

    Tensors, None unless asked for: projections float32 (maps, photos, 3, size, size), channels as the network
    has them, controls the same, and patches uint8 (maps, photos, size, size, 3); zero where nothing was seen.
    """

    model: str
    version: int
    maps: tuple[TopMap, ...]
    picture: Picture | None
    projections: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    controls: NDArray[np.float32] | None
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class EvolvedRecord:
    """The photo that activated a map most after an epoch; epoch is None for the end of the training.

    state: as of `TopRecord`, or `dead`: no photo activates the map. jumped: whether the photo is another one
    than at the epoch before, None where one of the two has none. correlation: of the final photo's
    projection by the weights of the epoch and by the final ones, -1..1; None where there is none.
    """

    epoch: int | None
    path: str
    label: str
    value: float | None
    recomputed: float | None
    y: int | None
    x: int | None
    state: str
    jumped: bool | None
    correlation: float | None


@dataclass(frozen=True)
class EvolvedMap:
    """A map after each epoch, the end last."""

    map: int
    records: tuple[EvolvedRecord, ...]


@dataclass(frozen=True)
class Settling:
    """Quartiles of the correlations of `maps` maps with the end, after an epoch (None: the end itself)."""

    epoch: int | None
    median: float | None
    lower: float | None
    upper: float | None
    maps: int


@dataclass(frozen=True, eq=False)
class Evolution:
    """How maps came to be; settling: empty unless it was asked for.

    Tensors, None unless asked for: projections float32 (maps, epochs, 3, size, size), channels as the network
    has them, patches uint8 (maps, epochs, size, size, 3); zero where nothing was seen.
    """

    model: str
    version: int
    maps: tuple[EvolvedMap, ...]
    settling: tuple[Settling, ...]
    picture: Picture | None
    projections: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models side by side.

    table: what is measured, and a column for each model. picture: None unless asked for. tensors: by
    NAME-VERSION-WHAT, empty unless asked for.
    """

    table: Table
    picture: Picture | None
    tensors: Mapping[str, NDArray[Any]]
    warnings: tuple[Notice, ...] = ()
