"""The analyzer `evolve` and its tables."""

from zfscope.analysis.contract import Analysis, Context, Need, Table
from zfscope.choices import coarsest
from zfscope.records import RecordState
from zfscope.results import Cell, merge_notices
from zfscope.store import Model
from zfscope_analyzers.evolve.evolution import MapEpoch, MapEvolution, measure_evolution
from zfscope_analyzers.evolve.figure import draw_evolution
from zfscope_analyzers.evolve.timeline import EvolveParams, load_timeline
from zfscope_analyzers.rules import deconvnet_notices
from zfscope_analyzers.top_k.inspect import inspection_notices, view_shape, view_tensors

_COLUMNS = (
    *("layer", "map", "epoch", "path", "class", "value", "recomputed"),
    *("y", "x", "state", "jumped", "correlation"),
)


class Evolve:
    """Evolution of feature maps: the strongest photo of each map after each stored epoch, as in Fig 4.

    Takes no photo. The strongest photo of each map at each epoch is read again from where `zfscope index`
    found it, and its hash and its activation with the weights of that epoch are verified. The outcome is its
    `state`, as in `top-k`, or `dead` if no photo activates the map.

    Tables: `evolution` (layer, map, epoch: None for the end of training; path, class, value: the recorded
    activation; recomputed: the activation computed now; y, x: position of the unit; state; jumped: 1 if the
    photo differs from that of the previous epoch in the table, None if either has no photo; correlation: see
    `zfscope_analyzers.evolve.evolution`) and, with `settling`, `settling` (layer, epoch; median, lower,
    upper: quartiles of the correlations; maps: number of maps that have one).

    Tensors: `projections` float32 (maps, epochs, C, size, size), channels in the network's order, and
    `patches` uint8 (maps, epochs, size, size, 3), RGB. `size` is the side of the layer's receptive field, or
    of the network's input if that is smaller. Both are zero outside of the picture and for records without a
    projection. Picture: `evolution`.
    """

    name = "evolve"
    summary = (
        "Show the strongest photo of feature maps at each stored epoch, and how fast maps settle (Fig 4)"
    )
    api_version = 2
    photos = (0, 0)
    params = EvolveParams
    needs = (Need.network,)

    def cost(self, model: Model, params: EvolveParams) -> int:
        """Return two passes, a trace and a projection, per map and epoch; twice that with `settling`."""
        epochs = len(params.epochs) or len(model.manifest.early_epochs)
        passes = 2 * (len(params.maps) or params.count) * (epochs + 1)
        return 2 * passes if params.settling else passes

    def analyze(self, context: Context, params: EvolveParams) -> Analysis:
        """Read the photos again, verify their recorded activations, and project.

        Raises NotFound and InputError in the cases that `load_timeline` lists.
        """
        timeline = load_timeline(context, params)
        evolution = measure_evolution(context, timeline, settling=params.settling)
        context.check_cancelled()
        planes = view_shape(context.model.spec, timeline.layer)
        shape = (len(timeline.maps), len(timeline.snapshots))
        return Analysis(
            tensors=view_tensors(evolution.inspections, shape, planes) if context.tensors else {},
            pictures=(draw_evolution(evolution),) if context.pictures else (),
            tables=_tables(evolution),
            warnings=merge_notices(
                (
                    *deconvnet_notices(context.model.spec, timeline.layer),
                    *inspection_notices(evolution.inspections),
                )
            ),
            precision=coarsest(
                context.precision, *(snapshot.page.precision for snapshot in timeline.snapshots)
            ),
        )


def _tables(evolution: MapEvolution) -> dict[str, Table]:
    timeline = evolution.timeline
    positions = [
        MapEpoch(row, snapshot)
        for row in range(len(timeline.maps))
        for snapshot in range(len(timeline.snapshots))
    ]
    tables = {"evolution": Table(_COLUMNS, tuple(_row(evolution, position) for position in positions))}
    if evolution.settling is not None:
        columns = ("layer", "epoch", "median", "lower", "upper", "maps")
        rows = tuple(
            (timeline.layer, each.epoch, each.median, each.lower, each.upper, each.maps)
            for each in evolution.settling
        )
        tables["settling"] = Table(columns, rows)
    return tables


def _row(evolution: MapEvolution, position: MapEpoch) -> tuple[Cell, ...]:
    record, jumped = evolution.record(position), evolution.jumped(position)
    inspection = evolution.inspections[position]
    key = (record.layer, record.map, evolution.timeline.snapshots[position.snapshot_index].epoch)
    if inspection.state is RecordState.DEAD:
        return (*key, None, None, None, None, None, None, inspection.state.value, None, None)
    values = (record.path, record.label or None, record.value, inspection.recomputed, record.y, record.x)
    jump = None if jumped is None else int(jumped)
    return (*key, *values, inspection.state.value, jump, evolution.correlations.get(position))
