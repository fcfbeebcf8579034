"""The photos of an index that activate maps most."""

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
    """A photo among the strongest of a map; rank 0 is the strongest.

    path, label: in the data that was indexed. value: the recorded activation. recomputed: that of now. y, x:
    the unit's place, None in a fully connected layer. state: a `zfscope.records.RecordState`. patch: in
    pixels of the photo. recomputed and patch are None where it is `changed`, `gone` or `silent`, and so are
    the control's similarities, -1..1, and without a control.
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
class TopK(ShowsPicture):
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


def _assemble(found: Analyzed, _: Sequence[Size]) -> TopK:
    analysis = found.analysis
    records = group_by(analysis.tables["records"].records(), "map")
    return from_analysis(
        TopK,
        found,
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
