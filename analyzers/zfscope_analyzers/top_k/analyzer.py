"""The strongest photos of maps, as an analyzer: what it takes, costs and gives."""

from collections.abc import Callable, Sequence

from zfscope.analysis.contract import Analysis, Context, Picture
from zfscope.store import Model
from zfscope_analyzers.top_k.figure import figure
from zfscope_analyzers.top_k.look import Look, Place, look
from zfscope_analyzers.top_k.page import Page, page_of
from zfscope_analyzers.top_k.params import TopKParams
from zfscope_analyzers.top_k.result import tables_of, tensors_of, warnings_of


class TopK:
    """Shows the photos of an index that activate maps most: projections beside patches, as the paper's Fig 2.

    It takes no photo: they are read again from where they were when `zfscope index` made the index, their
    hash and the recorded activation are verified, and what became of each record is its `state`, see
    `zfscope_analyzers.top_k.look`.

    Tables: `records` (layer, map, rank, path, class, value: the recorded activation, recomputed: that of now,
    y, x: the unit's place, none in a fully connected layer, state; x0, y0, x1, y1: the patch in photo pixels;
    ssim and rank_correlation of projection and control, see `zfscope.analysis.control`) and `maps` (map,
    alive: the photos in which it has an activation above 0, images: all photos of the index, dead: 0 or 1).
    Tensors, `size` being the side of the layer's receptive field, or of the network's input where that is no
    larger: `projections` float32 (maps, top, 3, size, size), channels in the network's order, and `controls`
    with the control; `patches` uint8 (maps, top, size, size, 3), RGB; all zero beyond the edges of the
    picture, and for records of which nothing was seen; `states` uint8 (maps, top), 0 ok, 1 differs,
    2 changed, 3 gone, 4 silent. One picture, `top-k`.
    """

    name = "top-k"
    summary = "The photos of an index that activate maps most: projections beside their patches (Fig 2)"
    api_version = 2
    photos = (0, 0)
    params = TopKParams

    def cost(self, model: Model, params: TopKParams) -> int:
        """Count a trace and a projection for each record, and the same of the control."""
        passes = 2 * (len(params.maps) or params.count) * params.top
        return 2 * passes if params.control else passes

    def analyze(self, context: Context, params: TopKParams) -> Analysis:
        """Read the photos again, verify what was recorded, and project.

        Raises NotFound where there is no such index, layer or map, InputError where an index has to be named,
        for a page beyond the last map, and for a `top` beyond what was indexed.
        """
        page = page_of(context, params)
        looks: dict[Place, Look] = {}
        for share in look(context, page, params, looks):
            context.progress(share, _partial(context, page, looks, params))
        context.check_cancelled()
        network = context.model.network
        every = range(len(page.maps))
        return Analysis(
            tensors=tensors_of(network, page, looks, control=params.control) if context.tensors else {},
            pictures=(_draw(context, page, looks, params, every),) if context.pictures else (),
            tables=tables_of(network, page, looks),
            warnings=warnings_of(looks.values()),
        )


def _partial(
    context: Context, page: Page, looks: dict[Place, Look], params: TopKParams
) -> Callable[[], Analysis] | None:
    """Give what draws the maps of which every record was looked at, None where there is none yet."""
    ranks = range(page.top)
    done = [place for place in range(len(page.maps)) if all(Place(place, rank) in looks for rank in ranks)]
    if not (context.pictures and done):
        return None
    return lambda: Analysis(pictures=(_draw(context, page, looks, params, done),))


def _draw(
    context: Context, page: Page, looks: dict[Place, Look], params: TopKParams, places: Sequence[int]
) -> Picture:
    return figure(context.model, page, looks, places, control=params.control)
