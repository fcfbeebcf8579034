"""The methods of all clients: `Client` and `AsyncClient` of a service, `LocalClient` of this process."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self, TypeVar, Unpack

from zfscope.answers import (
    ARCHITECTURES,
    CORRESPOND,
    EVOLVE,
    INVARIANCE,
    OCCLUDE,
    PROJECT,
    TOP_K,
    Analyzed,
    AnalyzerInfo,
    Classification,
    Comparison,
    Correspondence,
    Evolution,
    Invariance,
    ModelInfo,
    ModelSummary,
    Occlusion,
    Projections,
    TopK,
)
from zfscope.client.calls import (
    AnalysisRequest,
    UnaryCall,
    check_health,
    classify,
    describe_model,
    index_request,
    list_analyzers,
    list_models,
    models_request,
    parts_parameter,
    photo_request,
    photos_request,
    untyped_request,
)
from zfscope.client.generated import (
    AnalysisOptions,
    CallOptions,
    CompareOptions,
    CorrespondOptions,
    EvolveOptions,
    InvarianceOptions,
    OccludeOptions,
    ProjectOptions,
    TopKOptions,
)
from zfscope.client.photos import Photo
from zfscope.images.geometry import Box

A = TypeVar("A")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CommonMethods(Protocol):
    """The calls of a client; what `_run` and `_unary` return is their answer, awaited in an `AsyncClient`.

    Each takes `timeout_s` and `cancel` (see `CallOptions`), every analysis `progress` too (see
    `AnalysisOptions`). Wrong values raise InputError, which names the field; models, layers, maps and labels
    that do not exist NotFound; too much work for one request TooMuchWork; a call that is cancelled or out of
    time Cancelled; a service that is not available NotReady.
    """

    @abstractmethod
    def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        """Answer a call. make: returns it, and may read files."""

    @abstractmethod
    def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        """Run an analysis. make: returns the request, and may read files."""

    def health(self) -> str:
        """Return `SERVING`, or `NOT_SERVING` while a service loads its model or shuts down."""
        return self._unary(check_health)

    def models(self, **options: Unpack[CallOptions]) -> tuple[ModelSummary, ...]:
        """List the models, by name, the newest version first."""
        return self._unary(lambda: list_models(options))

    def model(self, name: str = "", version: int | None = None, **options: Unpack[CallOptions]) -> ModelInfo:
        """Describe a model, layer by layer; by default the default model, and the newest version."""
        return self._unary(lambda: describe_model({"model": name, "version": version}, options))

    def classify(
        self,
        photo: Photo,
        *,
        model: str = "",
        version: int | None = None,
        top: int | None = None,
        ten_crop: bool = False,
        **options: Unpack[CallOptions],
    ) -> Classification:
        """Return the likeliest classes of a photo.

        top: number of classes, 5 by default. ten_crop: average over ten crops (Sec 3).
        """
        fields = {"model": model, "version": version, "top": top, "ten_crop": ten_crop}
        return self._unary(lambda: classify(photo, fields, options))

    def analyzers(
        self, model: str = "", version: int | None = None, **options: Unpack[CallOptions]
    ) -> tuple[AnalyzerInfo, ...]:
        """List the analyzers, with their costs for a model."""
        return self._unary(lambda: list_analyzers({"model": model, "version": version}, options))

    def project(self, photo: Photo, **options: Unpack[ProjectOptions]) -> Projections:
        """Project the activations of units of a layer back to the photo's pixels (Sec 2.1)."""
        return self._run(lambda: photo_request(PROJECT, photo, options, ProjectOptions))

    def occlude(self, photo: Photo, **options: Unpack[OccludeOptions]) -> Occlusion:
        """Cover a photo piece by piece, and measure its classes and a feature map each time (Sec 4.2)."""
        return self._run(lambda: photo_request(OCCLUDE, photo, options, OccludeOptions))

    def measure_invariance(self, photos: Sequence[Photo], **options: Unpack[InvarianceOptions]) -> Invariance:
        """Translate, scale and rotate photos, and measure how features and classes change (Sec 4, Fig 5)."""
        return self._run(lambda: photos_request(INVARIANCE, photos, options, InvarianceOptions))

    def correspond(
        self,
        photos: Sequence[Photo],
        parts: Mapping[str, Sequence[Box]],
        **options: Unpack[CorrespondOptions],
    ) -> Correspondence:
        """Cover the same part in different photos, and compare how that changes their features (Sec 4.3).

        parts: by name, a box in pixels of the photo for each photo, in order.
        """
        return self._run(
            lambda: photos_request(
                CORRESPOND, photos, options, CorrespondOptions, parts=parts_parameter(parts)
            )
        )

    def compare_architectures(
        self, models: Sequence[str], photos: Sequence[Photo], **options: Unpack[CompareOptions]
    ) -> Comparison:
        """Compare models, each NAME or NAME:VERSION, on the same photos (Sec 4.1, Fig 6)."""
        return self._run(lambda: models_request(ARCHITECTURES, models, photos, options, CompareOptions))

    def top_k(self, **options: Unpack[TopKOptions]) -> TopK:
        """Return the photos of an index that activate maps most, and what units saw in them (Fig 2)."""
        return self._run(lambda: index_request(TOP_K, options, TopKOptions))

    def evolve(self, **options: Unpack[EvolveOptions]) -> Evolution:
        """Return what activated maps most after each stored epoch, and how fast the maps settled (Fig 4)."""
        return self._run(lambda: index_request(EVOLVE, options, EvolveOptions))

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[Photo],
        parameters: Mapping[str, Any] = _NOTHING,
        **options: Unpack[AnalysisOptions],
    ) -> Analyzed:
        """Run any analyzer on photos.

        parameters: by name, as the analyzer's schema describes them. A service gives the call up to its
        `max_deadline_s`, by default 900 seconds, unless `timeout_s` is given; the client's own time limit
        does not apply.
        """
        return self._run(lambda: untyped_request(analyzer, photos, parameters, options))


class ClientMethods(CommonMethods, Protocol):
    """The methods of `Client` and `LocalClient`; many threads may call them at once. See `CommonMethods`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what the client holds; calls in progress are cancelled."""

    @abstractmethod
    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until models can be used. Raises NotReady after `timeout_s` seconds."""
