"""One analysis, in a service or in this process: check, load, prepare, run, validate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import Registry
from zfscope.analysis.run import check_cost, check_photos, read_params, run, translate_errors, validate_result
from zfscope.answers.analysis import Analyzed, Size
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared
from zfscope.runtimes import Loaded
from zfscope.store import Model, ModelStore

Partial = Callable[[], Analysis]
Report = Callable[[Model, float, Partial | None], None]
"""(the model, the fraction done, a function that returns a partial result)."""
Prepare = Callable[[Model], Prepared]


class AnalysisHost(Protocol):
    """What an analysis is run with."""

    @property
    def registry(self) -> Registry:
        """The analyzers that there are."""
        ...

    @property
    def store(self) -> ModelStore:
        """The models that there are."""
        ...

    @property
    def image_limits(self) -> DecodeLimits:
        """Limits of the images that are decoded."""
        ...

    @property
    def max_passes(self) -> int | None:
        """Maximum cost of an analysis in forward passes; None for no limit."""
        ...

    def loaded(self, name: str, version: int | None) -> Loaded:
        """Return a model and its runtime. Raises NotFound, DamagedModel, RuntimeUnavailable."""
        ...


@dataclass(frozen=True, eq=False)
class AnalysisCall:
    """A request for an analysis.

    photos: by the path of the field that holds each, a function that prepares it for a model. under: the
    field that holds the parameters, empty if each is a field of its own. version: None means the newest.
    admit: raises an error for parameters that the host does not allow for a model.
    """

    analyzer: str
    photos: Mapping[str, Prepare]
    parameters: Mapping[str, Any]
    model: str = ""
    version: int | None = None
    pictures: bool = True
    tensors: bool = False
    under: str = ""
    admit: Callable[[Model, BaseModel], None] | None = None


@dataclass(frozen=True, eq=False)
class AnalysisOutcome:
    """An analysis with the model and the photos that it is about."""

    model: Model
    images: tuple[Prepared, ...]
    analysis: Analysis

    @property
    def analyzed(self) -> Analyzed:
        """The analysis with the model's name."""
        return Analyzed(self.model.name, self.model.version, self.analysis)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the photos, (height, width) in pixels."""
        return tuple(image.geometries[0].photo_size for image in self.images)


def analyze(
    host: AnalysisHost,
    call: AnalysisCall,
    *,
    check_cancelled: Callable[[], None],
    report: Report = lambda *_: None,
) -> AnalysisOutcome:
    """Run an analysis. Blocks; everything that can be refused is refused before any forward pass.

    Raises the errors of `zfscope.errors`; for parameters they name the field.
    """
    found, under = host.registry.registered(call.analyzer), call.under
    analyzer, photos = found.analyzer, len(call.photos)
    with translate_errors(found, under=under):
        check_photos(analyzer, photos)
        params = read_params(analyzer, call.parameters, under=under)
    loaded = host.loaded(call.model, call.version)
    model = loaded.model
    if call.admit:
        call.admit(model, params)
    with translate_errors(found, under=under):
        check_cost(analyzer, model, params, host.max_passes, photos=photos, under=under)
    images = tuple(prepare(model) for prepare in call.photos.values())

    def progress(fraction: float, partial: Partial | None = None) -> None:
        report(model, fraction, partial and (lambda: validate_result(context, partial())))

    context = Context(
        model=model,
        runtime=loaded.runtime,
        images=images,
        pictures=call.pictures,
        tensors=call.tensors,
        store=host.store,
        limits=host.image_limits,
        noticed=model.warnings,
        check_cancelled=check_cancelled,
        progress=progress,
    )
    with translate_errors(found, under=under):
        return AnalysisOutcome(model, images, run(analyzer, context, params))
