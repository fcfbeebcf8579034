"""Result of a comparison of models."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis
from zfscope.results import Notice, Picture, ShowsPicture, Table

# Maximum number of models in one comparison.
MAX_MODELS = 8


@dataclass(frozen=True, eq=False)
class Comparison(ShowsPicture):
    """Comparison of models on the same photos.

    table: a row for each measure and a column for each model. picture: None unless requested. tensors: by
    NAME-VERSION-MEASURE, empty unless requested.
    """

    table: Table
    picture: Picture | None
    tensors: Mapping[str, NDArray[Any]]
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> Comparison:
    analysis = analyzed.analysis
    return from_analysis(
        Comparison,
        analyzed,
        table=analysis.tables["architectures"],
        picture=analysis.picture("architectures"),
        tensors=analysis.tensors,
    )


def _field_of(field: str) -> str:
    """Return the request field: models[0] is the analyzed model, the others are the parameter `others`."""
    return re.sub(r"^others\[(\d+)\]", lambda match: f"models[{int(match[1]) + 1}]", field)


ARCHITECTURES = TypedAnalysis(
    "CompareArchitectures", "compare-architectures", Comparison, _assemble, _field_of
)
