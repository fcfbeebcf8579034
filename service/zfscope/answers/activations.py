"""Result of an activation analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, box_of, from_analysis, from_record
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice, Picture, ShowsPicture


@dataclass(frozen=True, eq=False)
class ActiveUnit(ShowsPicture):
    """The strongest unit of a feature map.

    map: in a fully connected layer, the index of the unit. y, x: None in a fully connected layer. total: sum
    of the map's activations. rank: rank of the map among all maps of the layer, from 0. label: class of a
    unit of the class scores, empty for other layers. receptive_field: in photo pixels. picture: the whole map
    as a tile; None unless requested, for maps of a single unit, and after the first 64 maps.

    With a place or a box, activation, total and rank are those of the units there.
    """

    map: int
    y: int | None
    x: int | None
    activation: float
    total: float
    rank: int
    label: str
    receptive_field: Box
    picture: Picture | None


@dataclass(frozen=True, eq=False)
class Activations(ShowsPicture):
    """Feature maps of a layer for a photo: the strongest unit of each, and a sheet that shows the maps.

    map_count: number of maps in the layer. photo_size: (height, width) in pixels. maps: float32 (units, rows,
    columns), the whole maps, or (units,) for a fully connected layer; None unless tensors were requested.
    """

    model: str
    version: int
    layer: str
    map_count: int
    units: tuple[ActiveUnit, ...]
    sheet: Picture | None
    photo_size: tuple[int, int]
    maps: NDArray[np.float32] | None
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"


def _assemble(analyzed: Analyzed, sizes: Sequence[Size]) -> Activations:
    analysis = analyzed.analysis
    records = analysis.tables["units"].records()
    layer = records[0]["layer"]
    return from_analysis(
        Activations,
        analyzed,
        layer=layer,
        map_count=int(analysis.numbers["maps"]),
        units=tuple(_unit(analysis, record) for record in records),
        sheet=analysis.picture(f"{layer}-activations"),
        photo_size=sizes[0],
    )


def _unit(analysis: Analysis, record: Mapping[str, Any]) -> ActiveUnit:
    drawn = analysis.picture(record["picture"])
    return from_record(
        ActiveUnit, record, label=record["label"], receptive_field=box_of(record), picture=drawn
    )


ACTIVATIONS = TypedAnalysis("Activations", "activations", Activations, _assemble)
