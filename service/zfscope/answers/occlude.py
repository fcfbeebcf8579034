"""Occlusion of a photo, window by window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, box_of, from_analysis, from_record
from zfscope.images.geometry import Box
from zfscope.results import Notice, Picture, ShowsPicture


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
class Occlusion(ShowsPicture):
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


def _assemble(found: Analyzed, sizes: Sequence[Size]) -> Occlusion:
    analysis = found.analysis
    tensors, classes = analysis.tensors, analysis.tables["classes"].records()
    (watched,) = analysis.tables["watched"].records()
    return from_analysis(
        Occlusion,
        found,
        windows=int(analysis.numbers["windows"]),
        classes=tuple(_class(record, index, tensors) for index, record in enumerate(classes)),
        map=from_record(
            OccludedMap,
            watched,
            totals=tensors.get("totals"),
            total_map=tensors.get("total-map"),
            projection=tensors.get("projection"),
            control_projection=tensors.get("control-projection"),
        ),
        picture=analysis.picture("occlusion"),
        photo_size=sizes[0],
        positions=tensors.get("windows"),
    )


def _class(record: Mapping[str, Any], index: int, tensors: Mapping[str, NDArray[Any]]) -> OccludedClass:
    def tensor(name: str) -> NDArray[Any] | None:
        return tensors[name][index] if name in tensors else None

    return from_record(
        OccludedClass,
        record,
        lowest_at=box_of(record),
        values=tensor("values"),
        value_map=tensor("value-maps"),
        photo_value_map=tensor("photo-value-maps"),
    )


OCCLUDE = TypedAnalysis("Occlude", "occlude", Occlusion, _assemble)
