"""The text of each map in a gallery, stored as JSON while the gallery is built."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zfscope.records import RecordState


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordFact(_Fact):
    """A photo that excites a map, and what became of it.

    value: the recorded activation, of unit (y, x), None where the layer has no places. recomputed: that of
    now, None where nothing was computed. white: the value that the projection shows as full white.
    """

    path: str | None
    label: str | None
    value: float | None
    recomputed: float | None
    y: int | None
    x: int | None
    state: RecordState
    white: float | None

    @property
    def seen(self) -> bool:
        """Return whether there are a projection and a patch."""
        return self.state.seen


class StopFact(RecordFact):
    """The same of the strongest photo after an epoch, None at the end; jumped: another one than before."""

    epoch: int | None
    jumped: bool


class MapFact(_Fact):
    """A map: in how many photos it is active, its strongest photos, and those of each epoch."""

    map: int
    alive: int
    records: tuple[RecordFact, ...]
    stops: tuple[StopFact, ...] = ()

    @property
    def dead(self) -> bool:
        """Return whether no photo activates it."""
        return self.alive == 0

    @property
    def pictured(self) -> bool:
        """Return whether there are pictures of its strongest photos."""
        return any(record.seen for record in self.records)

    @property
    def evolved(self) -> bool:
        """Return whether there is a picture of its epochs."""
        return any(stop.seen for stop in self.stops)

    @property
    def lost(self) -> int:
        """Count the records, of now and of epochs, that a reader is warned of."""
        return sum(record.state.lost for record in (*self.records, *self.stops))


class Part(_Fact):
    """The maps of a layer that were looked at together."""

    maps: tuple[MapFact, ...]


class LayerSummary(_Fact):
    """How many maps of a layer are in the gallery, are dead, and have records that are not as they were."""

    maps: int
    dead: int
    marked: int


class Gallery(_Fact):
    """What a gallery is of: its file `gallery.json`, by which a folder is known to be one.

    index_sha256: of the index's manifest, which names the hashes of weights, photos and tables.
    """

    format_version: Literal[1] = 1
    title: str
    model: str
    version: int
    index: str
    index_sha256: str
    photos: int
    top: int
    epochs: tuple[int, ...]
    layers: dict[str, LayerSummary] = Field(default_factory=dict)


class Unfinished(_Fact):
    """What an unfinished gallery is of: with another identity nothing that was found is of use."""

    identity: str
    layers: tuple[str, ...]
