"""How maps come to be, as an analyzer: what it takes, costs and gives."""

from dataclasses import replace

from zfscope.analysis.contract import Analysis, Context
from zfscope.store import Model
from zfscope_analyzers.evolve.course import Course, course_of
from zfscope_analyzers.evolve.figure import figure
from zfscope_analyzers.evolve.params import EvolveParams
from zfscope_analyzers.evolve.result import Evolution, Place, tables_of, tensors_of
from zfscope_analyzers.evolve.settle import correlations, settled
from zfscope_analyzers.top_k import look as top_k
from zfscope_analyzers.top_k.params import TopKParams
from zfscope_analyzers.top_k.result import warnings_of


class Evolve:
    """Shows what excites maps most after each stored epoch of the training, as the paper's Fig 4.

    It takes no photo: the strongest one of each map at each epoch is read again from where it was when
    `zfscope index` made the indexes, its hash and its activation are verified, with the weights of that
    epoch, and what became of it is its `state`, as in `top-k`, or `dead`: no photo activates the map.

    Tables: `evolution` (layer, map, epoch: none at the end of the training, path, class, value: the recorded
    activation, recomputed: that of now, y, x: the unit's place, state, jumped: 1 where the photo is another
    one than at the epoch before in the table, none where one of the two has none, correlation: see
    `zfscope_analyzers.evolve.settle`) and, with `settling`, `settling` (layer, epoch, median, lower, upper:
    the quartiles of the correlations, maps: how many have one). Tensors, `size` being the side of the
    layer's receptive field, or of the network's input where that is no larger: `projections` float32 (maps,
    epochs, 3, size, size), channels in the network's order, and `patches` uint8 (maps, epochs, size, size,
    3), RGB; all zero beyond the edges of the picture, and where nothing was seen. One picture, `evolution`.
    """

    name = "evolve"
    summary = (
        "What excites maps most after each stored epoch of the training, and how fast they settle (Fig 4)"
    )
    api_version = 2
    photos = (0, 0)
    params = EvolveParams

    def cost(self, model: Model, params: EvolveParams) -> int:
        """Count a trace and a projection for each map and epoch, and as much for how fast maps settle."""
        epochs = len(params.epochs) or len(model.manifest.early_epochs)
        passes = 2 * (len(params.maps) or params.count) * (epochs + 1)
        return 2 * passes if params.settling else passes

    def analyze(self, context: Context, params: EvolveParams) -> Analysis:
        """Read the photos again, verify what was recorded, and project.

        Raises NotFound and InputError as `zfscope_analyzers.evolve.course.course_of` does.
        """
        course = course_of(context, params)
        found = _found(context, course, settling=params.settling)
        context.check_cancelled()
        return Analysis(
            tensors=tensors_of(found) if context.tensors else {},
            pictures=(figure(found),) if context.pictures else (),
            tables=tables_of(found),
            warnings=warnings_of(found.looks.values()),
        )


def _found(context: Context, course: Course, *, settling: bool) -> Evolution:
    """Look at every map at every stop, and then at how fast they settle."""
    looks: dict[Place, top_k.Look] = {}
    for number in range(len(course.stops)):
        looks |= _looks(context, course, number)
        context.progress((number + 1) / (len(course.stops) + settling), None)
    if not settling:
        return Evolution(course, looks, {}, None)
    last = len(course.stops) - 1
    known = [map for map in range(len(course.maps)) if looks[Place(map, last)].state == "ok"]
    alike = correlations(context, course, known)
    return Evolution(course, looks, alike, settled(course, alike))


def _looks(context: Context, course: Course, number: int) -> dict[Place, top_k.Look]:
    """Look at the strongest photo of each map at a stop, with the weights of that stop."""
    stop, seen = course.stops[number], dict[top_k.Place, top_k.Look]()
    for _ in top_k.look(replace(context, model=stop.model), stop.page, TopKParams(top=1), seen):
        pass
    return {Place(place.map, number): each for place, each in seen.items()}
