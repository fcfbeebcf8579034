"""Facts shown in a gallery about each map, stored as JSON while the gallery is built."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zfscope.choices import PrecisionName
from zfscope.records import RecordState


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordFact(_Fact):
    """A record of a map: one of its top photos, and the photo's current state.

    value: the recorded activation of unit (y, x); y and x are None in a fully connected layer. recomputed:
    the activation recomputed from the photo; None if the photo is not available. white: value that the
    projection shows as full white. For a dead map, everything but the state is None.
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
    def has_view(self) -> bool:
        """Whether the record has a projection and a patch."""
        return self.state.has_view


class EpochFact(RecordFact):
    """The top record of a map at an epoch.

    epoch: None for the final weights. jumped: whether the top photo differs from that of the epoch before.
    """

    epoch: int | None
    jumped: bool


class MapFact(_Fact):
    """A map with its top records.

    alive: number of photos that activate the map. epochs: the top record at each epoch; empty if not shown.
    """

    map: int
    alive: int
    records: tuple[RecordFact, ...]
    epochs: tuple[EpochFact, ...] = ()

    @property
    def dead(self) -> bool:
        """Whether no photo activates the map."""
        return self.alive == 0

    @property
    def pictured(self) -> bool:
        """Whether the map has pictures of its top records."""
        return any(record.has_view for record in self.records)

    @property
    def evolved(self) -> bool:
        """Whether the map has a picture of its epochs."""
        return any(epoch.has_view for epoch in self.epochs)

    @property
    def marked(self) -> int:
        """Number of records, including those of epochs, whose photo no longer matches."""
        return sum(record.state.lost for record in (*self.records, *self.epochs))


class BatchFacts(_Fact):
    """Facts of the maps of a batch. warnings: messages of the analyses."""

    maps: tuple[MapFact, ...]
    warnings: tuple[str, ...] = ()


class LayerSummary(_Fact):
    """Number of maps of a layer in the gallery, of dead maps, and of maps with records that do not match.

    warnings: messages about the photos and projections of the layer.
    """

    maps: int
    dead: int
    marked: int
    warnings: tuple[str, ...] = ()


class Gallery(_Fact):
    """Description of a finished gallery: its file `gallery.json`, which identifies a folder as a gallery.

    index_sha256: hash of the index's manifest, which contains the hashes of weights, photos and tables.
    precision: the coarsest of projections and recorded activations.
    """

    format_version: Literal[1] = 1
    title: str
    model: str
    version: int
    index: str
    index_sha256: str
    photos: int
    top: int
    precision: PrecisionName = PrecisionName.float32
    epochs: tuple[int, ...]
    layers: dict[str, LayerSummary] = Field(default_factory=dict)


class UnfinishedGallery(_Fact):
    """Identity of an unfinished gallery; facts stored under another identity are discarded.

    layers: layers that may have a folder, including those of earlier galleries in the same place.
    """

    identity: str
    layers: tuple[str, ...]
