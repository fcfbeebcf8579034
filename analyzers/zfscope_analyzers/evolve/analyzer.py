"""How maps come to be, as an analyzer: what it takes, costs and gives."""

from zfscope.analysis.contract import Analysis, Context, Table
from zfscope.engine.frame import framing_of
from zfscope.records import RecordState
from zfscope.results import Cell, merge_notices
from zfscope.store import Model
from zfscope_analyzers.evolve.course import EvolveParams, course_of
from zfscope_analyzers.evolve.evolution import Evolution, Place, evolution_of
from zfscope_analyzers.evolve.figure import figure
from zfscope_analyzers.top_k.inspect import view_tensors

_COLUMNS = (
    *("layer", "map", "epoch", "path", "class", "value", "recomputed"),
    *("y", "x", "state", "jumped", "correlation"),
)


class Evolve:
    """Shows what excites maps most after each stored epoch of the training, as the paper's Fig 4.

    It takes no photo: the strongest one of each map at each epoch is read again from where it was when
    `zfscope index` made the indexes, its hash and its activation are verified, with the weights of that
    epoch, and what became of it is its `state`, as in `top-k`, or `dead`: no photo activates the map.

    Tables: `evolution` (layer, map, epoch: none at the end of the training, path, class, value: the recorded
    activation, recomputed: that of now, y, x: the unit's place, state, jumped: 1 where the photo is another
    one than at the epoch before in the table, none where one of the two has none, correlation: see
    `zfscope_analyzers.evolve.evolution`) and, with `settling`, `settling` (layer, epoch, median, lower,
    upper: the quartiles of the correlations, maps: how many have one). Tensors, `size` being the side of the
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
        found = evolution_of(context, course, settling=params.settling)
        context.check_cancelled()
        size, shape = (
            framing_of(context.model.network, course.layer).size,
            (len(course.maps), len(course.stops)),
        )
        return Analysis(
            tensors=view_tensors(found.found, shape, size) if context.tensors else {},
            pictures=(figure(found),) if context.pictures else (),
            tables=_tables(found),
            warnings=merge_notices(notice for each in found.found.values() for notice in each.warnings),
        )


def _tables(found: Evolution) -> dict[str, Table]:
    course = found.course
    places = [Place(map, stop) for map in range(len(course.maps)) for stop in range(len(course.stops))]
    tables = {"evolution": Table(_COLUMNS, tuple(_row(found, place) for place in places))}
    if found.settled is not None:
        columns = ("layer", "epoch", "median", "lower", "upper", "maps")
        rows = tuple(
            (course.layer, each.epoch, each.median, each.lower, each.upper, each.maps)
            for each in found.settled
        )
        tables["settling"] = Table(columns, rows)
    return tables


def _row(found: Evolution, place: Place) -> tuple[Cell, ...]:
    record, seen, jumped = found.record(place), found.found[place], found.jumped(place)
    about = (record.layer, record.map, found.course.stops[place.stop].epoch)
    if seen.state is RecordState.DEAD:
        return (*about, None, None, None, None, None, None, seen.state.value, None, None)
    which = (record.path, record.label or None, record.value, seen.recomputed, record.y, record.x)
    jump = None if jumped is None else int(jumped)
    return (*about, *which, seen.state.value, jump, found.correlations.get(place))
