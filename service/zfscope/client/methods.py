"""Methods shared by `Client`, `AsyncClient` and `LocalClient`."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self, TypeVar, Unpack

from zfscope.answers import (
    ACTIVATIONS,
    ARCHITECTURES,
    CORRESPOND,
    EVOLVE,
    FAITHFULNESS,
    INVARIANCE,
    OCCLUDE,
    PROJECT,
    TOP_K,
    Activations,
    Analyzed,
    AnalyzerInfo,
    Classification,
    Comparison,
    Correspondence,
    Evolution,
    FaithfulnessResult,
    IndexedPhoto,
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
    get_indexed_photo,
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
    ActivationsOptions,
    AnalysisOptions,
    CallOptions,
    CompareOptions,
    CorrespondOptions,
    EvolveOptions,
    FaithfulnessOptions,
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
    """Methods of all clients; those of an `AsyncClient` are awaited.

    Every method takes `timeout_s` and `cancel` (see `CallOptions`); every analysis also takes `progress` (see
    `AnalysisOptions`).

    All methods raise InputError for an invalid value, naming the field; NotFound for a model, layer, map or
    label that does not exist; TooMuchWork for a request over the service's limits; Cancelled if the call is
    cancelled or exceeds its time limit; and NotReady if the service is not available.
    """

    @abstractmethod
    def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        """Execute a call with one response. make: builds the call; may read files."""

    @abstractmethod
    def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        """Run an analysis. make: builds the request; may read files."""

    def health(self) -> str:
        """Return `SERVING`, or `NOT_SERVING` while the service loads its model or shuts down."""
        return self._unary(check_health)

    def models(self, **options: Unpack[CallOptions]) -> tuple[ModelSummary, ...]:
        """List the models, sorted by name, newest version first."""
        return self._unary(lambda: list_models(options))

    def model(self, name: str = "", version: int | None = None, **options: Unpack[CallOptions]) -> ModelInfo:
        """Describe a model and its layers.

        name: default: the store's default model. version: default: the newest.
        """
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
        """Return the most likely classes of a photo.

        top: number of classes, 1 to 1000; default: 5. ten_crop: average over ten crops (Sec 3).
        """
        fields = {"model": model, "version": version, "top": top, "ten_crop": ten_crop}
        return self._unary(lambda: classify(photo, fields, options))

    def analyzers(
        self, model: str = "", version: int | None = None, **options: Unpack[CallOptions]
    ) -> tuple[AnalyzerInfo, ...]:
        """List the analyzers with their costs for a model."""
        return self._unary(lambda: list_analyzers({"model": model, "version": version}, options))

    def project(self, photo: Photo, **options: Unpack[ProjectOptions]) -> Projections:
        """Project the activations of units of a layer back to input pixels (Sec 2.1)."""
        return self._run(lambda: photo_request(PROJECT, photo, options, ProjectOptions))

    def activations(self, photo: Photo, **options: Unpack[ActivationsOptions]) -> Activations:
        """Return the strongest feature maps of a layer, anywhere or at a place, and their units there."""
        return self._run(lambda: photo_request(ACTIVATIONS, photo, options, ActivationsOptions))

    def occlude(self, photo: Photo, **options: Unpack[OccludeOptions]) -> Occlusion:
        """Occlude a photo window by window; measure classes and a feature map at each (Sec 4.2)."""
        return self._run(lambda: photo_request(OCCLUDE, photo, options, OccludeOptions))

    def measure_invariance(self, photos: Sequence[Photo], **options: Unpack[InvarianceOptions]) -> Invariance:
        """Translate, scale and rotate photos; measure how features and classes change (Sec 4, Fig 5)."""
        return self._run(lambda: photos_request(INVARIANCE, photos, options, InvarianceOptions))

    def measure_faithfulness(
        self, photos: Sequence[Photo], **options: Unpack[FaithfulnessOptions]
    ) -> FaithfulnessResult:
        """Measure how faithful explanations of classes are, by deletion and insertion curves."""
        return self._run(lambda: photos_request(FAITHFULNESS, photos, options, FaithfulnessOptions))

    def correspond(
        self,
        photos: Sequence[Photo],
        parts: Mapping[str, Sequence[Box]],
        **options: Unpack[CorrespondOptions],
    ) -> Correspondence:
        """Occlude the same object part in several photos and compare the change of their features (Sec 4.3).

        parts: for each part name, one box per photo in photo pixels, in the order of the photos.
        """
        return self._run(
            lambda: photos_request(
                CORRESPOND, photos, options, CorrespondOptions, parts=parts_parameter(parts)
            )
        )

    def compare_architectures(
        self, models: Sequence[str], photos: Sequence[Photo], **options: Unpack[CompareOptions]
    ) -> Comparison:
        """Compare 2 to 8 models, each NAME or NAME:VERSION, on the same photos (Sec 4.1, Fig 6)."""
        return self._run(lambda: models_request(ARCHITECTURES, models, photos, options, CompareOptions))

    def top_k(self, **options: Unpack[TopKOptions]) -> TopK:
        """Return the strongest photos of feature maps in an index, with their projections (Fig 2)."""
        return self._run(lambda: index_request(TOP_K, options, TopKOptions))

    def indexed_photo(
        self,
        blake2b: str,
        *,
        index: str = "",
        model: str = "",
        version: int | None = None,
        **options: Unpack[CallOptions],
    ) -> IndexedPhoto:
        """Return the file of a photo that an index records.

        blake2b: hash of the file, as in the records of `top_k`. index: name of the index; default: the
        model's only index. model: model of the index; default: the store's default model. version: version of
        that model; default: the newest.

        Raises NotFound if the index records no such photo, or if its file is gone or has changed; TooLarge if
        it exceeds the limit of image files; Forbidden if the service does not return indexed photos.
        """
        fields = {"blake2b": blake2b, "index": index, "model": model, "version": version}
        return self._unary(lambda: get_indexed_photo(fields, options))

    def evolve(self, **options: Unpack[EvolveOptions]) -> Evolution:
        """Return the top photo of maps after each stored epoch, and how fast they settled (Fig 4)."""
        return self._run(lambda: index_request(EVOLVE, options, EvolveOptions))

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[Photo],
        parameters: Mapping[str, Any] = _NOTHING,
        **options: Unpack[AnalysisOptions],
    ) -> Analyzed:
        """Run an analyzer, built-in or installed, on photos.

        parameters: parameters by name, as described by the analyzer's schema (see `analyzers()`).
        The client's own time limit does not apply: unless `timeout_s` is given, the service stops the
        analysis after its `max_deadline_s`, 900 seconds by default.
        """
        return self._run(lambda: untyped_request(analyzer, photos, parameters, options))


class ClientMethods(CommonMethods, Protocol):
    """Methods of the synchronous clients, `Client` and `LocalClient`; thread-safe. See `CommonMethods`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release the resources of the client; calls in progress are cancelled."""

    @abstractmethod
    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the client is ready for calls. Raises NotReady after `timeout_s` seconds."""
