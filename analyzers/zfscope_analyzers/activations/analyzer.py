"""The analyzer `activations` and its result."""

from zfscope.analysis.contract import Analysis, Context, Need, Table
from zfscope.results import Notice
from zfscope.store import Model
from zfscope_analyzers.activations.figure import MAX_TILES, draw_pictures, tile_name
from zfscope_analyzers.activations.measure import ActiveUnit, Measurement, measure
from zfscope_analyzers.activations.params import ActivationsParams


class Activations:
    """Feature maps of a layer for a photo, and the unit of each that is strongest, anywhere or at a place.

    Number: `maps`, how many the layer has. Table: `units` (layer, map, y, x, activation; total: the sum of
    the map's activations; rank of the map among all of the layer, from 0; label: class of a unit of the class
    scores; x0, y0, x1, y1: the receptive field in photo pixels, clipped to the photo; picture: its name). For
    a place or a box of the photo, activation, total and rank are those of the units there. Tensor: `maps`,
    float32 (maps, rows, columns), or (maps,) in a fully connected layer. Pictures: LAYER-activations-MAP, for
    each of the first 64 maps with more than one unit, and, unless `sheet` is false, LAYER-activations, a
    sheet of all maps.
    """

    name = "activations"
    summary = "Show the feature maps of a layer for a photo, and the strongest units, anywhere or at a place"
    api_version = 2
    photos = (1, 1)
    params = ActivationsParams
    needs = (Need.outputs,)

    def cost(self, model: Model, params: ActivationsParams) -> int:
        """Return one pass, which is the trace."""
        return 1

    def analyze(self, context: Context, params: ActivationsParams) -> Analysis:
        """Measure the activations for the first crop of the photo.

        Raises NotFound for a layer or map that the model lacks; InputError for a `top` beyond the number of
        maps, for a place or box outside of the crop, and for one in a fully connected layer.
        """
        measured = measure(context, params.resolve(context.model.spec))
        return Analysis(
            tensors={"maps": measured.maps()} if context.tensors else {},
            pictures=draw_pictures(measured, whole=params.sheet) if context.pictures else (),
            numbers={"maps": measured.map_count},
            tables={"units": _table(measured)},
            warnings=_notices(measured) if context.pictures else (),
        )


_COLUMNS = (
    "layer",
    "map",
    "y",
    "x",
    "activation",
    "total",
    "rank",
    "label",
    "x0",
    "y0",
    "x1",
    "y1",
    "picture",
)


def _table(measured: Measurement) -> Table:
    return Table(_COLUMNS, tuple(_row(measured, index, each) for index, each in enumerate(measured.units)))


def _row(measured: Measurement, index: int, each: ActiveUnit) -> tuple[str | int | float | None, ...]:
    model, layer, unit = measured.model, measured.layer, each.unit
    geometry = measured.prepared.geometries[0]
    box = geometry.to_photo(each.field).clip(geometry.photo_size)
    y, x = (unit.y, unit.x) if model.spec.has_maps(layer) else (None, None)
    values = (each.activation, each.total, each.rank, model.class_of(layer, unit.map))
    drawn = tile_name(layer, unit.map) if measured.has_tiles and index < MAX_TILES else None
    return (layer, unit.map, y, x, *values, box.x0, box.y0, box.x1, box.y1, drawn)


def _notices(measured: Measurement) -> tuple[Notice, ...]:
    if (count := len(measured.units)) <= MAX_TILES:
        return ()
    message = f"pictures show the first {MAX_TILES} of {count:,} maps; name others in `maps`"
    return (Notice("pictures-of-first-maps", message, "top" if not measured.params.maps else "maps"),)
