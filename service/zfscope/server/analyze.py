"""An analysis as the service does it: photos read, the analyzer run within the budget, its caller watched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import check_cost, check_photos, given, guarded, read_params, run
from zfscope.errors import InputError
from zfscope.images.preprocess import Prepared
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.store import Model
from zfscope.v1 import image_pb2
from zfscope.wire.images import image_from_wire

MOST_IMAGES = 4096
"""Of any request, whatever its analyzer takes."""

Partial = Callable[[], Analysis]
Tell = Callable[[Model, float, Partial | None], None]
"""(the model, the share that is done, what gives what there is to see already)."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of an analyzer. version: None means the newest; parameters: of the analyzer, by name.

    images: by the field of the request that holds each, for messages. under: the field that holds the
    parameters, empty where each is a field of its own.
    """

    analyzer: str
    model: str
    version: int | None
    images: Mapping[str, image_pb2.Image]
    parameters: Mapping[str, Any]
    pictures: bool
    tensors: bool
    under: str = ""


def question_about(
    request: Any,
    analyzer: str,
    images: Mapping[str, image_pb2.Image],
    parameters: Mapping[str, Any],
    *,
    under: str = "",
) -> Question:
    """Add to a question what every request of an analysis says: the model, and what is wanted of it."""
    return Question(
        analyzer=analyzer,
        model=request.model,
        version=request.version if request.HasField("version") else None,
        images=images,
        parameters=parameters,
        pictures=request.pictures if request.HasField("pictures") else True,
        tensors=request.tensors,
        under=under,
    )


def by_field(images: Sequence[image_pb2.Image]) -> dict[str, image_pb2.Image]:
    """Name the photos of a request that takes several, in order: images[0], images[1] ...

    Raises InputError for more than any analyzer can be meant to take, before memory is spent on each.
    """
    if len(images) > MOST_IMAGES:
        raise InputError(f"images has {len(images):,}; a request has {MOST_IMAGES:,} at most", field="images")
    return {f"images[{place}]": image for place, image in enumerate(images)}


@dataclass(frozen=True, eq=False)
class Answer:
    """The analysis, and what it was made of."""

    model: Model
    images: tuple[Prepared, ...]
    analysis: Analysis


def answer(backend: Backend, question: Question, cancel: Cancel, tell: Tell = lambda *_: None) -> Answer:
    """Answer a question. Blocks; everything that can be refused is refused before any pass."""
    found, under = backend.analyzers.registered(question.analyzer), question.under
    analyzer = found.analyzer
    with guarded(found, under=under):
        check_photos(analyzer, len(question.images))
        params = read_params(analyzer, question.parameters, under=under)
    loaded = backend.models.loaded(question.model, question.version)
    photos, budget = len(question.images), backend.max_passes
    with guarded(found, under=under):
        check_cost(analyzer, loaded.model, params, budget, photos=photos, under=under)
    images = tuple(
        image_from_wire(image, loaded.model, limits=backend.image_limits, field=field)
        for field, image in question.images.items()
    )

    def progress(share: float, partial: Partial | None = None) -> None:
        tell(loaded.model, share, partial and (lambda: given(context, partial())))

    context = Context(
        model=loaded.model,
        runtime=loaded.runtime,
        images=images,
        pictures=question.pictures,
        tensors=question.tensors,
        store=backend.models.store,
        limits=backend.image_limits,
        noticed=loaded.model.warnings,
        check_cancelled=cancel.check,
        progress=progress,
    )
    with guarded(found, under=under):
        return Answer(loaded.model, images, run(analyzer, context, params))
