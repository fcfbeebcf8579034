"""Which maps of an index to show, with the photos that activate each of them most."""

from dataclasses import dataclass

from pydantic import Field, NonNegativeInt

from zfscope.analysis.contract import Context
from zfscope.analysis.control import check_down_to
from zfscope.errors import InputError, NotFound
from zfscope.records import MOST_RECORDS
from zfscope.scan import Index, Record, indexes_folder, open_index
from zfscope.scan.manifest import model_identity
from zfscope.scan.open import index_names, read_manifest
from zfscope.store import Model
from zfscope_analyzers.params import MapsOrPage

MOST_MAPS = 64


class TopKParams(MapsOrPage):
    """Which maps of an index to show, and how many photos of each."""

    index: str = Field(default="", description="Of the model, by its name; empty: its only one.")
    layer: str = Field(default="conv5", description="Whose maps: any that the index has.")
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MOST_MAPS,
        description="Which maps; empty: the `count` strongest by their strongest photo, from `first` on.",
    )
    count: int = Field(default=9, ge=1, le=MOST_MAPS, description="How many maps, when none are given.")
    first: NonNegativeInt = Field(
        default=0, description="How many of the strongest maps to pass over: 9 is the second page of 9."
    )
    top: int = Field(default=9, ge=1, le=MOST_RECORDS, description="How many photos of each map.")
    control: bool = Field(default=False, description="Project through randomised weights too, beside.")
    control_down_to: str = Field(
        default="", description="Randomise from the layer down to this one only; empty: all weights."
    )


@dataclass(frozen=True, eq=False)
class Page:
    """Maps of a layer in the order in which they are shown.

    records: by map, the strongest photo first, equally many of each. alive: by map, of `images` photos
    those in which it has an activation above 0.
    """

    index: Index
    layer: str
    maps: tuple[int, ...]
    records: tuple[tuple[Record, ...], ...]
    alive: tuple[int, ...]

    @property
    def images(self) -> int:
        """How many photos the index was made of."""
        return self.index.manifest.images

    @property
    def top(self) -> int:
        """How many records there are of each map."""
        return len(self.records[0])


def page_of(context: Context, params: TopKParams) -> Page:
    """Look up what is asked for.

    Raises NotFound where there is no such index, layer or map, InputError where several indexes are there
    and none is named, for a page beyond the last map, and for a `top` beyond what was indexed.
    """
    model, layer = context.model, params.layer
    model.network.spec.layer(layer)
    check_down_to(model.network, layer, params.control_down_to)
    index = open_index(model, params.index or _only_index(model))
    alive = index.alive(layer).tolist()
    maps = _given(index, params, len(alive)) if params.maps else _strongest(index, params, len(alive))
    records = tuple(_records(index, params, map) for map in maps)
    return Page(index, layer, maps, records, tuple(alive[map] for map in maps))


def _only_index(model: Model) -> str:
    """Find the index to take where none is named: of these weights, so none of an epoch before."""
    folder, identity = indexes_folder(model), model_identity(model.manifest)
    there = index_names(folder)
    names = [name for name in there if read_manifest(folder / name).origin.model == identity]
    title = model.manifest.title
    if not names:
        others = f" of these weights ({', '.join(there)}: of others)" if there else ""
        raise NotFound(f"{title} has no index{others}; make one of your photos: zfscope index", field="index")
    if len(names) > 1:
        raise InputError(f"{title} has several indexes; name one of {', '.join(names)}", field="index")
    return names[0]


def _given(index: Index, params: TopKParams, maps: int) -> tuple[int, ...]:
    for place, map in enumerate(params.maps):
        if map >= maps:
            message = f"no map {map} in layer '{params.layer}'; maps run from 0 to {maps - 1}"
            raise NotFound(message, field=f"maps[{place}]")
    return params.maps


def _strongest(index: Index, params: TopKParams, maps: int) -> tuple[int, ...]:
    """Return a page of the maps, by the score of their strongest photo; of equal ones the lower number."""
    if params.first >= maps:
        message = (
            f"first is {params.first}; layer '{params.layer}' has {maps} maps: allowed is 0 to {maps - 1}"
        )
        raise InputError(message, field="first")
    return tuple(index.strongest_maps(params.layer)[params.first : params.first + params.count])


def _records(index: Index, params: TopKParams, map: int) -> tuple[Record, ...]:
    """Return a map's strongest records: 9, or all where the index has fewer, unless `top` says otherwise."""
    records = index.records(params.layer, map)
    if params.top > len(records) and "top" in params.model_fields_set:
        message = f"top is {params.top}; index '{index.name}' has {len(records)} photos of each map"
        raise InputError(f"{message}: allowed is 1 to {len(records)}", field="top")
    return records[: params.top]
