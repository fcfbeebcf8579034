"""Execution of one analysis, in a service or in this process: check, load, prepare, run, validate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from pydantic import BaseModel

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import Registry
from zfscope.analysis.run import check_cost, check_photos, read_params, run, translate_errors, validate_result
from zfscope.analysis.subanalysis import check_needs, check_subanalyses, total_cost
from zfscope.analysis.trace_cache import TraceCache
from zfscope.answers.analysis import Analyzed, Size
from zfscope.cancellation import interruptible
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared
from zfscope.runtimes import LoadedModel
from zfscope.store import Model, ModelStore

Partial = Callable[[], Analysis]
# Called with the model, the fraction done (0..1) and, if available, a function that returns a partial result.
Report = Callable[[Model, float, Partial | None], None]


class AnalysisHost(Protocol):
    """Environment in which analyses run: a service or a `LocalClient`."""

    @property
    def registry(self) -> Registry:
        """The available analyzers."""
        ...

    @property
    def store(self) -> ModelStore:
        """The available models."""
        ...

    @property
    def image_limits(self) -> DecodeLimits:
        """Limits for decoding images."""
        ...

    @property
    def max_passes(self) -> int | None:
        """Maximum cost of an analysis in forward passes; None for no limit."""
        ...

    @property
    def trace_cache(self) -> TraceCache:
        """Photos and traces that the analyses share."""
        ...

    def load_model(self, name: str, version: int | None) -> LoadedModel:
        """Return a model and its runtime. Raises NotFound, DamagedModel or RuntimeUnavailable."""
        ...


Prepare = Callable[[AnalysisHost, Model], Prepared]


@dataclass(frozen=True, eq=False)
class AnalysisCall:
    """A request for an analysis.

    photos: for each request field with a photo, a function that prepares it for a model. version: None for
    the newest. under: request field that contains the parameters; empty if they are top-level fields.
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
    """Result of an analysis with its model and prepared photos."""

    model: Model
    images: tuple[Prepared, ...]
    analysis: Analysis

    @property
    def analyzed(self) -> Analyzed:
        """The analysis with the name and version of the model."""
        return Analyzed(self.model.name, self.model.version, self.analysis)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Sizes of the photos, (height, width) in pixels."""
        return tuple(image.geometries[0].photo_size for image in self.images)


def analyze(
    host: AnalysisHost,
    call: AnalysisCall,
    *,
    check_cancelled: Callable[[], None],
    report: Report = lambda *_: None,
) -> AnalysisOutcome:
    """Run an analysis and block until it is done; invalid requests fail before the first forward pass.

    Raises the exceptions of `zfscope.errors`; they name the field of an invalid parameter.
    """
    registered, under = host.registry.registered(call.analyzer), call.under
    analyzer, photos = registered.analyzer, len(call.photos)
    with translate_errors(registered, under=under):
        check_photos(analyzer, photos)
        params = read_params(analyzer, call.parameters, under=under)
        check_subanalyses(host.registry, analyzer, params, photos=min(photos, 1))
    loaded = host.load_model(call.model, call.version)
    model = loaded.model
    if call.admit:
        call.admit(model, params)
    with translate_errors(registered, under=under):
        check_needs(host.registry, analyzer, model.manifest, params)
        cost = partial(total_cost, host.registry)
        check_cost(analyzer, model, params, host.max_passes, photos=photos, under=under, cost=cost)
    with interruptible(check_cancelled):
        images = tuple(prepare(host, model) for prepare in call.photos.values())

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
        tracer=host.trace_cache.trace,
        randomiser=host.trace_cache.randomise,
        analyzers=host.registry,
    )

    # It refers to a context without itself: a cycle would keep the photos until the garbage is collected.
    def progress(fraction: float, result: Partial | None = None) -> None:
        report(model, fraction, result and (lambda: validate_result(context, result())))

    with translate_errors(registered, under=under):
        analysis = run(analyzer, replace(context, progress=progress), params)
        return AnalysisOutcome(model, images, analysis)
