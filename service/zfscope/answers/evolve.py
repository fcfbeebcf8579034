"""Evolution of maps during training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record, group_by
from zfscope.results import Notice, Picture, ShowsPicture


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
class Evolution(ShowsPicture):
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


def _assemble(found: Analyzed, _: Sequence[Size]) -> Evolution:
    analysis = found.analysis
    settling = analysis.tables.get("settling")
    return from_analysis(
        Evolution,
        found,
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
