"""Result of a correspondence analysis of object parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class PartCorrespondence:
    """Consistency of the change of a layer's features when a part is occluded; part `random` is the control.

    mean, deviation: mean and standard deviation, over all pairs of photos, of the fraction of features (0..1)
    that change differently in the two photos. Lower values mean that the network relates the parts more
    closely. pairs: number of pairs.
    """

    part: str
    layer: str
    mean: float
    deviation: float
    pairs: int


@dataclass(frozen=True, eq=False)
class Correspondence(ShowsPicture):
    """Correspondence of object parts between photos; one row per part and layer, then those of the control.

    Tensors, None unless requested: hamming float32 (parts, layers, photos, photos), the fraction of each
    pair; boxes int64 (parts, photos, 4), x0, y0, x1, y1 in pixels of the network's input; random_hamming and
    random_boxes, the same for the control, with its draws in place of parts, None without a control.
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
    precision: str = "float32"


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> Correspondence:
    rows = analyzed.analysis.tables["correspondence"].records()
    return from_analysis(
        Correspondence,
        analyzed,
        rows=tuple(from_record(PartCorrespondence, row) for row in rows),
        picture=analyzed.analysis.picture("correspondence"),
    )


CORRESPOND = TypedAnalysis("Correspond", "correspond", Correspondence, _assemble)
