"""Result of an occlusion analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, box_of, from_analysis, from_record
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, ShowsPicture


@dataclass(frozen=True, eq=False)
class OccludedClass:
    """Effect of the occlusion on a class.

    clean: value of the class for the original photo. lowest: lowest value over the windows. lowest_at: window
    of the lowest value, in photo pixels; None if no window lowers the value by more than rounding. Tensors,
    None unless requested: values float32 (windows,); value_map float32 (H, W) in the network's input, the
    mean over the windows that cover a pixel; photo_value_map, the same in photo pixels.
    """

    label_id: str
    label: str
    clean: float
    lowest: float
    lowest_at: Box | None
    values: NDArray[np.float32] | None
    value_map: NDArray[np.float32] | None
    photo_value_map: NDArray[np.float32] | None


@dataclass(frozen=True)
class ClassChange:
    """Value of a class without and with an occluded window."""

    label_id: str
    label: str
    clean: float
    occluded: float


@dataclass(frozen=True, eq=False)
class OccludedMap:
    """Effect of the occlusion on a feature map: the sum of its activations over space.

    Tensors, None unless requested: totals float32 (windows,); total_map float32 (H, W) in the network's
    input; projection float32 (C, H, W) of the map's strongest unit, and control_projection of its control.
    control_ssim, control_rank_correlation: similarity of the two, -1..1; None without a control.
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
    """Effect of occluding each window of a photo. photo_size: (height, width) in pixels.

    changes: the 5 most likely classes before and the 5 after the occlusion, by their value before; only if
    exactly one window was occluded, else empty.

    Tensors, None unless requested: positions int64 (windows, 4), first row, first column, rows and columns in
    the network's input; likeliest int64 (windows,), index of the most likely class.
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
    changes: tuple[ClassChange, ...] = ()
    precision: str = "float32"


def _assemble(analyzed: Analyzed, sizes: Sequence[Size]) -> Occlusion:
    analysis = analyzed.analysis
    tensors, classes = analysis.tensors, analysis.tables["classes"].records()
    (watched,) = analysis.tables["watched"].records()
    return from_analysis(
        Occlusion,
        analyzed,
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
        changes=_changes(analysis),
    )


def _changes(analysis: Analysis) -> tuple[ClassChange, ...]:
    table = analysis.tables.get("changes")
    return tuple(from_record(ClassChange, record) for record in table.records()) if table else ()


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
