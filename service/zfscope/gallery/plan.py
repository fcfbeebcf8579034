"""What a gallery shows: maps of the layers of an index, and the epochs at which they can be followed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from zfscope.engine.frame import UnitFrame, unit_frame
from zfscope.errors import InputError
from zfscope.networks.spec import convolutional_part
from zfscope.records import MOST_EVOLVED_MAPS, MOST_RECORDS
from zfscope.scan import Index, indexes_folder
from zfscope.scan.manifest import IndexManifest
from zfscope.scan.open import epoch_index_name, index_names, read_manifest
from zfscope.store import Model
from zfscope.store.integrity import sha256

_VALUES = 2**24
"""Of the tensors of one run: what of it is held at once stays below some 200 MB for each core."""


@dataclass(frozen=True)
class LayerPlan:
    """The maps of a layer, ascending; its frame; and the epochs, ascending, at which they are shown."""

    name: str
    maps: tuple[int, ...]
    framing: UnitFrame
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Maps of a layer to be looked at together; numbered within the layer."""

    layer: LayerPlan
    number: int
    maps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a gallery shows. top: photos of each map."""

    model: Model
    index: Index
    layers: tuple[LayerPlan, ...]
    top: int

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Cut the maps into parts that are looked at together."""
        return tuple(batch for layer in self.layers for batch in _batches(layer, self.top))

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs at which any map is shown."""
        return tuple(sorted({epoch for layer in self.layers for epoch in layer.epochs}))

    @property
    def identity(self) -> str:
        """The SHA-256 of all that the pictures follow from, but for the photos themselves."""
        epochs = [_manifest(self.model, self.index.name, epoch) for epoch in self.epochs]
        manifests = [each.model_dump(mode="json") for each in (self.index.manifest, *epochs)]
        layers = [(layer.name, layer.maps, layer.epochs) for layer in self.layers]
        words = json.dumps([version("zfscope"), manifests, layers, self.top], sort_keys=True)
        return sha256(words.encode())

    @property
    def index_sha256(self) -> str:
        """The SHA-256 of what the index says of itself."""
        return sha256(self.index.manifest.model_dump_json().encode())


def make_plan(
    model: Model,
    index: Index,
    *,
    layers: Sequence[str] = (),
    top: int | None = None,
    count: int | None = None,
    evolution: bool = True,
) -> Plan:
    """Plan a gallery of an index.

    layers: of the index, by default all of them. top: photos of each map, by default 9 or as many as the
    index has. count: the strongest maps of each layer, shown by number, by default all.
    evolution: show the maps at every epoch that has an index, too.

    Raises NotFound for a layer that is not indexed, InputError for a top or a count that is out of range.
    """
    kept = min(MOST_RECORDS, index.manifest.origin.top, index.manifest.images)
    if top is not None and not 1 <= top <= kept:
        there = min(index.manifest.origin.top, index.manifest.images)
        message = f"top is {top}; index '{index.name}' has {there} photos of each map"
        raise InputError(f"{message}: allowed is 1 to {kept}", field="top")
    if count is not None and count < 1:
        raise InputError(f"count is {count}; allowed is 1 and more", field="count")
    for layer in layers:
        index.alive(layer)
    epochs = _epochs(model, index) if evolution else {}
    chosen = [layer for layer in index.layers if not layers or layer in layers]
    return Plan(
        model,
        index,
        tuple(
            LayerPlan(
                name,
                tuple(sorted(index.strongest_maps(name)[:count])),
                unit_frame(model.network, name),
                tuple(epoch for epoch, there in epochs.items() if name in there),
            )
            for name in chosen
        ),
        top or kept,
    )


def _epochs(model: Model, index: Index) -> dict[int, tuple[str, ...]]:
    """Return the epochs that have an index of the same photos, and the layers that can be followed there."""
    if index.manifest.origin.rank != "max":
        return {}
    there = index_names(indexes_folder(model))
    found = {}
    for epoch in model.manifest.early_epochs:
        if epoch_index_name(index.name, epoch) in there:
            origin = _manifest(model, index.name, epoch).origin
            if (origin.data.fingerprint, origin.rank) == (index.manifest.origin.data.fingerprint, "max"):
                found[epoch] = tuple(layer.name for layer in origin.layers)
    kept = {layer.name for layer in convolutional_part(model.network.spec).layers}
    return {epoch: tuple(layer for layer in layers if layer in kept) for epoch, layers in found.items()}


def _manifest(model: Model, name: str, epoch: int) -> IndexManifest:
    return read_manifest(indexes_folder(model) / epoch_index_name(name, epoch))


def _batches(layer: LayerPlan, top: int) -> Iterator[Batch]:
    shown = max(top, len(layer.epochs) + 1)
    count = min(MOST_EVOLVED_MAPS, max(1, _VALUES // (shown * 3 * layer.framing.size**2)))
    for number, start in enumerate(range(0, len(layer.maps), count)):
        yield Batch(layer, number, layer.maps[start : start + count])
