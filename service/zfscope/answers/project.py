"""Result of a projection analysis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, box_of, from_analysis, from_record
from zfscope.images.geometry import Box
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class Unit:
    """A unit to project, given by map, row (y) and column (x); without y and x, the map's strongest unit.

    In a fully connected layer, map is the index of the unit.
    """

    map: int
    y: int | None = None
    x: int | None = None


@dataclass(frozen=True, eq=False)
class Projection(ShowsPicture):
    """Projection of one unit to pixel space.

    y, x: None in a fully connected layer. receptive_field: in photo pixels. picture: None unless requested.
    tensor, control_tensor: float32 (C, H, W) in the size and channel order of the network's input, read-only;
    None unless requested. control_ssim, control_rank_correlation: similarity of the projection and its
    control, -1..1; None without a control.
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
class Projections(ShowsPicture):
    """Projections of units, and a sheet that shows all of them. photo_size: (height, width) in pixels."""

    model: str
    version: int
    projections: tuple[Projection, ...]
    sheet: Picture | None
    photo_size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"


def _assemble(analyzed: Analyzed, sizes: Sequence[Size]) -> Projections:
    analysis = analyzed.analysis
    records = analysis.tables["projections"].records()
    nothing = [None] * len(records)
    tensors = analysis.tensors.get("projections", nothing)
    controls = analysis.tensors.get("controls", nothing)
    return from_analysis(
        Projections,
        analyzed,
        projections=tuple(
            from_record(
                Projection,
                record,
                receptive_field=box_of(record),
                picture=analysis.picture(record["picture"]),
                tensor=tensor,
                control_tensor=control,
            )
            for record, tensor, control in zip(records, tensors, controls, strict=True)
        ),
        sheet=next((picture for picture in analysis.pictures if picture.name.endswith("-sheet")), None),
        photo_size=sizes[0],
    )


PROJECT = TypedAnalysis("Project", "project", Projections, _assemble)
