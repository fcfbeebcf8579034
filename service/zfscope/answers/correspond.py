"""Correspondence of parts between photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record
from zfscope.results import Notice, Picture, ShowsPicture


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
class Correspondence(ShowsPicture):
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


def _assemble(found: Analyzed, _: Sequence[Size]) -> Correspondence:
    rows = found.analysis.tables["correspondence"].records()
    return from_analysis(
        Correspondence,
        found,
        rows=tuple(from_record(PartCorrespondence, row) for row in rows),
        picture=found.analysis.picture("correspondence"),
    )


CORRESPOND = TypedAnalysis("Correspond", "correspond", Correspondence, _assemble)
