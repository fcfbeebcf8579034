"""Models side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis
from zfscope.results import Notice, Picture, ShowsPicture, Table

MAX_MODELS = 8
"""Maximum number of models in one comparison."""


@dataclass(frozen=True, eq=False)
class Comparison(ShowsPicture):
    """Models side by side.

    table: what is measured, and a column for each model. picture: None unless asked for. tensors: by
    NAME-VERSION-WHAT, empty unless asked for.
    """

    table: Table
    picture: Picture | None
    tensors: Mapping[str, NDArray[Any]]
    warnings: tuple[Notice, ...] = ()


def _assemble(found: Analyzed, _: Sequence[Size]) -> Comparison:
    analysis = found.analysis
    return from_analysis(
        Comparison,
        found,
        table=analysis.tables["architectures"],
        picture=analysis.picture("architectures"),
        tensors=analysis.tensors,
    )


def _field_of(field: str) -> str:
    """Return the request's field: its first model is the one asked, the others are a parameter."""
    return re.sub(r"^others\[(\d+)\]", lambda found: f"models[{int(found[1]) + 1}]", field)


ARCHITECTURES = TypedAnalysis(
    "CompareArchitectures", "compare-architectures", Comparison, _assemble, _field_of
)
