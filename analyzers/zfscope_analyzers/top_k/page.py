"""Selection of feature maps of an index, with the photos that activate each of them most."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import Field, NonNegativeInt

from zfscope.analysis.contract import Context
from zfscope.analysis.control import check_down_to
from zfscope.errors import InputError
from zfscope.networks.landmarks import last_convolution
from zfscope.networks.spec import NetworkSpec
from zfscope.records import MAX_RECORDS
from zfscope.scan import Index, Record, open_index
from zfscope.scan.open import only_index
from zfscope.store import opaque_reason
from zfscope_analyzers.params import MapSelection, check_map, with_layer

MAX_MAPS = 64

# Returns a layer, given the network and the layers of an index.
LayerChoice = Callable[[NetworkSpec, Sequence[str]], str]


class TopKParams(MapSelection):
    """Feature maps of an index to show, and the number of photos of each."""

    index: str = Field(
        default="", description="Name of an index of the model; empty: the only index of these weights."
    )
    layer: str = Field(
        default="",
        description="Indexed layer whose feature maps to show. Empty: the model's last convolution, or the "
        "last indexed one.",
    )
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MAX_MAPS,
        description="Feature maps to show; empty: the `count` strongest, by their strongest photo, after the "
        "first `first`.",
    )
    count: int = Field(default=9, ge=1, le=MAX_MAPS, description="Number of maps, if `maps` is empty.")
    first: NonNegativeInt = Field(
        default=0, description="Number of strongest maps to skip: 9 for the second page of 9."
    )
    top: int = Field(default=9, ge=1, le=MAX_RECORDS, description="Number of photos per map.")
    control: bool = Field(default=False, description="Also project with randomised weights, as a control.")
    control_down_to: str = Field(
        default="",
        description="First layer whose weights the control randomises, up to `layer`; earlier layers keep "
        "theirs. Empty: all layers.",
    )


@dataclass(frozen=True, eq=False)
class Page:
    """Feature maps of a layer, in the order in which they are shown.

    records: for each map, strongest photo first, the same number for all maps. alive: for each map, the
    number of photos with an activation above 0.
    """

    index: Index
    layer: str
    maps: tuple[int, ...]
    records: tuple[tuple[Record, ...], ...]
    alive: tuple[int, ...]

    @property
    def images(self) -> int:
        """Number of photos in the index."""
        return self.index.manifest.images

    @property
    def precision(self) -> str:
        """Precision of the recorded activations."""
        return self.index.manifest.origin.precision

    @property
    def top(self) -> int:
        """Number of records per map."""
        return len(self.records[0])


def load_page(context: Context, params: TopKParams, *, default: LayerChoice = last_convolution) -> Page:
    """Read the requested maps and their records from an index.

    default: returns the layer to show if the parameters name none. Raises NotFound for an index, layer or map
    that does not exist, InputError if several indexes exist and none is named, for a page after the last map,
    for a `top` beyond the number of records, and for the control of an opaque network.
    """
    model = context.model
    if params.layer:
        params = with_layer(params, model.spec)
    index = open_index(model, params.index or only_index(model))
    layer = params.layer or default(model.spec, index.layers)
    params = params.model_copy(update={"layer": layer})
    if not model.is_opaque:
        check_down_to(model.network, layer, params.control_down_to)
    elif params.control:
        reason = f"{model.manifest.title} {opaque_reason(model.manifest)}"
        raise InputError(f"control is set, but {reason}; it has no projections", field="control")
    alive = index.alive(layer).tolist()
    maps = (
        _named_maps(index, params, len(alive)) if params.maps else _strongest_maps(index, params, len(alive))
    )
    records = tuple(_records(index, params, number) for number in maps)
    return Page(index, layer, maps, records, tuple(alive[number] for number in maps))


def _named_maps(index: Index, params: TopKParams, maps: int) -> tuple[int, ...]:
    for position, number in enumerate(params.maps):
        check_map(number, maps, layer=params.layer, field=f"maps[{position}]")
    return params.maps


def _strongest_maps(index: Index, params: TopKParams, maps: int) -> tuple[int, ...]:
    """Return a page of the maps, ranked by the score of their strongest photo; ties by map number."""
    if params.first >= maps:
        reason = f"layer '{params.layer}' has {maps} maps"
        raise InputError(f"first is {params.first}; allowed: 0 to {maps - 1} ({reason})", field="first")
    return tuple(index.strongest_maps(params.layer)[params.first : params.first + params.count])


def _records(index: Index, params: TopKParams, number: int) -> tuple[Record, ...]:
    """Return the `top` strongest records of a map; by default 9, or all if the index has fewer."""
    records = index.records(params.layer, number)
    if params.top > len(records) and "top" in params.model_fields_set:
        reason = f"index '{index.name}' has {len(records)} photos per map"
        raise InputError(f"top is {params.top}; allowed: 1 to {len(records)} ({reason})", field="top")
    return records[: params.top]
