"""Analysis of the photos of a batch; independent of the process or machine it runs on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self

from zfscope.analysis.call import AnalysisCall, analyze
from zfscope.bulk.host import SingleModelHost
from zfscope.cancellation import Cancellation
from zfscope.datasets.dataset import Photo
from zfscope.datasets.read import FILE_FIELD, read_photo
from zfscope.engine.cpu.threads import use_one_core
from zfscope.errors import AnalyzerFailed, InputError, NotFound
from zfscope.images.preprocess import Prepared
from zfscope.parallel import Batch, UnusedPhoto
from zfscope.results import Analysis
from zfscope.text import one_line


@dataclass(frozen=True)
class AnalysisTask:
    """What to do with each photo.

    parameters: of the analyzer, as given. pictures, tensors: whether the results include them.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = False
    tensors: bool = False


@dataclass(frozen=True, eq=False)
class PhotoOutcome:
    """Analysis of a photo, or the reason for its absence. photo: number of the photo."""

    photo: int
    analysis: Analysis | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class PhotoOutcomes:
    """Outcomes for the photos of some batches; a `BatchResult`."""

    photos: tuple[PhotoOutcome, ...]

    @property
    def skipped(self) -> tuple[UnusedPhoto, ...]:
        """Photos without an analysis."""
        return tuple(UnusedPhoto(each.photo, each.reason) for each in self.photos if each.analysis is None)

    def merge(self, other: Self) -> Self:
        """Return the outcomes of both."""
        return type(self)(tuple(chain(self.photos, other.photos)))


@dataclass(frozen=True, eq=False)
class PhotoAnalyzer:
    """Analyzes batches of photos, each photo on one core. It may be pickled.

    cancel: stops analyses in progress; it has no effect in another process.
    """

    host: SingleModelHost
    task: AnalysisTask
    cancel: Cancellation = field(default_factory=Cancellation)

    def __reduce__(self) -> tuple[Callable[..., "PhotoAnalyzer"], tuple[SingleModelHost, AnalysisTask]]:
        """Pickle without the locks of the cancellation."""
        return PhotoAnalyzer, (self.host, self.task)

    def __call__(self, batch: Batch) -> PhotoOutcomes:
        """Analyze the photos of a batch; the analysis of a photo may fail. Thread-safe."""
        return PhotoOutcomes(tuple(map(self._outcome, batch.photos)))

    def _outcome(self, photo: Photo) -> PhotoOutcome:
        try:
            return self.analyze(photo)
        except (InputError, NotFound, AnalyzerFailed) as error:
            if isinstance(error.__cause__, MemoryError):  # not a property of the photo: it may work next time
                raise
            return PhotoOutcome(photo.number, reason=one_line(error.message))

    def analyze(self, photo: Photo) -> PhotoOutcome:
        """Analyze a photo; a photo that cannot be read or decoded has no analysis.

        Raises what the analysis raises, such as InputError for parameters that do not fit the model.
        """
        use_one_core()
        try:
            prepared = self._prepare(photo)
        except InputError as error:
            return PhotoOutcome(photo.number, reason=one_line(error.message))
        call = AnalysisCall(
            self.host.analyzer,
            {"images[0]": lambda *_: prepared},
            self.task.parameters,
            pictures=self.task.pictures,
            tensors=self.task.tensors,
        )
        outcome = analyze(self.host, call, check_cancelled=self.cancel.check)
        return PhotoOutcome(photo.number, outcome.analysis)

    def _prepare(self, photo: Photo) -> Prepared:
        limits = self.host.image_limits
        data = read_photo(photo, limits)
        return self.host.trace_cache.prepare(data, self.host.model, limits=limits, field=FILE_FIELD)
