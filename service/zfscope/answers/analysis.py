"""Result types shared by all analyses, and conversion of an analysis to the result of a typed RPC."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from zfscope.errors import ZfscopeError
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Notice

A = TypeVar("A")
# (height, width) in pixels.
Size = tuple[int, int]

# Fields of results whose column in the analyzer's table has a shorter name.
_COLUMNS = {"control_ssim": "ssim", "control_rank_correlation": "rank_correlation", "label": "class"}


@dataclass(frozen=True, eq=False)
class AnalyzerInfo:
    """An available analyzer.

    distribution, version: package that provides it. parameters_schema: JSON schema of its parameters. cost:
    approximate number of forward passes per photo with default parameters, None if not all have one.
    min_images, max_images: range of the number of photos. needs: parts of a model that it needs: `network`,
    `scores`, `outputs`. unavailable: why it cannot run with the model, empty if it can.
    """

    name: str
    summary: str
    distribution: str
    version: str
    parameters_schema: Mapping[str, Any]
    cost: int | None
    min_images: int
    max_images: int
    needs: tuple[str, ...] = ()
    unavailable: str = ""

    @property
    def photos(self) -> tuple[int, int]:
        """Minimum and maximum number of photos."""
        return self.min_images, self.max_images


@dataclass(frozen=True, eq=False)
class Progress:
    """Progress of an analysis: fraction done (0..1); seconds left and partial result, if available."""

    fraction: float
    seconds_left: float | None
    partial: Analysis | None


@dataclass(frozen=True, eq=False)
class Analyzed:
    """Result of an analyzer, with the name and version of the model."""

    model: str
    version: int
    analysis: Analysis

    @property
    def precision(self) -> str:
        """Precision that the result was computed in; see `Analysis`."""
        return self.analysis.precision

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Assumptions made and data left out."""
        return self.analysis.warnings

    def _repr_html_(self) -> str:
        return self.analysis._repr_html_()


@contextmanager
def rename_fields(field_of: Callable[[str], str]) -> Iterator[None]:
    """Rename the fields in errors raised in this block."""
    try:
        yield
    except ZfscopeError as error:
        error.field = field_of(error.field)
        error.fields = {field_of(field): message for field, message in error.fields.items()}
        raise


@dataclass(frozen=True, eq=False)
class TypedAnalysis(Generic[A]):
    """An analysis with a dedicated RPC.

    rpc, analyzer: names of the RPC and the analyzer. result_type: class of the results. assemble: builds a
    result from an analysis and the sizes of its photos. field_of: returns the request field for a parameter
    of the analyzer.
    """

    rpc: str
    analyzer: str
    result_type: type[A]
    assemble: Callable[[Analyzed, Sequence[Size]], A]
    field_of: Callable[[str], str] = str


def from_record(result_type: type[A], record: Mapping[str, Any], **values: Any) -> A:
    """Return a result with the fields of a table's row; `values` override columns.

    Each field is read from the column of its name; fields without a column are None.
    """
    names = [field.name for field in fields(result_type) if field.name not in values]  # type: ignore[arg-type]
    return result_type(
        **{name: record.get(_COLUMNS.get(name, name), record.get(name)) for name in names}, **values
    )


def from_analysis(result_type: type[A], analyzed: Analyzed, **values: Any) -> A:
    """Return the result of a whole analysis; `values` override its fields.

    Model, version, precision and warnings are those of the analysis. Any other field is the tensor of its
    name, with hyphens for underscores, or None if the analysis lacks it.
    """
    tensors = {name.replace("-", "_"): tensor for name, tensor in analyzed.analysis.tensors.items()}
    known = {
        **tensors,
        "model": analyzed.model,
        "version": analyzed.version,
        "precision": analyzed.precision,
        "warnings": analyzed.warnings,
        **values,
    }
    names = [field.name for field in fields(result_type)]  # type: ignore[arg-type]
    return result_type(**{name: known.get(name) for name in names})


def box_of(record: Mapping[str, Any]) -> Box | None:
    """Return the box from the columns x0, y0, x1 and y1 of a row, or None if they are empty."""
    if record["x0"] is None:
        return None
    return Box(record["x0"], record["y0"], record["x1"], record["y1"])


def group_by(records: Iterable[Mapping[str, Any]], column: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Group rows by the value of a column, in order."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(record[column], []).append(record)
    return groups
