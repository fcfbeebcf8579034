"""Result of an evolution analysis: feature maps during training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record, group_by
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class EvolvedRecord:
    """The strongest photo of a map after an epoch; epoch is None for the end of training.

    state: as in `TopRecord`, or `dead` if no photo activates the map. jumped: whether the photo differs from
    that of the previous epoch, None if either has no photo. correlation: correlation, -1..1, of the final
    photo's projection with the epoch's weights and with the final ones, or None.
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
    """Records of a map after each epoch, the end of training last."""

    map: int
    records: tuple[EvolvedRecord, ...]


@dataclass(frozen=True)
class Settling:
    """Quartiles of the correlation of `maps` maps with the end of training, after an epoch; None: the end."""

    epoch: int | None
    median: float | None
    lower: float | None
    upper: float | None
    maps: int


@dataclass(frozen=True, eq=False)
class Evolution(ShowsPicture):
    """Evolution of feature maps of a layer during training. settling: empty unless requested.

    Tensors, None unless requested: projections float32 (maps, epochs, C, size, size) in the network's channel
    order; patches uint8 (maps, epochs, size, size, 3). Both are zero where no photo activates the map.
    """

    model: str
    version: int
    maps: tuple[EvolvedMap, ...]
    settling: tuple[Settling, ...]
    picture: Picture | None
    projections: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    warnings: tuple[Notice, ...] = ()
    layer: str = ""
    precision: str = "float32"


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> Evolution:
    analysis = analyzed.analysis
    settling = analysis.tables.get("settling")
    return from_analysis(
        Evolution,
        analyzed,
        layer=analysis.tables["evolution"].records()[0]["layer"],
        maps=tuple(
            EvolvedMap(
                feature_map,
                tuple(
                    from_record(
                        EvolvedRecord,
                        row,
                        path=row["path"] or "",
                        label=row["class"] or "",
                        jumped=None if row["jumped"] is None else bool(row["jumped"]),
                    )
                    for row in rows
                ),
            )
            for feature_map, rows in group_by(analysis.tables["evolution"].records(), "map").items()
        ),
        settling=tuple(from_record(Settling, row) for row in settling.records()) if settling else (),
        picture=analysis.picture("evolution"),
    )


EVOLVE = TypedAnalysis("Evolve", "evolve", Evolution, _assemble)
