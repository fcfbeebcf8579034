"""Result of a top-k analysis: the strongest photos of feature maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import (
    Analyzed,
    Size,
    TypedAnalysis,
    box_of,
    from_analysis,
    from_record,
    group_by,
)
from zfscope.images.geometry import Box
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class TopRecord:
    """One of the strongest photos of a map; rank 0 is the strongest.

    path, label: in the indexed data. value: recorded activation. recomputed: current activation. y, x: row
    and column of the unit, None in a fully connected layer. state: a `zfscope.records.RecordState`. patch: in
    photo pixels. control_ssim, control_rank_correlation: similarity to the control, -1..1, None without a
    control. recomputed, patch and the similarities are None if state is `changed`, `gone` or `silent`.
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
    """A map with its strongest photos. alive: number of the `images` photos that activate it."""

    map: int
    alive: int
    images: int
    dead: bool
    records: tuple[TopRecord, ...]


@dataclass(frozen=True, eq=False)
class TopK(ShowsPicture):
    """Strongest photos of feature maps of a layer in an index.

    Tensors, None unless requested: projections and controls float32 (maps, photos, C, size, size) in the
    network's channel order; patches uint8 (maps, photos, size, size, 3). All are zero where a photo is
    missing or does not activate the map.
    """

    model: str
    version: int
    maps: tuple[TopMap, ...]
    picture: Picture | None
    projections: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    controls: NDArray[np.float32] | None
    warnings: tuple[Notice, ...] = ()
    layer: str = ""


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> TopK:
    analysis = analyzed.analysis
    rows = analysis.tables["records"].records()
    records = group_by(rows, "map")
    return from_analysis(
        TopK,
        analyzed,
        layer=rows[0]["layer"],
        maps=tuple(
            from_record(
                TopMap,
                row,
                dead=bool(row["dead"]),
                records=tuple(
                    from_record(TopRecord, record, label=record["class"] or "", patch=box_of(record))
                    for record in records.get(row["map"], ())
                ),
            )
            for row in analysis.tables["maps"].records()
        ),
        picture=analysis.picture("top-k"),
    )


TOP_K = TypedAnalysis("TopK", "top-k", TopK, _assemble)
