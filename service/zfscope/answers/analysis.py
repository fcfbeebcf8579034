"""Answers that are the same for all analyses, and how an analysis becomes the answer of a typed RPC."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from zfscope.errors import ZfscopeError
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice

A = TypeVar("A")
Size = tuple[int, int]
"""(height, width) in pixels."""

# Columns of the tables of analyzers that an answer names more fully.
_COLUMNS = {"control_ssim": "ssim", "control_rank_correlation": "rank_correlation", "label": "class"}


@dataclass(frozen=True, eq=False)
class AnalyzerInfo:
    """An analyzer of the service.

    distribution, version: the package that it comes from. parameters_schema: a JSON schema. cost: the
    approximate number of forward passes for each photo with default parameters, None if there are no
    defaults. min_images, max_images: the number of photos that it takes.
    """

    name: str
    summary: str
    distribution: str
    version: str
    parameters_schema: Mapping[str, Any]
    cost: int | None
    min_images: int
    max_images: int

    @property
    def photos(self) -> tuple[int, int]:
        """The smallest and the largest number of photos."""
        return self.min_images, self.max_images


@dataclass(frozen=True, eq=False)
class Progress:
    """Progress of an analysis: the fraction done (0..1), the seconds left if known, and a partial result."""

    fraction: float
    seconds_left: float | None
    partial: Analysis | None


@dataclass(frozen=True, eq=False)
class Analyzed:
    """The result of an analyzer, and the model that it is about."""

    model: str
    version: int
    analysis: Analysis

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What was assumed or left out."""
        return self.analysis.warnings

    def _repr_html_(self) -> str:
        return self.analysis._repr_html_()


@contextmanager
def rename_fields(field_of: Callable[[str], str]) -> Iterator[None]:
    """Rename the fields that errors name."""
    try:
        yield
    except ZfscopeError as error:
        error.field = field_of(error.field)
        error.fields = {field_of(field): message for field, message in error.fields.items()}
        raise


@dataclass(frozen=True, eq=False)
class TypedAnalysis(Generic[A]):
    """An analysis that has an RPC of its own.

    rpc, analyzer: their names. answer: the class of the answers. assemble: makes one of an analysis and of
    the sizes of its photos. field_of: the field of the RPC's request for a parameter of the analyzer.
    """

    rpc: str
    analyzer: str
    answer: type[A]
    assemble: Callable[[Analyzed, Sequence[Size]], A]
    field_of: Callable[[str], str] = str


def from_record(answer: type[A], record: Mapping[str, Any], **values: Any) -> A:
    """Return an answer with the fields of a table's row; `values` are used for fields that differ.

    A field is read from the column of its name; those that the row lacks are None.
    """
    names = [field.name for field in fields(answer) if field.name not in values]  # type: ignore[arg-type]
    return answer(
        **{name: record.get(_COLUMNS.get(name, name), record.get(name)) for name in names}, **values
    )


def from_analysis(answer: type[A], found: Analyzed, **values: Any) -> A:
    """Return an answer about a whole analysis; `values` are used for fields that differ.

    Model, version and warnings are those of the analysis; any other field is the tensor of its name, with
    hyphens for underscores, or None if there is none.
    """
    tensors = {name.replace("-", "_"): tensor for name, tensor in found.analysis.tensors.items()}
    known = {**tensors, "model": found.model, "version": found.version, "warnings": found.warnings, **values}
    names = [field.name for field in fields(answer)]  # type: ignore[arg-type]
    return answer(**{name: known.get(name) for name in names})


def box_of(record: Mapping[str, Any]) -> Box | None:
    """Return the box in the columns x0, y0, x1 and y1 of a row; None if they are empty."""
    if record["x0"] is None:
        return None
    return Box(record["x0"], record["y0"], record["x1"], record["y1"])


def group_by(records: Iterable[Mapping[str, Any]], column: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Return the rows for each value of a column, in order."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(record[column], []).append(record)
    return groups
